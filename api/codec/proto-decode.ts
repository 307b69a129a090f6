/** Protobuf messages to JSON objects (not yet normalised: fields stand in the order of the message, zeros are there). */
import { builtinSchemas } from '../schema/builtin.ts';
import type { ObjectType, ScalarForm, SchemaNode, UnionNode } from '../schema/model.ts';
import { formatDuration, formatMicros, formatSeconds } from '../time.ts';
import type { JsonObject, JsonValue } from '../types.ts';
import { decodeJson } from './json.ts';
import { protoFields, type ProtoField } from './proto-descriptors.ts';
import { WireError, type WireReader } from './wire.ts';

/** Nesting allowed; only JSON schemas nest without end. */
const MAX_DEPTH = 500;

type ValueReader = (r: WireReader, depth: number) => JsonValue;
type MessageReader = (r: WireReader, into: JsonObject, depth: number) => void;
interface FieldReader {
  wireType: number;
  read(r: WireReader, into: JsonObject, depth: number): void;
}

const cache = new WeakMap<ObjectType, MessageReader>();

/** The reader of a type's message. Throws WireError. */
export function messageReader(type: ObjectType): MessageReader {
  const known = cache.get(type);
  if (known) return known;
  let fields: (FieldReader | undefined)[] | undefined;
  const read: MessageReader = (r, into, depth) => {
    if (depth > MAX_DEPTH) throw new WireError('message nested too deep');
    fields ??= prepare(type);
    while (!r.done) {
      const tag = r.varint();
      const wireType = tag & 7;
      const f = fields[Math.floor(tag / 8)];
      if (f === undefined) r.skip(wireType);
      else if (f.wireType !== wireType)
        throw new WireError(`proto: wrong wireType = ${wireType} for a field of ${type.name}`);
      else f.read(r, into, depth);
    }
  };
  cache.set(type, read);
  return read;
}

function prepare(type: ObjectType): (FieldReader | undefined)[] {
  const fields = protoFields(type, builtinSchemas());
  if (!fields) throw new WireError(`${type.name} has no protobuf form`);
  const out: (FieldReader | undefined)[] = [];
  for (const f of fields) out[f.id] = fieldReader(f);
  // Without holes, so that look-ups stay fast.
  for (let i = 0; i < out.length; i++) out[i] ??= undefined;
  return out;
}

function fieldReader(p: ProtoField): FieldReader {
  if (p.embedded) {
    const inner = messageReader(p.embedded);
    return { wireType: 2, read: (r, into, depth) => inner(r.message(), into, depth + 1) };
  }
  const { name, node } = p.field!;
  if (p.map && node.form === 'map') {
    const [read, wireType] = p.wrapped ? [wrappedItems, 2] : valueReader(node.values);
    const zero = emptyValue(node.values);
    return {
      wireType: 2,
      read: (r, into, depth) => {
        const map = (into[name] ??= {}) as JsonObject;
        const entry = r.message();
        let key = '';
        let value: JsonValue | undefined;
        while (!entry.done) {
          const tag = entry.varint();
          if (tag === 10) key = entry.string();
          else if (tag === ((2 << 3) | (wireType as number))) value = (read as ValueReader)(entry, depth + 1);
          else entry.skip(tag & 7);
        }
        value ??= zero;
        if (key === '__proto__')
          Object.defineProperty(map, key, { value, writable: true, enumerable: true, configurable: true });
        else map[key] = value;
      },
    };
  }
  if (p.wrapped) return { wireType: 2, read: (r, into) => void (into[name] = wrappedItems(r)) };
  if (p.repeated && node.form === 'list') {
    const [read, wireType] = valueReader(node.items);
    return {
      wireType,
      read: (r, into, depth) => {
        const list = (into[name] ??= []) as JsonValue[];
        list.push(read(r, depth));
      },
    };
  }
  if (node.form === 'object') {
    const inner = messageReader(node.type);
    return { wireType: 2, read: (r, into, depth) => inner(r.message(), (into[name] ??= {}) as JsonObject, depth + 1) };
  }
  const [read, wireType] = valueReader(node);
  return { wireType, read: (r, into, depth) => void (into[name] = read(r, depth)) };
}

