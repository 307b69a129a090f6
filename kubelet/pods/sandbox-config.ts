/** What the runtime is told about a pod's sandbox. */
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { IdMapping, SandboxConfig } from '../cri/types.ts';
import { POD_NAME, POD_NAMESPACE, POD_UID } from './identity.ts';
import { podDns, sandboxHostname, type DnsSettings } from './network.ts';
import { namespaceOptions, seccompProfile, selinuxOptions, sysctlMap } from './security.ts';

export function sandboxConfig(
  pod: DeepReadonly<Pod>,
  attempt: number,
  with_: {
    cgroupParent: string;
    logDirectory: string;
    dns: DnsSettings;
    seccompDefault: boolean;
    seccompRoot: string;
    ids?: IdMapping[];
  },
): SandboxConfig {
  const m = pod.metadata!;
  const spec = pod.spec!;
  const sc = spec.securityContext;
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  return {
    metadata: { name: m.name!, namespace: m.namespace!, uid: m.uid!, attempt },
    hostname: sandboxHostname(pod, with_.dns.clusterDomain),
    log_directory: with_.logDirectory,
    dns_config: podDns(pod, with_.dns).dns,
    port_mappings: spec.hostNetwork
      ? []
      : containers.flatMap((c) =>
          (c.ports ?? []).map((p) => ({
            protocol: (p.protocol ?? 'TCP') as 'TCP',
            container_port: p.containerPort,
            host_port: p.hostPort ?? 0,
            host_ip: p.hostIP ?? '',
          })),
        ),
    labels: { ...m.labels, [POD_NAME]: m.name!, [POD_NAMESPACE]: m.namespace!, [POD_UID]: m.uid! },
    annotations: { ...m.annotations },
    linux: {
      cgroup_parent: with_.cgroupParent,
      sysctls: sysctlMap(pod),
      security_context: {
        namespace_options: namespaceOptions(pod, with_.ids),
        selinux_options: selinuxOptions(sc?.seLinuxOptions),
        run_as_user: sc?.runAsUser === undefined ? undefined : { value: sc.runAsUser },
        run_as_group: sc?.runAsGroup === undefined || sc.runAsUser === undefined ? undefined : { value: sc.runAsGroup },
        supplemental_groups: [...(sc?.fsGroup === undefined ? [] : [sc.fsGroup]), ...(sc?.supplementalGroups ?? [])],
        privileged: containers.some((c) => c.securityContext?.privileged),
        // the pause process gets the runtime's profile whatever the containers ask for
        seccomp: sc?.seccompProfile
          ? seccompProfile(sc.seccompProfile, with_.seccompDefault, with_.seccompRoot)
          : { profile_type: 'RuntimeDefault' },
      },
    },
  };
}
