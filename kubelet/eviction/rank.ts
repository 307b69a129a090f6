/** Who goes first when the node is short of something. https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#pod-selection-for-kubelet-eviction */
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { isCritical, podAmounts } from '../pods/resources.ts';
import type { Signal } from './thresholds.ts';

export interface Candidate {
  pod: DeepReadonly<Pod>;
  /** Bytes of memory in use. */
  memory: number;
  /** Bytes and files of local storage. */
  disk: number;
  inodes: number;
  processes: number;
}

/** The name of what is short, as it stands in messages and requests. */
export const RESOURCE: Record<Signal, string> = {
  'memory.available': 'memory',
  'nodefs.available': 'ephemeral-storage',
  'imagefs.available': 'ephemeral-storage',
  'nodefs.inodesFree': 'inodes',
  'imagefs.inodesFree': 'inodes',
  'pid.available': 'pids',
};

export const usageOf = (c: Candidate, signal: Signal): number => {
  switch (RESOURCE[signal]) {
    case 'memory':
      return c.memory;
    case 'ephemeral-storage':
      return c.disk;
    case 'inodes':
      return c.inodes;
    default:
      return c.processes;
  }
};

/** Those over their request, then those of low priority, then who is furthest over; critical pods never. */
export function rank(candidates: readonly Candidate[], signal: Signal): Candidate[] {
  const resource = RESOURCE[signal];
  const request = (c: Candidate) => podAmounts(c.pod, 'requests')[resource] ?? 0;
  const over = (c: Candidate) => usageOf(c, signal) - request(c);
  // nobody requests files or processes
  const exceeds = (c: Candidate) => (resource === 'inodes' || resource === 'pids' ? 0 : Number(over(c) > 0));
  return candidates
    .filter((c) => !isCritical(c.pod))
    .sort(
      (a, b) =>
        exceeds(b) - exceeds(a) || (a.pod.spec!.priority ?? 0) - (b.pod.spec!.priority ?? 0) || over(b) - over(a),
    );
}
