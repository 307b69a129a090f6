/** RFC 7386 JSON merge patch. */
import { badRequest } from '../status.ts';
import type { JsonObject, JsonValue } from '../types.ts';
import { getKey, isObject, setKey } from './value.ts';

/**
 * Merges a decoded patch into `document`: null removes, objects merge, everything else replaces. Inputs stay as they
 * are; unchanged parts are shared with the result, whose keys keep the document's order. Throws 400 for a patch that
 * isn't an object.
 */
export function applyMergePatch(document: JsonObject, patch: JsonValue): JsonObject {
  if (!isObject(patch)) throw badRequest('error decoding patch: a merge patch must be an object');
  return merge(document, patch);
}

function merge(document: JsonObject, patch: JsonObject): JsonObject {
  const out: JsonObject = { ...document };
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null || value === undefined) {
      delete out[key];
      continue;
    }
    const current = getKey(document, key);
    if (isObject(current)) setKey(out, key, isObject(value) ? merge(current, value) : value);
    else setKey(out, key, withoutNulls(value));
  }
  return out;
}

/** A value that enters the document as new: nulls inside it remove nothing and so vanish. */
function withoutNulls(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutNulls);
  const out: JsonObject = {};
  for (const key of Object.keys(value)) {
    const v = value[key];
    if (v !== null && v !== undefined) setKey(out, key, withoutNulls(v));
  }
  return out;
}
