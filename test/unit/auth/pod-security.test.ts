import assert from 'node:assert/strict';
import {
  describe as say,
  evaluatePod,
  policyOf,
  showPolicy,
} from '../../../apiserver/admission/pod-security/policy.ts';
import type { PodSpec } from '../../../api/types.ts';

const hardened = {
  allowPrivilegeEscalation: false,
  runAsNonRoot: true,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};
const spec = (more: Partial<PodSpec> = {}, securityContext: object = hardened): PodSpec => ({
  containers: [{ name: 'c', image: 'i', securityContext }],
  ...more,
});
type Case = [what: string, spec: PodSpec, annotations?: Record<string, string>];
const reasons = (level: 'baseline' | 'restricted', minor: number, [, s, annotations]: Case) =>
  evaluatePod({ level, minor }, s, { annotations }).map((v) => v.reason);

describe('pod security', () => {
  it('allows hardened pods at every version', () => {
    for (let minor = 0; minor <= 40; minor++)
      assert.deepEqual(evaluatePod({ level: 'restricted', minor }, spec(), {}), [], `v1.${minor}`);
    assert.deepEqual(evaluatePod({ level: 'privileged', minor: Infinity }, spec({ hostPID: true }), {}), []);
  });

  const baseline: Case[] = [
    ['host namespaces', spec({ hostNetwork: true, hostIPC: true })],
    ['hostPath volumes', spec({ volumes: [{ name: 'v', hostPath: { path: '/' } }] })],
    ['hostPort', { containers: [{ name: 'c', image: 'i', ports: [{ containerPort: 1, hostPort: 80 }] }] }],
    ['privileged', spec({}, { privileged: true })],
    ['non-default capabilities', spec({}, { capabilities: { add: ['NET_ADMIN'] } })],
    ['procMount', spec({}, { procMount: 'Unmasked' })],
    ['seLinuxOptions', spec({}, { seLinuxOptions: { user: 'u' } })],
    ['seccompProfile', spec({}, { seccompProfile: { type: 'Unconfined' } })],
    ['forbidden sysctls', spec({ securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }] } })],
    ['hostProcess', spec({ securityContext: { windowsOptions: { hostProcess: true } } })],
    ['forbidden AppArmor profile', spec({}, { appArmorProfile: { type: 'Unconfined' } })],
    ['forbidden AppArmor profile', spec(), { 'container.apparmor.security.beta.kubernetes.io/c': 'unconfined' }],
    [
      'probe or lifecycle host',
      { containers: [{ name: 'c', image: 'i', livenessProbe: { httpGet: { port: 1, host: 'h' } as never } }] },
    ],
  ];
  for (const c of baseline)
    it(`baseline refuses ${c[0]}`, () => assert.deepEqual(reasons('baseline', Infinity, c), [c[0]]));

  it('looks at all kinds of containers', () => {
    const bad = { name: 'x', image: 'i', securityContext: { privileged: true } };
    assert.deepEqual(reasons('baseline', 36, ['', spec({ initContainers: [bad] })]), ['privileged']);
    assert.deepEqual(reasons('baseline', 36, ['', spec({ ephemeralContainers: [bad] })]), ['privileged']);
  });

  it('changes with the version', () => {
    const reserved = spec({ securityContext: { sysctls: [{ name: 'net.ipv4.ip_local_reserved_ports', value: '1' }] } });
    assert.deepEqual(reasons('baseline', 26, ['', reserved]), ['forbidden sysctls']);
    assert.deepEqual(reasons('baseline', 27, ['', reserved]), []);
    const root = spec({}, { ...hardened, runAsUser: 0 });
    assert.deepEqual(reasons('restricted', 22, ['', root]), []);
    assert.deepEqual(reasons('restricted', 23, ['', root]), ['runAsUser=0']);
    assert.deepEqual(reasons('restricted', 36, ['', { ...root, hostUsers: false }]), []);
    const unmasked = spec({ hostUsers: false }, { ...hardened, procMount: 'Unmasked' });
    assert.deepEqual(reasons('baseline', 34, ['', unmasked]), ['procMount']);
    assert.deepEqual(reasons('baseline', 35, ['', unmasked]), []);
    assert.deepEqual(reasons('restricted', 35, ['', unmasked]), ['procMount']);
    const windows = spec({ os: { name: 'windows' } }, { runAsNonRoot: true });
    assert.deepEqual(reasons('restricted', 25, ['', windows]), []);
    assert.equal(reasons('restricted', 24, ['', windows]).length, 3);
  });

  it('says what is wrong as people know it', () => {
    assert.equal(
      say(evaluatePod({ level: 'restricted', minor: Infinity }, spec({}, {}), {})),
      'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), ' +
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), ' +
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), ' +
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    );
  });

  it('reads policies from labels', () => {
    const p = (labels: Record<string, string>) =>
      policyOf(Object.fromEntries(Object.entries(labels).map(([k, v]) => [`pod-security.kubernetes.io/${k}`, v])));
    assert.equal(showPolicy(p({ enforce: 'baseline', 'enforce-version': 'v1.20' }).policy.enforce), 'baseline:v1.20');
    assert.equal(
      showPolicy(p({ enforce: 'restricted' }).policy.warn),
      'restricted:latest',
      'warnings follow enforcement',
    );
    assert.equal(showPolicy(p({ enforce: 'restricted', warn: 'privileged' }).policy.warn), 'privileged:latest');
    const wrong = p({ enforce: 'strict', audit: 'loose', 'warn-version': '1.2' });
    assert.deepEqual(
      [wrong.policy.enforce.level, wrong.policy.audit.level, wrong.errors.length],
      ['restricted', 'privileged', 3],
    );
  });
});
