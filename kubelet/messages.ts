/**
 * Protobuf messages (proto3) as plain objects, by descriptors in protobufjs' JSON form. What a library brings with it for this,
 * and makes of each message when it is first used, would be an eighth of the kubelet's memory.
 */
import { WireReader, WireWriter } from '../api/codec/wire.ts';

/** A namespace, or a message with those below it. */
export interface Descriptors {
  nested?: Record<string, Descriptors>;
  /** Of a message. */
  fields?: Record<string, { type: string; id: number; rule?: string; keyType?: string; options?: object }>;
  oneofs?: Record<string, { oneof: string[] }>;
  /** Of an enumeration. */
  values?: Record<string, number>;
  /** Of a service. */
  methods?: Record<string, { requestType: string; responseType: string; responseStream?: boolean }>;
}

/** Objects of one message to bytes and back. */
export interface Message {
  /** Fields that are undefined or null are left out. Enumerations by name or number, 64-bit numbers as numbers. */
  encode(object: object): Buffer;
  /** With all fields: what isn't there is zero, empty, or (messages) null; of a oneof only what is there. Throws WireError. */
  decode(bytes: Buffer): object;
}

type Kind = 'bytes' | 'string' | 'bool' | 'int' | 'uint64' | 'double' | 'enum' | 'message';

interface Field {
  readonly name: string;
  readonly id: number;
  readonly kind: Kind;
  readonly shape: 'one' | 'list' | 'map';
  /** The message of a field, or of a map's entries. */
  readonly message: Plan | undefined;
  readonly names: ReadonlyMap<string, number>;
  readonly numbers: ReadonlyMap<number, string>;
  /** Is there only when it was sent. */
  readonly optional: boolean;
}

interface Plan {
  readonly fields: Field[];
  readonly byId: Map<number, Field>;
}

type Values = Readonly<Record<string, unknown>>;

const KINDS: Readonly<Record<string, Kind>> = {
  bytes: 'bytes',
  string: 'string',
  bool: 'bool',
  int32: 'int',
  int64: 'int',
  uint32: 'int',
  uint64: 'uint64',
  double: 'double',
};
const WIRE_TYPE: Record<Kind, number> = {
  bytes: 2,
  string: 2,
  message: 2,
  bool: 0,
  int: 0,
  uint64: 0,
  enum: 0,
  double: 1,
};

/** A namespace or message together with what surrounds it. */
export interface Scope {
  readonly own: Descriptors;
  readonly outer: Scope | undefined;
}

const inner = (scope: Scope, path: readonly string[]): Scope | undefined => {
  let at: Scope | undefined = scope;
  for (const part of path) {
    const own: Descriptors | undefined = at.own.nested?.[part];
    if (!own) return undefined;
    at = { own, outer: at };
  }
  return at;
};

/** What a name means here: sought from the inside out, from the outermost when it begins with a dot. */
export function find(scope: Scope, name: string): Scope {
  const path = name.replace(/^\./, '').split('.');
  let at: Scope | undefined = scope;
  if (name.startsWith('.')) while (at.outer) at = at.outer;
  for (; at; at = at.outer) {
    const found = inner(at, path);
    if (found) return found;
  }
  throw new Error(`no such type: ${name}`);
}

/** Makes codecs of messages when they are first asked for. */
export function createMessages(): (scope: Scope) => Message {
  const plans = new Map<Descriptors, Plan>();
  const writer = new WireWriter();

  function planOf(scope: Scope): Plan {
    const known = plans.get(scope.own);
    if (known) return known;
    const plan: Plan = { fields: [], byId: new Map() };
    plans.set(scope.own, plan);
    const optional = new Set(Object.values(scope.own.oneofs ?? {}).flatMap((o) => o.oneof));
    for (const [name, { type, id, rule, keyType }] of Object.entries(scope.own.fields ?? {})) {
      const field = { ...typeOf(scope, type), name, id, optional: optional.has(name) };
      const one: Field = { ...field, shape: rule === 'repeated' ? 'list' : 'one' };
      const f: Field = keyType ? mapOf(scope, field, keyType) : one;
      plan.fields.push(f);
      plan.byId.set(id, f);
    }
    return plan;
  }

  function typeOf(scope: Scope, type: string): Pick<Field, 'kind' | 'message' | 'names' | 'numbers'> {
    const none = { message: undefined, names: new Map<string, number>(), numbers: new Map<number, string>() };
    const scalar = KINDS[type];
    if (scalar) return { kind: scalar, ...none };
    const found = find(scope, type);
    if (!found.own.values) return { kind: 'message', ...none, message: planOf(found) };
    const entries = Object.entries(found.own.values);
    return { kind: 'enum', ...none, names: new Map(entries), numbers: new Map(entries.map(([k, v]) => [v, k])) };
  }

  /** A map is a list of messages with a key and a value. */
  function mapOf(scope: Scope, value: Omit<Field, 'shape'>, keyType: string): Field {
    const key: Field = { ...typeOf(scope, keyType), name: 'key', id: 1, shape: 'one', optional: false };
    const entry: Field = { ...value, name: 'value', id: 2, shape: 'one', optional: false };
    const fields = [key, entry];
    const message: Plan = { fields, byId: new Map(fields.map((f) => [f.id, f])) };
    return { ...value, shape: 'map', kind: 'message', message };
  }

  return (scope) => {
    let plan: Plan | undefined;
    return {
      encode(object) {
        writer.reset();
        write(writer, (plan ??= planOf(scope)), object as Values);
        return writer.finish();
      },
      decode: (bytes) => read(new WireReader(bytes), (plan ??= planOf(scope))),
    };
  };
}

