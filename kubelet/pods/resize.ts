/**
 * Changing the resources of running pods (KEP-1287 for containers, KEP-5419 for the pod as a whole): what is wanted
 * (spec), what was granted (allocated), what is in force (actual). After a restart of the kubelet the pod's status says
 * what was granted and in force.
 */
import { amounts } from '../../api/pod-resources.ts';
import type { Container, ContainerStatus, DeepReadonly, Pod, PodStatus } from '../../api/types.ts';
import { amountsOf, qosClass } from './resources.ts';

type ReadPod = DeepReadonly<Pod>;
type ReadContainer = DeepReadonly<Container>;
export type Resources = NonNullable<ReadContainer['resources']>;
type List = Resources['requests'];

export interface ResizeCondition {
  type: 'PodResizePending' | 'PodResizeInProgress';
  reason?: string;
  message?: string;
  /** The pod's generation that it is about. */
  generation?: number;
  /** When it began; milliseconds since the epoch. */
  since: number;
}

export interface Resizer {
  /** Granted and in force, for a container's status. */
  resources(c: ReadContainer): { allocated: Resources | undefined; actual: Resources | undefined };
  /** Those that hold now. */
  conditions(): ResizeCondition[];
  condition(type: ResizeCondition['type']): ResizeCondition | undefined;
  /** Returns whether it says anything new. */
  setCondition(c: ResizeCondition): boolean;
  clearCondition(type: ResizeCondition['type']): void;
  /** The pod with what was granted in place of what is wanted. */
  allocated(pod: ReadPod): ReadPod;
  /** The pod with what is in force in place of what is wanted. */
  actual(pod: ReadPod): ReadPod;
  /** Whether what is wanted differs from what was granted. */
  wanted(pod: ReadPod): boolean;
  /** Grants what is wanted. */
  grant(pod: ReadPod): void;
  /** Containers whose granted bounds are not in force: their own, or the pod's where they have none. */
  pending(pod: ReadPod): ReadContainer[];
  /** Whether the pod's own granted resources are not in force. */
  podPending(): boolean;
  /** What is in force for a container, the pod's bounds included. */
  bounds(name: string): Resources | undefined;
  /** These resources are in force for a container. */
  applied(name: string, resources: Resources | undefined): void;
  /** The pod's own are in force. */
  podApplied(): void;
  /** Containers that were ended to start again with other resources, and have not yet started. */
  readonly restarting: Set<string>;
}

/** The same in another order or another notation is no difference. */
export function sameResources(a: Resources | undefined, b: Resources | undefined): boolean {
  if (a === b || (!a?.limits && !a?.requests && !b?.limits && !b?.requests)) return true;
  const plain = (r: Resources | undefined) =>
    JSON.stringify(
      [amountsOf(r?.limits), amountsOf(r?.requests)].map((m) => Object.entries(m).sort(([x], [y]) => (x < y ? -1 : 1))),
    );
  return plain(a) === plain(b);
}

const all = (pod: ReadPod): ReadContainer[] => [...pod.spec!.containers, ...(pod.spec!.initContainers ?? [])];

/** A container's resources with the pod's limits where it has none itself: what its cgroup is bounded to. */
export function withPodLimits(own: Resources | undefined, pod: Resources | undefined): Resources | undefined {
  if (!pod?.limits) return own;
  const limits = { ...own?.limits };
  for (const k of ['cpu', 'memory']) {
    const text = pod.limits[k];
    if (text !== undefined && !amountsOf(limits)[k] && amountsOf(pod.limits)[k]) limits[k] = text;
  }
  return { ...own, limits };
}

/** The pod's own resources out of what a status says of the whole: without the overhead, and only what the spec names. */
function ownOf(
  spec: NonNullable<ReadPod['spec']>,
  said: { readonly requests?: List; readonly limits?: List },
): Resources {
  const pick = (which: 'requests' | 'limits') => {
    const overhead = amounts(spec.overhead);
    const out: Record<string, string> = {};
    for (const [k, q] of amounts(said[which])) {
      if (spec.resources![which]?.[k] === undefined) continue;
      out[k] = q.sub(overhead.get(k) ?? q.sub(q)).toString();
    }
    return out;
  };
  return { requests: pick('requests'), limits: pick('limits') };
}

