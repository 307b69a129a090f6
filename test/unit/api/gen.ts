/** Seeded generators for property tests: the same seed gives the same values on every run. */
import type { ObjectType, SchemaNode } from '../../../api/schema/model.ts';
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import type { Rand } from '../../../base/clock.ts';

/** mulberry32. */
export function seeded(seed: number): Rand {
  let a = seed >>> 0;
  return {
    next() {
      a = (a + 0x6d2b79f5) >>> 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    },
  };
}

export const int = (r: Rand, low: number, high: number) => low + Math.floor(r.next() * (high - low + 1));
export const pick = <T>(r: Rand, of: readonly T[]): T => of[Math.floor(r.next() * of.length)]!;

const CHARS = [
  'a',
  'B',
  '0',
  ' ',
  '"',
  '\\',
  '/',
  '\n',
  '\t',
  '\u0001',
  'é',
  '€',
  '𝄞',
  '<',
  ':',
  '{',
  '[',
  ',',
  '#',
  '\u2028',
];

export function text(r: Rand, max = 8): string {
  let out = '';
  for (let n = int(r, 0, max); n > 0; n--) out += pick(r, CHARS);
  return out;
}

export function json(r: Rand, depth = 4): JsonValue {
  switch (int(r, 0, depth > 0 ? 8 : 5)) {
    case 0:
      return null;
    case 1:
      return r.next() < 0.5;
    case 2:
      return int(r, -1000, 1000);
    case 3:
      return int(r, -1_000_000, 1_000_000) / 1024;
    case 4:
      return pick(r, [9007199254740993n, 9223372036854775807n, -9223372036854775808n]);
    case 5:
      return text(r);
    case 6: {
      const list: JsonValue[] = [];
      for (let n = int(r, 0, 4); n > 0; n--) list.push(json(r, depth - 1));
      return list;
    }
    default: {
      const out: JsonObject = {};
      for (let n = int(r, 0, 5); n > 0; n--) {
        const key = r.next() < 0.05 ? '__proto__' : text(r);
        Object.defineProperty(out, key, {
          value: json(r, depth - 1),
          writable: true,
          enumerable: true,
          configurable: true,
        });
      }
      return out;
    }
  }
}

/** An object of a type with about half of its fields. */
export function random(r: Rand, type: ObjectType, depth: number): JsonObject {
  const out: JsonObject = {};
  for (const f of type.fields)
    if (depth > -2 && r.next() < (depth > 0 ? 0.5 : 0.15)) out[f.name] = randomValue(r, f.node, depth - 1);
  return out;
}

function randomValue(r: Rand, node: SchemaNode, depth: number): JsonValue {
  if (r.next() < 0.05) return null;
  switch (node.form) {
    case 'object':
      return random(r, node.type, depth);
    case 'union':
      return random(r, node.type, depth - 2);
    case 'list':
      return Array.from({ length: depth > 0 ? int(r, 0, 2) : 0 }, () => randomValue(r, node.items, depth - 1));
    case 'map':
      return Object.fromEntries(
        Array.from({ length: depth > 0 ? int(r, 0, 2) : 0 }, () => [
          pick(r, ['b', 'a', 'x/y']),
          randomValue(r, node.values, depth - 1),
        ]),
      );
    case 'string':
      return pick(r, ['', 'a', 'é€𝄞']);
    case 'bool':
      return r.next() < 0.5;
    case 'int32':
      return pick(r, [0, 1, -5, 2147483647]);
    case 'int64':
      return pick(r, [0, 7, 9007199254740993n, -9223372036854775808n]);
    case 'float64':
      return pick(r, [0, 1.5]);
    case 'bytes':
      return pick(r, ['', 'AAEC']);
    case 'quantity':
      return pick<JsonValue>(r, ['1', '1000m', '1.5Gi', 0.5, '0']);
    case 'time':
      return pick(r, ['2020-01-01T00:00:00Z', '2020-06-01T12:30:45.678+02:00']);
    case 'microtime':
      return '2020-06-01T12:30:45.678901+02:00';
    case 'duration':
      return pick(r, ['1h', '90s']);
    case 'intOrString':
      return pick<JsonValue>(r, [0, 80, 'http']);
    case 'raw':
    case 'fieldsV1':
    case 'any':
      return { 'f:a': {} };
  }
}
