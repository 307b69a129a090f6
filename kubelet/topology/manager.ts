/** The topology manager: what a container gets of several managers comes from NUMA nodes that suit all of them. */
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import { mergeHints, type Hint, type HintMerger, type Hints, type Nodes } from './hints.ts';

type ReadPod = DeepReadonly<Pod>;
type ReadContainer = DeepReadonly<Container>;

/** Why a pod is not admitted, by a reason of its own. */
export class AdmissionError extends Error {
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** One that gives containers parts of the node. */
export interface HintProvider {
  /** Whether the pod has something of it already. */
  has(uid: string): boolean;
  /** For these containers together, which are one, or all of the pod's. */
  hints(pod: ReadPod, containers: readonly ReadContainer[]): Hints;
  /** Gives a container its part, once, from these nodes if they are named; throws when it can't. */
  allocate(pod: ReadPod, container: ReadContainer, nodes: Nodes | undefined): void | Promise<void>;
  release(uid: string): void;
}

export interface TopologyManager {
  /** Gives the pod's containers what they are to have for themselves; rejects with what is missing and gives all back. */
  allocate(pod: ReadPod): Promise<void>;
}

export function createTopologyManager(options: {
  merger: HintMerger;
  scope: 'container' | 'pod';
  providers: readonly HintProvider[];
}): TopologyManager {
  const { merger, scope, providers } = options;
  /** One pod after the other: what one was promised must not be seen free by another. */
  let last: Promise<unknown> = Promise.resolve();

  function affinity(pod: ReadPod, containers: readonly ReadContainer[]): Hint {
    const { hint, admit } = mergeHints(
      merger,
      providers.map((p) => p.hints(pod, containers)),
    );
    if (!admit)
      throw new AdmissionError('TopologyAffinityError', 'Resources cannot be allocated with Topology locality');
    return hint;
  }

  async function allocate(pod: ReadPod): Promise<void> {
    const uid = pod.metadata!.uid!;
    const containers = [...(pod.spec!.initContainers ?? []), ...pod.spec!.containers];
    // what a pod has it keeps, whatever would be better now
    const judged = merger.policy !== 'none' && !providers.some((p) => p.has(uid));
    try {
      const whole = judged && scope === 'pod' ? affinity(pod, containers) : undefined;
      for (const c of containers) {
        const hint = judged ? (whole ?? affinity(pod, [c])) : undefined;
        for (const p of providers) await p.allocate(pod, c, hint?.nodes);
      }
    } catch (error) {
      for (const p of providers) p.release(uid);
      throw error;
    }
  }

  return {
    allocate(pod) {
      const next = last.then(() => allocate(pod));
      last = next.catch(() => {});
      return next;
    },
  };
}
