/** What overloads want and give beyond their declared types, for the checker. */
import { patternOf } from './regex.ts';
import { parseDuration, parseTimestamp } from './times.ts';
import { type CelType, isDyn, join, listOf, mapOf, optionalOf, T } from './types.ts';

export const NUMERIC: ReadonlySet<string> = new Set(['int', 'uint', 'double']);
export const ORDERED: ReadonlySet<string> = new Set(['bool', 'bytes', 'duration', 'string', 'timestamp']);

/** Results that depend on the arguments; the rest say theirs in their declaration. */
export const RESULTS: Readonly<Record<string, (args: readonly CelType[]) => CelType>> = {
  add_list: ([a, b]) => join(a!, b!) ?? listOf(T.dyn),
  list_min: ([l]) => itemsOf(l!),
  list_max: ([l]) => itemsOf(l!),
  list_sum: ([l]) => itemsOf(l!),
  list_slice: ([l]) => l!,
  list_sort: ([l]) => l!,
  list_sortByAssociatedKeys: ([l]) => l!,
  list_distinct: ([l]) => l!,
  list_reverse: ([l]) => l!,
  lists_range: () => listOf(T.int),
  string_split_string: () => listOf(T.string),
  string_split_string_int: () => listOf(T.string),
  string_find_all_string: () => listOf(T.string),
  string_find_all_string_int: () => listOf(T.string),
  url_get_query: () => mapOf(T.string, listOf(T.string)),
  optional_of: ([v]) => optionalOf(v!),
  optional_ofNonZeroValue: ([v]) => optionalOf(v!),
  optional_none: () => optionalOf(T.free),
  optional_value: ([o]) => (o!.kind === 'optional' ? o!.of : T.dyn),
  'format-named': () => optionalOf({ kind: 'opaque', name: 'kubernetes.NamedFormat' }),
  'format-validate': () => optionalOf(listOf(T.string)),
  type: ([v]) => ({ kind: 'type', of: v! }),
};
/** What overloads want of their arguments besides the outer types. */
const COMPARABLE: ReadonlySet<string> = new Set([...ORDERED, ...NUMERIC]);
const itemsIn =
  (kinds: ReadonlySet<string>) =>
  ([l]: readonly CelType[]) =>
    isDyn(itemsOf(l!)) || kinds.has(itemsOf(l!).kind);
const sameItems = ([a, b]: readonly CelType[]) => join(a!, b!) !== undefined;
const strings = itemsIn(new Set(['string']));
export const CONSTRAINTS: Readonly<Record<string, (args: readonly CelType[]) => boolean>> = {
  list_sum: itemsIn(new Set([...NUMERIC, 'duration'])),
  list_min: itemsIn(COMPARABLE),
  list_max: itemsIn(COMPARABLE),
  list_sort: itemsIn(COMPARABLE),
  list_is_sorted_bool: itemsIn(COMPARABLE),
  list_join: strings,
  list_join_string: strings,
  list_flatten: itemsIn(new Set(['list'])),
  list_flatten_int: itemsIn(new Set(['list'])),
  list_a_index_of_int: ([l, v]) => join(itemsOf(l!), v!) !== undefined,
  list_a_last_index_of_int: ([l, v]) => join(itemsOf(l!), v!) !== undefined,
  list_sets_contains_list: sameItems,
  list_sets_equivalent_list: sameItems,
  list_sets_intersects_list: sameItems,
};
/** Literal arguments that must be what they are read as. */
export const LITERALS: Readonly<Record<string, { at: number; read(text: string): unknown }>> = {
  timestamp: { at: 0, read: parseTimestamp },
  duration: { at: 0, read: parseDuration },
  matches: { at: 1, read: patternOf },
};
const itemsOf = (l: CelType): CelType => (l.kind === 'list' ? l.items : T.dyn);
