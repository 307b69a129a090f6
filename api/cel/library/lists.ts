/** kube-apiserver's list functions, cel-go's list extension (version 3) and sets. */
import { type Functions, fn, method } from '../functions.ts';
import {
  ArrayList,
  CelError,
  compare,
  DurationValue,
  equals,
  int,
  ListValue,
  noSuchOverload,
  UintValue,
  type Value,
} from '../values.ts';

const before = (a: Value, b: Value): boolean => (compare(a, b) ?? 0) < 0;

function extreme(list: ListValue, name: string, better: (a: Value, b: Value) => boolean): Value {
  if (list.size === 0) throw new CelError(`${name} called on empty list`);
  let out = list.get(0);
  for (const item of list) if (better(item, out)) out = item;
  return out;
}
function sum(list: ListValue): Value {
  let out: Value = 0n;
  let first = true;
  for (const item of list) {
    if (first) out = item;
    else if (typeof item === 'bigint' && typeof out === 'bigint') out = int(out + item);
    else if (typeof item === 'number' && typeof out === 'number') out += item;
    else if (item instanceof UintValue && out instanceof UintValue) out = new UintValue(out.value + item.value);
    else if (item instanceof DurationValue && out instanceof DurationValue)
      out = new DurationValue(out.nanos + item.nanos);
    else throw noSuchOverload();
    first = false;
  }
  return out;
}
function isSorted(list: ListValue): boolean {
  for (let i = 1; i < list.size; i++) if (before(list.get(i), list.get(i - 1))) return false;
  return true;
}
function find(list: ListValue, value: Value, last: boolean): bigint {
  let found = -1;
  for (let i = 0; i < list.size && (last || found < 0); i++) if (equals(list.get(i), value)) found = i;
  return BigInt(found);
}
function flatten(list: ListValue, depth: number): Value[] {
  const out: Value[] = [];
  for (const item of list) {
    if (item instanceof ListValue && depth > 0) out.push(...flatten(item, depth - 1));
    else out.push(item);
  }
  return out;
}
function slice(list: ListValue, from: bigint, to: bigint): ListValue {
  if (from < 0n || to < 0n) throw new CelError(`cannot slice(${from}, ${to}), negative indexes not supported`);
  if (from > to)
    throw new CelError(`cannot slice(${from}, ${to}), start index must be less than or equal to end index`);
  if (to > BigInt(list.size)) throw new CelError(`cannot slice(${from}, ${to}), list is length ${list.size}`);
  return new ArrayList([...list].slice(Number(from), Number(to)));
}
function distinct(list: ListValue): ListValue {
  const out: Value[] = [];
  for (const item of list) if (!out.some((o) => equals(o, item))) out.push(item);
  return new ArrayList(out);
}
const includes = (list: ListValue, value: Value): boolean => {
  for (const item of list) if (equals(item, value)) return true;
  return false;
};
const containsAll = (list: ListValue, parts: ListValue): boolean => {
  for (const item of parts) if (!includes(list, item)) return false;
  return true;
};
const MAX_RANGE = 1_000_000n;

export const LISTS: Functions = {
  isSorted: [method('list_is_sorted_bool', ['list'], 'bool', isSorted)],
  sum: [method('list_sum', ['list'], 'any', sum)],
  min: [method('list_min', ['list'], 'any', (l: ListValue) => extreme(l, 'min', before))],
  max: [method('list_max', ['list'], 'any', (l: ListValue) => extreme(l, 'max', (a, b) => before(b, a)))],
  indexOf: [method('list_a_index_of_int', ['list', 'any'], 'int', (l: ListValue, v: Value) => find(l, v, false))],
  lastIndexOf: [
    method('list_a_last_index_of_int', ['list', 'any'], 'int', (l: ListValue, v: Value) => find(l, v, true)),
  ],
  slice: [method('list_slice', ['list', 'int', 'int'], 'list', slice)],
  flatten: [
    method('list_flatten', ['list'], 'list', (l: ListValue) => new ArrayList(flatten(l, 1))),
    method('list_flatten_int', ['list', 'int'], 'list', (l: ListValue, n: bigint) => {
      if (n < 0n) throw new CelError('level must be non-negative');
      return new ArrayList(flatten(l, Number(n)));
    }),
  ],
  distinct: [method('list_distinct', ['list'], 'list', distinct)],
  reverse: [method('list_reverse', ['list'], 'list', (l: ListValue) => new ArrayList([...l].reverse()))],
  sort: [
    method(
      'list_sort',
      ['list'],
      'list',
      (l: ListValue) => new ArrayList([...l].sort((a, b) => (before(a, b) ? -1 : before(b, a) ? 1 : 0))),
    ),
  ],
  '@sortByAssociatedKeys': [
    method('list_sortByAssociatedKeys', ['list', 'list'], 'list', (l: ListValue, keys: ListValue) => {
      const order = [...keys].map((key, i) => ({ key, i }));
      order.sort((a, b) => (before(a.key, b.key) ? -1 : before(b.key, a.key) ? 1 : 0));
      return new ArrayList(order.map(({ i }) => l.get(i)));
    }),
  ],
  'lists.range': [
    fn('lists_range', ['int'], 'list', (n: bigint) => {
      if (n > MAX_RANGE) throw new CelError('range too long');
      return new ArrayList(Array.from({ length: Math.max(0, Number(n)) }, (_, i) => BigInt(i)));
    }),
  ],
  'sets.contains': [fn('list_sets_contains_list', ['list', 'list'], 'bool', containsAll)],
  'sets.equivalent': [
    fn(
      'list_sets_equivalent_list',
      ['list', 'list'],
      'bool',
      (a: ListValue, b: ListValue) => containsAll(a, b) && containsAll(b, a),
    ),
  ],
  'sets.intersects': [
    fn('list_sets_intersects_list', ['list', 'list'], 'bool', (a: ListValue, b: ListValue) => {
      for (const item of b) if (includes(a, item)) return true;
      return false;
    }),
  ],
};
