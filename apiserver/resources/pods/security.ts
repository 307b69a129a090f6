/** Security contexts of pods and containers. */
import type * as k8s from '@kubernetes/client-node';
import type { Json, PodSpec } from '../../../api/types.ts';
import type { Field, Rule } from '../validation/field.ts';
import { descendingPath, userId } from '../validation/formats.ts';
import { dns1123Subdomain } from '../validation/names.ts';
import { eachContainer } from './each.ts';
import type { PodOptions } from './options.ts';

type PodContext = Json<k8s.V1PodSecurityContext>;
type Context = Json<k8s.V1SecurityContext>;

const PROFILES = ['Localhost', 'RuntimeDefault', 'Unconfined'];
export const seccompProfile: Rule<Json<k8s.V1SeccompProfile>> = (f) => {
  if (!f.isSet) return;
  f.get('type').enumerated(PROFILES, 'type is required when seccompProfile is set');
  const local = f.get('localhostProfile');
  if (f.value?.type !== 'Localhost') {
    if (local.isSet) local.invalid('can only be set when seccomp type is Localhost');
  } else if (!local.isSet) local.missing('must be set when seccomp type is Localhost');
  else local.formatAll(descendingPath);
};
const appArmorProfile: Rule<Json<k8s.V1AppArmorProfile>> = (f) => {
  if (!f.isSet) return;
  f.get('type').enumerated(PROFILES, 'type is required when appArmorProfile is set');
  const local = f.get('localhostProfile');
  const text = f.value?.localhostProfile;
  if (f.value?.type === 'Localhost') {
    if (text === undefined || text === '') local.missing('must be set when AppArmor type is Localhost');
    else local.check(text === text.trim(), 'must not be padded with whitespace').maxLength(4095);
  } else if (local.isSet && PROFILES.includes(f.value?.type ?? ''))
    local.invalid('can only be set when AppArmor type is Localhost');
};

const NETBIOS = /^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$/;
const WINDOWS_DNS =
  /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/;
