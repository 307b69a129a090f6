/** NodeResourcesBalancedAllocation: prefers nodes whose resources the pod brings into balance. */
import type { Plugin } from '../core/framework.ts';
import { DEFAULT_RESOURCES, sharesOf, type ResourceSpec, type Share } from './resource-scorer.ts';

export interface BalancedAllocationArgs {
  /** Defaults to cpu and memory. */
  resources?: ResourceSpec[];
}

/** 100 for equal use of all resources, less the more the shares in use differ; with or without the pod. */
function balance(shares: readonly Share[], withPod: boolean): number {
  let n = 0;
  let sum = 0;
  let first = 0;
  let squares = 0;
  let second = 0;
  for (const s of shares) {
    if (s.allocatable === 0) continue;
    const f = Math.min((s.requested + (withPod ? s.pod : 0)) / s.allocatable, 1);
    if (n === 0) first = f;
    else if (n === 1) second = f;
    n++;
    sum += f;
  }
  let deviation = 0;
  if (n === 2) deviation = Math.abs(first - second) / 2;
  else if (n > 2) {
    const mean = sum / n;
    for (const s of shares) {
      if (s.allocatable === 0) continue;
      const f = Math.min((s.requested + (withPod ? s.pod : 0)) / s.allocatable, 1);
      squares += (f - mean) ** 2;
    }
    deviation = Math.sqrt(squares / n);
  }
  return Math.trunc((1 - deviation) * 100);
}

export function balancedAllocation(args: BalancedAllocationArgs = {}): Plugin {
  const resources = args.resources?.length ? args.resources : DEFAULT_RESOURCES;
  return {
    name: 'NodeResourcesBalancedAllocation',
    preScore(pod) {
      // Pods without requests would all go to the same few nodes.
      if (resources.every((r) => pod.requests.get(r.name) === 0)) return undefined;
      const shares = sharesOf(resources, pod, true);
      return {
        score(node) {
          const s = shares(node);
          return 50 + Math.trunc((50 + balance(s, true) - balance(s, false)) / 2);
        },
      };
    },
  };
}
