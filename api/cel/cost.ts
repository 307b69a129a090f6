/** What evaluation costs, in the units of cel-go and kube-apiserver's own libraries. */
import { ListValue, MapValue, OpaqueValue, OptionalValue, stringSize, type Value } from './values.ts';

/** Cost of one expression's evaluation that kube-apiserver allows. */
export const PER_CALL_LIMIT = 1_000_000;
/** Cost of all rules on one custom resource together. */
export const RUNTIME_CEL_COST_BUDGET = 10_000_000;

export const LIST_CREATE_COST = 10;
export const MAP_CREATE_COST = 30;
export const STRUCT_CREATE_COST = 40;
const STRING_FACTOR = 0.1;
const REGEX_FACTOR = 0.25;

/** The budget is used up: no `||` absorbs this. */
export class CostLimitError extends Error {
  constructor() {
    super('operation cancelled: actual cost limit exceeded');
    this.name = 'CostLimitError';
  }
}

/** How much there is of a value: characters, bytes, elements; 1 for what has no parts. */
export function sizeOf(value: Value): number {
  if (typeof value === 'string') return stringSize(value);
  if (typeof value !== 'object' || value === null) return 1;
  if (value instanceof Uint8Array) return value.length;
  if (value instanceof ListValue || value instanceof MapValue) return value.size;
  return value instanceof OptionalValue && value.value !== undefined ? sizeOf(value.value) : 1;
}
const textCost = (size: number): number => Math.ceil(size * STRING_FACTOR);
const regexCost = (text: Value, pattern: Value): number =>
  Math.ceil((1 + sizeOf(text)) * STRING_FACTOR) * Math.ceil(sizeOf(pattern) * REGEX_FACTOR);

/** One unit for each element, strings by their length. */
function traversal(value: Value): number {
  if (typeof value === 'string' || value instanceof Uint8Array) return textCost(sizeOf(value));
  if (!(value instanceof ListValue)) return 1;
  let cost = 0;
  for (const item of value) cost += traversal(item);
  return cost;
}

type CostRule = (args: readonly Value[], result: Value, overload: string) => number;
const first: CostRule = ([a]) => textCost(sizeOf(a!));
const firstTwice: CostRule = ([a]) => Math.ceil(sizeOf(a!) * 2 * STRING_FACTOR);
const walk: CostRule = ([a]) => traversal(a!);
const find: CostRule = ([text, pattern]) => regexCost(text!, pattern!);
const smaller: CostRule = ([a, b]) => textCost(Math.min(sizeOf(a!), sizeOf(b!)));
const pairs: CostRule = ([a, b]) => 1 + sizeOf(a!) * sizeOf(b!);
const isText = (v: Value | undefined): boolean => typeof v === 'string' || v instanceof Uint8Array;
const ordered: CostRule = (args, result, overload) =>
  isText(args[0]) && isText(args[1]) ? smaller(args, result, overload) : 1;
/** Functions that make a list: the call, the list, and `factor` for each step. */
const allocating = (steps: number, factor = 1): number => Math.floor(steps * factor) + 1 + LIST_CREATE_COST;
const output: CostRule = (_args, result) => allocating(sizeOf(result));
/** Everything compared with everything. */
const selfCompare = (list: Value): number => {
  const factor = list instanceof ListValue && list.size > 0 && isText(list.get(0)) ? 2 + STRING_FACTOR : 2;
  return allocating(sizeOf(list) ** 2, factor);
};
const selector: CostRule = ([, s]) => {
  const size = sizeOf(s!);
  return LIST_CREATE_COST + textCost(size) + Math.ceil(Math.ceil(size * 0.5) * (LIST_CREATE_COST + STRUCT_CREATE_COST));
};

/** Functions that cost something else than 1. */
const RULES: Readonly<Record<string, CostRule>> = {
  check: () => 350_000,
  fieldSelector: selector,
  labelSelector: selector,
  isSorted: walk,
  sum: walk,
  max: walk,
  min: walk,
  indexOf: walk,
  lastIndexOf: walk,
  slice: output,
  reverse: output,
  'lists.range': output,
  flatten: ([list, depth]) => allocating(sizeOf(list!), depth === undefined ? 1 : Number(depth)),
  distinct: ([list]) => selfCompare(list!),
  sort: ([list]) => selfCompare(list!),
  '@sortByAssociatedKeys': ([, keys]) => selfCompare(keys!),
  url: first,
  lowerAscii: first,
  upperAscii: first,
  substring: first,
  trim: first,
  'jsonpatch.escapeKey': first,
  replace: firstTwice,
  split: firstTwice,
  join: (_args, result) => Math.ceil(sizeOf(result) * 2 * STRING_FACTOR),
  find,
  findAll: find,
  matches: find,
  cidr: first,
  isIP: first,
  isCIDR: first,
  ip: (args, result, overload) => (overload === 'cidr_ip' ? 1 : first(args, result, overload)),
  'ip.isCanonical': firstTwice,
  containsIP: ([cidr, other], _result, overload) =>
    Math.ceil(2 * sizeOf(cidr!) * STRING_FACTOR) +
    (overload === 'cidr_contains_ip_string' ? textCost(sizeOf(other!)) : 0),
  containsCIDR: ([cidr, other], _result, overload) =>
    Math.ceil(2 * sizeOf(cidr!) * STRING_FACTOR) +
    textCost(sizeOf(cidr!)) +
    1 +
    (overload === 'cidr_contains_cidr_string' ? textCost(sizeOf(other!)) : 0),
  quantity: first,
  isQuantity: first,
  semver: first,
  isSemver: first,
  startsWith: ([, prefix]) => textCost(sizeOf(prefix!)),
  endsWith: ([, suffix]) => textCost(sizeOf(suffix!)),
  contains: ([text, part]) => textCost(sizeOf(text!)) * textCost(sizeOf(part!)),
  'sets.contains': pairs,
  'sets.intersects': pairs,
  'sets.equivalent': ([a, b]) => 1 + 2 * sizeOf(a!) * sizeOf(b!),
  format: first,
  '@in': ([, range]) => (range instanceof ListValue ? range.size : 1),
  '_==_': (args, result, overload) => (args[0] instanceof OpaqueValue ? 1 : smaller(args, result, overload)),
  '_!=_': smaller,
  '_<_': ordered,
  '_<=_': ordered,
  '_>_': ordered,
  '_>=_': ordered,
  '_+_': ([a, b]) => (isText(a) && isText(b) ? textCost(sizeOf(a!) + sizeOf(b!)) : 1),
  bytes: ([a]) => (typeof a === 'string' ? textCost(sizeOf(a)) : 1),
  string: ([a]) => (a instanceof Uint8Array ? textCost(sizeOf(a)) : 1),
};

/** The cost of a call that gave `result`. */
export function callCost(name: string, overload: string, args: readonly Value[], result: Value): number {
  const rule = RULES[name];
  if (rule !== undefined) return rule(args, result, overload);
  if (name === 'validate') {
    const size = (args[0] as { maxRegexSize?: number }).maxRegexSize ?? 0;
    return Math.ceil((1 + sizeOf(args[1]!)) * STRING_FACTOR) * Math.ceil(size * REGEX_FACTOR);
  }
  return 1;
}
