/** From securityContext to what the runtime is told. */
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import type {
  ContainerSecurityContext,
  IdMapping,
  Image,
  NamespaceOption,
  SecurityProfile,
  SELinuxOption,
} from '../cri/types.ts';
import { ConfigError } from './env.ts';

type ReadPod = DeepReadonly<Pod>;
type ReadContainer = DeepReadonly<Container>;
type Seccomp = { readonly type: string; readonly localhostProfile?: string };

const MASKED = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
const READONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** The namespaces a pod shares with the node or among its containers; `ids` are those of a user namespace of its own. */
export function namespaceOptions(pod: ReadPod, ids?: IdMapping[]): NamespaceOption {
  const s = pod.spec!;
  return {
    network: s.hostNetwork ? 'NODE' : 'POD',
    pid: s.hostPID ? 'NODE' : s.shareProcessNamespace ? 'POD' : 'CONTAINER',
    ipc: s.hostIPC ? 'NODE' : 'POD',
    ...(ids ? { userns_options: { mode: 'POD' as const, uids: ids, gids: ids } } : {}),
  };
}

/** `root` is the folder below which Localhost profiles lie. */
export function seccompProfile(own: Seccomp | undefined, byDefault: boolean, root: string): SecurityProfile {
  switch (own?.type) {
    case 'RuntimeDefault':
      return { profile_type: 'RuntimeDefault' };
    case 'Localhost':
      return { profile_type: 'Localhost', localhost_ref: `${root}/${own.localhostProfile ?? ''}` };
    case undefined:
      return { profile_type: byDefault ? 'RuntimeDefault' : 'Unconfined' };
    default:
      return { profile_type: 'Unconfined' };
  }
}

function apparmorProfile(
  own: { readonly type: string; readonly localhostProfile?: string } | undefined,
): SecurityProfile | undefined {
  if (!own) return undefined;
  if (own.type === 'Localhost') return { profile_type: 'Localhost', localhost_ref: own.localhostProfile };
  return { profile_type: own.type === 'RuntimeDefault' ? 'RuntimeDefault' : 'Unconfined' };
}

export const selinuxOptions = (o: DeepReadonly<SELinuxOption> | undefined): SELinuxOption | undefined =>
  o ? { user: o.user ?? '', role: o.role ?? '', type: o.type ?? '', level: o.level ?? '' } : undefined;

/** The user a container runs as, when the pod says so. */
function effectiveUser(pod: ReadPod, c: ReadContainer): number | undefined {
  return c.securityContext?.runAsUser ?? pod.spec!.securityContext?.runAsUser;
}

/** Refuses root where runAsNonRoot is asked for. */
export function verifyNonRoot(pod: ReadPod, c: ReadContainer, image: Image | undefined): void {
  const wanted = c.securityContext?.runAsNonRoot ?? pod.spec!.securityContext?.runAsNonRoot;
  if (!wanted) return;
  const user = effectiveUser(pod, c);
  const about = `(pod: "${pod.metadata!.name}_${pod.metadata!.namespace}(${pod.metadata!.uid})", container: ${c.name})`;
  if (user !== undefined) {
    if (user === 0) throw new ConfigError(`container's runAsUser breaks non-root policy ${about}`);
    return;
  }
  if (image?.uid) {
    if (image.uid.value === 0) throw new ConfigError(`container has runAsNonRoot and image will run as root ${about}`);
    return;
  }
  if (image?.username)
    throw new ConfigError(
      `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${about}`,
    );
  throw new ConfigError(`container has runAsNonRoot and image will run as root ${about}`);
}