function wrappedItems(r: WireReader): JsonValue {
  const out: string[] = [];
  const m = r.message();
  while (!m.done) {
    const tag = m.varint();
    if (tag === 10) out.push(m.string());
    else m.skip(tag & 7);
  }
  return out;
}

const emptyValue = (node: SchemaNode): JsonValue => (node.form === 'object' ? {} : node.form === 'string' ? '' : null);

function valueReader(node: SchemaNode): [ValueReader, number] {
  switch (node.form) {
    case 'object': {
      const inner = messageReader(node.type);
      return [
        (r, depth) => {
          const out: JsonObject = {};
          inner(r.message(), out, depth + 1);
          return out;
        },
        2,
      ];
    }
    case 'union':
      return [(r, depth) => union(r.message(), node, depth + 1), 2];
    case 'list':
    case 'map':
      throw new WireError('a list within a list has no protobuf form');
    case 'bool':
      return [(r) => r.int() !== 0, 0];
    case 'int32':
      return [(r) => Number(BigInt.asIntN(32, BigInt(r.int()))), 0];
    case 'int64':
      return [(r) => r.int(), 0];
    case 'float64':
      return [(r) => r.double(), 1];
    default:
      return [scalarReader(node.form), 2];
  }
}

function scalarReader(form: ScalarForm): ValueReader {
  switch (form) {
    case 'bytes':
      return (r) => r.bytes().toString('base64');
    case 'quantity':
      return (r) => {
        const m = r.message();
        let out = '';
        while (!m.done) {
          const tag = m.varint();
          if (tag === 10) out = m.string();
          else m.skip(tag & 7);
        }
        return out === '' ? '0' : out;
      };
    case 'time':
    case 'microtime':
      return (r) => {
        const [seconds, nanos, empty] = numbers(r.message());
        if (empty) return null;
        if (Math.abs(Number(seconds)) > 253_402_300_799) throw new WireError('time out of range');
        return form === 'time'
          ? formatSeconds(Number(seconds))
          : formatMicros({ seconds: Number(seconds), nanos: Number(nanos) });
      };
    case 'duration':
      return (r) => formatDuration(BigInt(numbers(r.message())[0]));
    case 'intOrString':
      return (r) => {
        const m = r.message();
        let type: number | bigint = 0;
        let int: number | bigint = 0;
        let str = '';
        while (!m.done) {
          const tag = m.varint();
          if (tag === 8) type = m.int();
          else if (tag === 16) int = m.int();
          else if (tag === 26) str = m.string();
          else m.skip(tag & 7);
        }
        return Number(type) === 1 ? str : Number(BigInt.asIntN(32, BigInt(int)));
      };
    case 'raw':
    case 'fieldsV1':
    case 'any':
      return (r) => {
        const m = r.message();
        let out: JsonValue = null;
        while (!m.done) {
          const tag = m.varint();
          if (tag !== 10) {
            m.skip(tag & 7);
            continue;
          }
          const raw = m.bytes();
          out = raw.length === 0 ? null : decodeJson(raw).value;
        }
        return out;
      };
    default:
      return (r) => r.string();
  }
}

/** The integers of fields 1 and 2, and whether there was neither. */
function numbers(m: WireReader): [number | bigint, number | bigint, boolean] {
  let a: number | bigint = 0;
  let b: number | bigint = 0;
  let empty = true;
  while (!m.done) {
    const tag = m.varint();
    if (tag === 8) a = m.int();
    else if (tag === 16) b = m.int();
    else m.skip(tag & 7);
    empty = false;
  }
  return [a, b, empty];
}

function union(m: WireReader, node: UnionNode, depth: number): JsonValue {
  let allows = false;
  let schema: JsonObject | undefined;
  const list: JsonValue[] = [];
  const one = () => {
    const out: JsonObject = {};
    messageReader(node.type)(m.message(), out, depth + 1);
    return out;
  };
  while (!m.done) {
    const tag = m.varint();
    if (node.or === 'bool') {
      if (tag === 8) allows = m.int() !== 0;
      else if (tag === 18) schema = one();
      else m.skip(tag & 7);
    } else if (tag === 10) schema = one();
    else if (tag === 18) list.push(node.or === 'list' ? one() : m.string());
    else m.skip(tag & 7);
  }
  return schema ?? (node.or === 'bool' ? allows : list);
}
