/** Between the versions of a custom resource: what is stored, what is served. */
import { normalize } from '../../../api/schema/normalize.ts';
import { applyDefaults } from '../../../api/schema/defaults.ts';
import type { ObjectType } from '../../../api/schema/model.ts';
import type { DeepReadonly, JsonObject, JsonValue, KubeObject } from '../../../api/types.ts';
import { sameValue, type Value } from '../schema/equal.ts';

/** Turns an object of one version into another. */
export interface VersionConverter {
  convert(object: DeepReadonly<KubeObject>, apiVersion: string): KubeObject;
  /** Makes `convert` ready for these objects, where that takes asking somebody. */
  prepare?(objects: readonly DeepReadonly<KubeObject>[], apiVersion: string): Promise<void>;
}

/** Strategy None: only the apiVersion changes. */
export const noConversion: VersionConverter = {
  convert: (object, apiVersion) => ({ ...object, apiVersion }) as KubeObject,
};

/** Drops what the schema doesn't know. */
export function pruned(object: DeepReadonly<KubeObject>, type: ObjectType): KubeObject {
  return normalize(object as JsonValue, type, { ignoreUnknown: true }).object as KubeObject;
}

/** An object as it stands in the store, in the terms of today's schema; the same object when nothing is to be done. */
export function settled(stored: DeepReadonly<KubeObject>, type: ObjectType): DeepReadonly<KubeObject> {
  const object = pruned(stored, type);
  applyDefaults(object as unknown as JsonObject, type);
  return sameValue(object as unknown as Value, stored as unknown as Value)
    ? stored
    : (object as DeepReadonly<KubeObject>);
}

/** Objects with the same content have the same bytes: keys in order, as Go's maps are written. */
export function ordered(object: KubeObject): KubeObject {
  const { apiVersion, kind, metadata, ...rest } = object as KubeObject & JsonObject;
  return { apiVersion, kind, metadata, ...(sorted(rest as JsonValue) as JsonObject) } as unknown as KubeObject;
}

function sorted(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(sorted);
  const out: JsonObject = {};
  for (const key of Object.keys(value).sort()) {
    const v = value[key];
    if (v === undefined) continue;
    if (key === '__proto__')
      Object.defineProperty(out, key, { value: sorted(v), writable: true, enumerable: true, configurable: true });
    else out[key] = sorted(v);
  }
  return out;
}
