/** Plain JSON seen as CEL values, without a copy; a declared type says what strings and numbers stand for. */
import type { JsonObject, JsonValue } from '../types.ts';
import { formatDuration, formatTimestamp, parseDuration, parseTimestamp } from './times.ts';
import {
  ArrayList,
  CelError,
  DurationValue,
  equals,
  ListValue,
  MapValue,
  OptionalValue,
  TimestampValue,
  UintValue,
  type Value,
} from './values.ts';

/** The most elements, characters or bytes that a value can have; for cost estimates. */
interface Sized {
  readonly max?: number;
}
/** What a value is declared to be. */
export type DeclType =
  | ({
      readonly kind: 'dyn' | 'bool' | 'int' | 'double' | 'string' | 'bytes' | 'timestamp' | 'date' | 'duration';
    } & Sized)
  | ({
      readonly kind: 'list';
      readonly items: DeclType;
      readonly listType?: 'atomic' | 'set' | 'map';
      readonly mapKeys?: readonly string[];
    } & Sized)
  | ({ readonly kind: 'map'; readonly values: DeclType } & Sized)
  | { readonly kind: 'object'; readonly name: string; readonly fields: ReadonlyMap<string, DeclType> }
  | { readonly kind: 'optional'; readonly of: DeclType }
  /** What an expression made (`Object`, `JSONPatch`); no JSON is of this type. */
  | { readonly kind: 'struct'; readonly name: string };

export const DYN: DeclType = { kind: 'dyn' };

const KEYWORDS = new Set([
  'true',
  'false',
  'null',
  'in',
  'as',
  'break',
  'const',
  'continue',
  'else',
  'for',
  'function',
  'if',
  'import',
  'let',
  'loop',
  'package',
  'namespace',
  'return',
  'var',
  'void',
  'while',
]);
/** The name under which CEL sees a property that isn't an identifier: `__dot__`, `__dash__` ... */
export function escapeField(name: string): string {
  if (KEYWORDS.has(name)) return `__${name}__`;
  return name.replace(/__|[.\-/]/g, (c) =>
    c === '__' ? '__underscores__' : c === '.' ? '__dot__' : c === '-' ? '__dash__' : '__slash__',
  );
}

/** The field that a name stands for: `a__dot__b` is `a.b`, `__in__` is `in`. */
export function unescapeField(name: string): string {
  if (!name.includes('__')) return name;
  const keyword = /^__([a-z]+)__$/.exec(name)?.[1];
  if (keyword !== undefined && KEYWORDS.has(keyword)) return keyword;
  return name.replace(/__(underscores|dot|dash|slash)__/g, (_all, word: string) =>
    word === 'underscores' ? '__' : word === 'dot' ? '.' : word === 'dash' ? '-' : '/',
  );
}

/** A JSON value as what it is declared to be. */
export function fromJson(value: JsonValue | undefined, type: DeclType = DYN): Value {
  if (value === null || value === undefined) return null;
  if (typeof value === 'boolean' || typeof value === 'bigint') return value;
  if (typeof value === 'number') return type.kind === 'double' || !Number.isInteger(value) ? value : BigInt(value);
  if (typeof value === 'string') return fromText(value, type);
  if (Array.isArray(value)) return new JsonList(value, type.kind === 'list' ? type : undefined);
  return new JsonMap(value, type.kind === 'map' || type.kind === 'object' ? type : undefined);
}
function fromText(text: string, type: DeclType): Value {
  switch (type.kind) {
    case 'bytes':
      return Uint8Array.from(Buffer.from(text, 'base64'));
    case 'duration':
      return parseDuration(text);
    case 'timestamp':
      return parseTimestamp(text);
    case 'date':
      return parseTimestamp(`${text}T00:00:00Z`);
    default:
      return text;
  }
}

class JsonList extends ListValue {
  readonly json: readonly JsonValue[];
  readonly type: Extract<DeclType, { kind: 'list' }> | undefined;
  constructor(json: readonly JsonValue[], type: Extract<DeclType, { kind: 'list' }> | undefined) {
    super();
    this.json = json;
    this.type = type;
  }
  get size(): number {
    return this.json.length;
  }
  get(index: number): Value {
    return fromJson(this.json[index], this.type?.items);
  }

  /** What tells items of a set or of a list with keys apart; undefined for other lists. */
  #identity(): ((item: Value) => Value) | undefined {
    if (this.type?.listType === 'set') return (item) => item;
    if (this.type?.listType !== 'map') return undefined;
    const names = (this.type.mapKeys ?? []).map(escapeField);
    return (item) => new ArrayList(names.map((n) => (item instanceof MapValue ? (item.get(n) ?? null) : null)));
  }

  override equalTo(other: ListValue): boolean {
    const identity = this.#identity();
    if (identity === undefined) return super.equalTo(other);
    if (this.size !== other.size) return false;
    const theirs = [...other];
    return [...this].every((item) => {
      const key = identity(item);
      const twin = theirs.find((t) => equals(identity(t), key));
      return twin !== undefined && equals(item, twin);
    });
  }

  /** Items of both; where both have one, the other's stands in this one's place. */
  override concat(other: ListValue): ListValue {
    const identity = this.#identity();
    if (identity === undefined) return super.concat(other);
    const out = [...this];
    for (const item of other) {
      const key = identity(item);
      const at = out.findIndex((o) => equals(identity(o), key));
      if (at < 0) out.push(item);
      else out[at] = item;
    }
    return new ArrayList(out);
  }
}

class JsonMap extends MapValue {
  readonly json: JsonObject;
  readonly #type: Extract<DeclType, { kind: 'map' | 'object' }> | undefined;
  constructor(json: JsonObject, type: Extract<DeclType, { kind: 'map' | 'object' }> | undefined) {
    super();
    this.json = json;
    this.#type = type;
  }
  get size(): number {
    return Object.keys(this.json).length;
  }
  get(key: Value): Value | undefined {
    if (typeof key !== 'string') return undefined;
    const type = this.#type;
    const name = type?.kind === 'object' ? unescapeField(key) : key;
    const value = Object.hasOwn(this.json, name) ? this.json[name] : undefined;
    if (value === undefined) return undefined;
    if (type?.kind !== 'object') return fromJson(value, type?.values);
    const field = type.fields.get(key);
    if (field === undefined) return undefined;
    // An absent and a null field are the same to rules, as pruning and defaulting see them.
    return fromJson(value, field);
  }
  *keys(): Generator<Value> {
    const object = this.#type?.kind === 'object';
    for (const key of Object.keys(this.json)) yield object ? escapeField(key) : key;
  }
}

/** A CEL value as JSON (for mutations, audit annotations). Throws CelError for what JSON doesn't have. */
export function toJson(value: Value): JsonValue {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new CelError('not a JSON number');
    return value;
  }
  if (value instanceof UintValue) return toJson(value.value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof JsonMap) return value.json;
  if (value instanceof JsonList) return value.json as JsonValue[];
  if (value instanceof ListValue) return [...value].map(toJson);
  if (value instanceof MapValue) {
    const out: JsonObject = {};
    for (const key of value.keys()) {
      if (typeof key !== 'string') throw new CelError('map keys must be strings');
      out[key] = toJson(value.get(key)!);
    }
    return out;
  }
  if (value instanceof TimestampValue) return formatTimestamp(value);
  if (value instanceof DurationValue) return formatDuration(value);
  if (value instanceof OptionalValue) return value.value === undefined ? null : toJson(value.value);
  throw new CelError('a value of this type has no JSON form');
}
