/** The baseline standard: no known privilege escalations. */
import type { DeepReadonly, PodSpec } from '../../../api/types.ts';
import {
  containers,
  containersOf,
  fieldCheck,
  inUserNamespace,
  plural,
  quoted,
  setters,
  sorted,
  type Check,
  type CheckPod,
} from './check.ts';

const APP_ARMOR_PREFIX = 'container.apparmor.security.beta.kubernetes.io/';
const appArmor: CheckPod = (spec, meta) => {
  const good = (type: string | undefined) => type === 'RuntimeDefault' || type === 'Localhost';
  const values = new Set<string>();
  const podType = spec.securityContext?.appArmorProfile;
  const podBad = podType !== undefined && !good(podType.type);
  if (podBad) values.add(podType.type);
  const bad: string[] = [];
  for (const c of containersOf(spec)) {
    const profile = c.securityContext?.appArmorProfile;
    if (!profile || good(profile.type)) continue;
    bad.push(c.name);
    values.add(profile.type);
  }
  const annotations = Object.entries(meta.annotations ?? {})
    .filter(
      ([k, v]) => k.startsWith(APP_ARMOR_PREFIX) && v !== '' && v !== 'runtime/default' && !v.startsWith('localhost/'),
    )
    .map(([k, v]) => `${k}=${JSON.stringify(v)}`)
    .sort();
  if (values.size === 0 && annotations.length === 0) return undefined;
  const who = [
    setters(podBad, bad),
    ...(annotations.length ? [plural('annotation', 'annotations', annotations.length)] : []),
  ]
    .filter(Boolean)
    .join(' and ');
  const all = [...annotations, ...sorted(values).map((v) => JSON.stringify(v))];
  return {
    reason: plural('forbidden AppArmor profile', 'forbidden AppArmor profiles', all.length),
    detail: `${who} must not set AppArmor profile type to ${all.join(', ')}`,
  };
};

const DEFAULT_CAPABILITIES = new Set(
  'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT'.split(
    ' ',
  ),
);
const capabilities: CheckPod = (spec) => {
  const bad: string[] = [];
  const added = new Set<string>();
  for (const c of containersOf(spec)) {
    const extra = (c.securityContext?.capabilities?.add ?? []).filter((n) => !DEFAULT_CAPABILITIES.has(n));
    if (extra.length === 0) continue;
    bad.push(c.name);
    for (const n of extra) added.add(n);
  }
  if (bad.length === 0) return undefined;
  return {
    reason: 'non-default capabilities',
    detail: `${containers(bad)} must not include ${quoted(sorted(added))} in securityContext.capabilities.add`,
  };
};

const hostNamespaces: CheckPod = (spec) => {
  const used = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((k) => spec[k]).map((k) => `${k}=true`);
  return used.length ? { reason: 'host namespaces', detail: used.join(', ') } : undefined;
};

const hostPath: CheckPod = (spec) => {
  const bad = (spec.volumes ?? []).filter((v) => v.hostPath).map((v) => v.name);
  return bad.length
    ? { reason: 'hostPath volumes', detail: `${plural('volume', 'volumes', bad.length)} ${quoted(bad)}` }
    : undefined;
};

const hostPorts: CheckPod = (spec) => {
  const bad: string[] = [];
  const ports = new Set<number>();
  for (const c of containersOf(spec)) {
    const own = (c.ports ?? []).map((p) => p.hostPort ?? 0).filter((p) => p !== 0);
    if (own.length === 0) continue;
    bad.push(c.name);
    for (const p of own) ports.add(p);
  }
  if (bad.length === 0) return undefined;
  const list = [...ports].map(String).sort().join(', ');
  return {
    reason: 'hostPort',
    detail: `${containers(bad)} ${plural('uses', 'use', bad.length)} ${plural('hostPort', 'hostPorts', ports.size)} ${list}`,
  };
};

const hostProbes: CheckPod = (spec) => {
  const bad: string[] = [];
  const hosts = new Set<string>();
  for (const c of containersOf(spec)) {
    const handlers = [c.livenessProbe, c.readinessProbe, c.startupProbe, c.lifecycle?.postStart, c.lifecycle?.preStop];
    const own = handlers.flatMap((h) => [h?.httpGet?.host, h?.tcpSocket?.host]).filter((h): h is string => !!h);
    if (own.length === 0) continue;
    bad.push(c.name);
    for (const h of own) hosts.add(h);
  }
  if (bad.length === 0) return undefined;
  const what = plural('probe or lifecycle host', 'probe or lifecycle hosts', hosts.size);
  return {
    reason: 'probe or lifecycle host',
    detail: `${containers(sorted(bad))} ${plural('uses', 'use', bad.length)} ${what} ${quoted(sorted(hosts))}`,
  };
};

const privileged: CheckPod = (spec) => {
  const bad = containersOf(spec)
    .filter((c) => c.securityContext?.privileged)
    .map((c) => c.name);
  return bad.length
    ? { reason: 'privileged', detail: `${containers(bad)} must not set securityContext.privileged=true` }
    : undefined;
};

/** Also part of the restricted standard, there without the exception for user namespaces. */
export const procMount: CheckPod = (spec) => {
  const bad: string[] = [];
  const types = new Set<string>();
  for (const c of containersOf(spec)) {
    const type = c.securityContext?.procMount;
    if (!type || type === 'Default') continue;
    bad.push(c.name);
    types.add(type);
  }
  if (bad.length === 0) return undefined;
  return {
    reason: 'procMount',
    detail: `${containers(bad)} must not set securityContext.procMount to ${quoted(sorted(types))}`,
  };
};

