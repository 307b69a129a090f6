/** Admission: limits, quotas, pod security, priorities, runtime classes, storage, policies. */
import type { JsonObject } from '../../../api/types.ts';
import { core } from './shapes.ts';
import { RUN, Scenario } from './step.ts';

const container = (more: JsonObject = {}): JsonObject => ({ name: 'c', image: 'i', ...more });
const pod = (name: string, spec: JsonObject = {}, metadata: JsonObject = {}): JsonObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...metadata },
  spec: { containers: [container()], ...spec },
});
const withResources = (name: string, resources: JsonObject, more: JsonObject = {}) =>
  pod(name, { containers: [container({ resources })], ...more });

const RESOURCES: readonly JsonObject[] = [
  {},
  { limits: { cpu: '1' } },
  { requests: { cpu: '50m' } },
  { limits: { cpu: '4' } },
  { requests: { memory: '1Mi' }, limits: { memory: '1Mi' } },
  { requests: { cpu: '100m' }, limits: { cpu: '1' } },
  { requests: { cpu: '10m', memory: '900Mi' } },
  { limits: { memory: '2Gi', 'ephemeral-storage': '1Gi' } },
  { requests: { 'example.com/gpu': '1' }, limits: { 'example.com/gpu': '1' } },
  { limits: { 'hugepages-2Mi': '4Mi' } },
  { requests: { cpu: '0' } },
  { limits: { cpu: '0' } },
];

function limitRanges(): Scenario[] {
  const ranges: Record<string, JsonObject[]> = {
    container: [{ type: 'Container', max: { cpu: '2', memory: '1Gi' }, min: { cpu: '50m', memory: '16Mi' } }],
    pod: [
      { type: 'Pod', max: { cpu: '3', memory: '1Gi' }, min: { cpu: '60m' }, maxLimitRequestRatio: { memory: '2' } },
    ],
    ratio: [{ type: 'Container', maxLimitRequestRatio: { cpu: '4', memory: '1.5' } }],
    defaults: [
      { type: 'Container', default: { cpu: '500m', 'example.com/gpu': '1' } },
      { type: 'Container', defaultRequest: { memory: '10Mi', 'ephemeral-storage': '1Gi' } },
    ],
    min: [{ type: 'Container', min: { cpu: '50m' } }],
    max: [{ type: 'Container', max: { memory: '100Mi' } }],
    extended: [{ type: 'Container', max: { 'example.com/gpu': '0' }, min: { 'ephemeral-storage': '1Mi' } }],
  };
  return Object.entries(ranges).map(([name, limits]) => {
    const s = new Scenario('auth', `limits-${name}`);
    const ns = s.namespace(`sc-lim-${name}`);
    const at = core(ns, 'limitranges');
    s.post(at, { apiVersion: 'v1', kind: 'LimitRange', metadata: { name: 'l' }, spec: { limits } });
    s.get(`${at}/l`);
    s.post(`${core(ns, 'pods')}?dryRun=All`, pod('settle'), { sleep: 500 });
    for (const [i, r] of RESOURCES.entries()) {
      s.post(`${core(ns, 'pods')}?dryRun=All`, withResources(`p${i}`, r));
      s.post(
        `${core(ns, 'pods')}?dryRun=All`,
        pod(`i${i}`, { initContainers: [{ name: 'i', image: 'i', resources: r }] }),
      );
      s.post(
        `${core(ns, 'pods')}?dryRun=All`,
        pod(`s${i}`, { initContainers: [{ name: 'i', image: 'i', resources: r, restartPolicy: 'Always' }] }),
      );
      s.post(
        `${core(ns, 'pods')}?dryRun=All`,
        pod(`t${i}`, {
          containers: [container({ resources: r }), { name: 'd', image: 'i', resources: r }],
          overhead: { cpu: '1' },
        }),
      );
      s.post(`${core(ns, 'pods')}?dryRun=All`, pod(`pl${i}`, { resources: r }));
    }
    s.table(at);
    s.post(
      core(ns, 'pods'),
      withResources('kept', { requests: { cpu: '100m', memory: '50Mi' }, limits: { cpu: '200m', memory: '60Mi' } }),
    );
    s.patch('strategic', `${core(ns, 'pods')}/kept/resize`, {
      spec: { containers: [{ name: 'c', resources: { requests: { cpu: '10m' }, limits: { cpu: '5' } } }] },
    });
    s.patch('strategic', `${core(ns, 'pods')}/kept/resize`, {
      spec: { containers: [{ name: 'c', resources: { requests: { cpu: '150m' }, limits: { cpu: '250m' } } }] },
    });
    s.patch('merge', `${core(ns, 'pods')}/kept`, { metadata: { labels: { a: 'b' } } });
    return s;
  });
}

