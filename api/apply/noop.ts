/** A write that changes nothing but times in managedFields is no write. */
import { jsonEqual } from '../patch/value.ts';
import type { DeepReadonly, KubeObject } from '../types.ts';

/**
 * Gives `object` the times that `live` has in its managedFields when nothing else differs, so that the store sees
 * that there is nothing to write; else `object` as it is.
 */
export function keepTimesOfNoop(object: KubeObject, live: DeepReadonly<KubeObject>): KubeObject {
  const before = live.metadata?.managedFields;
  const after = object.metadata?.managedFields;
  if (!before || !after || after.length === 0 || before.length !== after.length) return object;
  if (after.every((e, i) => e.time === before[i]!.time)) return object;
  const same = after.every((e, i) => {
    const { time: _a, ...x } = e;
    const { time: _b, ...y } = before[i]!;
    return jsonEqual(x, y);
  });
  if (!same) return object;
  const candidate: KubeObject = { ...object, metadata: { ...object.metadata, managedFields: before as typeof after } };
  return jsonEqual(candidate, live) ? candidate : object;
}