const seLinux =
  (allowed: readonly string[]): CheckPod =>
  (spec) => {
    const types = new Set<string>();
    let user = false;
    let role = false;
    const isBad = (
      o: { readonly type?: string; readonly user?: string; readonly role?: string } | undefined,
    ): boolean => {
      const badType = !!o?.type && !allowed.includes(o.type);
      if (badType) types.add(o.type!);
      if (o?.user) user = true;
      if (o?.role) role = true;
      return badType || !!o?.user || !!o?.role;
    };
    const pod = isBad(spec.securityContext?.seLinuxOptions);
    const bad = containersOf(spec)
      .filter((c) => isBad(c.securityContext?.seLinuxOptions))
      .map((c) => c.name);
    if (!pod && bad.length === 0) return undefined;
    const what = [
      ...(types.size ? [`${plural('type', 'types', types.size)} ${quoted(sorted(types))}`] : []),
      ...(user ? ['user may not be set'] : []),
      ...(role ? ['role may not be set'] : []),
    ];
    return {
      reason: 'seLinuxOptions',
      detail: `${setters(pod, bad)} set forbidden securityContext.seLinuxOptions: ${what.join('; ')}`,
    };
  };

const SECCOMP_POD = 'seccomp.security.alpha.kubernetes.io/pod';
const SECCOMP_CONTAINER = 'container.seccomp.security.alpha.kubernetes.io/';
const seccompAnnotations: CheckPod = (spec, meta) => {
  const keys = [SECCOMP_POD, ...containersOf(spec).map((c) => SECCOMP_CONTAINER + c.name)];
  const bad = keys
    .filter((k) => meta.annotations?.[k] !== undefined)
    .map((k) => [k, meta.annotations![k]!] as const)
    .filter(([, v]) => v !== 'runtime/default' && v !== 'docker/default' && !v.startsWith('localhost/'))
    .map(([k, v]) => `${k}=${JSON.stringify(v)}`);
  if (bad.length === 0) return undefined;
  return {
    reason: 'seccompProfile',
    detail: `forbidden ${plural('annotation', 'annotations', bad.length)} ${sorted(bad).join(', ')}`,
  };
};
export const validSeccomp = (type: string) => type === 'Localhost' || type === 'RuntimeDefault';
const seccomp = fieldCheck(
  'seccompProfile',
  (s) => s.securityContext?.seccompProfile?.type,
  (c) => c.securityContext?.seccompProfile?.type,
  (t) => !validSeccomp(t),
  (who, values) => `${who} must not set securityContext.seccompProfile.type to ${quoted(sorted(values))}`,
);

const SYSCTLS_0 = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
];
const SYSCTLS_27 = [...SYSCTLS_0, 'net.ipv4.ip_local_reserved_ports'];
const SYSCTLS_29 = [
  ...SYSCTLS_27,
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
];
const SYSCTLS_32 = [...SYSCTLS_29, 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem'];
const sysctls =
  (allowed: readonly string[]): CheckPod =>
  (spec) => {
    const bad = (spec.securityContext?.sysctls ?? []).map((s) => s.name).filter((n) => !allowed.includes(n));
    return bad.length ? { reason: 'forbidden sysctls', detail: bad.join(', ') } : undefined;
  };

const hostProcess = fieldCheck(
  'hostProcess',
  (s) => s.securityContext?.windowsOptions?.hostProcess,
  (c) => c.securityContext?.windowsOptions?.hostProcess,
  (v) => v,
  (who) => `${who} must not set securityContext.windowsOptions.hostProcess=true`,
);

const unlessUserNamespace =
  (check: CheckPod): CheckPod =>
  (spec: DeepReadonly<PodSpec>, meta) =>
    inUserNamespace(spec) ? undefined : check(spec, meta);

const SELINUX_0 = ['container_t', 'container_init_t', 'container_kvm_t'];
const one = (id: string, check: CheckPod, from = 0): Check => ({ id, level: 'baseline', versions: [{ from, check }] });

/** In the order of their ids, which is the order of messages. */
export const baselineChecks: readonly Check[] = [
  one('appArmorProfile', appArmor),
  one('capabilities_baseline', capabilities),
  one('hostNamespaces', hostNamespaces),
  one('hostPathVolumes', hostPath),
  one('hostPorts', hostPorts),
  one('hostProbesAndHostLifecycle', hostProbes, 34),
  one('privileged', privileged),
  {
    id: 'procMount',
    level: 'baseline',
    versions: [
      { from: 0, check: procMount },
      { from: 35, check: unlessUserNamespace(procMount) },
    ],
  },
  {
    id: 'seLinuxOptions',
    level: 'baseline',
    versions: [
      { from: 0, check: seLinux(SELINUX_0) },
      { from: 31, check: seLinux([...SELINUX_0, 'container_engine_t']) },
    ],
  },
  {
    id: 'seccompProfile_baseline',
    level: 'baseline',
    versions: [
      { from: 0, check: seccompAnnotations },
      { from: 19, check: seccomp },
    ],
  },
  {
    id: 'sysctls',
    level: 'baseline',
    versions: [
      { from: 0, check: sysctls(SYSCTLS_0) },
      { from: 27, check: sysctls(SYSCTLS_27) },
      { from: 29, check: sysctls(SYSCTLS_29) },
      { from: 32, check: sysctls(SYSCTLS_32) },
    ],
  },
  one('windowsHostProcess', hostProcess),
];
