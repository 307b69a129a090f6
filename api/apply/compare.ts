/** What changed between two objects of one type, as sets of fields. */
import { isObject, jsonEqual } from '../patch/value.ts';
import type { DeepReadonly, JsonObject, JsonValue } from '../types.ts';
import { comparePathElements, compareText } from './path-element.ts';
import { type FieldSet, LEAF, type MutableFieldSet, SELF } from './set.ts';
import { ANY, itemElement, type ListShape, type Plan, type Shape } from './shape.ts';

export interface Comparison {
  /** Fields that are new or have another value. */
  readonly changed: FieldSet;
  /** Fields that are gone. */
  readonly removed: FieldSet;
}

type Value = JsonValue | undefined;
type Items = Map<string, JsonValue[]>;

// The outcome of the last call of `diff`: nodes below the path it was called for, and whether that path itself changed.
let changedNode: FieldSet | undefined;
let removedNode: FieldSet | undefined;

/** Compares two objects; metadata.managedFields is left out. Throws FieldPathError for items without keys. */
export function compare(plan: Plan, before: DeepReadonly<JsonObject>, after: DeepReadonly<JsonObject>): Comparison {
  diffObject(plan, before as JsonObject, after as JsonObject);
  return { changed: changedNode ?? LEAF, removed: removedNode ?? LEAF };
}

/** Both values are there; they differ as references. */
function diff(shape: Shape, l: JsonValue, r: JsonValue): void {
  changedNode = removedNode = undefined;
  switch (shape.kind) {
    case 'leaf':
      if (!jsonEqual(l, r)) changedNode = LEAF;
      return;
    case 'any':
      diffAny(l, r);
      return;
    case 'list': {
      const left = Array.isArray(l) ? l : [];
      const right = Array.isArray(r) ? r : [];
      if (left.length === 0 && right.length === 0) {
        if (!jsonEqual(l, r)) changedNode = LEAF;
      } else diffList(shape, left, right);
      return;
    }
    default: {
      const left = isObject(l) ? l : {};
      const right = isObject(r) ? r : {};
      if (isVoid(left) && isVoid(right)) {
        if (!jsonEqual(l, r)) changedNode = LEAF;
      } else if (shape.kind === 'object') diffObject(shape.plan, left, right);
      else diffMap(shape.values, left, right);
    }
  }
}

function isVoid(object: JsonObject): boolean {
  for (const _ in object) return false;
  return true;
}

class Collector {
  changed: MutableFieldSet | undefined;
  removed: MutableFieldSet | undefined;

  add(element: string, shape: Shape, l: Value, r: Value): void {
    if (l === r) return;
    if (l === undefined) (this.changed ??= {})[element] = everything(shape, r!);
    else if (r === undefined) (this.removed ??= {})[element] = everything(shape, l);
    else {
      diff(shape, l, r);
      if (changedNode !== undefined) (this.changed ??= {})[element] = changedNode;
      if (removedNode !== undefined) (this.removed ??= {})[element] = removedNode;
    }
  }
  done(): void {
    changedNode = this.changed;
    removedNode = this.removed;
  }
}

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';

function diffObject(plan: Plan, l: JsonObject, r: JsonObject): void {
  const out = new Collector();
  if (plan.open) {
    for (const key of allKeys(l, r)) out.add(`f:${key}`, plan.field(key)?.shape ?? ANY, own(l, key), own(r, key));
  } else {
    const meta = plan.type.name === OBJECT_META;
    for (const f of plan.fields) {
      const left = l[f.name];
      const right = r[f.name];
      if (left !== right && !(meta && f.name === 'managedFields')) out.add(f.element, f.shape, left, right);
    }
  }
  out.done();
}

function diffMap(values: Shape, l: JsonObject, r: JsonObject): void {
  const out = new Collector();
  for (const key of allKeys(l, r)) out.add(`f:${key}`, values, own(l, key), own(r, key));
  out.done();
}

function diffAny(l: JsonValue, r: JsonValue): void {
  const left = isObject(l) ? l : undefined;
  const right = isObject(r) ? r : undefined;
  if (left === undefined && right === undefined) {
    if (!jsonEqual(l, r)) changedNode = LEAF;
  } else if (left !== undefined && right !== undefined) {
    if (!isVoid(left) || !isVoid(right)) diffMap(ANY, left, right);
  } else if (l === null || r === null) {
    if (isVoid(left ?? right!)) changedNode = LEAF;
    else diffMap(ANY, left ?? {}, right ?? {});
  } else {
    // An object became a scalar or a list, or the other way round: the path changes, and all below it comes or goes.
    diffMap(ANY, left ?? {}, right ?? {});
    changedNode = changedNode === undefined ? LEAF : { [SELF]: LEAF, ...changedNode };
  }
}

