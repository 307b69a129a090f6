/** Fields and elements of values, plain and optional. */
import {
  CelError,
  ListValue,
  MapValue,
  noSuchKey,
  noSuchOverload,
  OptionalValue,
  show,
  UintValue,
  type Value,
} from './values.ts';
import { StructValue } from './structs.ts';

/** `a.b`. Throws CelError when there is no such key. */
export function getField(value: Value, field: string): Value {
  if (value instanceof MapValue) {
    const found = value.get(field);
    if (found === undefined) throw noSuchKey(field);
    return found;
  }
  if (value instanceof StructValue) {
    const found = value.fields.get(field);
    if (found === undefined) throw noSuchKey(field);
    return found;
  }
  if (value instanceof OptionalValue) return optionalItem(value, field);
  throw noSuchOverload();
}

/** A position in a list: an int, a uint, or a double that is whole. */
function position(key: Value): number {
  if (typeof key === 'bigint') return Number(key);
  if (key instanceof UintValue) return Number(key.value);
  if (typeof key === 'number' && Number.isInteger(key)) return key;
  throw new CelError(`unsupported index type '${show(key)}' in list`);
}

/** `a[i]`. Throws CelError when there is no such key or position. */
export function getItem(value: Value, key: Value): Value {
  if (value instanceof ListValue) {
    const i = position(key);
    if (i < 0 || i >= value.size) throw new CelError(`index out of bounds: ${show(key)}`);
    return value.get(i);
  }
  if (value instanceof MapValue) {
    const found = value.get(key);
    if (found === undefined) throw noSuchKey(key);
    return found;
  }
  if (value instanceof OptionalValue) return optionalItem(value, key);
  throw noSuchOverload();
}

/** `a.?b`, `a[?i]`: what isn't there is none. */
export function optionalItem(value: Value, key: Value): Value {
  if (value instanceof OptionalValue) return value.value === undefined ? value : optionalItem(value.value, key);
  if (value instanceof ListValue) {
    const i = position(key);
    return i < 0 || i >= value.size ? OptionalValue.NONE : new OptionalValue(value.get(i));
  }
  if (value instanceof MapValue) {
    const found = value.get(key);
    return found === undefined ? OptionalValue.NONE : new OptionalValue(found);
  }
  throw noSuchOverload();
}

/** Elements, or pairs of index or key and value. */
export function* iterate(over: Value, two: boolean): Generator<readonly [Value, Value]> {
  if (over instanceof ListValue) {
    for (let i = 0; i < over.size; i++) {
      const value = over.get(i);
      yield two ? [BigInt(i), value] : [value, value];
    }
  } else if (over instanceof MapValue) {
    for (const key of over.keys()) yield [key, two ? over.get(key)! : key];
  } else throw noSuchOverload();
}
