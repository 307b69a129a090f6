/** Equality of JSON values, and old values found again in new ones. */
import type { DeepReadonly, JsonValue } from '../../../api/types.ts';
import { itemsOf, valuesOf, type SchemaProps } from './props.ts';

export type Value = DeepReadonly<JsonValue>;
export type ValueObject = { readonly [key: string]: Value | undefined };

export const isObject = (v: unknown): v is ValueObject => typeof v === 'object' && v !== null && !Array.isArray(v);

/** Deep equality; keys that hold undefined are absent. 1 and 1n are the same number. */
export function sameValue(a: Value | undefined, b: Value | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    if (typeof a === 'bigint' || typeof b === 'bigint')
      return typeof a !== 'object' && typeof b !== 'object' && typeof a !== 'string' && typeof b !== 'string' && a == b;
    return false;
  }
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) if (!sameValue(a[i] as Value, b[i] as Value)) return false;
    return true;
  }
  const x = a as ValueObject;
  const y = b as ValueObject;
  let count = 0;
  for (const k in x) {
    if (x[k] === undefined) continue;
    count++;
    if (!Object.hasOwn(y, k) || !sameValue(x[k], y[k])) return false;
  }
  for (const k in y) if (y[k] !== undefined) count--;
  return count === 0;
}

/** `sameValue`, but lists with keys may come in another order: their items are found again by their keys. */
export function sameBySchema(schema: SchemaProps, a: Value | undefined, b: Value | undefined): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    const [x, y] = [a as Value[], b as Value[]];
    if (x.length !== y.length) return false;
    const items = itemsOf(schema);
    if (!items) return sameValue(a, b);
    const keyed = schema['x-kubernetes-list-type'] === 'map';
    return x.every((v, i) => {
      const known = keyed ? correlateItem(schema, { old: b }, v) : { old: y[i]! };
      return known !== undefined && sameBySchema(items, v, known.old);
    });
  }
  if (!isObject(a) || !isObject(b)) return sameValue(a, b);
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  const values = valuesOf(schema);
  for (const k of keys) {
    const [v, w] = [a[k], b[k]];
    const own = schema.properties?.[k] ?? values;
    if (v === undefined || w === undefined ? v !== w : !(own ? sameBySchema(own, v, w) : sameValue(v, w))) return false;
  }
  return true;
}

/** An old value that a new one can be compared with. */
export interface Correlated {
  readonly old: Value;
}

/** The old value of a field; undefined when it can't be told which it was. */
export function correlateKey(at: Correlated | undefined, key: string): Correlated | undefined {
  if (!at || !isObject(at.old)) return undefined;
  const old = Object.hasOwn(at.old, key) ? at.old[key] : undefined;
  return old === undefined ? undefined : { old };
}

/** The old value of an item: only lists with keys know which it was. */
export function correlateItem(schema: SchemaProps, at: Correlated | undefined, item: Value): Correlated | undefined {
  if (!at || schema['x-kubernetes-list-type'] !== 'map' || !Array.isArray(at.old) || !isObject(item)) return undefined;
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const items = itemsOf(schema);
  const keyOf = (o: ValueObject, k: string) => o[k] ?? (items?.properties?.[k]?.default as Value | undefined);
  const found = (at.old as Value[]).find(
    (o) => isObject(o) && keys.every((k) => sameValue(keyOf(o, k), keyOf(item, k))),
  );
  return found === undefined ? undefined : { old: found };
}
