/** How full a node would be with the pod on it, by the resources that a strategy looks at. */
import type { NodeInfo } from '../core/node-info.ts';
import { DEFAULT_MEMORY, DEFAULT_MILLI_CPU } from '../core/resources.ts';
import type { PodInfo } from '../core/pod-info.ts';

export interface ResourceSpec {
  name: string;
  /** Defaults to 1. */
  weight?: number;
}
export const DEFAULT_RESOURCES: readonly ResourceSpec[] = [
  { name: 'cpu', weight: 1 },
  { name: 'memory', weight: 1 },
];

/** What of a resource is there, what is asked for already, and what the pod asks for. */
export interface Share {
  weight: number;
  allocatable: number;
  requested: number;
  pod: number;
}

const isScalar = (name: string) => name !== 'cpu' && name !== 'memory' && name !== 'ephemeral-storage';

/**
 * Fills one Share per resource; those that the node lacks (or that are extended and not asked for) have allocatable 0.
 * `exact` counts what pods really ask for; otherwise pods without requests count with a default.
 */
export function sharesOf(
  resources: readonly ResourceSpec[],
  pod: PodInfo,
  exact: boolean,
): (node: NodeInfo) => Share[] {
  const shares: Share[] = resources.map((r) => ({
    weight: r.weight ?? 1,
    allocatable: 0,
    requested: 0,
    pod: podAmount(r.name, pod, exact),
  }));
  const names = resources.map((r) => r.name);
  return (node) => {
    for (let i = 0; i < names.length; i++) {
      const s = shares[i]!;
      switch (names[i]) {
        case 'cpu':
          s.allocatable = node.allocatable.milliCPU;
          s.requested = exact ? node.requested.milliCPU : node.nonZeroMilliCPU;
          break;
        case 'memory':
          s.allocatable = node.allocatable.memory;
          s.requested = exact ? node.requested.memory : node.nonZeroMemory;
          break;
        default: {
          const name = names[i]!;
          s.allocatable = s.pod === 0 && isScalar(name) ? 0 : node.allocatable.get(name);
          s.requested = node.requested.get(name);
        }
      }
    }
    return shares;
  };
}

function podAmount(name: string, pod: PodInfo, exact: boolean): number {
  if (exact) return pod.requests.get(name);
  if (name === 'cpu') return pod.nonZeroMilliCPU || DEFAULT_MILLI_CPU;
  if (name === 'memory') return pod.nonZeroMemory || DEFAULT_MEMORY;
  return pod.requests.get(name);
}
