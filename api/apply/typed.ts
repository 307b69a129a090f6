/** Operations on values of a type: the fields a configuration names, merging one in, taking fields out. */
import { isObject, setKey } from '../patch/value.ts';
import type { DeepReadonly, JsonObject, JsonValue } from '../types.ts';
import { index } from './compare.ts';
import { comparePathElements, compareText } from './path-element.ts';
import { asMember, type FieldSet, hasChildren, isMember, LEAF, type MutableFieldSet, SELF } from './set.ts';
import { ANY, itemElement, type ListShape, type Plan, type Shape } from './shape.ts';

type Value = JsonValue | undefined;

/** The fields that an applied configuration names. */
export function fieldSetOf(plan: Plan, config: JsonObject): FieldSet {
  return named({ kind: 'object', plan }, config) ?? LEAF;
}

const isVoidObject = (value: JsonValue): boolean => isObject(value) && Object.keys(value).length === 0;

/** The node for a value: leaves are members; of the rest only what is below (the caller knows about the path itself). */
function named(shape: Shape, value: JsonValue): FieldSet | undefined {
  if (shape.kind === 'leaf') return LEAF;
  if (Array.isArray(value)) return shape.kind === 'list' ? namedItems(shape, value) : LEAF;
  if (!isObject(value)) return value === null ? undefined : LEAF;
  let out: MutableFieldSet | undefined;
  for (const key of Object.keys(value).sort(compareText)) {
    const v = value[key];
    if (v === undefined) continue;
    const field = shape.kind === 'object' ? shape.plan.field(key) : undefined;
    const inner = field?.shape ?? (shape.kind === 'map' ? shape.values : ANY);
    let node = named(inner, v);
    if (field === undefined || v === null || isVoidObject(v)) node = asMember(node);
    if (node !== undefined) (out ??= {})[`f:${key}`] = node;
  }
  return out;
}

function namedItems(shape: ListShape, list: readonly JsonValue[]): FieldSet | undefined {
  const items = index(shape, list);
  if (items.size === 0) return undefined;
  const out: MutableFieldSet = {};
  for (const element of [...items.keys()].sort(comparePathElements)) {
    const same = items.get(element)!;
    out[element] = same.length === 1 ? asMember(named(shape.items, same[0]!)) : LEAF;
  }
  return out;
}

/** The live object with the configuration merged in. Keys keep the live object's order; inputs stay as they are. */
export function mergeConfig(plan: Plan, live: DeepReadonly<JsonObject>, config: JsonObject): JsonObject {
  return merge({ kind: 'object', plan }, live as JsonObject, config) as JsonObject;
}

function merge(shape: Shape, l: Value, r: Value): Value {
  if (l === undefined || shape.kind === 'leaf') return r ?? (r === null ? null : l);
  if (r === undefined) return l;
  if (shape.kind === 'list') {
    const left = Array.isArray(l) ? l : [];
    const right = Array.isArray(r) ? r : [];
    if (left.length === 0 && right.length === 0) return r;
    return mergeItems(shape, left, right);
  }
  if (shape.kind === 'any' && !(isObject(l) && isObject(r)) && !(r === null && isObject(l))) return r;
  const left = isObject(l) ? l : {};
  const right = isObject(r) ? r : {};
  if (isVoidObject(left) && isVoidObject(right)) return r;
  const out: JsonObject = { ...left };
  for (const key of Object.keys(right)) {
    const inner =
      shape.kind === 'object' ? (shape.plan.field(key)?.shape ?? ANY) : shape.kind === 'map' ? shape.values : ANY;
    const value = merge(inner, Object.hasOwn(left, key) ? left[key] : undefined, right[key]);
    if (value !== undefined) setKey(out, key, value);
  }
  return out;
}

