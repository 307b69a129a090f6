/** What the scheduler keeps of the objects it watches: there are many of them, and it reads little of each. */
import type { Container, ContainerStatus, KubeObject, Pod, PodSpec, PodStatus } from '../api/types.ts';

/** Only what is set: absent fields cost memory too. */
function some<T extends object, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> {
  const out = {} as Pick<T, K>;
  for (const k of keys) if (from[k] !== undefined) out[k] = from[k];
  return out;
}

const META = [
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'labels',
  'ownerReferences',
  'deletionTimestamp',
] as const;
/** Read of every pod. */
const ALWAYS = ['nodeName', 'schedulerName', 'priority', 'overhead', 'resources'] as const;
/** Read only of pods that still look for a node. */
const WAITING = [
  'preemptionPolicy',
  'nodeSelector',
  'tolerations',
  'affinity',
  'topologySpreadConstraints',
  'schedulingGates',
  'resourceClaims',
  'hostNetwork',
  'hostUsers',
] as const;
const STATUS = ['phase', 'conditions', 'nominatedNodeName', 'startTime', 'resourceClaimStatuses'] as const;

function container(c: Container, waiting: boolean): Container {
  const out: Container = { name: c.name };
  if (waiting) out.image = c.image;
  if (waiting && c.restartPolicyRules) out.restartPolicyRules = c.restartPolicyRules;
  if (c.restartPolicy) out.restartPolicy = c.restartPolicy;
  const { requests, limits } = c.resources ?? {};
  if (requests) out.resources = { requests };
  // Extenders and people ask about limits; figures don't.
  if (waiting && limits) out.resources = { ...out.resources, limits };
  const ports = c.ports?.filter((p) => p.hostPort !== undefined && p.hostPort > 0);
  if (ports?.length) out.ports = ports;
  return out;
}

type Volume = NonNullable<PodSpec['volumes']>[number];
const matters = (v: Volume, waiting: boolean): boolean =>
  Boolean(
    v.persistentVolumeClaim ?? v.ephemeral ?? v.gcePersistentDisk ?? v.awsElasticBlockStore ?? v.rbd ?? v.iscsi,
  ) ||
  (waiting && v.image !== undefined);

function granted(list: ContainerStatus[] | undefined): ContainerStatus[] | undefined {
  const kept = list?.filter((c) => c.resources?.requests ?? c.allocatedResources);
  if (!kept?.length) return undefined;
  return kept.map((c) => some(c, ['name', 'resources', 'allocatedResources']) as ContainerStatus);
}

/** A pod without what no plugin reads. */
export function trimPod(pod: Pod): Pod {
  const spec = pod.spec!;
  const waiting = !spec.nodeName;
  const kept = some(spec, ALWAYS) as PodSpec;
  if (waiting) Object.assign(kept, some(spec, WAITING));
  else if (spec.affinity?.podAffinity ?? spec.affinity?.podAntiAffinity)
    kept.affinity = some(spec.affinity!, ['podAffinity', 'podAntiAffinity']);
  kept.containers = spec.containers.map((c) => container(c, waiting));
  if (spec.initContainers?.length) kept.initContainers = spec.initContainers.map((c) => container(c, waiting));
  const volumes = spec.volumes?.filter((v) => matters(v, waiting));
  if (volumes?.length) kept.volumes = volumes;
  const status: PodStatus = pod.status ? some(pod.status, STATUS) : {};
  // only pods with resources of their own are asked for what they were granted
  if (spec.resources && pod.status) Object.assign(status, some(pod.status, ['resources', 'allocatedResources']));
  const main = granted(pod.status?.containerStatuses);
  const init = granted(pod.status?.initContainerStatuses);
  if (main) status.containerStatuses = main;
  if (init) status.initContainerStatuses = init;
  return { metadata: some(pod.metadata!, META), spec: kept, status };
}

/** Of a workload or service only what selects its pods. */
export function trimSelecting<T extends KubeObject & { spec?: { selector?: unknown } }>(o: T): T {
  const { name, namespace, uid, resourceVersion } = o.metadata ?? {};
  return { metadata: { name, namespace, uid, resourceVersion }, spec: { selector: o.spec?.selector } } as T;
}