/** `image` is what the runtime knows of the image: it says which user runs when the pod doesn't. */
export function containerSecurity(
  pod: ReadPod,
  c: ReadContainer,
  image: Image | undefined,
  options: {
    seccompDefault: boolean;
    seccompRoot: string;
    fsGroups: readonly number[];
    targetId?: string;
    ids?: IdMapping[];
  },
): ContainerSecurityContext {
  const ps = pod.spec!.securityContext;
  const cs = c.securityContext;
  const namespaces = namespaceOptions(pod, options.ids);
  if (options.targetId !== undefined) {
    namespaces.pid = 'TARGET';
    namespaces.target_id = options.targetId;
  }
  const privileged = cs?.privileged ?? false;
  const unmasked = cs?.procMount === 'Unmasked';
  const groups = new Set<number>([
    ...(ps?.supplementalGroups ?? []),
    ...(ps?.fsGroup !== undefined ? [ps.fsGroup] : []),
    ...options.fsGroups,
  ]);
  const out: ContainerSecurityContext = {
    privileged,
    namespace_options: namespaces,
    readonly_rootfs: cs?.readOnlyRootFilesystem ?? false,
    supplemental_groups: [...groups],
    supplemental_groups_policy: ps?.supplementalGroupsPolicy === 'Strict' ? 'Strict' : 'Merge',
    no_new_privs: cs?.allowPrivilegeEscalation === false,
    masked_paths: unmasked ? [] : MASKED,
    readonly_paths: unmasked ? [] : READONLY,
  };
  if (cs?.capabilities) {
    const plain = (list: readonly string[] | undefined) => (list ?? []).map((x) => x.replace(/^CAP_/, ''));
    out.capabilities = { add_capabilities: plain(cs.capabilities.add), drop_capabilities: plain(cs.capabilities.drop) };
  }
  const user = effectiveUser(pod, c);
  if (user !== undefined) out.run_as_user = { value: user };
  else if (image?.uid) out.run_as_user = { value: image.uid.value };
  else if (image?.username) out.run_as_username = image.username;
  const group = cs?.runAsGroup ?? ps?.runAsGroup;
  // a group alone needs a user beside it for the runtime
  if (group !== undefined) {
    out.run_as_group = { value: group };
    if (!out.run_as_user && !out.run_as_username) out.run_as_user = { value: 0 };
  }
  const selinux = selinuxOptions(cs?.seLinuxOptions ?? ps?.seLinuxOptions);
  if (selinux) out.selinux_options = selinux;
  const apparmor = apparmorProfile(cs?.appArmorProfile ?? ps?.appArmorProfile);
  if (apparmor) out.apparmor = apparmor;
  out.seccomp = privileged
    ? { profile_type: 'Unconfined' }
    : seccompProfile(cs?.seccompProfile ?? ps?.seccompProfile, options.seccompDefault, options.seccompRoot);
  return out;
}

const SAFE_SYSCTLS = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
]);
const normalSysctl = (name: string): string => {
  const sep = /[./]/.exec(name)?.[0];
  return sep === '/' ? name.replace(/[./]/g, (c) => (c === '/' ? '.' : '/')) : name;
};

/** Why the pod's sysctls aren't allowed here; undefined when they are. */
export function forbiddenSysctl(pod: ReadPod, allowed: readonly string[]): string | undefined {
  for (const s of pod.spec!.securityContext?.sysctls ?? []) {
    const name = normalSysctl(s.name);
    const listed =
      SAFE_SYSCTLS.has(name) || allowed.some((a) => (a.endsWith('*') ? name.startsWith(a.slice(0, -1)) : a === name));
    if (!listed) return `forbidden sysctl: ${JSON.stringify(s.name)} not allowlisted`;
    if (pod.spec!.hostNetwork && name.startsWith('net.'))
      return `forbidden sysctl: ${JSON.stringify(s.name)} not allowed with host net enabled`;
    if (pod.spec!.hostIPC && /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(name))
      return `forbidden sysctl: ${JSON.stringify(s.name)} not allowed with host ipc enabled`;
  }
  return undefined;
}

export function sysctlMap(pod: ReadPod): Record<string, string> {
  return Object.fromEntries((pod.spec!.securityContext?.sysctls ?? []).map((s) => [normalSysctl(s.name), s.value]));
}
