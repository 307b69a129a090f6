/** Small readers of object metadata. API objects always have a name; the models' types say that they may not. */
import { controllerOf } from '../../api/meta.ts';
import type { DeepReadonly, KubeObject, ObjectMeta, OwnerReference } from '../../api/types.ts';

export { controllerOf };

/** Anything that has Kubernetes metadata, as caches hand it out. */
export type AnyObject = DeepReadonly<KubeObject>;

/** Metadata of an object that the API server has stored. */
export type StoredMeta = DeepReadonly<ObjectMeta> & {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly creationTimestamp: string;
};

/** The metadata of a stored object; `namespace` is undefined at run time for cluster-scoped ones. */
export function meta(object: { readonly metadata?: DeepReadonly<ObjectMeta> }): StoredMeta {
  return object.metadata as StoredMeta;
}

/** `namespace/name`. */
export function keyFor(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

/** Whether deletion was asked for. */
export function isDeleting(object: { readonly metadata?: DeepReadonly<ObjectMeta> }): boolean {
  return object.metadata?.deletionTimestamp !== undefined;
}

/** Whether `object` is controlled by the owner with that uid. */
export function isControlledBy(object: { readonly metadata?: DeepReadonly<ObjectMeta> }, ownerUid: string): boolean {
  return controllerOf(object)?.uid === ownerUid;
}

/** An owner reference with controller and blockOwnerDeletion set. */
export function controllerRef(
  owner: { readonly metadata?: DeepReadonly<ObjectMeta> },
  apiVersion: string,
  kind: string,
): OwnerReference {
  const { name, uid } = meta(owner);
  return { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true };
}

/**
 * A cached object as a request body. The result shares everything with the cache:
 * spread what you change, never write into it.
 */
export function body<T>(object: DeepReadonly<T>): T {
  return object as T;
}

/** An RFC 3339 time in milliseconds since the epoch; NaN when absent. */
export function millis(time: string | undefined): number {
  return time === undefined ? NaN : Date.parse(time);
}

/** Compares creation times, then names: the oldest first. */
export function byAge(a: AnyObject, b: AnyObject): number {
  const x = meta(a);
  const y = meta(b);
  if (x.creationTimestamp !== y.creationTimestamp) return x.creationTimestamp < y.creationTimestamp ? -1 : 1;
  return x.name < y.name ? -1 : x.name > y.name ? 1 : 0;
}

/** Objects for which empty and absent mean the same; of others (`emptyDir: {}`) presence is a value. */
const EMPTY_IS_ABSENT = new Set([
  'labels',
  'annotations',
  'metadata',
  'resources',
  'limits',
  'requests',
  'nodeSelector',
  'matchLabels',
]);

/** Whether the value under `key` says nothing. */
export function saysNothing(key: string, v: unknown): boolean {
  if (v === undefined || v === null) return true;
  if (Array.isArray(v)) return v.length === 0;
  return typeof v === 'object' && EMPTY_IS_ABSENT.has(key) && Object.entries(v).every(([k, x]) => saysNothing(k, x));
}

/** Deep equality of JSON in which absent, null and empty lists and maps are the same thing. */
export function semanticEqual(a: unknown, b: unknown, key = ''): boolean {
  if (a === b) return true;
  if (saysNothing(key, a) && saysNothing(key, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) if (!semanticEqual(a[i], b[i])) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  const x = a as Record<string, unknown>;
  const y = b as Record<string, unknown>;
  for (const k of Object.keys(x)) if (!semanticEqual(x[k], y[k], k)) return false;
  for (const k of Object.keys(y)) if (!(k in x) && !saysNothing(k, y[k])) return false;
  return true;
}

/** The creation time in milliseconds since the epoch. */
export function createTimestamp(object: AnyObject): number {
  return millis(meta(object).creationTimestamp);
}
