/**
 * Typed decoding: brings a decoded JSON value into the form that Go's structs would give it. Each type is compiled
 * once into closures. Paths are not tracked: only when something is wrong is the value read again, with them.
 */
import { DecodeError } from '../codec/errors.ts';
import type { JsonObject, JsonValue } from '../types.ts';
import type { FieldSchema, ObjectType, SchemaNode } from './model.ts';
import { pruneCustom } from './prune.ts';
import { IS_STRUCT, jsonTypeOf, Mismatch, SCALAR_DECODERS, ZERO } from './scalars.ts';

export { DecodeError } from '../codec/errors.ts';

export interface NormalizeOptions {
  /** Don't collect unknown fields (they are dropped all the same). Defaults to false. */
  ignoreUnknown?: boolean;
  /** Custom resources only: keep nulls where none may stand, for validation to judge. Defaults to false. */
  keepNulls?: boolean;
}

export interface Normalized {
  object: JsonObject;
  /** Paths of fields that the type doesn't have (`spec.foo`). */
  unknown: string[];
}

/** What a run knows; `trail` is present only in the second, tracing run. */
interface Run {
  sawUnknown: boolean;
  trail: Trail | undefined;
}
interface Trail {
  /** Field names, map keys and `[i]`. */
  steps: string[];
  /** Names only, as Go's errors have them. */
  fields: string[];
  struct: string;
  unknown: string[];
}

/** Reads a value; undefined leaves the field out. */
type Decoder = (value: JsonValue, run: Run) => JsonValue | undefined;

/**
 * Reads `value` as `type`: wrong types refused, zero values dropped or kept, fields in order, texts canonical.
 * The result may share parts with `value`. Throws DecodeError.
 */
export function normalize(value: JsonValue, type: ObjectType, options: NormalizeOptions = {}): Normalized {
  if (!type.native) return pruneCustom(value, type, options);
  const decode = compiled(type);
  const run: Run = { sawUnknown: false, trail: undefined };
  try {
    const object = (value === null ? decode({}, run) : decode(value, run)) as JsonObject;
    if (!run.sawUnknown || options.ignoreUnknown) return { object, unknown: [] };
    const trail = newTrail();
    decode(value, { sawUnknown: false, trail });
    return { object, unknown: trail.unknown };
  } catch (e) {
    if (e instanceof Mismatch) throw explain(value, decode);
    throw e;
  }
}

const newTrail = (): Trail => ({ steps: [], fields: [], struct: '', unknown: [] });

/** Runs again to learn where it went wrong. */
function explain(value: JsonValue, decode: Decoder): DecodeError {
  const trail = newTrail();
  try {
    decode(value, { sawUnknown: false, trail });
  } catch (e) {
    if (!(e instanceof Mismatch)) throw e;
    const path = showPath(trail.steps);
    if (e.found === undefined) return new DecodeError(e.message, path);
    const into = trail.fields.length
      ? `Go struct field ${trail.struct}.${trail.fields.join('.')} of type`
      : 'Go value of type';
    return new DecodeError(`json: cannot unmarshal ${e.found} into ${into} ${e.wanted}`, path);
  }
  throw new Error('a value was refused once and accepted then');
}

function showPath(steps: readonly string[]): string {
  let out = '';
  for (const s of steps) out += s.startsWith('[') || out === '' ? s : `.${s}`;
  return out;
}

const cache = new WeakMap<ObjectType, Decoder>();

function compiled(type: ObjectType): Decoder {
  let d = cache.get(type);
  if (!d) {
    d = compileObject(type);
    cache.set(type, d);
  }
  return d;
}

/** `v1.Container` of `io.k8s.api.core.v1.Container`. */
const goName = (type: ObjectType) => type.name.split('.').slice(-2).join('.');

function goType(node: SchemaNode): string {
  switch (node.form) {
    case 'list':
      return `[]${goType(node.items)}`;
    case 'map':
      return `map[string]${goType(node.values)}`;
    case 'object':
    case 'union':
      return goName(node.type);
    case 'bytes':
      return '[]uint8';
    default:
      return node.form;
  }
}

/** Lists that are empty differ from absent ones until they are defaulted. By type. */
const EMPTY_COUNTS: Readonly<Record<string, string>> = {
  'io.k8s.api.autoscaling.v2.HPAScalingRules': 'policies',
};

function compileObject(type: ObjectType): Decoder {
  // Compiled on first use: types may contain themselves.
  let names: string[] | undefined;
  let decoders: Decoder[];
  let absent: (() => JsonValue | undefined)[];
  const short = type.name.slice(type.name.lastIndexOf('.') + 1);
  const wanted = goName(type);
  const prepare = () => {
    const list = type.fields.map((f) => f.name);
    decoders = type.fields.map((f) =>
      EMPTY_COUNTS[type.name] === f.name ? compileField({ ...f, omitEmpty: false }) : compileField(f),
    );
    absent = type.fields.map((f) => () => absentValue(f));
    for (let i = 0; i < type.fields.length; i++) if (isLeftOut(type.fields[i]!)) absent[i] = NOTHING;
    names = list;
  };
  return (value, run) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new Mismatch(jsonTypeOf(value), wanted);
    if (names === undefined) prepare();
    const out: JsonObject = {};
    const { trail } = run;
    const outer = trail?.struct;
    let matched = 0;
    for (let i = 0; i < names!.length; i++) {
      const name = names![i]!;
      const v = value[name];
      if (v === undefined) {
        if (absent[i] !== NOTHING) out[name] = absent[i]!();
        continue;
      }
      matched++;
      if (trail) {
        trail.struct = short;
        trail.steps.push(name);
        trail.fields.push(name);
      }
      const r = decoders[i]!(v, run);
      if (r !== undefined) out[name] = r;
      if (trail) {
        trail.steps.pop();
        trail.fields.pop();
      }
    }
    let keys = 0;
    for (const _ in value) keys++;
    if (keys !== matched) noteUnknown(value, type, run);
    if (trail) trail.struct = outer!;
    return out;
  };
}

