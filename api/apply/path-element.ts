/**
 * Path elements in the spelling of FieldsV1: `f:NAME` a field or map key, `k:{...}` a list item by its keys,
 * `v:VALUE` an item of a set, `i:N` an index.
 */
import type { JsonObject, JsonValue } from '../types.ts';

/** JSON as Go writes it into field sets: markup characters escaped, keys sorted. */
export function canonicalJson(value: JsonValue | undefined): string {
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const parts = Object.keys(value)
    .sort(compareText)
    .map((k) => `${quote(k)}:${canonicalJson(value[k])}`);
  return `{${parts.join(',')}}`;
}

const PLAIN = /^[\w ./:@%+=,;-]*$/;
function quote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** `k:{"name":"web"}`; the names in order. */
export function keyElement(names: readonly string[], values: readonly (JsonValue | undefined)[]): string {
  let out = 'k:{';
  for (let i = 0; i < names.length; i++) {
    if (values[i] === undefined) continue;
    if (out.length > 3) out += ',';
    out += `${quote(names[i]!)}:${canonicalJson(values[i])}`;
  }
  return `${out}}`;
}

export const valueElement = (value: JsonValue): string => `v:${canonicalJson(value)}`;

/** Checks a key of FieldsV1 and gives its one spelling; undefined for kinds that are not known. Throws on nonsense. */
export function isPathElement(text: string): string | undefined {
  if (text.length < 2) throw new Error('key must be 2 characters long');
  if (text[1] !== ':') throw new Error(`missing colon: ${text}`);
  switch (text[0]) {
    case 'f':
      return text;
    case 'i':
      if (!/^[+-]?\d+$/.test(text.slice(2))) throw new Error(`not an index: ${text}`);
      return `i:${Number(text.slice(2))}`;
    case 'v':
      return valueElement(JSON.parse(text.slice(2)) as JsonValue);
    case 'k': {
      const value = JSON.parse(text.slice(2)) as JsonValue;
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`not a key: ${text}`);
      return `k:${canonicalJson(value)}`;
    }
    default:
      return undefined;
  }
}

/** How people read a path: `.spec.containers[name="web"].image`. */
export function showPath(path: readonly string[]): string {
  return path.map(showElement).join('');
}

function showElement(element: string): string {
  const rest = element.slice(2);
  switch (element[0]) {
    case 'f':
      return `.${rest}`;
    case 'k': {
      const key = JSON.parse(rest) as JsonObject;
      const parts = Object.keys(key).map((name) => `${name}=${showValue(key[name])}`);
      return `[${parts.join(',')}]`;
    }
    case 'v':
      return `[=${showValue(JSON.parse(rest) as JsonValue)}]`;
    default:
      return `[${rest}]`;
  }
}
const showValue = (value: JsonValue | undefined): string =>
  typeof value === 'string' ? JSON.stringify(value) : canonicalJson(value);

const RANK: Readonly<Record<string, number>> = { f: 0, k: 1, v: 2, i: 3 };

/** The order of elements in a set: fields, keys, values, indices; each kind by its content. */
export function comparePathElements(a: string, b: string): number {
  const kind = a.charCodeAt(0);
  if (kind !== b.charCodeAt(0)) return RANK[a[0]!]! - RANK[b[0]!]!;
  if (a === b) return 0;
  if (kind === 0x66) return compareText(a, b);
  return compareValues(content(a), content(b));
}

export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const parsed = new Map<string, JsonValue>();
/** What an element holds; container names, ports and the like come up again and again. */
function content(element: string): JsonValue {
  let value = parsed.get(element);
  if (value === undefined) {
    value = JSON.parse(element.slice(2)) as JsonValue;
    if (parsed.size > 5000) parsed.clear();
    parsed.set(element, value);
  }
  return value;
}

/** Numbers, then strings, booleans, lists, objects, null. */
function rankOf(value: JsonValue | undefined): number {
  switch (typeof value) {
    case 'number':
    case 'bigint':
      return 0;
    case 'string':
      return 1;
    case 'boolean':
      return 2;
    default:
      return Array.isArray(value) ? 3 : value === null || value === undefined ? 5 : 4;
  }
}

function compareValues(a: JsonValue | undefined, b: JsonValue | undefined): number {
  const rank = rankOf(a);
  const other = rankOf(b);
  if (rank !== other) return rank - other;
  if (rank === 0 || rank === 1 || rank === 2) return a! < b! ? -1 : a! > b! ? 1 : 0;
  if (rank === 5) return 0;
  const left =
    rank === 3 ? (a as JsonValue[]).map((v, i): [string, JsonValue | undefined] => [String(i), v]) : pairs(a);
  const right =
    rank === 3 ? (b as JsonValue[]).map((v, i): [string, JsonValue | undefined] => [String(i), v]) : pairs(b);
  for (let i = 0; i < left.length && i < right.length; i++) {
    const c = (rank === 4 ? compareText(left[i]![0], right[i]![0]) : 0) || compareValues(left[i]![1], right[i]![1]);
    if (c !== 0) return c;
  }
  return left.length - right.length;
}
const pairs = (value: JsonValue | undefined) =>
  Object.entries(value as JsonObject).sort(([a], [b]) => compareText(a, b));
