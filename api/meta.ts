/** Small tools for API objects: equality, copies, owners. */
import type { DeepReadonly, KubeObject, ObjectMeta, OwnerReference } from './types.ts';

/** Deep equality of JSON values; an absent key equals an undefined one. Key order doesn't matter. */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null)
    return Number.isNaN(a) && Number.isNaN(b);
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) if (!deepEqual(a[i], b[i])) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  const x = a as Record<string, unknown>;
  const y = b as Record<string, unknown>;
  let count = 0;
  for (const k in x) {
    const v = x[k];
    if (v === undefined) continue;
    count++;
    if (!Object.hasOwn(y, k) || !deepEqual(v, y[k])) return false;
  }
  for (const k in y) if (y[k] !== undefined) count--;
  return count === 0;
}

/**
 * As deepEqual, but null, absent and empty lists are all the same, and so are empty objects at the root: Go's
 * apiequality.Semantic, by which controllers decide whether a status changed. Within an object, `{}` is a struct that
 * somebody set: the normal form has no empty maps.
 */
export function semanticEqual(a: unknown, b: unknown): boolean {
  if (isEmptyObject(a)) return isNothing(b) || isEmptyObject(b);
  return isEmptyObject(b) ? isNothing(a) : sameValue(a, b);
}

function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (isNothing(a) || isNothing(b)) return isNothing(a) && isNothing(b);
  if (typeof a !== 'object' || typeof b !== 'object') return false;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((v, i) => sameValue(v, b[i]));
  if (Array.isArray(b)) return false;
  const x = a as Record<string, unknown>;
  const y = b as Record<string, unknown>;
  for (const k in x) if (!sameValue(x[k], Object.hasOwn(y, k) ? y[k] : undefined)) return false;
  for (const k in y) if (!Object.hasOwn(x, k) && !isNothing(y[k])) return false;
  return true;
}

const isNothing = (v: unknown) => v === undefined || v === null || (Array.isArray(v) && v.length === 0);

function isEmptyObject(v: unknown): boolean {
  if (typeof v !== 'object' || v === null || Array.isArray(v)) return false;
  for (const k in v) if (((v as Record<string, unknown>)[k] ?? null) !== null) return false;
  return true;
}

function put(at: Record<string, unknown>, step: string, value: unknown): void {
  if (step === '__proto__')
    Object.defineProperty(at, step, { value, writable: true, enumerable: true, configurable: true });
  else at[step] = value;
}

/** A shallow copy with a metadata of its own, changed by `change`. */
export function withMeta<T extends KubeObject>(object: DeepReadonly<T> | T, change: (meta: ObjectMeta) => void): T {
  const metadata = { ...object.metadata } as ObjectMeta;
  change(metadata);
  return { ...object, metadata } as T;
}

/** Freezes a value all the way down (tests). */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const v of Object.values(value)) deepFreeze(v);
  }
  return value;
}

/** A deep copy of a JSON value. */
export function deepCopy<T>(value: DeepReadonly<T> | T): T {
  if (typeof value !== 'object' || value === null) return value as T;
  if (Array.isArray(value)) return value.map((v: unknown) => deepCopy(v)) as T;
  const out: Record<string, unknown> = {};
  for (const k of Object.keys(value)) put(out, k, deepCopy((value as Record<string, unknown>)[k]));
  return out as T;
}

/** The owner reference that says `controller: true`, if any. */
export function controllerOf(object: DeepReadonly<KubeObject>): DeepReadonly<OwnerReference> | undefined {
  return object.metadata?.ownerReferences?.find((r) => r.controller === true);
}