function claims(): Scenario {
  const s = new Scenario('auth', 'limits-claims');
  const ns = s.namespace('sc-lim-claims');
  s.post(core(ns, 'limitranges'), {
    apiVersion: 'v1',
    kind: 'LimitRange',
    metadata: { name: 'l' },
    spec: {
      limits: [
        { type: 'PersistentVolumeClaim', min: { storage: '1Gi' }, max: { storage: '5Gi' } },
        { type: 'openshift.io/Image', max: { storage: '1Gi' } },
      ],
    },
  });
  const claim = (name: string, storage: string) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } },
  });
  s.post(`${core(ns, 'persistentvolumeclaims')}?dryRun=All`, claim('settle', '2Gi'), { sleep: 500 });
  for (const v of ['500Mi', '1Gi', '5Gi', '5.1Gi', '1G', '0'])
    s.post(`${core(ns, 'persistentvolumeclaims')}`, claim(`c${v.toLowerCase().replace('.', '-')}`, v));
  s.patch('merge', `${core(ns, 'persistentvolumeclaims')}/c1gi`, {
    spec: { resources: { requests: { storage: '9Gi' } } },
  });
  return s;
}

function quotas(): Scenario[] {
  const hard: Record<string, JsonObject> = {
    counts: {
      hard: {
        pods: '2',
        services: '2',
        'services.nodeports': '1',
        'services.loadbalancers': '1',
        secrets: '1',
        configmaps: '1',
        persistentvolumeclaims: '1',
        replicationcontrollers: '1',
        resourcequotas: '2',
        'count/deployments.apps': '1',
        'count/jobs.batch': '1',
        'count/leases.coordination.k8s.io': '1',
      },
    },
    compute: { hard: { 'requests.cpu': '1', 'limits.memory': '1Gi', 'requests.memory': '500Mi', 'limits.cpu': '2' } },
    short: {
      hard: {
        cpu: '1',
        memory: '1Gi',
        'requests.ephemeral-storage': '1Gi',
        'requests.example.com/gpu': '1',
        'hugepages-2Mi': '2Mi',
      },
    },
    storage: {
      hard: {
        'requests.storage': '10Gi',
        'gold.storageclass.storage.k8s.io/requests.storage': '2Gi',
        'gold.storageclass.storage.k8s.io/persistentvolumeclaims': '1',
      },
    },
    besteffort: { hard: { pods: '1' }, scopes: ['BestEffort'] },
    notbesteffort: { hard: { pods: '1', 'requests.cpu': '1' }, scopes: ['NotBestEffort'] },
    terminating: { hard: { pods: '1' }, scopes: ['Terminating'] },
    notterminating: { hard: { pods: '1' }, scopes: ['NotTerminating'] },
    priority: {
      hard: { pods: '1' },
      scopeSelector: {
        matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In', values: ['system-cluster-critical'] }],
      },
    },
    priorityexists: {
      hard: { pods: '1' },
      scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'Exists' }] },
    },
    prioritynotin: {
      hard: { pods: '1' },
      scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'NotIn', values: ['x'] }] },
    },
    affinity: { hard: { pods: '1' }, scopes: ['CrossNamespacePodAffinity'] },
    vac: {
      hard: { persistentvolumeclaims: '1' },
      scopeSelector: { matchExpressions: [{ scopeName: 'VolumeAttributesClass', operator: 'In', values: ['fast'] }] },
    },
  };
  const cross = {
    podAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'k', namespaces: ['x'], labelSelector: {} }],
    },
  };
  return Object.entries(hard).map(([name, spec]) => {
    const s = new Scenario('auth', `quota-${name}`);
    const ns = s.namespace(`sc-q-${name}`);
    const at = core(ns, 'resourcequotas');
    s.post(at, { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'q' }, spec });
    const zero = Object.fromEntries(Object.keys(spec['hard'] as JsonObject).map((k) => [k, '0']));
    s.patch('merge', `${at}/q/status`, { status: { hard: spec['hard']!, used: zero } });
    s.post(
      `${core(ns, 'configmaps')}?dryRun=All`,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } },
      { sleep: 500 },
    );
    const full = { requests: { cpu: '400m', memory: '200Mi' }, limits: { cpu: '500m', memory: '400Mi' } };
    const bodies: [string, JsonObject][] = [
      ['pods', pod('best')],
      ['pods', withResources('full', full)],
      ['pods', withResources('cpu', { requests: { cpu: '100m' } })],
      ['pods', withResources('mem', { limits: { memory: '100Mi' } })],
      ['pods', withResources('big', { requests: { cpu: '3', memory: '3Gi' }, limits: { cpu: '3', memory: '3Gi' } })],
      ['pods', withResources('gpu', { limits: { 'example.com/gpu': '2', ...full.limits }, requests: full.requests })],
      ['pods', withResources('eph', { ...full, requests: { ...full.requests, 'ephemeral-storage': '2Gi' } })],
      ['pods', withResources('huge', { limits: { 'hugepages-2Mi': '4Mi', ...full.limits } })],
      ['pods', withResources('deadline', full, { activeDeadlineSeconds: 5 })],
      ['pods', withResources('critical', full, { priorityClassName: 'system-cluster-critical' })],
      ['pods', withResources('critical2', full, { priorityClassName: 'system-cluster-critical' })],
      ['pods', withResources('cross', full, { affinity: cross })],
      ['pods', withResources('cross2', full, { affinity: cross })],
      ['pods', pod('best2')],
      ['pods', withResources('full2', full)],
      ['pods', pod('podlevel', { resources: full })],
      [
        'pods',
        withResources('side', full, {
          initContainers: [{ name: 's', image: 'i', restartPolicy: 'Always', resources: full }],
        }),
      ],
      ['services', { metadata: { name: 'a' }, spec: { ports: [{ port: 1 }] } }],
      [
        'services',
        { metadata: { name: 'np' }, spec: { type: 'NodePort', ports: [{ port: 1 }, { port: 2, name: 'b' }] } },
      ],
      ['services', { metadata: { name: 'np2' }, spec: { type: 'NodePort', ports: [{ port: 1 }] } }],
      ['services', { metadata: { name: 'lb' }, spec: { type: 'LoadBalancer', ports: [{ port: 1 }] } }],
      [
        'services',
        {
          metadata: { name: 'lb2' },
          spec: { type: 'LoadBalancer', ports: [{ port: 1 }], allocateLoadBalancerNodePorts: false },
        },
      ],
      ['secrets', { metadata: { name: 'a' } }],
      ['secrets', { metadata: { name: 'b' } }],
      ['configmaps', { metadata: { name: 'a' } }],
      ['configmaps', { metadata: { name: 'b' } }],
      ['resourcequotas', { metadata: { name: 'b' } }],
      ['resourcequotas', { metadata: { name: 'c' } }],
      ...['a', 'b'].flatMap((n): [string, JsonObject][] =>
        [{}, { storageClassName: 'gold' }, { volumeAttributesClassName: 'fast' }].map((more, i) => [
          'persistentvolumeclaims',
          {
            metadata: { name: `${n}${i}` },
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1500Mi' } }, ...more },
          },
        ]),
      ),
    ];
    for (const [resource, body] of bodies) s.post(core(ns, resource), body);
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [container()] } };
    for (const n of ['a', 'b']) {
      s.post(`/apis/apps/v1/namespaces/${ns}/deployments`, {
        metadata: { name: n },
        spec: { selector: { matchLabels: { a: 'b' } }, template },
      });
      s.post(`/apis/batch/v1/namespaces/${ns}/jobs`, {
        metadata: { name: n },
        spec: { template: { spec: { ...template.spec, restartPolicy: 'Never' } } },
      });
      s.post(`/apis/coordination.k8s.io/v1/namespaces/${ns}/leases`, { metadata: { name: n } });
      s.post(core(ns, 'replicationcontrollers'), { metadata: { name: n }, spec: { selector: { a: 'b' }, template } });
    }
    s.get(`${at}/q`);
    s.table(at);
    s.patch('merge', `${core(ns, 'services')}/a`, { spec: { type: 'NodePort' } });
    s.patch('merge', `${core(ns, 'services')}/a`, { spec: { type: 'LoadBalancer' } });
    s.patch('merge', `${core(ns, 'persistentvolumeclaims')}/a0`, {
      spec: { resources: { requests: { storage: '50Gi' } } },
    });
    s.patch('strategic', `${core(ns, 'pods')}/full/resize`, {
      spec: { containers: [{ name: 'c', resources: { requests: { cpu: '2' }, limits: { cpu: '3' } } }] },
    });
    s.del(`${core(ns, 'pods')}/full?gracePeriodSeconds=0`);
    s.post(core(ns, 'pods'), withResources('full3', full));
    s.get(`${at}/q`);
    return s;
  });
}

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

