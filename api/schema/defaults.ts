/** Defaults that a schema declares. Compiled per type: parts of a type that declare none are never walked. */
import type { JsonObject, JsonValue } from '../types.ts';
import type { FieldSchema, ObjectType, SchemaNode } from './model.ts';

/** Fills one object in place. */
type Filler = (object: JsonObject) => void;
/** Fills what lies below a present value. */
type Walker = (value: JsonValue) => void;

interface Compiled {
  /** Set once it is known whether anything is to be done at all. */
  fill: Filler | undefined;
}

const cache = new WeakMap<ObjectType, Compiled>();

/**
 * Fills in absent fields of `object` in place, wherever `type` declares a default. For built-in kinds the object is
 * taken to be normalised; a default that is Go's zero value is then there (or left out) already.
 */
export function applyDefaults(object: JsonObject, type: ObjectType): void {
  compile(type).fill?.(object);
}

function compile(type: ObjectType): Compiled {
  const known = cache.get(type);
  if (known) return known;
  // A type that contains itself meets this entry while it is being made; it is looked up again when it runs.
  const made: Compiled = { fill: undefined };
  cache.set(type, made);
  if (hasDefaults(type, new Set())) made.fill = makeFiller(type);
  return made;
}

/** Whether a default of this field changes anything. */
function effective(f: FieldSchema, native: boolean): boolean {
  const d = f.node.default;
  if (d === undefined) return false;
  if (!native) return true;
  if (f.presence) return !(typeof d === 'object' && d !== null);
  return !(d === '' || d === 0 || d === false || (typeof d === 'object' && d !== null));
}

function hasDefaults(type: ObjectType, visiting: Set<ObjectType>): boolean {
  if (visiting.has(type)) return false;
  visiting.add(type);
  return type.fields.some((f) => effective(f, type.native) || nodeHasDefaults(f.node, visiting));
}

/** In custom resources a null that can't stand takes the default, in lists and maps too. */
const replacesNull = (node: SchemaNode): boolean => node.nullable === false && node.default !== undefined;

function nodeHasDefaults(node: SchemaNode, visiting: Set<ObjectType>): boolean {
  switch (node.form) {
    case 'object':
      return hasDefaults(node.type, visiting);
    case 'list':
      return replacesNull(node.items) || nodeHasDefaults(node.items, visiting);
    case 'map':
      return replacesNull(node.values) || nodeHasDefaults(node.values, visiting);
    default:
      return false;
  }
}

function makeFiller(type: ObjectType): Filler {
  const steps: {
    name: string;
    value: JsonValue | undefined;
    nullable: boolean;
    zeroToo: boolean;
    walk: Walker | undefined;
  }[] = [];
  for (const f of type.fields) {
    const value = effective(f, type.native) ? f.node.default : undefined;
    const walk = makeWalker(f.node);
    if (value !== undefined || walk)
      steps.push({
        name: f.name,
        value,
        nullable: f.node.nullable ?? false,
        zeroToo: type.native && !f.presence,
        walk,
      });
  }
  return (object) => {
    for (const s of steps) {
      let v = object[s.name];
      // An explicit zero of a field without presence was dropped by normalising: it takes the default, as in Go.
      const missing = v === undefined || (v === null && !s.nullable) || (s.zeroToo && v === '');
      if (missing && s.value !== undefined) {
        v = copy(s.value);
        object[s.name] = v;
      }
      if (s.walk !== undefined && typeof v === 'object' && v !== null) s.walk(v);
    }
  };
}

function makeWalker(node: SchemaNode): Walker | undefined {
  if (!nodeHasDefaults(node, new Set())) return undefined;
  switch (node.form) {
    case 'object': {
      const { type } = node;
      return (v) => {
        if (!Array.isArray(v)) compile(type).fill?.(v as JsonObject);
      };
    }
    case 'list': {
      const items = makeWalker(node.items);
      const instead = replacesNull(node.items) ? node.items.default! : undefined;
      return (v) => {
        if (instead !== undefined && Array.isArray(v))
          for (let i = 0; i < v.length; i++) if (v[i] === null) v[i] = copy(instead);
        if (items && Array.isArray(v)) for (const item of v) if (typeof item === 'object' && item !== null) items(item);
      };
    }
    case 'map': {
      const values = makeWalker(node.values);
      const instead = replacesNull(node.values) ? node.values.default! : undefined;
      return (v) => {
        if (Array.isArray(v)) return;
        for (const key of Object.keys(v as JsonObject)) {
          let item = (v as JsonObject)[key];
          if (item === null && instead !== undefined) (v as JsonObject)[key] = item = copy(instead);
          if (!values) continue;
          if (typeof item === 'object' && item !== null) values(item);
        }
      };
    }
    default:
      return undefined;
  }
}

function copy(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copy);
  const out: JsonObject = {};
  for (const key of Object.keys(value)) {
    const v = copy(value[key]!);
    if (key === '__proto__')
      Object.defineProperty(out, key, { value: v, writable: true, enumerable: true, configurable: true });
    else out[key] = v;
  }
  return out;
}
