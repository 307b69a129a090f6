/** Lists of resource.k8s.io: bounded, and often without repetition. A list that is too long isn't looked into. */
import { tooMany } from '../../../api/field-errors.ts';
import type { Field } from '../validation/field.ts';

type Element<T> = T extends readonly (infer E)[] ? NonNullable<E> : never;

/** Holds `rule` against each element; false when there are too many, and then against none. */
export function bounded<T extends readonly unknown[]>(
  f: Field<T>,
  max: number,
  rule: (e: Field<Element<T>>) => void,
): boolean {
  const before = f.errors.length;
  f.maxItems(max);
  if (f.errors.length > before) return false;
  f.each((e) => rule(e as Field<Element<T>>));
  return true;
}

/** As bounded, and no two elements may have the same key. */
export function set<T extends readonly unknown[]>(
  f: Field<T>,
  max: number,
  keyOf: (e: Element<T>) => string,
  rule: (e: Field<Element<T>>) => void,
): void {
  if (bounded(f, max, rule)) f.unique((e) => keyOf(e as Element<T>));
}

/** A map of at most `max` entries; complaints about keys name the map. */
export function map<V>(
  f: Field<Record<string, V>>,
  max: number,
  key: (f: Field<string>) => void,
  rule: (v: Field<NonNullable<V>>) => void,
): void {
  const entries = Object.entries(f.value ?? {});
  if (entries.length > max) return void f.add(tooMany(f.path, entries.length, max));
  for (const [k, v] of entries) {
    key(f.named('', k));
    rule(f.key(k, v) as unknown as Field<NonNullable<V>>);
  }
}
