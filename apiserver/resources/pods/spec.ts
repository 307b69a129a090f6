/** A pod's spec, alone or in a template. */
import type * as k8s from '@kubernetes/client-node';
import type { Container, Json, PodSpec } from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';
import { ip } from '../validation/formats.ts';
import { dns1123Label, dns1123Subdomain, dns1123SubdomainUnderscore, qualifiedName } from '../validation/names.ts';
import { labels, type Labels } from '../validation/values.ts';
import { containers, ephemeralContainers, initContainers, type ContainerScope } from './containers.ts';
import { eachContainer } from './each.ts';
import { fileKeyVolumes } from './environment.ts';
import type { PodOptions } from './options.ts';
import { overhead, podResources } from './resources.ts';
import { affinity, podClaims, tolerations, topologySpread } from './scheduling.ts';
import { hostProcess, operatingSystem, podSecurity } from './security.ts';
import { volumes } from './volumes.ts';

function dns(spec: Field<PodSpec>): void {
  spec.get('dnsPolicy').enumerated(['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None']);
  const f = spec.get('dnsConfig');
  const servers = f.get('nameservers');
  if (spec.value?.dnsPolicy === 'None') {
    if (!f.isSet) return void f.missing('must provide `dnsConfig` when `dnsPolicy` is None');
    if (!servers.need('must provide at least one DNS nameserver when `dnsPolicy` is None')) return;
  }
  servers.check((servers.value?.length ?? 0) <= 3, 'must not have more than 3 nameservers');
  servers.each((s) => s.formatAll(ip));
  const searches = f.get('searches');
  searches.check((searches.value?.length ?? 0) <= 32, 'must not have more than 32 search paths');
  searches.check(
    (searches.value?.join(' ').length ?? 0) <= 2048,
    'must not have more than 2048 characters (including spaces) in the search list',
  );
  searches.each((s) => {
    if (s.value === '.') return;
    for (const m of dns1123SubdomainUnderscore((s.value ?? '').replace(/\.$/, ''))) s.invalid(m);
  });
  f.get('options').each((o) => {
    if (!o.value?.name) o.missing('must not be empty');
  });
}

/** With the host's network a container's port is the host's. */
function hostNetworkPorts(spec: Field<PodSpec>, pod: PodOptions): void {
  if (!spec.value?.hostNetwork) return;
  spec.get('containers').each((c) =>
    c.get('ports').each((p) => {
      const { hostPort = 0, containerPort } = p.value!;
      if ((pod.isPod || hostPort !== 0) && hostPort !== containerPort) {
        p.get('hostPort').invalid('must match `containerPort` when `hostNetwork` is true');
      }
    }),
  );
}

function hostUsers(spec: Field<PodSpec>): void {
  if (spec.value?.hostUsers !== false) return;
  const no = 'when `hostUsers` is false';
  if (spec.value.hostNetwork) spec.get('hostNetwork').forbidden(no);
  if (spec.value.hostPID) spec.named('HostPID').forbidden(no);
  if (spec.value.hostIPC) spec.named('HostIPC').forbidden(no);
  eachContainer(spec, (c) => c.get('volumeDevices').absent(no));
}

function hostname(spec: Field<PodSpec>): void {
  spec.get('hostname').format(dns1123Label);
  spec.get('subdomain').format(dns1123Label);
  const f = spec.get('hostnameOverride') as Field<string>;
  if (!f.isSet) return;
  if (spec.value?.setHostnameAsFQDN) f.forbidden('may not be specified when setHostnameAsFQDN is true');
  if (spec.value?.hostNetwork) f.forbidden('may not be specified when hostNetwork is true');
  f.maxLength(64).formatAll(dns1123Subdomain);
}

/** All rules of a pod's spec. */
export function podSpec(spec: Field<PodSpec>, pod: PodOptions): void {
  const value = (spec.value ?? {}) as PodSpec;
  const grace = spec.get('terminationGracePeriodSeconds');
  if (!grace.isSet) grace.missing();
  const sound = volumes(spec.get('volumes'), pod);
  const claims = podClaims(spec.get('resourceClaims'), pod);
  const scope: ContainerScope = { spec: value, volumes: sound, claims, pod };
  containers(spec.get('containers') as Field<Container[]>, scope);
  initContainers(spec.get('initContainers') as Field<Container[]>, scope);
  ephemeralContainers(spec.get('ephemeralContainers'), scope);
  podResources(spec, claims, pod);
  hostNetworkPorts(spec, pod);
  spec.get('restartPolicy').enumerated(['Always', 'OnFailure', 'Never']);
  dns(spec);
  labels(spec.get('nodeSelector') as Field<Labels>);
  podSecurity(spec, pod);
  affinity(spec.get('affinity'), pod);
  spec.get('readinessGates').each((g) => g.get('conditionType').formatAll(qualifiedName));
  const gates = spec.get('schedulingGates');
  gates.each((g) => g.named('', g.value?.name ?? '').formatAll(qualifiedName));
  gates.unique((g: Json<k8s.V1PodSchedulingGate>) => g.name);
  topologySpread(spec.get('topologySpreadConstraints'), pod);
  hostProcess(spec);
  hostUsers(spec);
  hostname(spec);
  spec.get('serviceAccountName').format(dns1123Subdomain);
  spec.get('nodeName').format(dns1123Subdomain);
  spec.get('activeDeadlineSeconds').range(1, 2147483647);
  tolerations(spec.get('tolerations'));
  spec.get('hostAliases').each((a) => {
    a.get('ip').formatAll(ip);
    a.get('hostnames').each((h) => h.formatAll(dns1123Subdomain));
  });
  spec.get('priorityClassName').format(dns1123Subdomain);
  spec.get('runtimeClassName').with((r) => r.formatAll(dns1123Subdomain));
  spec.get('preemptionPolicy').with((p) => p.enumerated(['PreemptLowerPriority', 'Never']));
  spec.get('overhead').with((o) => overhead(o as Field<Record<string, string>>, pod));
  operatingSystem(spec);
  eachContainer(spec, (c) => fileKeyVolumes(c, value.volumes ?? []));
}
