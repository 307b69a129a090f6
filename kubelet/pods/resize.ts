/**
 * Changing the resources of running containers (KEP-1287): what is wanted (spec), what was granted (allocated), what
 * is in force (actual). After a restart of the kubelet the pod's status says what was granted and in force.
 */
import type { Container, ContainerStatus, DeepReadonly, Pod, PodStatus } from '../../api/types.ts';
import { amountsOf } from './resources.ts';

type ReadPod = DeepReadonly<Pod>;
type ReadContainer = DeepReadonly<Container>;
export type Resources = NonNullable<ReadContainer['resources']>;

export interface ResizeCondition {
  type: 'PodResizePending' | 'PodResizeInProgress';
  reason?: string;
  message?: string;
}

export interface Resizer {
  /** Granted and in force, for a container's status. */
  resources(c: ReadContainer): { allocated: Resources | undefined; actual: Resources | undefined };
  condition(): ResizeCondition | undefined;
  setCondition(c: ResizeCondition | undefined): void;
  /** The pod with what was granted in place of what is wanted. */
  allocated(pod: ReadPod): ReadPod;
  /** Containers whose wanted resources differ from the granted ones. */
  wanted(pod: ReadPod): ReadContainer[];
  /** Grants what is wanted. */
  grant(pod: ReadPod): void;
  /** Containers whose granted resources are not in force. */
  pending(pod: ReadPod): ReadContainer[];
  /** These resources are in force for a container. */
  applied(name: string, resources: Resources | undefined): void;
}

/** The same in another order or another notation is no difference. */
export function sameResources(a: Resources | undefined, b: Resources | undefined): boolean {
  const plain = (r: Resources | undefined) =>
    JSON.stringify(
      [amountsOf(r?.limits), amountsOf(r?.requests)].map((m) => Object.entries(m).sort(([x], [y]) => (x < y ? -1 : 1))),
    );
  return plain(a) === plain(b);
}

const all = (pod: ReadPod): ReadContainer[] => [
  ...pod.spec!.containers,
  ...(pod.spec!.initContainers ?? []).filter((c) => c.restartPolicy === 'Always'),
];

/** `said` is what the API knew when the kubelet began to look after the pod. */
export function createResizer(pod: ReadPod, said: DeepReadonly<PodStatus> | undefined): Resizer {
  const allocated = new Map<string, Resources | undefined>();
  const actual = new Map<string, Resources | undefined>();
  const statuses = [
    ...(said?.containerStatuses ?? []),
    ...(said?.initContainerStatuses ?? []),
  ] as DeepReadonly<ContainerStatus>[];
  for (const c of all(pod)) {
    const s = statuses.find((x) => x.name === c.name);
    const known = s?.containerID ? (s.resources as Resources | undefined) : undefined;
    const granted = known
      ? { ...known, ...(s?.allocatedResources ? { requests: s.allocatedResources } : {}) }
      : c.resources;
    allocated.set(c.name, granted);
    actual.set(c.name, known ?? c.resources);
  }
  let condition: ResizeCondition | undefined;

  return {
    resources: (c) =>
      allocated.has(c.name)
        ? { allocated: allocated.get(c.name), actual: actual.get(c.name) }
        : { allocated: c.resources, actual: c.resources },
    condition: () => condition,
    setCondition: (c) => (condition = c),
    allocated(p) {
      const put = (c: ReadContainer): ReadContainer =>
        allocated.has(c.name) && !sameResources(allocated.get(c.name), c.resources)
          ? { ...c, resources: allocated.get(c.name) }
          : c;
      if (all(p).every((c) => put(c) === c)) return p;
      return {
        ...p,
        spec: { ...p.spec!, containers: p.spec!.containers.map(put), initContainers: p.spec!.initContainers?.map(put) },
      };
    },
    wanted: (p) => all(p).filter((c) => allocated.has(c.name) && !sameResources(allocated.get(c.name), c.resources)),
    grant(p) {
      for (const c of all(p)) allocated.set(c.name, c.resources);
    },
    pending: (p) => all(p).filter((c) => !sameResources(actual.get(c.name), allocated.get(c.name))),
    applied: (name, resources) => void actual.set(name, resources),
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
