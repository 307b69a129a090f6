/**
 * The order of a merged list: what the patch names stands in the patch's order, the rest in the server's, and both
 * are interleaved by the server's order as well as that goes.
 * https://github.com/kubernetes/design-proposals-archive/blob/main/cli/preserve-order-in-strategic-merge-patch.md
 */
import type { StatusError } from '../status.ts';
import type { JsonValue } from '../types.ts';
import { getKey, isObject } from './value.ts';

export interface MergeLists {
  /** The elements of the result. */
  readonly merged: readonly JsonValue[];
  /** Elements (or their keys) in the order the client wants. */
  readonly patchOrder: readonly JsonValue[];
  /** The list before the patch. */
  readonly serverOrder: readonly JsonValue[];
  /** '' for lists of primitives. */
  readonly mergeKey: string;
}

/** Throws what `noMergeKey` makes when an element lacks the merge key. */
export function order(lists: MergeLists, noMergeKey: (item: JsonValue, key: string) => StatusError): JsonValue[] {
  const { mergeKey } = lists;
  const keyOf = (item: JsonValue): JsonValue => {
    if (mergeKey === '') return item;
    const key = isObject(item) ? getKey(item, mergeKey) : undefined;
    if (key === undefined) throw noMergeKey(item, mergeKey);
    return key;
  };
  const index = (list: readonly JsonValue[]): Map<JsonValue, number> => {
    const map = new Map<JsonValue, number>();
    list.forEach((item, i) => {
      const key = keyOf(item);
      if (!map.has(key)) map.set(key, i);
    });
    return map;
  };
  const wanted = index(lists.patchOrder);
  const server = index(lists.serverOrder);
  const fromPatch: JsonValue[] = [];
  const serverOnly: JsonValue[] = [];
  for (const item of lists.merged) (wanted.has(keyOf(item)) ? fromPatch : serverOnly).push(item);
  sort(fromPatch, wanted, keyOf);
  sort(serverOnly, server, keyOf);
  return interleave(serverOnly, fromPatch, (item) => server.get(keyOf(item)));
}

/** A stable insertion sort; an element that the order doesn't know moves to the front, as upstream's comparison has it. */
function sort(items: JsonValue[], at: ReadonlyMap<JsonValue, number>, keyOf: (item: JsonValue) => JsonValue): void {
  const positions = items.map((item) => at.get(keyOf(item)) ?? -1);
  for (let i = 1; i < items.length; i++) {
    const item = items[i]!;
    const position = positions[i]!;
    let j = i;
    while (j > 0 && (position < 0 || positions[j - 1]! < 0 || position < positions[j - 1]!)) {
      items[j] = items[j - 1]!;
      positions[j] = positions[j - 1]!;
      j--;
    }
    items[j] = item;
    positions[j] = position;
  }
}

/** Keeps both inner orders; the left element goes first only where the server had it before the right one. */
function interleave(
  left: readonly JsonValue[],
  right: readonly JsonValue[],
  position: (item: JsonValue) => number | undefined,
): JsonValue[] {
  const out: JsonValue[] = [];
  let i = 0;
  let j = 0;
  while (i < left.length && j < right.length) {
    const l = position(left[i]!);
    const r = position(right[j]!);
    out.push(l !== undefined && r !== undefined && l < r ? left[i++]! : right[j++]!);
  }
  while (i < left.length) out.push(left[i++]!);
  while (j < right.length) out.push(right[j++]!);
  return out;
}