function noteUnknown(value: JsonObject, type: ObjectType, run: Run): void {
  for (const key of Object.keys(value)) {
    if (value[key] === undefined || type.field(key)) continue;
    run.sawUnknown = true;
    if (run.trail) run.trail.unknown.push(showPath([...run.trail.steps, key]));
  }
}

const NOTHING = () => undefined;

/** An absent field of this kind leaves nothing in the output. */
function isLeftOut(f: FieldSchema): boolean {
  if (f.presence) return f.omitEmpty;
  if (f.omitZero) return true;
  if (!f.omitEmpty) return false;
  const { form } = f.node;
  return form !== 'object' && form !== 'union' && (form === 'list' || form === 'map' || !IS_STRUCT.has(form));
}

/** What Go writes for a field that was not set and isn't left out. */
function absentValue(f: FieldSchema): JsonValue | undefined {
  return f.presence ? null : zeroOf(f.node);
}

/** A new zero value. */
function zeroOf(node: SchemaNode): JsonValue {
  switch (node.form) {
    case 'list':
    case 'map':
    case 'union':
      return null;
    case 'object':
      return compiled(node.type)({}, { sawUnknown: false, trail: undefined })!;
    default:
      return ZERO[node.form];
  }
}

function compileField(f: FieldSchema): Decoder {
  const inner = compileNode(f.node);
  if (f.presence) {
    const nothing = f.omitEmpty ? undefined : null;
    return (v, run) => (v === null ? nothing : inner(v, run));
  }
  const { node } = f;
  const left = isLeftOut(f);
  const orZero: Decoder = (v, run) => (v === null ? zeroOf(node) : inner(v, run));
  if (!left) return orZero;
  switch (node.form) {
    case 'list':
      return (v, run) => {
        if (v === null) return undefined;
        const r = inner(v, run) as JsonValue[];
        return r.length === 0 ? undefined : r;
      };
    case 'map':
      return (v, run) => {
        if (v === null) return undefined;
        const r = inner(v, run) as JsonObject;
        for (const _ in r) return r;
        return undefined;
      };
    case 'object':
    case 'union':
      return orZero;
    case 'string':
      return (v) => {
        if (typeof v === 'string') return v === '' ? undefined : v;
        if (v === null) return undefined;
        throw new Mismatch(jsonTypeOf(v), 'string');
      };
    default:
      return (v, run) => {
        const r = v === null ? undefined : inner(v, run);
        return r === null || r === 0 || r === '' || r === false ? undefined : r;
      };
  }
}

/** Decodes values that aren't null. */
function compileNode(node: SchemaNode): Decoder {
  switch (node.form) {
    case 'object':
      return (v, run) => compiled(node.type)(v, run);
    case 'list':
      return compileList(node.items, goType(node));
    case 'map':
      return compileMap(node.values, goType(node));
    case 'union': {
      const strings = compileList({ form: 'string' }, '[]string');
      const list = compileList({ form: 'object', type: node.type, mapType: 'granular' }, `[]${goName(node.type)}`);
      return (v, run) => {
        if (node.or === 'bool' && typeof v === 'boolean') return v;
        if (node.or === 'list' && Array.isArray(v)) return list(v, run);
        if (node.or === 'strings' && Array.isArray(v)) return strings(v, run);
        return compiled(node.type)(v, run);
      };
    }
    default:
      return SCALAR_DECODERS[node.form];
  }
}

function compileList(items: SchemaNode, wanted: string): Decoder {
  const inner = compileNode(items);
  return (v, run) => {
    if (!Array.isArray(v)) throw new Mismatch(jsonTypeOf(v), wanted);
    const out: JsonValue[] = [];
    const { trail } = run;
    for (let i = 0; i < v.length; i++) {
      if (trail) trail.steps.push(`[${i}]`);
      const item = v[i]!;
      out.push(item === null ? zeroOf(items) : inner(item, run)!);
      if (trail) trail.steps.pop();
    }
    return out;
  };
}

function compileMap(values: SchemaNode, wanted: string): Decoder {
  const inner = compileNode(values);
  return (v, run) => {
    if (typeof v !== 'object' || v === null || Array.isArray(v)) throw new Mismatch(jsonTypeOf(v), wanted);
    const out: JsonObject = {};
    const { trail } = run;
    let keys = Object.keys(v);
    for (let i = 1; i < keys.length; i++) {
      if (keys[i]! < keys[i - 1]!) {
        keys = keys.sort();
        break;
      }
    }
    for (const key of keys) {
      const item = v[key];
      if (item === undefined) continue;
      if (trail) trail.steps.push(key);
      const r = item === null ? zeroOf(values) : inner(item, run)!;
      if (key === '__proto__')
        Object.defineProperty(out, key, { value: r, writable: true, enumerable: true, configurable: true });
      else out[key] = r;
      if (trail) trail.steps.pop();
    }
    return out;
  };
}
