/** How much swap a container may use (cgroup v2 only). https://kubernetes.io/docs/concepts/cluster-administration/swap-memory-management/ */
import { readFileSync } from 'node:fs';
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import { amountsOf, isCritical, isSidecar, qosClass } from './resources.ts';

export interface SwapSettings {
  behavior: 'NoSwap' | 'LimitedSwap';
  /** Bytes of the machine. */
  memory: number;
  swap: number;
}

/** Bytes of swap on the machine. */
export function swapCapacity(file = '/proc/swaps'): number {
  try {
    const lines = readFileSync(file, 'utf8').trim().split('\n').slice(1);
    return lines.reduce((n, l) => n + (Number(l.split(/\s+/)[2]) || 0) * 1024, 0);
  } catch {
    return 0;
  }
}

/** Bytes: the container's share of the swap is its request's share of the memory; only Burstable pods have one. */
export function swapLimit(pod: DeepReadonly<Pod>, c: DeepReadonly<Container>, s: SwapSettings): number {
  if (s.behavior !== 'LimitedSwap' || qosClass(pod) !== 'Burstable' || isCritical(pod)) return 0;
  if (pod.spec!.initContainers?.some((i) => i.name === c.name) && !isSidecar(c)) return 0;
  const request = amountsOf(c.resources?.requests)['memory'] ?? 0;
  const limit = amountsOf(c.resources?.limits)['memory'] ?? 0;
  // who is to have all of its memory is not to have it on disk
  if (request === 0 || request === limit) return 0;
  return Math.floor((request / Math.max(s.memory, 1)) * s.swap);
}