const own = (object: JsonObject, key: string): Value => (Object.hasOwn(object, key) ? object[key] : undefined);

function allKeys(l: JsonObject, r: JsonObject): string[] {
  const keys = Object.keys(l);
  for (const key of Object.keys(r)) if (!Object.hasOwn(l, key)) keys.push(key);
  return keys.sort(compareText);
}

/** The items by their path elements; more than one where keys are given twice. */
export function index(shape: ListShape, list: readonly JsonValue[]): Items {
  const items: Items = new Map();
  for (const item of list) {
    const element = itemElement(shape, item);
    const same = items.get(element);
    if (same === undefined) items.set(element, [item]);
    else same.push(item);
  }
  return items;
}

function diffList(shape: ListShape, l: JsonValue[], r: JsonValue[]): void {
  const left = index(shape, l);
  const right = index(shape, r);
  const elements = [...left.keys()];
  for (const element of right.keys()) if (!left.has(element)) elements.push(element);
  elements.sort(comparePathElements);
  const out = new Collector();
  for (const element of elements) {
    const a = left.get(element) ?? [];
    const b = right.get(element) ?? [];
    if (a.length < 2 && b.length < 2) out.add(element, shape.items, a[0], b[0]);
    else if (a.length > 1 && b.length > 1) {
      if (!jsonEqual(a, b)) (out.changed ??= {})[element] = LEAF;
    } else {
      // Items with the same keys are owned as one, without what is in them.
      out.add(element, shape.items, a.length === 1 ? a[0] : undefined, b.length === 1 ? b[0] : undefined);
      if (a.length > 1) (out.removed ??= {})[element] = LEAF;
      else out.changed = { ...out.changed, [element]: LEAF };
    }
  }
  out.done();
}

/** As `everything` for a list whose items come in the order of their elements, none twice; else undefined. */
function everyItem(shape: ListShape, list: readonly JsonValue[]): FieldSet | undefined {
  const elements: string[] = [];
  for (let i = 0; i < list.length; i++) {
    const element = itemElement(shape, list[i]);
    if (i > 0 && comparePathElements(elements[i - 1]!, element) >= 0) return undefined;
    elements.push(element);
  }
  const out: MutableFieldSet = { [SELF]: LEAF };
  for (let i = 0; i < list.length; i++) out[elements[i]!] = everything(shape.items, list[i]!);
  return out;
}

/** The value's path and every path below, all as members. */
export function everything(shape: Shape, value: JsonValue): FieldSet {
  if (typeof value !== 'object' || value === null || shape.kind === 'leaf') return LEAF;
  let out: MutableFieldSet | undefined;
  if (Array.isArray(value)) {
    if (shape.kind !== 'list' || value.length === 0) return LEAF;
    const inOrder = everyItem(shape, value);
    if (inOrder !== undefined) return inOrder;
    const items = index(shape, value);
    const elements = items.size < 2 ? [...items.keys()] : [...items.keys()].sort(comparePathElements);
    out = { [SELF]: LEAF };
    for (const element of elements) {
      const same = items.get(element)!;
      out[element] = same.length === 1 ? everything(shape.items, same[0]!) : LEAF;
    }
    return out;
  }
  if (shape.kind === 'object' && !shape.plan.open) {
    for (const f of shape.plan.fields) {
      const v = value[f.name];
      if (v !== undefined) (out ??= { [SELF]: LEAF })[f.element] = everything(f.shape, v);
    }
    return out ?? LEAF;
  }
  const keys = Object.keys(value);
  if (keys.length === 0) return LEAF;
  if (keys.length > 1) keys.sort(compareText);
  out = { [SELF]: LEAF };
  for (const key of keys) {
    const inner =
      shape.kind === 'map' ? shape.values : shape.kind === 'object' ? (shape.plan.field(key)?.shape ?? ANY) : ANY;
    out[`f:${key}`] = everything(inner, value[key]!);
  }
  return out;
}
