/**
 * JSON with Go's eyes: int64 stays exact, duplicate keys are seen, `__proto__` is a plain key, depth is bounded.
 * The fast path proves by a cheap scan that JSON.parse would give the same.
 */
import type { JsonValue } from '../types.ts';
import { DecodeError } from './errors.ts';
import { parseJsonExactly } from './json-parser.ts';

export { DecodeError } from './errors.ts';

/** A decoded value, and the paths of keys that were given more than once (the last one wins). */
export interface Decoded {
  value: JsonValue;
  duplicates: string[];
  /** What a YAML decoder says of each of them, with its line. */
  notes?: string[];
}

export interface DecodeOptions {
  /** Nesting allowed; defaults to 1000, which keeps everything that walks the value well within the stack. */
  maxDepth?: number;
}

const NONE: string[] = [];

/** Decodes one JSON value. Throws DecodeError. Integers that a double can't hold come as bigint. */
export function decodeJson(bytes: Buffer | string, options: DecodeOptions = {}): Decoded {
  const text = typeof bytes === 'string' ? bytes : bytes.toString('utf8');
  const maxDepth = options.maxDepth ?? 1000;
  const keys = scan(text, maxDepth);
  if (keys >= 0) {
    let value: JsonValue | undefined;
    try {
      value = JSON.parse(text) as JsonValue;
    } catch {
      // The exact parser finds the right words for it.
    }
    // As many keys as colons: none was written over by a later one.
    if (value !== undefined && countKeys(value) === keys) return { value, duplicates: NONE.slice() };
  }
  try {
    return parseJsonExactly(text, maxDepth);
  } catch (e) {
    if (e instanceof RangeError) throw new DecodeError('exceeded max depth');
    throw e;
  }
}

/**
 * Counts the keys of a JSON text (the colons outside strings); -1 when the text has something that JSON.parse
 * takes differently: a long number, an exponent, a surrogate escape, too many levels.
 */
function scan(text: string, maxDepth: number): number {
  if (text.includes('\\ud') || text.includes('\\uD')) return -1;
  let keys = 0;
  let depth = 0;
  let digits = 0;
  const end = text.length;
  for (let i = 0; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x22) {
      digits = 0;
      i = text.indexOf('"', i + 1);
      if (i < 0) return -1;
      // A quote after an odd number of backslashes belongs to the string.
      while (text.charCodeAt(i - 1) === 0x5c) {
        let k = i - 2;
        while (text.charCodeAt(k) === 0x5c) k--;
        if (((i - k) & 1) === 1) break;
        i = text.indexOf('"', i + 1);
        if (i < 0) return -1;
      }
    } else if (c === 0x3a) {
      keys++;
      digits = 0;
    } else if (c >= 0x30 && c <= 0x39) {
      if (++digits > 15) return -1;
    } else {
      if (digits > 0 && (c === 0x65 || c === 0x45)) return -1;
      digits = 0;
      if (c === 0x7b || c === 0x5b) {
        if (++depth > maxDepth) return -1;
      } else if (c === 0x7d || c === 0x5d) depth--;
    }
  }
  return keys;
}

function countKeys(value: JsonValue): number {
  if (typeof value !== 'object' || value === null) return 0;
  let n = 0;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const v = value[i]!;
      if (typeof v === 'object') n += countKeys(v);
    }
    return n;
  }
  for (const k in value) {
    n++;
    const v = value[k]!;
    if (typeof v === 'object') n += countKeys(v);
  }
  return n;
}

/** Encodes a value as compact JSON, or indented by so many spaces; bigints as plain integers. */
export function encodeJson(value: unknown, indent?: number): string {
  try {
    return JSON.stringify(value, undefined, indent);
  } catch (e) {
    if (!(e instanceof TypeError)) throw e;
    return JSON.stringify(value, exactly, indent);
  }
}

const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
const exactly = (_key: string, value: unknown) => (typeof value === 'bigint' ? rawJSON(value.toString()) : value);

/** A number that a double may not hold. Within a string it costs time only. */
const LONG_NUMBER = /[:,[]-?\d{16}/;

/** Parses what encodeJson wrote (compact): the quick way wherever that is exact. */
export function parseEncoded(json: Buffer): JsonValue {
  const text = json.toString('utf8');
  return LONG_NUMBER.test(text) ? decodeJson(text).value : (JSON.parse(text) as JsonValue);
}

/** Sets a key as an own plain property, `__proto__` too. */
export function setKey<T>(object: Record<string, T>, key: string, value: T): void {
  if (key === '__proto__')
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  else object[key] = value;
}
