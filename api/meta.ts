/** Small tools for API objects: equality, paths, copy-on-write, owners. */
import { apiVersionOf, type DeepReadonly, type KubeObject, type ObjectMeta, type OwnerReference } from './types.ts';

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

export type PathStep = string | number;

/** The value at a path, undefined when any part of the way is absent. */
export function getPath(value: unknown, path: readonly PathStep[]): unknown {
  let v = value;
  for (const step of path) {
    if (typeof v !== 'object' || v === null || !Object.hasOwn(v, step)) return undefined;
    v = (v as Record<PathStep, unknown>)[step];
  }
  return v;
}

/** Sets the value at a path in place; objects on the way are made, lists are not. undefined removes it. */
export function setPath(target: object, path: readonly PathStep[], value: unknown): void {
  let at = target as Record<PathStep, unknown>;
  for (const step of path.slice(0, -1)) {
    let next = Object.hasOwn(at, step) ? at[step] : undefined;
    if (typeof next !== 'object' || next === null) {
      if (value === undefined) return;
      next = {};
      put(at, step, next);
    }
    at = next as Record<PathStep, unknown>;
  }
  const last = path.at(-1)!;
  if (value === undefined) delete at[last];
  else put(at, last, value);
}

function put(at: Record<PathStep, unknown>, step: PathStep, value: unknown): void {
  if (step === '__proto__')
    Object.defineProperty(at, step, { value, writable: true, enumerable: true, configurable: true });
  else at[step] = value;
}

/** A copy with the value at a path replaced; everything beside the path is shared. undefined removes it. */
export function withPath<T extends object>(source: DeepReadonly<T> | T, path: readonly PathStep[], value: unknown): T {
  const [step, ...rest] = path;
  if (step === undefined) return value as T;
  const copy: Record<PathStep, unknown> = Array.isArray(source) ? ([...source] as never) : { ...(source as object) };
  const inner = copy[step];
  const next =
    rest.length === 0 ? value : withPath(typeof inner === 'object' && inner !== null ? inner : {}, rest, value);
  if (next === undefined) delete copy[step];
  else put(copy, step, next);
  return copy as T;
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

/** `namespace/name`, or the name alone. */
export function objectKey(object: DeepReadonly<KubeObject>): string {
  const m = object.metadata;
  return m?.namespace ? `${m.namespace}/${m.name ?? ''}` : (m?.name ?? '');
}

/** Splits `namespace/name`. */
export function splitKey(key: string): { namespace: string; name: string } {
  const i = key.indexOf('/');
  return i < 0 ? { namespace: '', name: key } : { namespace: key.slice(0, i), name: key.slice(i + 1) };
}

/** The owner that manages the object, if any. */
export function controllerOf(object: DeepReadonly<KubeObject>): DeepReadonly<OwnerReference> | undefined {
  return object.metadata?.ownerReferences?.find((r) => r.controller === true);
}

/** A controller reference to `owner`, which must have a name and uid. */
export function controllerRef(
  owner: DeepReadonly<KubeObject>,
  kind: { group: string; version: string; kind: string },
): OwnerReference {
  return {
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    name: owner.metadata?.name ?? '',
    uid: owner.metadata?.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}