/** `said` is what the API knew when the kubelet began to look after the pod. */
export function createResizer(pod: ReadPod, said: DeepReadonly<PodStatus> | undefined): Resizer {
  const allocated = new Map<string, Resources | undefined>();
  const actual = new Map<string, { own: Resources | undefined; bounds: Resources | undefined }>();
  const statuses = [
    ...(said?.containerStatuses ?? []),
    ...(said?.initContainerStatuses ?? []),
  ] as DeepReadonly<ContainerStatus>[];
  const spec = pod.spec!;
  let podAllocated = spec.resources as Resources | undefined;
  let podActual = podAllocated;
  if (spec.resources && said?.resources && statuses.some((s) => s.containerID)) {
    podActual = ownOf(spec, said.resources);
    podAllocated = ownOf(spec, {
      ...said.resources,
      ...(said.allocatedResources ? { requests: said.allocatedResources } : {}),
    });
  }
  for (const c of all(pod)) {
    const s = statuses.find((x) => x.name === c.name);
    const known = s?.containerID ? (s.resources as Resources | undefined) : undefined;
    const granted = known
      ? { ...known, ...(s?.allocatedResources ? { requests: s.allocatedResources } : {}) }
      : c.resources;
    allocated.set(c.name, granted);
    actual.set(c.name, { own: known ?? c.resources, bounds: withPodLimits(known ?? c.resources, podActual) });
  }
  const conditions = new Map<ResizeCondition['type'], ResizeCondition>();

  // most looks are at the same object as before, with nothing changed
  const seen: Record<'granted' | 'inForce', { of: ReadPod; is: ReadPod } | undefined> = {
    granted: undefined,
    inForce: undefined,
  };
  const remembered = (which: 'granted' | 'inForce', p: ReadPod, make: () => ReadPod): ReadPod => {
    if (seen[which]?.of !== p) seen[which] = { of: p, is: make() };
    return seen[which]!.is;
  };
  const forget = () => void (seen.granted = seen.inForce = undefined);

  /** The pod with other resources for its containers and for itself. */
  function put(p: ReadPod, of: (name: string) => Resources | undefined, whole: Resources | undefined): ReadPod {
    const other = (c: ReadContainer): ReadContainer =>
      allocated.has(c.name) && !sameResources(of(c.name), c.resources) ? { ...c, resources: of(c.name) } : c;
    const samePod = sameResources(whole, p.spec!.resources);
    if (samePod && all(p).every((c) => other(c) === c)) return p;
    return {
      ...p,
      spec: {
        ...p.spec!,
        containers: p.spec!.containers.map(other),
        initContainers: p.spec!.initContainers?.map(other),
        ...(samePod ? {} : { resources: whole }),
      },
    };
  }

  return {
    restarting: new Set(),
    resources: (c) =>
      allocated.has(c.name)
        ? { allocated: allocated.get(c.name), actual: actual.get(c.name)?.own }
        : { allocated: c.resources, actual: c.resources },
    conditions: () => [...conditions.values()],
    condition: (type) => conditions.get(type),
    setCondition(c) {
      const before = conditions.get(c.type);
      conditions.set(c.type, before ? { ...c, since: before.since } : c);
      return (
        before?.reason !== c.reason || before?.message !== c.message || before?.generation !== c.generation || !before
      );
    },
    clearCondition: (type) => void conditions.delete(type),
    allocated: (p) => remembered('granted', p, () => put(p, (name) => allocated.get(name), podAllocated)),
    actual: (p) => remembered('inForce', p, () => put(p, (name) => actual.get(name)?.own, podActual)),
    wanted: (p) =>
      !sameResources(podAllocated, p.spec!.resources) ||
      all(p).some((c) => allocated.has(c.name) && !sameResources(allocated.get(c.name), c.resources)),
    grant(p) {
      forget();
      podAllocated = p.spec!.resources as Resources | undefined;
      for (const c of all(p)) allocated.set(c.name, c.resources);
    },
    pending: (p) =>
      all(p).filter(
        (c) => !sameResources(actual.get(c.name)?.bounds, withPodLimits(allocated.get(c.name), podAllocated)),
      ),
    podPending: () => !sameResources(podActual, podAllocated),
    bounds: (name) => actual.get(name)?.bounds,
    applied(name, resources) {
      forget();
      this.restarting.delete(name);
      actual.set(name, { own: resources, bounds: withPodLimits(resources, podAllocated) });
    },
    podApplied() {
      forget();
      podActual = podAllocated;
    },
  };
}

/** Whether a change asks for a restart of the container (resizePolicy). */
export function needsRestart(c: ReadContainer, before: Resources | undefined, after: Resources | undefined): boolean {
  return (c.resizePolicy ?? []).some((p) => {
    if (p.restartPolicy !== 'RestartContainer') return false;
    const of = (r: Resources | undefined) =>
      [amountsOf(r?.limits)[p.resourceName], amountsOf(r?.requests)[p.resourceName]].join();
    return of(before) !== of(after);
  });
}

/** Who is to have room first: higher priority, then Guaranteed pods, then those that have waited longest. */
export function byUrgency(
  a: { readonly pod: ReadPod; readonly since: number },
  b: { readonly pod: ReadPod; readonly since: number },
): number {
  const better = (x: { readonly pod: ReadPod }) => (qosClass(x.pod) === 'Guaranteed' ? 1 : 0);
  return (b.pod.spec!.priority ?? 0) - (a.pod.spec!.priority ?? 0) || better(b) - better(a) || a.since - b.since;
}

/** What the events of a resize say: the pod's containers and their resources as JSON. */
export function resizeMessage(what: string, pod: ReadPod, generation: number | undefined, error?: string): string {
  const summary = (list: readonly ReadContainer[] | undefined) =>
    list?.length ? list.map((c) => ({ name: c.name, resources: c.resources ?? {} })) : undefined;
  return `Pod resize ${what}: ${JSON.stringify({
    initContainers: summary(pod.spec!.initContainers),
    containers: summary(pod.spec!.containers),
    generation,
    error,
  })}`;
}
