/**
 * A type as server-side apply sees it: which values are leaves, which lists have keys. Made once per type and kept
 * beside it. https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
 */
import { isObject } from '../patch/value.ts';
import type { ObjectType, SchemaNode } from '../schema/model.ts';
import { normalize } from '../schema/normalize.ts';
import type { JsonObject, JsonValue } from '../types.ts';
import { canonicalJson, compareText, keyElement, valueElement } from './path-element.ts';

/** Scalars, atomic lists, atomic maps and atomic objects: owned as a whole. */
export interface LeafShape {
  readonly kind: 'leaf';
  readonly node: SchemaNode;
  /** A list, map or object that is atomic. */
  readonly atomic: boolean;
}
export interface ObjectShape {
  readonly kind: 'object';
  readonly plan: Plan;
}
export interface MapShape {
  readonly kind: 'map';
  readonly values: Shape;
}
/** A list whose items are known by themselves (`set`) or by keys (`map`). */
export interface ListShape {
  readonly kind: 'list';
  readonly items: Shape;
  /** Empty for a set. */
  readonly keys: readonly string[];
  /** What an absent key stands for. */
  readonly keyDefaults: readonly (JsonValue | undefined)[];
  /** Elements of items with one key that is text, by its value: names of containers, volumes and variables recur. */
  readonly known: Map<string, string>;
}
/** Without a declared type: objects are granular, everything else is a leaf. */
export interface AnyShape {
  readonly kind: 'any';
}
export type Shape = LeafShape | ObjectShape | MapShape | ListShape | AnyShape;

export interface PlanField {
  readonly name: string;
  /** `f:NAME` */
  readonly element: string;
  readonly shape: Shape;
}

export const ANY: AnyShape = { kind: 'any' };

/** The fields of an object type, by element order and by name. */
export class Plan {
  readonly type: ObjectType;
  #fields: readonly PlanField[] | undefined;
  #byName: Map<string, PlanField> | undefined;
  #zero: JsonObject | undefined;

  constructor(type: ObjectType) {
    this.type = type;
  }

  /** Sorted by name. */
  get fields(): readonly PlanField[] {
    this.#fields ??= makeFields(this.type);
    return this.#fields;
  }

  /** Fields that aren't declared are kept and tracked. */
  get open(): boolean {
    return this.type.preserveUnknown;
  }

  field(name: string): PlanField | undefined {
    this.#byName ??= new Map(this.fields.map((f) => [f.name, f]));
    return this.#byName.get(name);
  }

  /** The object that a client who sent nothing would have sent: what Go's structs always have. */
  get zero(): JsonObject {
    this.#zero ??= this.type.native ? normalize({}, this.type).object : {};
    return this.#zero;
  }
}

const plans = new WeakMap<ObjectType, Plan>();

/** The shape that apply works with, worked out once for each type. */
export function planOf(type: ObjectType): Plan {
  let plan = plans.get(type);
  if (plan === undefined) plans.set(type, (plan = new Plan(type)));
  return plan;
}

function makeFields(type: ObjectType): PlanField[] {
  const fields = type.fields.map((f): PlanField => ({ name: f.name, element: `f:${f.name}`, shape: shapeOf(f.node) }));
  return fields.sort((a, b) => compareText(a.name, b.name));
}

function shapeOf(node: SchemaNode): Shape {
  const leaf = (atomic: boolean): LeafShape => ({ kind: 'leaf', node, atomic });
  switch (node.form) {
    case 'object':
      return node.mapType === 'atomic' ? leaf(true) : { kind: 'object', plan: planOf(node.type) };
    case 'map':
      return node.mapType === 'atomic' ? leaf(true) : { kind: 'map', values: shapeOf(node.values) };
    case 'list': {
      if (node.listType === 'atomic') return leaf(true);
      const keys = node.listType === 'set' ? [] : [...node.listMapKeys].sort(compareText);
      const item = node.items.form === 'object' ? node.items.type : undefined;
      const keyDefaults = keys.map((k) => item?.field(k)?.node.default);
      return { kind: 'list', items: shapeOf(node.items), keys, keyDefaults, known: new Map() };
    }
    case 'any':
    case 'fieldsV1':
    case 'union':
      return ANY;
    case 'raw':
      return leaf(true);
    default:
      return leaf(false);
  }
}

/** A value that can't be tracked: an item without keys, a list in a set. */
export class FieldPathError extends Error {}

/** The path element of a list item. Throws FieldPathError. */
export function itemElement(shape: ListShape, item: JsonValue | undefined): string {
  const { keys } = shape;
  if (keys.length === 0) {
    if (item === null || item === undefined) {
      throw new FieldPathError("associative list without keys has an element that's an explicit null");
    }
    if (typeof item === 'object') {
      throw new FieldPathError(
        Array.isArray(item)
          ? 'not supported: associative list with lists as elements'
          : "associative list without keys has an element that's a map type",
      );
    }
    return valueElement(item);
  }
  if (!isObject(item)) {
    throw new FieldPathError(
      `associative list with keys may not have ${item === null ? 'a null element' : 'non-map elements'}`,
    );
  }
  const only = keys.length === 1 ? item[keys[0]!] : undefined;
  if (typeof only === 'string') return textElement(shape, only);
  let found = false;
  const values: (JsonValue | undefined)[] = [];
  for (let i = 0; i < keys.length; i++) {
    const value = item[keys[i]!] ?? shape.keyDefaults[i];
    if (value !== undefined && value !== null) found = true;
    values.push(value ?? undefined);
  }
  if (!found) {
    throw new FieldPathError(
      `associative list with keys has an element that omits all key fields ${canonicalJson([...keys])} (and doesn't have default values for any key fields)`,
    );
  }
  return keyElement(keys, values);
}

const MAX_KNOWN = 1000;

function textElement({ keys, known }: ListShape, value: string): string {
  let element = known.get(value);
  if (element === undefined) {
    element = keyElement(keys, [value]);
    if (known.size >= MAX_KNOWN) known.clear();
    known.set(value, element);
  }
  return element;
}
