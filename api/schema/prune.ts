/** Pruning of custom resources: what the schema doesn't name goes; values keep their types for validation to judge. */
import { encodeJson } from '../codec/json.ts';
import type { JsonObject, JsonValue } from '../types.ts';
import { builtinSchemas } from './builtin.ts';
import type { ObjectType, SchemaNode } from './model.ts';
import { normalize, type NormalizeOptions, type Normalized } from './normalize.ts';
import { DecodeError } from '../codec/errors.ts';
import { jsonTypeOf } from './scalars.ts';

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
const ROOT_FIELDS: ReadonlySet<string> = new Set(['apiVersion', 'kind', 'metadata']);

/** Drops unknown fields of a custom resource and reads its metadata as ObjectMeta. Throws DecodeError. */
export function pruneCustom(value: JsonValue, type: ObjectType, options: NormalizeOptions): Normalized {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new DecodeError(`json: cannot unmarshal ${jsonTypeOf(value)} into Go value of type map[string]interface {}`);
  const run: Run = { unknown: [], keepNulls: options.keepNulls ?? false };
  const object = pruneObject(value, type, '', run, true);
  return { object, unknown: options.ignoreUnknown ? [] : run.unknown };
}

interface Run {
  readonly unknown: string[];
  readonly keepNulls: boolean;
}

function pruneObject(value: JsonObject, type: ObjectType, path: string, run: Run, root: boolean): JsonObject {
  const out: JsonObject = {};
  for (const key of Object.keys(value)) {
    const v = value[key];
    if (v === undefined) continue;
    const at = path === '' ? key : `${path}.${key}`;
    let kept: JsonValue;
    if ((root || type.embedded) && ROOT_FIELDS.has(key))
      kept = key === 'metadata' ? metadata(v, at, run.unknown) : root ? v : typeMeta(v, at);
    else {
      const field = type.field(key);
      // A null that can't stand for anything counts as absent.
      if (field && v === null && !run.keepNulls && isMeaningless(field.node)) continue;
      if (field) kept = pruneNode(v, field.node, at, run);
      else if (type.preserveUnknown) kept = v;
      else {
        run.unknown.push(at);
        continue;
      }
    }
    if (key === '__proto__')
      Object.defineProperty(out, key, { value: kept, writable: true, enumerable: true, configurable: true });
    else out[key] = kept;
  }
  return out;
}

const isMeaningless = (node: SchemaNode): boolean => !node.nullable && node.default === undefined;

/** kind and apiVersion of an embedded resource are texts. */
function typeMeta(value: JsonValue, path: string): JsonValue {
  if (typeof value !== 'string')
    throw new DecodeError(`${path}: Invalid value: ${encodeJson(value)}: must be a string`);
  return value;
}

function metadata(value: JsonValue, path: string, unknown: string[]): JsonValue {
  try {
    const r = normalize(value, builtinSchemas().type(OBJECT_META));
    for (const u of r.unknown) unknown.push(`${path}.${u}`);
    return r.object;
  } catch (e) {
    if (e instanceof DecodeError) throw new DecodeError(e.message, e.path === '' ? path : `${path}.${e.path}`);
    throw e;
  }
}

function pruneNode(value: JsonValue, node: SchemaNode, path: string, run: Run): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  switch (node.form) {
    case 'list':
      return Array.isArray(value) ? value.map((v, i) => pruneNode(v, node.items, `${path}[${i}]`, run)) : value;
    case 'map': {
      if (Array.isArray(value)) return value;
      const out: JsonObject = {};
      for (const key of Object.keys(value)) {
        if (value[key] === null && !run.keepNulls && isMeaningless(node.values)) continue;
        const kept = pruneNode(value[key]!, node.values, `${path}.${key}`, run);
        if (key === '__proto__')
          Object.defineProperty(out, key, { value: kept, writable: true, enumerable: true, configurable: true });
        else out[key] = kept;
      }
      return out;
    }
    case 'object':
      return Array.isArray(value) ? value : pruneObject(value, node.type, path, run, false);
    default:
      return value;
  }
}