const windowsOptions: Rule<Json<k8s.V1WindowsSecurityContextOptions>> = (f) => {
  f.get('gmsaCredentialSpecName').with((s) => s.formatAll(dns1123Subdomain));
  f.get('gmsaCredentialSpec').with((s) => {
    s.check(s.value !== '', 'gmsaCredentialSpec cannot be an empty string');
    s.check((s.value ?? '').length <= 64 * 1024, 'gmsaCredentialSpec size must be under 64 KiB');
  });
  f.get('runAsUserName').with((s) => {
    const v = s.value ?? '';
    const parts = v.split('\\');
    if (v === '') return void s.invalid('runAsUserName cannot be an empty string');
    if (/\p{Cc}/u.test(v)) return void s.invalid('runAsUserName cannot contain control characters');
    if (parts.length > 2) return void s.invalid('runAsUserName cannot contain more than one backslash');
    const user = parts.pop() ?? '';
    const domain = parts[0];
    if (domain !== undefined) {
      s.check(domain.length < 256, "runAsUserName's Domain length must be under 256 characters");
      s.check(
        NETBIOS.test(domain) || WINDOWS_DNS.test(domain),
        "runAsUserName's Domain doesn't match the NetBios nor the DNS format",
      );
    }
    s.check(user !== '' && user.length <= 104, "runAsUserName's User must have 1 to 104 characters");
    s.check(!/^[. ]+$/.test(user), "runAsUserName's User cannot contain only periods or spaces");
    s.check(
      !/["/\\:;|=,+*?<>@[\]]/.test(user),
      'runAsUserName\'s User cannot contain the following characters: "/\\:;|=,+*?<>@[]',
    );
  });
};

/** `hostUsers` is false in a user namespace of the pod's own. */
export function containerSecurity(f: Field<Context>, hostUsers: boolean): void {
  const c = f.value;
  if (!c) return;
  userId(f.get('runAsUser'));
  userId(f.get('runAsGroup'));
  f.get('procMount').oneOf(['Default', 'Unmasked']);
  if (hostUsers && c.procMount === 'Unmasked')
    f.get('procMount').invalid('`hostUsers` must be false to use `Unmasked`');
  seccompProfile(f.get('seccompProfile'));
  if (c.allowPrivilegeEscalation === false) {
    if (c.privileged) f.invalid('cannot set `allowPrivilegeEscalation` to false and `privileged` to true');
    if (c.capabilities?.add?.includes('CAP_SYS_ADMIN')) {
      f.invalid('cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN');
    }
  }
  windowsOptions(f.get('windowsOptions'));
  appArmorProfile(f.get('appArmorProfile'));
}

const SYSCTL = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;
/** The kernel namespace that a sysctl belongs to. */
function sysctlNamespace(name: string): 'net' | 'ipc' | undefined {
  const dotted = name.replaceAll('/', '.');
  if (dotted.startsWith('net.')) return 'net';
  return /^(kernel\.(shm|msg|sem$)|fs\.mqueue\.)/.test(dotted) ? 'ipc' : undefined;
}

export function podSecurity(spec: Field<PodSpec>, pod: PodOptions): void {
  const f = spec.get('securityContext') as Field<PodContext>;
  const c = f.value;
  if (!c || !spec.value) return;
  userId(f.get('fsGroup'));
  userId(f.get('runAsUser'));
  userId(f.get('runAsGroup'));
  f.get('supplementalGroups').each((g) => userId(g as Field<number>));
  if (spec.value.shareProcessNamespace && spec.value.hostPID) {
    f.named('shareProcessNamespace', true).invalid('ShareProcessNamespace and HostPID cannot both be enabled');
  }
  const seen = new Set<string>();
  f.get('sysctls').each((s) => {
    const name = s.get('name');
    const v = name.value ?? '';
    if (name.need()) {
      if (v.length > 253 || !SYSCTL.test(v)) name.invalid('must be a sysctl name of at most 253 characters');
      else if (seen.has(v)) name.duplicate();
    }
    seen.add(v);
    if (pod.allow?.hostNamespaceSysctls) return;
    if (spec.value?.hostNetwork && sysctlNamespace(v) === 'net')
      name.invalid("may not be specified when 'hostNetwork' is true");
    if (spec.value?.hostIPC && sysctlNamespace(v) === 'ipc')
      name.invalid("may not be specified when 'hostIPC' is true");
  });
  f.get('fsGroupChangePolicy').oneOf(['OnRootMismatch', 'Always']);
  seccompProfile(f.get('seccompProfile'));
  windowsOptions(f.get('windowsOptions'));
  appArmorProfile(f.get('appArmorProfile'));
  f.get('supplementalGroupsPolicy').oneOf(['Merge', 'Strict']);
  f.get('seLinuxChangePolicy').oneOf(['Recursive', 'MountOption']);
}

const POD_ONLY_LINUX = [
  'appArmorProfile',
  'seLinuxOptions',
  'seccompProfile',
  'fsGroup',
  'fsGroupChangePolicy',
  'sysctls',
  'runAsUser',
  'runAsGroup',
  'supplementalGroups',
  'supplementalGroupsPolicy',
  'seLinuxChangePolicy',
] as const;
const SPEC_ONLY_LINUX = ['hostUsers', 'hostPID', 'hostIPC', 'shareProcessNamespace'] as const;
const CONTAINER_ONLY_LINUX = [
  'appArmorProfile',
  'seLinuxOptions',
  'seccompProfile',
  'capabilities',
  'readOnlyRootFilesystem',
  'privileged',
  'allowPrivilegeEscalation',
  'procMount',
  'runAsUser',
  'runAsGroup',
] as const;

/** Fields that one operating system knows and the other doesn't. */
export function operatingSystem(spec: Field<PodSpec>): void {
  const os = spec.get('os');
  if (!os.isSet) return;
  if (!os.get('name').need()) return;
  if (os.value?.name !== 'linux' && os.value?.name !== 'windows')
    return void os.notSupported(['linux', 'windows'], os.value?.name);
  const context = spec.get('securityContext') as Field<PodContext>;
  if (os.value.name === 'linux') {
    const no = 'windows options cannot be set for a linux pod';
    if (context.get('windowsOptions').isSet) context.get('windowsOptions').forbidden(no);
    eachContainer(spec, (c) => {
      const options = c.get('securityContext').get('windowsOptions');
      if (options.isSet) options.forbidden(no);
    });
    return;
  }
  const no = 'cannot be set for a windows pod';
  for (const k of POD_ONLY_LINUX) if (context.get(k).isSet) context.get(k).forbidden(no);
  for (const k of SPEC_ONLY_LINUX) {
    const v = spec.value?.[k];
    if (k === 'hostPID' || k === 'hostIPC' ? v : v !== undefined) spec.get(k).forbidden(no);
  }
  eachContainer(spec, (c) => {
    const sc = c.get('securityContext');
    for (const k of CONTAINER_ONLY_LINUX) if (sc.get(k).isSet) sc.get(k).forbidden(no);
  });
}

/** All or none of a Windows pod's containers run in the host's own process space. */
export function hostProcess(spec: Field<PodSpec>): void {
  const own = spec.value?.securityContext?.windowsOptions?.hostProcess;
  let all = 0;
  let host = 0;
  eachContainer(spec, (c) => {
    all++;
    const f = c.get('securityContext').get('windowsOptions').get('hostProcess');
    if (own !== undefined && f.value !== undefined && own !== f.value) {
      f.invalid(`pod hostProcess value must be identical if both are specified, was ${own}`);
    }
    if (f.value ?? own) host++;
  });
  if (host === 0) return;
  if (host !== all)
    spec.invalid('If pod contains any hostProcess containers then all containers must be HostProcess containers', '');
  if (!spec.value?.hostNetwork)
    spec.named('hostNetwork', false).invalid('hostNetwork must be true if pod contains any hostProcess containers');
}