function podSecurity(): Scenario[] {
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

function classes(): Scenario {
  const s = new Scenario('auth', 'classes');
  const ns = s.namespace('sc-classes');
  const pods = `${core(ns, 'pods')}?dryRun=All`;
  const pc = '/apis/scheduling.k8s.io/v1/priorityclasses';
  const [hi, lo, glob] = [`hi-${RUN}`, `lo-${RUN}`, `glob-${RUN}`];
  for (const [name, more] of [
    [hi, { value: 1000 }],
    [lo, { value: -5, preemptionPolicy: 'Never', description: 'x' }],
    [`over-${RUN}`, { value: 1000000001 }],
    [`system-${RUN}`, { value: 1 }],
    [`none-${RUN}`, {}],
    [`pol-${RUN}`, { value: 1, preemptionPolicy: 'Foo' }],
  ] as [string, JsonObject][])
    s.post(pc, { metadata: { name }, ...more });
  s.post(pods, pod('settle', { priorityClassName: lo }), { retry: true, expect: 201 });
  for (const spec of [
    { priorityClassName: hi },
    { priorityClassName: lo },
    { priorityClassName: lo, preemptionPolicy: 'PreemptLowerPriority' },
    { priorityClassName: lo, preemptionPolicy: 'Never', priority: -5 },
    { priorityClassName: hi, priority: 5 },
    { priority: 0 },
    { priority: 5 },
    { preemptionPolicy: 'Never' },
    { priorityClassName: 'system-node-critical' },
    { priorityClassName: 'system-cluster-critical', priority: 2000000000 },
    { priorityClassName: 'system-foo' },
  ] as JsonObject[])
    s.post(pods, pod('p', spec));
  s.post(pc, { metadata: { name: glob }, value: 7, globalDefault: true });
  s.post(pods, pod('p'), { sleep: 500 });
  s.post(pc, { metadata: { name: `${glob}-2` }, value: 8, globalDefault: true });
  s.patch('merge', `${pc}/${hi}`, { globalDefault: true });
  s.patch('merge', `${pc}/${hi}`, { description: 'new' });
  s.patch('merge', `${pc}/${hi}`, { value: 5 });
  s.patch('merge', `${pc}/${hi}`, { preemptionPolicy: 'Never' });
  s.table(pc);
  for (const n of [hi, lo, glob, 'system-node-critical'])
    s.del(`${pc}/${n}${n.startsWith('system') ? '?dryRun=All' : ''}`);
  const rc = '/apis/node.k8s.io/v1/runtimeclasses';
  const kata = `kata-${RUN}`;
  s.post(rc, {
    metadata: { name: kata },
    handler: 'kata',
    overhead: { podFixed: { cpu: '100m', memory: '10Mi' } },
    scheduling: {
      nodeSelector: { k: 'y' },
      tolerations: [
        { key: 'k', operator: 'Exists' },
        { key: 'k', value: 'v', effect: 'NoSchedule' },
      ],
    },
  });
  s.post(rc, { metadata: { name: `${kata}-plain` }, handler: 'runc' });
  s.post(rc, {
    metadata: { name: `${kata}-bad` },
    handler: 'Bad Handler',
    overhead: { podFixed: { cpu: '-1' } },
    scheduling: {
      nodeSelector: { 'a b': 'c' },
      tolerations: [
        { key: 'a', operator: 'Foo' },
        { key: 'a', operator: 'Exists' },
        { key: 'a', operator: 'Exists' },
      ],
    },
  });
  s.post(pods, pod('settle', { runtimeClassName: kata }), { retry: true, expect: 201 });
  for (const spec of [
    {},
    { overhead: { cpu: '100m', memory: '10Mi' } },
    { overhead: { cpu: '0.1', memory: '10Mi' } },
    { overhead: { cpu: '1' } },
    { nodeSelector: { k: 'y', z: '1' } },
    { nodeSelector: { k: 'n' } },
    {
      tolerations: [
        { key: 'k', operator: 'Exists' },
        { key: 'o', operator: 'Exists' },
      ],
    },
    { hostNetwork: true },
  ] as JsonObject[]) {
    s.post(pods, pod('p', { runtimeClassName: kata, ...spec }));
    s.post(pods, pod('p', { runtimeClassName: `${kata}-plain`, ...spec }));
    s.post(pods, pod('p', spec));
  }
  s.patch('merge', `${rc}/${kata}`, { handler: 'x' });
  s.patch('merge', `${rc}/${kata}`, { overhead: { podFixed: { cpu: '5' } } });
  s.table(rc);
  s.del(`${rc}/${kata}`);
  s.del(`${rc}/${kata}-plain`);
  for (const tolerations of [
    [{ operator: 'Exists' }],
    [{ operator: 'Exists', effect: 'NoExecute' }],
    [{ operator: 'Exists', effect: 'NoSchedule' }],
    [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' }],
    [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists' }],
    [{ key: 'node.kubernetes.io/not-ready', operator: 'Equal', value: 'x', effect: 'NoExecute' }],
    [{ key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 0 }],
    [{ key: 'a', operator: 'Lt', value: '5' }],
    [{ key: 'a', operator: 'Gt', value: 'x', effect: 'NoExecute' }],
  ] as JsonObject[][])
    s.post(pods, pod('p', { tolerations }));
  return s;
}

function storage(): Scenario {
  const s = new Scenario('auth', 'storage');
  const ns = s.namespace('sc-storage');
  const sc = '/apis/storage.k8s.io/v1/storageclasses';
  const pvc = core(ns, 'persistentvolumeclaims');
  const KEY = 'storageclass.kubernetes.io/is-default-class';
  const make = (name: string, more: JsonObject = {}, annotations: JsonObject = {}) =>
    s.post(sc, { metadata: { name: `${name}-${RUN}`, annotations }, provisioner: 'x.io/y', ...more });
  const claim = (name: string, more: JsonObject = {}) => ({
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...more },
  });
  make('old', {}, { 'storageclass.beta.kubernetes.io/is-default-class': 'true' });
  s.post(`${pvc}?dryRun=All`, claim('a'), { sleep: 700 });
  make('def', { allowVolumeExpansion: false }, { [KEY]: 'true' });
  make('zdef', { allowVolumeExpansion: true }, { [KEY]: 'true' });
  s.post(`${pvc}?dryRun=All`, claim('a'), { sleep: 700 });
  s.post(`${pvc}?dryRun=All`, claim('a', { storageClassName: '' }));
  s.post(`${pvc}?dryRun=All`, {
    ...claim('a'),
    metadata: { name: 'a', annotations: { 'volume.beta.kubernetes.io/storage-class': 'x' } },
  });
  s.post(`${pvc}?dryRun=All`, claim('a', { volumeAttributesClassName: 'x' }));
  s.post(`${pvc}?dryRun=All`, claim('a', { volumeAttributesClassName: '' }));
  for (const name of ['grow', 'fixed']) {
    s.post(pvc, claim(name, { storageClassName: `${name === 'grow' ? 'zdef' : 'def'}-${RUN}` }));
    s.patch('merge', `${pvc}/${name}`, { spec: { resources: { requests: { storage: '2Gi' } } } });
    s.patch('merge', `${pvc}/${name}/status`, {
      status: { phase: 'Bound', capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'] },
    });
    s.patch('merge', `${pvc}/${name}`, { spec: { volumeName: 'v' } });
    for (const v of ['3Gi', '1Gi', '500Mi', '2Gi'])
      s.patch('merge', `${pvc}/${name}`, { spec: { resources: { requests: { storage: v } } } });
    s.patch('merge', `${pvc}/${name}`, { spec: { volumeAttributesClassName: 'fast' } });
    s.patch('merge', `${pvc}/${name}`, { spec: { storageClassName: 'x' } });
    s.patch('merge', `${pvc}/${name}/status`, {
      status: {
        allocatedResources: { storage: '5Gi' },
        allocatedResourceStatuses: { storage: 'ControllerResizeInProgress' },
        conditions: [{ type: 'Resizing', status: 'True' }],
      },
    });
    s.patch('merge', `${pvc}/${name}/status`, {
      status: { allocatedResourceStatuses: { storage: 'Foo', bar: 'x' }, modifyVolumeStatus: { status: 'Foo' } },
    });
    s.get(`${pvc}/${name}`);
    s.del(`${pvc}/${name}`);
    s.get(`${pvc}/${name}`);
  }
  s.table(pvc);
  for (const more of [
    { reclaimPolicy: 'Foo' },
    { volumeBindingMode: 'Foo' },
    { mountOptions: ['a', ''] },
    { parameters: { '': 'x' } },
    { allowedTopologies: [{ matchLabelExpressions: [{ key: 'a', values: ['b', 'b'] }] }] },
    {
      allowedTopologies: [
        {
          matchLabelExpressions: [
            { key: 'a', values: [] },
            { key: 'a', values: ['x'] },
          ],
        },
      ],
    },
    { provisioner: 'Bad Prov' },
  ])
    make('bad', more as unknown as JsonObject);
  s.table(sc);
  s.patch('merge', `${sc}/def-${RUN}`, { parameters: { a: 'b' } });
  s.patch('merge', `${sc}/def-${RUN}`, { reclaimPolicy: 'Retain' });
  s.patch('merge', `${sc}/def-${RUN}`, { allowVolumeExpansion: true, mountOptions: ['x'] });
  for (const n of ['old', 'def', 'zdef']) s.del(`${sc}/${n}-${RUN}`);
  return s;
}

function serviceAccounts(): Scenario {
  const s = new Scenario('auth', 'accounts');
  const ns = s.namespace('sc-accounts');
  const pods = `${core(ns, 'pods')}?dryRun=All`;
  const sa = core(ns, 'serviceaccounts');
  s.post(sa, {
    metadata: { name: 'strict', annotations: { 'kubernetes.io/enforce-mountable-secrets': 'true' } },
    secrets: [{ name: 'ok' }],
    imagePullSecrets: [{ name: 'pull' }],
  });
  s.post(pods, pod('settle', { serviceAccountName: 'strict' }), { retry: true, expect: 201 });
  for (const spec of [
    { serviceAccountName: 'strict', volumes: [{ name: 'v', secret: { secretName: 'ok' } }] },
    { serviceAccountName: 'strict', volumes: [{ name: 'v', secret: { secretName: 'other' } }] },
    { serviceAccountName: 'strict', imagePullSecrets: [{ name: 'other' }] },
    {
      serviceAccountName: 'strict',
      containers: [container({ env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'other', key: 'k' } } }] })],
    },
    { serviceAccountName: 'strict', containers: [container({ envFrom: [{ secretRef: { name: 'other' } }] })] },
    { serviceAccount: 'strict' },
    { serviceAccount: 'strict', serviceAccountName: 'default' },
    { serviceAccountName: 'missing' },
    { serviceAccountName: 'Bad_Name' },
    { automountServiceAccountToken: false },
    { initContainers: [{ name: 'i', image: 'i', restartPolicy: 'Always' }] },
    {
      containers: [
        container({ volumeMounts: [{ name: 'x', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }] }),
      ],
      volumes: [{ name: 'x', emptyDir: {} }],
    },
    {
      containers: [container({ volumeMounts: [{ name: 'kube-api-access', mountPath: '/x' }] })],
      volumes: [{ name: 'kube-api-access', emptyDir: {} }],
    },
  ] as JsonObject[])
    s.post(pods, pod('p', spec));
  for (const [meta, spec] of [
    [{ annotations: { 'kubernetes.io/config.mirror': 'x' } }, { nodeName: 'n' }],
    [{ annotations: { 'kubernetes.io/config.mirror': 'x' } }, { nodeName: 'n', serviceAccountName: 'default' }],
    [
      { annotations: { 'kubernetes.io/config.mirror': 'x' } },
      { nodeName: 'n', volumes: [{ name: 'v', secret: { secretName: 's' } }] },
    ],
    [
      {
        annotations: { 'kubernetes.io/config.mirror': 'x' },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u' }],
      },
      { nodeName: 'n', serviceAccountName: 'default' },
    ],
  ] as [JsonObject, JsonObject][])
    s.post(pods, pod('m', spec, meta));
  const secrets = core(ns, 'secrets');
  for (const annotations of [
    {},
    { 'kubernetes.io/service-account.name': 'default' },
    { 'kubernetes.io/service-account.name': 'none' },
  ])
    s.post(`${secrets}?dryRun=All`, {
      metadata: { name: 's', annotations },
      type: 'kubernetes.io/service-account-token',
    });
  s.post(secrets, {
    metadata: { name: 'tok', annotations: { 'kubernetes.io/service-account.name': 'default' } },
    type: 'kubernetes.io/service-account-token',
  });
  s.get(`${secrets}/tok`);
  s.table(secrets);
  s.table(sa);
  return s;
}

export function admissionScenarios(): Scenario[] {
  return [...limitRanges(), claims(), ...quotas(), ...podSecurity(), classes(), storage(), serviceAccounts()];
}
