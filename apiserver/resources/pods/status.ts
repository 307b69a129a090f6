/** What a pod's status may say. */
import type * as k8s from '@kubernetes/client-node';
import type {
  Container,
  ContainerStatus,
  DeepReadonly,
  Json,
  KubeObject,
  Pod,
  PodSpec,
  PodStatus,
} from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';
import { dualStack, ip, userId } from '../validation/formats.ts';
import { objectMetaUpdate } from '../validation/meta.ts';
import { dns1123Label, dns1123Subdomain, qualifiedName } from '../validation/names.ts';
import type { Labels } from '../validation/values.ts';
import { podAnnotations, podAnnotationsUpdate } from './annotations.ts';
import type { PodOptions } from './options.ts';

type Statuses = readonly DeepReadonly<ContainerStatus>[];

/** Whether a container that ended with this code is to be started again. */
function restarts(
  container: DeepReadonly<Container> | undefined,
  spec: DeepReadonly<PodSpec>,
  exitCode: number,
): boolean {
  for (const rule of container?.restartPolicyRules ?? []) {
    const { operator, values = [] } = rule.exitCodes ?? {};
    const hit =
      operator === 'In' ? values.includes(exitCode) : operator === 'NotIn' ? !values.includes(exitCode) : false;
    if (hit) return rule.action === 'Restart' || rule.action === 'RestartAllContainers';
  }
  const policy = container?.restartPolicy ?? spec.restartPolicy;
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

function transitions(
  f: Field<ContainerStatus[]>,
  old: Statuses | undefined,
  spec: DeepReadonly<PodSpec>,
  containers: readonly DeepReadonly<Container>[] | undefined,
): void {
  const all = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  if (containers && all.some((c) => c.restartPolicyRules?.some((r) => r.action === 'RestartAllContainers'))) return;
  old?.forEach((o, i) => {
    const ended = o.state?.terminated;
    const now = f.value?.find((s) => s.name === o.name);
    if (!ended || !now || now.state?.terminated) return;
    const container = containers?.find((c) => c.name === o.name);
    if (container && restarts(container, spec, ended.exitCode)) return;
    f.at(i, o).named('state', now.state).forbidden('may not be transitioned to non-terminated state');
  });
}

function users(f: Field<ContainerStatus[]>, os: string): void {
  f.each((s) => {
    const linux = s.get('user').get('linux');
    if (!linux.isSet) return;
    if (os === 'windows') return void linux.forbidden('cannot be set for a windows pod');
    userId(linux.get('uid'));
    userId(linux.get('gid'));
    linux.get('supplementalGroups').each((g) => userId(g as Field<number>));
  });
}

const HEALTH = ['Healthy', 'Unhealthy', 'Unknown'];

function allocated(f: Field<ContainerStatus[]>, containers: readonly Container[] | undefined): void {
  f.each((s) => {
    const container = containers?.find((c) => c.name === s.value?.name);
    s.get('allocatedResourcesStatus').each((r) => {
      const name = r.value?.name ?? '';
      const claims =
        container?.resources?.claims?.map((c) => `claim:${c.name}${c.request ? `/${c.request}` : ''}`) ?? [];
      const known = name.startsWith('claim:') ? claims : Object.keys(container?.resources?.requests ?? {});
      if (container && !known.includes(name))
        r.get('name').invalid("must match one of the container's resource claims or requests");
      const seen = new Set<string>();
      r.get('resources').each((one) => {
        const health = one.value?.health ?? '';
        if (!HEALTH.includes(health)) one.get('health').notSupported(HEALTH, health);
        const id = one.value?.resourceID ?? '';
        if (seen.has(id)) one.get('resourceID').duplicate();
        seen.add(id);
      });
    });
  });
}

function addresses(list: Field<{ ip?: string }[]>, old: readonly { readonly ip?: string }[] | undefined): void {
  list.each((a) => {
    if (!old?.some((o) => o.ip === a.value?.ip)) a.named('', a.value?.ip ?? '').formatAll(ip);
  });
  const values = (list.value ?? []).map((a) => a.ip ?? '');
  if (values.length > 1 && !(values.length === 2 && dualStack(values))) {
    list.invalid('may specify no more than one IP for each IP family');
  }
}

const SYSTEM = ['PodScheduled', 'Ready', 'Initialized'];

/** What a new status may say: among other things, containers don't come back from their end. */
export function statusUpdate(pod: Field<Pod>, old: DeepReadonly<Pod>, options: PodOptions): void {
  objectMetaUpdate(pod as Field<KubeObject>, old);
  const notes = pod.get('metadata').get('annotations') as Field<Labels>;
  podAnnotationsUpdate(notes, (old.metadata?.annotations ?? {}) as Labels);
  podAnnotations(notes, (pod.value?.spec ?? {}) as PodSpec, options);
  const f = pod.get('status') as Field<PodStatus>;
  const spec = pod.value?.spec as PodSpec;
  const before = old.status ?? {};
  f.get('conditions').each((c) => {
    c.get('observedGeneration').nonNegative();
    if (!SYSTEM.includes(c.value?.type ?? '')) c.named('Type', c.value?.type ?? '').formatAll(qualifiedName);
  });
  nominated(f, old);
  f.get('observedGeneration').nonNegative();
  f.get('qosClass').immutable(before.qosClass);
  const oldSpec = old.spec as DeepReadonly<PodSpec>;
  transitions(
    f.get('containerStatuses') as Field<ContainerStatus[]>,
    before.containerStatuses,
    oldSpec,
    oldSpec.containers,
  );
  transitions(
    f.get('initContainerStatuses') as Field<ContainerStatus[]>,
    before.initContainerStatuses,
    oldSpec,
    oldSpec.initContainers ?? [],
  );
  transitions(
    f.get('ephemeralContainerStatuses') as Field<ContainerStatus[]>,
    before.ephemeralContainerStatuses,
    oldSpec,
    undefined,
  );
  resourceClaims(f, spec);
  addresses(f.get('podIPs') as Field<{ ip?: string }[]>, before.podIPs);
  const hosts = f.get('hostIPs') as Field<{ ip?: string }[]>;
  if (hosts.value?.length) {
    if (hosts.value[0]?.ip !== f.value?.hostIP)
      hosts.at(0, hosts.value[0]).named('ip', hosts.value[0]?.ip).invalid('must be equal to `hostIP`');
    addresses(hosts, before.hostIPs);
  }
  const os = spec.os?.name ?? 'linux';
  for (const k of ['containerStatuses', 'initContainerStatuses', 'ephemeralContainerStatuses'] as const) {
    users(f.get(k) as Field<ContainerStatus[]>, os);
  }
  allocated(f.get('containerStatuses') as Field<ContainerStatus[]>, spec.containers);
  allocated(f.get('initContainerStatuses') as Field<ContainerStatus[]>, spec.initContainers);
  f.get('ephemeralContainerStatuses').each((s) =>
    s.get('allocatedResourcesStatus').absent('must not be specified in container status'),
  );
}

function nominated(f: Field<PodStatus>, old: DeepReadonly<Pod>): void {
  const n = f.get('nominatedNodeName');
  if (n.isEmpty || n.value === old.status?.nominatedNodeName) return;
  n.format(dns1123Subdomain);
  if (old.spec?.nodeName) n.forbidden('may not be set on pods that are already bound to a node');
}

function resourceClaims(f: Field<PodStatus>, spec: PodSpec): void {
  const names = new Set<string>();
  f.get('resourceClaimStatuses').each((s) => {
    const name = s.value?.name ?? '';
    if (!spec.resourceClaims?.some((c) => c.name === name))
      s.get('name').invalid('must match the name of an entry in `spec.resourceClaims`');
    if (names.has(name)) s.get('name').duplicate();
    names.add(name);
    s.get('resourceClaimName').with((c) => c.formatAll(dns1123Subdomain));
  });
  const extended = f.get('extendedResourceClaimStatus') as Field<Json<k8s.V1PodExtendedResourceClaimStatus>>;
  if (!extended.isSet) return;
  const mappings = extended.get('requestMappings');
  mappings.required('at least one request mapping is required');
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
  mappings.each((m) => {
    const container = containers.find((c) => c.name === m.value?.containerName);
    if (!container)
      m.get('containerName').invalid(
        'must match the name of an entry in spec.initContainers.name or spec.containers.name',
      );
    else if (!(m.value!.resourceName in (container.resources?.requests ?? {})))
      m.get('resourceName').invalid('must match an extended resource that the container requests');
    extended.named('requestName', m.value?.requestName ?? '').formatAll(dns1123Label);
  });
  extended.get('resourceClaimName').requiredFormat(dns1123Subdomain);
}