/** The writer goes from the end to the front, and so do the fields. */
function write(w: WireWriter, plan: Plan, object: Values): void {
  for (const f of plan.fields.toReversed()) {
    const value = object[f.name];
    if (value === undefined || value === null) continue;
    if (f.shape === 'one') writeField(w, f, value);
    else {
      const list =
        f.shape === 'list' ? (value as unknown[]) : Object.entries(value).map(([key, v]) => ({ key, value: v }));
      for (const v of list.toReversed()) writeField(w, f, v);
    }
  }
}

function writeField(w: WireWriter, f: Field, value: unknown): void {
  const mark = w.length;
  switch (f.kind) {
    case 'bytes':
      w.bytes(typeof value === 'string' ? Buffer.from(value, 'base64') : Buffer.from(value as Uint8Array));
      w.lengthSince(mark);
      break;
    case 'string':
      w.string(String(value));
      break;
    case 'bool':
      w.varint(value ? 1 : 0);
      break;
    case 'int':
    case 'uint64':
      w.int(typeof value === 'bigint' ? value : Math.trunc(Number(value)));
      break;
    case 'double':
      w.double(Number(value));
      break;
    case 'enum':
      w.int(typeof value === 'number' ? value : (f.names.get(String(value)) ?? 0));
      break;
    case 'message':
      write(w, f.message!, value as Values);
      w.lengthSince(mark);
  }
  w.varint(f.id * 8 + WIRE_TYPE[f.kind]);
}

function zero(f: Field): unknown {
  if (f.shape !== 'one') return f.shape === 'list' ? [] : {};
  switch (f.kind) {
    case 'bytes':
      return Buffer.alloc(0);
    case 'string':
      return '';
    case 'bool':
      return false;
    case 'enum':
      return f.numbers.get(0) ?? 0;
    case 'message':
      return null;
    default:
      return 0;
  }
}

function read(r: WireReader, plan: Plan): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const f of plan.fields) if (!f.optional || f.shape !== 'one') out[f.name] = zero(f);
  while (!r.done) {
    const tag = r.varint();
    const f = plan.byId.get(Math.floor(tag / 8));
    const wire = tag % 8;
    if (f?.shape === 'list' && wire === 2 && WIRE_TYPE[f.kind] !== 2) {
      // numbers come packed
      for (const packed = r.message(); !packed.done;) (out[f.name] as unknown[]).push(readField(packed, f));
      continue;
    }
    if (f === undefined || WIRE_TYPE[f.kind] !== wire) {
      r.skip(wire);
      continue;
    }
    const value = readField(r, f);
    if (f.shape === 'list') (out[f.name] as unknown[]).push(value);
    else if (f.shape === 'one') out[f.name] = value;
    else {
      const entry = value as { key: unknown; value: unknown };
      // also for a key named __proto__
      Object.defineProperty(out[f.name], String(entry.key), {
        value: entry.value,
        enumerable: true,
        writable: true,
        configurable: true,
      });
    }
  }
  return out;
}

function readField(r: WireReader, f: Field): unknown {
  switch (f.kind) {
    case 'bytes':
      return r.bytes();
    case 'string':
      return r.string();
    case 'bool':
      return r.int() !== 0;
    case 'int':
      return Number(r.int());
    case 'uint64': {
      const n = r.int();
      return n < 0 ? Number(BigInt.asUintN(64, BigInt(n))) : Number(n);
    }
    case 'double':
      return r.double();
    case 'enum': {
      const n = Number(r.int());
      return f.numbers.get(n) ?? n;
    }
    case 'message':
      return read(r.message(), f.message!);
  }
}
