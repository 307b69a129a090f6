/** Pod security standards, enforced and warned of. */
import type { JsonObject } from '../../../api/types.ts';
import { container, core, pod } from './shapes.ts';
import { Scenario } from './step.ts';

const SECURE = {
  allowPrivilegeEscalation: false,
  runAsNonRoot: true,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};
const SECURITY: readonly JsonObject[] = [
  { containers: [container()] },
  { containers: [container({ securityContext: SECURE })] },
  ...[
    { privileged: true },
    { allowPrivilegeEscalation: true },
    { runAsNonRoot: false },
    { runAsUser: 0 },
    { runAsUser: 1 },
    { capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE'] } },
    { capabilities: { drop: ['ALL'], add: ['SYS_ADMIN'] } },
    { capabilities: { drop: ['ALL'], add: ['CHOWN', 'KILL'] } },
    { capabilities: { drop: ['NET_RAW'] } },
    { seccompProfile: { type: 'Unconfined' } },
    { seccompProfile: { type: 'Localhost', localhostProfile: 'x' } },
    { procMount: 'Unmasked' },
    { procMount: 'Default' },
    { seLinuxOptions: { type: 'container_t' } },
    { seLinuxOptions: { type: 'spc_t' } },
    { seLinuxOptions: { role: 'x' } },
    { seLinuxOptions: { level: 's0' } },
    { appArmorProfile: { type: 'Unconfined' } },
    { appArmorProfile: { type: 'RuntimeDefault' } },
    { windowsOptions: { hostProcess: true } },
  ].map((sc) => ({ containers: [container({ securityContext: { ...SECURE, ...sc } as JsonObject })] })),
  ...[
    { hostNetwork: true },
    { hostPID: true },
    { hostIPC: true },
    { securityContext: { runAsNonRoot: true } },
    { securityContext: { runAsUser: 0 } },
    { securityContext: { runAsNonRoot: false } },
    { securityContext: { seccompProfile: { type: 'Unconfined' } } },
    { securityContext: { seLinuxOptions: { user: 'x' } } },
    { securityContext: { sysctls: [{ name: 'kernel.shm_rmid_forced', value: '1' }] } },
    { securityContext: { sysctls: [{ name: 'net.ipv4.tcp_keepalive_time', value: '1' }] } },
    { securityContext: { sysctls: [{ name: 'kernel.sem', value: '1' }] } },
    { securityContext: { windowsOptions: { hostProcess: true } }, hostNetwork: true },
    { securityContext: { appArmorProfile: { type: 'Unconfined' } } },
    { os: { name: 'windows' } },
    { os: { name: 'linux' } },
    { hostUsers: false, securityContext: { runAsUser: 0 } },
    { initContainers: [container({ name: 'i', securityContext: { privileged: true } })] },
    { initContainers: [container({ name: 'i', securityContext: SECURE })] },
    { containers: [container({ securityContext: SECURE, ports: [{ containerPort: 1, hostPort: 1 }] })] },
    { containers: [container({ securityContext: SECURE, livenessProbe: { httpGet: { port: 1, host: 'x' } } })] },
    {
      containers: [
        container({ securityContext: SECURE, lifecycle: { preStop: { httpGet: { port: 1, host: '127.0.0.1' } } } }),
      ],
    },
    ...[
      { hostPath: { path: '/x' } },
      { nfs: { server: 's', path: '/p' } },
      { configMap: { name: 'x' } },
      { csi: { driver: 'x.y' } },
      {
        ephemeral: {
          volumeClaimTemplate: { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1' } } } },
        },
      },
      { projected: { sources: [] } },
      { persistentVolumeClaim: { claimName: 'x' } },
      { gcePersistentDisk: { pdName: 'x' } },
      { iscsi: { targetPortal: 'x', iqn: 'iqn.2001-04.com.example:x', lun: 0 } },
      { image: { reference: 'x' } },
    ].map((v) => ({ volumes: [{ name: 'v', ...v }] })),
  ].map((spec) => ({ containers: [container({ securityContext: SECURE })], ...(spec as unknown as JsonObject) })),
];

export function podSecurity(): Scenario[] {
  const modes: Record<string, Record<string, string>> = {
    baseline: { enforce: 'baseline' },
    restricted: { enforce: 'restricted' },
    old: { enforce: 'restricted', 'enforce-version': 'v1.18', warn: 'baseline', 'warn-version': 'v1.20' },
    warn: { enforce: 'privileged', warn: 'restricted', audit: 'restricted' },
    both: { enforce: 'baseline', warn: 'restricted', 'warn-version': 'latest' },
  };
  const list = Object.entries(modes).map(([name, labels]) => {
    const s = new Scenario('auth', `podsecurity-${name}`);
    const ns = s.namespace(
      `sc-ps-${name}`,
      Object.fromEntries(Object.entries(labels).map(([k, v]) => [`pod-security.kubernetes.io/${k}`, v])),
    );
    s.post(`${core(ns, 'pods')}?dryRun=All`, pod('settle'), { sleep: 500 });
    for (const [i, spec] of SECURITY.entries()) {
      s.post(`${core(ns, 'pods')}?dryRun=All`, pod(`p${i}`, spec));
      s.post(`/apis/apps/v1/namespaces/${ns}/deployments?dryRun=All`, {
        metadata: { name: `d${i}` },
        spec: { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec } },
      });
    }
    for (const a of [
      { 'container.apparmor.security.beta.kubernetes.io/c': 'unconfined' },
      { 'container.apparmor.security.beta.kubernetes.io/c': 'runtime/default' },
      { 'seccomp.security.alpha.kubernetes.io/pod': 'unconfined' },
    ])
      s.post(`${core(ns, 'pods')}?dryRun=All`, pod('an', SECURITY[1], { annotations: a }));
    const workload = {
      template: {
        spec: { containers: [container({ securityContext: { privileged: true } })], restartPolicy: 'Never' },
      },
    };
    s.post(`/apis/batch/v1/namespaces/${ns}/jobs?dryRun=All`, { metadata: { name: 'j' }, spec: workload });
    s.post(`/apis/batch/v1/namespaces/${ns}/cronjobs?dryRun=All`, {
      metadata: { name: 'j' },
      spec: { schedule: '* * * * *', jobTemplate: { spec: workload } },
    });
    s.post(`/api/v1/namespaces/${ns}/podtemplates?dryRun=All`, {
      metadata: { name: 'j' },
      template: workload.template,
    });
    s.post(core(ns, 'pods'), pod('live', SECURITY[1]));
    s.patch('strategic', `${core(ns, 'pods')}/live/ephemeralcontainers`, {
      spec: { ephemeralContainers: [{ name: 'e', image: 'i', securityContext: { privileged: true } }] },
    });
    s.patch('strategic', `${core(ns, 'pods')}/live/ephemeralcontainers`, {
      spec: { ephemeralContainers: [{ name: 'e', image: 'i', securityContext: SECURE }] },
    });
    s.patch('merge', `${core(ns, 'pods')}/live`, { metadata: { labels: { a: 'b' } } });
    return s;
  });
  const s = new Scenario('auth', 'podsecurity-labels');
  const ns = s.namespace('sc-ps-labels');
  s.post(
    core(ns, 'pods'),
    pod('priv', { containers: [container({ securityContext: { privileged: true } })], hostNetwork: true }),
  );
  s.post(core(ns, 'pods'), pod('plain'));
  const P = 'pod-security.kubernetes.io/';
  for (const labels of [
    { [`${P}enforce`]: 'baseline' },
    { [`${P}enforce`]: 'restricted' },
    { [`${P}enforce`]: 'privileged' },
    { [`${P}enforce`]: 'bogus' },
    { [`${P}enforce`]: '' },
    { [`${P}enforce-version`]: 'v1.99' },
    { [`${P}enforce-version`]: '1.20' },
    { [`${P}enforce-version`]: 'v2.0' },
    { [`${P}enforce-version`]: 'latest' },
    { [`${P}warn`]: 'x', [`${P}audit`]: 'y', [`${P}warn-version`]: 'z' },
    { [`${P}warn`]: 'restricted' },
    { [`${P}foo`]: 'x' },
  ])
    for (const form of ['merge', 'apply'] as const)
      s.patch(form, `/api/v1/namespaces/${ns}?dryRun=All${form === 'apply' ? '&fieldManager=x' : ''}`, {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: ns, labels },
      });
  return [...list, s];
}