/** Items of both lists: the live order where the configuration is silent, the configuration's for its own items. */
function mergeItems(shape: ListShape, left: readonly JsonValue[], right: readonly JsonValue[]): JsonValue[] {
  const rhs = right.map((item) => itemElement(shape, item));
  const lhs = left.map((item) => itemElement(shape, item));
  const config = new Map(rhs.map((element, i) => [element, right[i]!]));
  const live = new Map<string, Value>();
  // Items with the same keys aren't merged with anything.
  lhs.forEach((element, i) => live.set(element, live.has(element) ? undefined : left[i]));
  const shared = rhs.filter((element) => live.has(element));
  let next = 0;
  const merged = new Set<string>();
  const out: JsonValue[] = [];
  const take = (element: string): void => {
    merged.add(element);
    out.push(merge(shape.items, live.get(element), config.get(element))!);
    if (shared[next] === element) next++;
  };
  let i = 0;
  let j = 0;
  while (i < lhs.length || j < rhs.length) {
    const l = lhs[i];
    if (l !== undefined && j < rhs.length) {
      if (l === rhs[j]) {
        take(l);
        i++;
        j++;
        continue;
      }
      // Shared, but not the one whose turn it is.
      if (config.has(l) && next < shared.length && shared[next] !== l) {
        i++;
        continue;
      }
    }
    if (l !== undefined) {
      if (!config.has(l)) {
        out.push(left[i]!);
        i++;
        continue;
      }
      if (merged.has(l)) i++;
    }
    if (j < rhs.length) take(rhs[j++]!);
  }
  return out;
}

/** The value without the fields of `set`. */
export function removeFields(plan: Plan, value: JsonObject, set: FieldSet): JsonObject {
  if (!hasChildren(set)) return value;
  const out = remove({ kind: 'object', plan }, value, set);
  return isObject(out) ? out : {};
}

function remove(shape: Shape, value: JsonValue, set: FieldSet): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  if (shape.kind === 'leaf' || (shape.kind === 'any' && Array.isArray(value))) return null;
  if (Array.isArray(value)) {
    if (shape.kind !== 'list') return null;
    const out: JsonValue[] = [];
    for (const item of value) {
      const node = Object.hasOwn(set, itemElement(shape, item)) ? set[itemElement(shape, item)]! : undefined;
      if (node === undefined) out.push(item);
      else if (!isMember(node)) out.push(remove(shape.items, item, node));
    }
    return out.length > 0 ? out : null;
  }
  const out: JsonObject = {};
  let left = 0;
  for (const key of Object.keys(value)) {
    const node = Object.hasOwn(set, `f:${key}`) ? set[`f:${key}`] : undefined;
    if (node !== undefined && isMember(node)) continue;
    const inner =
      shape.kind === 'object' ? (shape.plan.field(key)?.shape ?? ANY) : shape.kind === 'map' ? shape.values : ANY;
    setKey(out, key, node === undefined ? value[key]! : remove(inner, value[key]!, node));
    left++;
  }
  return left > 0 ? out : null;
}

/** Adds every declared field that has members below it, so that a field goes with the last thing in it. */
export function withNamedFields(shape: Shape, set: FieldSet): FieldSet {
  if (shape.kind === 'any' || shape.kind === 'leaf' || !hasChildren(set)) return set;
  const out: MutableFieldSet = {};
  for (const key in set) {
    const node = set[key]!;
    if (key === SELF || !hasChildren(node)) {
      out[key] = node;
      continue;
    }
    const field = shape.kind === 'object' ? shape.plan.field(key.slice(2)) : undefined;
    const inner = field?.shape ?? (shape.kind === 'map' ? shape.values : shape.kind === 'list' ? shape.items : ANY);
    const below = withNamedFields(inner, node);
    out[key] = field !== undefined ? asMember(below) : below;
  }
  return out;
}

/** A set written when something was granular that is atomic by now: whoever owned parts of it owns the whole. */
export function reconcile(shape: Shape, set: FieldSet): FieldSet {
  if (shape.kind === 'any' || shape.kind === 'leaf') return set;
  let out: MutableFieldSet | undefined;
  for (const key in set) {
    const node = set[key]!;
    if (key === SELF || !hasChildren(node)) continue;
    const inner =
      shape.kind === 'object'
        ? shape.plan.field(key.slice(2))?.shape
        : shape.kind === 'map'
          ? shape.values
          : shape.items;
    if (inner === undefined) continue;
    const below = inner.kind === 'leaf' ? (inner.atomic ? LEAF : node) : reconcile(inner, node);
    if (below !== node) (out ??= { ...set })[key] = below;
  }
  return out ?? set;
}
