/**
 * CEL's values. int is bigint, double is number; strings, booleans and null are themselves, bytes are Uint8Array.
 * JSON from outside is seen through views (json-values.ts) and never copied.
 */

/** A failure while evaluating; `&&` and `||` may absorb it. */
export class CelError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'CelError';
  }
}
export const noSuchOverload = (): CelError => new CelError('no such overload');
export const noSuchKey = (key: Value): CelError => new CelError(`no such key: ${show(key)}`);

export const INT_MIN = -(2n ** 63n);
export const INT_MAX = 2n ** 63n - 1n;
export const UINT_MAX = 2n ** 64n - 1n;

/** An unsigned integer; a bigint alone is a signed one. */
export class UintValue {
  readonly value: bigint;
  constructor(value: bigint) {
    if (value < 0n || value > UINT_MAX) throw new CelError('unsigned integer overflow');
    this.value = value;
  }
}

/** Checks the range of an int. */
export function int(value: bigint): bigint {
  if (value < INT_MIN || value > INT_MAX) throw new CelError('integer overflow');
  return value;
}

/** A list; `get` is called with indices in range. */
export abstract class ListValue {
  abstract readonly size: number;
  abstract get(index: number): Value;
  /** Sets and lists with keys compare without regard to order. */
  equalTo(other: ListValue): boolean {
    if (this.size !== other.size) return false;
    for (let i = 0; i < this.size; i++) if (!equals(this.get(i), other.get(i))) return false;
    return true;
  }
  /** `this + other` */
  concat(other: ListValue): ListValue {
    return new ArrayList([...this, ...other]);
  }
  *[Symbol.iterator](): Generator<Value> {
    for (let i = 0; i < this.size; i++) yield this.get(i);
  }
}

/** A list that is all there. */
export class ArrayList extends ListValue {
  readonly items: readonly Value[];
  constructor(items: readonly Value[]) {
    super();
    this.items = items;
  }
  get size(): number {
    return this.items.length;
  }
  get(index: number): Value {
    return this.items[index]!;
  }
}

/** A map or an object with fields. */
export abstract class MapValue {
  abstract readonly size: number;
  /** undefined: no such key. */
  abstract get(key: Value): Value | undefined;
  has(key: Value): boolean {
    return this.get(key) !== undefined;
  }
  abstract keys(): Iterable<Value>;
}
/** Keys that are equal, whatever their number type, have one text. */
export function keyText(key: Value): string {
  switch (typeof key) {
    case 'string':
      return `s${key}`;
    case 'bigint':
      return `n${key}`;
    case 'number':
      return Number.isInteger(key) ? `n${BigInt(key)}` : `d${key}`;
    case 'boolean':
      return `b${key}`;
    default:
      if (key instanceof UintValue) return `n${key.value}`;
      throw new CelError(`unsupported key type: ${typeOf(key).name}`);
  }
}

/** A map written out in an expression. Throws CelError for keys that are doubles or stand twice. */
export class LiteralMap extends MapValue {
  readonly #entries: ReadonlyMap<string, readonly [Value, Value]>;
  constructor(entries: Iterable<readonly [Value, Value]>) {
    super();
    const map = new Map<string, readonly [Value, Value]>();
    for (const [k, v] of entries) {
      if (typeof k === 'number') throw new CelError('unsupported key type: double');
      const text = keyText(k);
      if (map.has(text)) throw new CelError(`Failed with repeated key: ${show(k)}`);
      map.set(text, [k, v]);
    }
    this.#entries = map;
  }
  get size(): number {
    return this.#entries.size;
  }
  get(key: Value): Value | undefined {
    return this.#entries.get(keyText(key))?.[1];
  }
  *keys(): Generator<Value> {
    for (const [k] of this.#entries.values()) yield k;
  }
}

/** Nanoseconds, within the int64 range. */
export class DurationValue {
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    if (nanos < INT_MIN || nanos > INT_MAX) throw new CelError('duration overflow');
    this.nanos = nanos;
  }
}
const TIME_MIN = -62135596800n * 1_000_000_000n;
const TIME_MAX = 253402300800n * 1_000_000_000n;
/** Nanoseconds since the epoch, years 1 to 9999. */
export class TimestampValue {
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    if (nanos < TIME_MIN || nanos >= TIME_MAX) throw new CelError('timestamp overflow');
    this.nanos = nanos;
  }
}

/** A value that may not be there (`optional.none()`). */
export class OptionalValue {
  readonly value: Value | undefined;
  constructor(value: Value | undefined) {
    this.value = value;
  }
  static readonly NONE = new OptionalValue(undefined);
}

