/** What a pod asks for as a whole: sums over its containers, the peak of its init containers, pod-level figures. */
import { Quantity } from './quantity.ts';
import type { DeepReadonly, PodSpec } from './types.ts';

/** Amounts by resource name. */
export type Amounts = Map<string, Quantity>;
export type AmountTexts = Readonly<Record<string, string>>;

/** Reads amounts; texts that are no quantities count as zero (validation has refused them). */
export function amounts(list: AmountTexts | undefined): Amounts {
  const out: Amounts = new Map();
  for (const [k, v] of Object.entries(list ?? {})) out.set(k, Quantity.tryParse(v) ?? Quantity.zero);
  return out;
}

/** Adds amounts up in place. */
export function addTo(target: Amounts, more: Amounts): void {
  for (const [k, v] of more) target.set(k, target.get(k)?.add(v) ?? v);
}
function raiseTo(target: Amounts, other: Amounts): void {
  for (const [k, v] of other) {
    const have = target.get(k);
    if (!have || v.compare(have) > 0) target.set(k, v);
  }
}

/** Resources that may be set for the pod as a whole (KEP-2837). */
const POD_LEVEL = (name: string) => name === 'cpu' || name === 'memory' || name.startsWith('hugepages-');

/** `requests` or `limits` of a pod. The overhead is added when asked for. */
export function podTotals(spec: DeepReadonly<PodSpec>, which: 'requests' | 'limits', withOverhead: boolean): Amounts {
  const total: Amounts = new Map();
  for (const c of spec.containers) addTo(total, amounts(c.resources?.[which]));
  const sidecars: Amounts = new Map();
  const peak: Amounts = new Map();
  for (const c of spec.initContainers ?? []) {
    const own = amounts(c.resources?.[which]);
    if (c.restartPolicy === 'Always') {
      // Sidecars run on beside the containers and beside the init containers after them.
      addTo(total, own);
      addTo(sidecars, own);
      raiseTo(peak, sidecars);
    } else {
      addTo(own, sidecars);
      raiseTo(peak, own);
    }
  }
  raiseTo(total, peak);
  for (const [k, v] of amounts(spec.resources?.[which])) if (POD_LEVEL(k)) total.set(k, v);
  if (withOverhead && spec.overhead) {
    for (const [k, v] of amounts(spec.overhead)) {
      // A limit that isn't there stays away.
      const have = total.get(k);
      if (which === 'requests' || (have && !have.isZero)) total.set(k, have?.add(v) ?? v);
    }
  }
  return total;
}
