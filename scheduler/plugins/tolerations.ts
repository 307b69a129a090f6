/** Taints and tolerations. https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/ */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json } from '../../api/types.ts';

export type Toleration = DeepReadonly<Json<k8s.V1Toleration>>;
export interface TaintLike {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
}

const INTEGER = /^(0|-?[1-9][0-9]*)$/;

/** Numbers may be compared with Lt and Gt, too. */
export function tolerates(t: Toleration, taint: TaintLike): boolean {
  if (t.effect && t.effect !== taint.effect) return false;
  if (t.key && t.key !== taint.key) return false;
  switch (t.operator) {
    case 'Exists':
      return true;
    case 'Lt':
    case 'Gt': {
      const want = t.value ?? '';
      const have = taint.value ?? '';
      if (!INTEGER.test(want) || !INTEGER.test(have)) return false;
      return t.operator === 'Gt' ? BigInt(have) > BigInt(want) : BigInt(have) < BigInt(want);
    }
    default:
      return (t.value ?? '') === (taint.value ?? '');
  }
}

/** The first taint with one of the effects that no toleration is for. */
export function firstUntolerated<T extends TaintLike>(
  taints: readonly T[],
  tolerations: readonly Toleration[],
  effects: (effect: string) => boolean,
): T | undefined {
  for (const taint of taints) {
    if (!effects(taint.effect)) continue;
    let ok = false;
    for (const t of tolerations)
      if (tolerates(t, taint)) {
        ok = true;
        break;
      }
    if (!ok) return taint;
  }
  return undefined;
}
