/** A pod's quality of service class. */
import { Quantity } from '../../../api/quantity.ts';
import type { DeepReadonly, Pod } from '../../../api/types.ts';
import { quantity } from '../validation/values.ts';

type Sum = Record<string, Quantity>;
type Lists = { requests?: Readonly<Record<string, unknown>>; limits?: Readonly<Record<string, unknown>> } | undefined;

/** Guaranteed when limits of cpu and memory are set and equal to the requests everywhere, BestEffort when nothing is asked for. */
export function qosClass(pod: DeepReadonly<Pod>): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const requests: Sum = {};
  const limits: Sum = {};
  let guaranteed = true;
  const add = (to: Sum, list: Readonly<Record<string, unknown>> | undefined) => {
    let found = 0;
    for (const k of ['cpu', 'memory']) {
      const q = list?.[k] === undefined ? undefined : quantity(list[k]);
      if (!q || q.sign <= 0) continue;
      to[k] = to[k]?.add(q) ?? q;
      found++;
    }
    return found;
  };
  const own = pod.spec?.resources as Lists;
  const lists: Lists[] = own
    ? [own]
    : [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].map((c) => c.resources as Lists);
  for (const r of lists) {
    add(requests, r?.requests);
    if (add(limits, r?.limits) < 2 && !(own && Object.keys(r?.limits ?? {}).length === 0)) guaranteed = false;
  }
  const asked = Object.keys(requests);
  if (asked.length === 0 && Object.keys(limits).length === 0) return 'BestEffort';
  const equal =
    asked.every((k) => limits[k]?.equals(requests[k] ?? Quantity.zero)) && asked.length === Object.keys(limits).length;
  return guaranteed && equal ? 'Guaranteed' : 'Burstable';
}