/** The type of a value, as `type(x)` gives it. */
export class TypeValue {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** Values that libraries bring: quantities, URLs, addresses, authorizers. */
export abstract class OpaqueValue {
  abstract readonly typeName: string;
  equals(other: Value): boolean {
    return this === other;
  }
}

export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | Uint8Array
  | UintValue
  | ListValue
  | MapValue
  | DurationValue
  | TimestampValue
  | OptionalValue
  | TypeValue
  | OpaqueValue;

const types = new Map<string, TypeValue>();
const named = (name: string): TypeValue => {
  let t = types.get(name);
  if (t === undefined) types.set(name, (t = new TypeValue(name)));
  return t;
};

export function typeOf(value: Value): TypeValue {
  switch (typeof value) {
    case 'bigint':
      return named('int');
    case 'number':
      return named('double');
    case 'string':
      return named('string');
    case 'boolean':
      return named('bool');
    default:
      if (value === null) return named('null_type');
      if (value instanceof Uint8Array) return named('bytes');
      if (value instanceof UintValue) return named('uint');
      if (value instanceof ListValue) return named('list');
      if (value instanceof MapValue) return named('map');
      if (value instanceof DurationValue) return named('google.protobuf.Duration');
      if (value instanceof TimestampValue) return named('google.protobuf.Timestamp');
      if (value instanceof OptionalValue) return named('optional_type');
      if (value instanceof TypeValue) return named('type');
      return named(value.typeName);
  }
}

const isNumber = (v: Value): v is bigint | number | UintValue =>
  typeof v === 'bigint' || typeof v === 'number' || v instanceof UintValue;

/** Orders numbers of any type by value; undefined with NaN. */
function compareNumbers(a: bigint | number | UintValue, b: bigint | number | UintValue): number | undefined {
  let x = a instanceof UintValue ? a.value : a;
  let y = b instanceof UintValue ? b.value : b;
  // With a double on one side both are doubles, as in cel-go: large ints lose their last digits.
  if (typeof x === 'number') y = Number(y);
  else if (typeof y === 'number') x = Number(x);
  return x < y ? -1 : x > y ? 1 : x == y ? 0 : undefined;
}

/** `a == b`: values of different types are unequal, numbers compare by value. */
export function equals(a: Value, b: Value): boolean {
  if (a === b) return true;
  if (isNumber(a)) return isNumber(b) && compareNumbers(a, b) === 0;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (a instanceof ListValue) return b instanceof ListValue && a.equalTo(b);
  if (a instanceof MapValue) return b instanceof MapValue && equalMaps(a, b);
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (a instanceof DurationValue) return b instanceof DurationValue && a.nanos === b.nanos;
  if (a instanceof TimestampValue) return b instanceof TimestampValue && a.nanos === b.nanos;
  if (a instanceof TypeValue) return b instanceof TypeValue && a.name === b.name;
  if (a instanceof OptionalValue) {
    if (!(b instanceof OptionalValue)) return false;
    return a.value === undefined || b.value === undefined ? a.value === b.value : equals(a.value, b.value);
  }
  return a instanceof OpaqueValue && a.equals(b);
}
function equalMaps(a: MapValue, b: MapValue): boolean {
  if (a.size !== b.size) return false;
  for (const key of a.keys()) {
    const other = b.get(key);
    if (other === undefined || !equals(a.get(key)!, other)) return false;
  }
  return true;
}

/** `<` and friends; throws for what has no order. NaN is less and greater than nothing (undefined). */
export function compare(a: Value, b: Value): number | undefined {
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b);
  if (typeof a === 'string' && typeof b === 'string') return compareStrings(a, b);
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  if (a instanceof DurationValue && b instanceof DurationValue)
    return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
  if (a instanceof TimestampValue && b instanceof TimestampValue) {
    return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
  }
  throw noSuchOverload();
}

const SURROGATE = /[\ud800-\udfff]/;
/** Orders by code points. */
export function compareStrings(a: string, b: string): number {
  if (SURROGATE.test(a) || SURROGATE.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return a < b ? -1 : a > b ? 1 : 0;
}
/** Code points of a string. */
export const codePoints = (s: string): string[] => (SURROGATE.test(s) ? Array.from(s) : s.split(''));
export const stringSize = (s: string): number => (SURROGATE.test(s) ? Array.from(s).length : s.length);

/** For messages. */
export function show(value: Value): string {
  if (
    typeof value === 'string' ||
    typeof value === 'bigint' ||
    typeof value === 'number' ||
    typeof value === 'boolean'
  ) {
    return String(value);
  }
  if (value === null) return 'null';
  if (value instanceof UintValue) return value.value.toString();
  return typeOf(value).name;
}
