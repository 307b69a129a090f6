/** JSON objects to protobuf messages, byte for byte as Go's generated code writes them. */
import { builtinSchemas } from '../schema/builtin.ts';
import type { ObjectType, ScalarForm, SchemaNode, UnionNode } from '../schema/model.ts';
import { parseDuration, parseRfc3339 } from '../time.ts';
import type { JsonObject, JsonValue } from '../types.ts';
import { encodeJson } from './json.ts';
import { protoFields, type ProtoField } from './proto-descriptors.ts';
import { WireError, type WireWriter } from './wire.ts';

/** Writes a value without its tag. */
type ValueWriter = (w: WireWriter, value: JsonValue) => void;
/** Writes a whole field of the object, or nothing. */
type FieldWriter = (w: WireWriter, object: JsonObject) => void;
type MessageWriter = (w: WireWriter, object: JsonObject) => void;

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;

const cache = new WeakMap<ObjectType, MessageWriter>();

/** The writer of a type's message; fields of higher numbers first, since the buffer is filled from its end. */
export function messageWriter(type: ObjectType): MessageWriter {
  const known = cache.get(type);
  if (known) return known;
  let fields: FieldWriter[] | undefined;
  const write: MessageWriter = (w, object) => {
    fields ??= prepare(type);
    for (let i = 0; i < fields.length; i++) fields[i]!(w, object);
  };
  cache.set(type, write);
  return write;
}

function prepare(type: ObjectType): FieldWriter[] {
  const fields = protoFields(type, builtinSchemas());
  if (!fields) throw new WireError(`${type.name} has no protobuf form`);
  return fields.map(fieldWriter).reverse();
}

function fieldWriter(p: ProtoField): FieldWriter {
  if (p.embedded) {
    const inner = messageWriter(p.embedded);
    const tag = (p.id << 3) | DELIMITED;
    return (w, object) => {
      const mark = w.length;
      inner(w, object);
      w.lengthSince(mark);
      w.varint(tag);
    };
  }
  const f = p.field!;
  const { name, node } = f;
  if (p.map && node.form === 'map') return mapWriter(p, name, node.values);
  if (p.wrapped) {
    const items = wrappedItems();
    const tag = (p.id << 3) | DELIMITED;
    return (w, object) => {
      const v = object[name];
      if (!Array.isArray(v)) return;
      items(w, v);
      w.varint(tag);
    };
  }
  if (p.repeated && node.form === 'list') {
    const [write, tag] = tagged(p.id, node.items);
    const zero = zeroValue(node.items);
    return (w, object) => {
      const list = object[name];
      if (!Array.isArray(list)) return;
      for (let i = list.length - 1; i >= 0; i--) {
        write(w, list[i] ?? zero);
        w.varint(tag);
      }
    };
  }
  const [write, tag] = tagged(p.id, node);
  // Pointers, byte slices and interfaces are written when set, all else always.
  const whenSet = f.presence || node.form === 'bytes' || node.form === 'any';
  const zero = zeroValue(node);
  // A null where others leave the field out is a pointer to Go's zero time.
  const zeroTime = f.presence && f.omitEmpty && (node.form === 'time' || node.form === 'microtime');
  return (w, object) => {
    const v = object[name];
    if (v === undefined || v === null) {
      if (whenSet && !(zeroTime && v === null)) return;
      write(w, zero);
    } else write(w, v);
    w.varint(tag);
  };
}

function mapWriter(p: ProtoField, name: string, values: SchemaNode): FieldWriter {
  const entry = (p.id << 3) | DELIMITED;
  const [write, tag]: [ValueWriter, number] = p.wrapped ? [wrappedItems(), (2 << 3) | DELIMITED] : tagged(2, values);
  const zero = zeroValue(values);
  const bytes = values.form === 'bytes';
  return (w, object) => {
    const map = object[name];
    if (typeof map !== 'object' || map === null || Array.isArray(map)) return;
    const keys = Object.keys(map).sort();
    for (let i = keys.length - 1; i >= 0; i--) {
      const v = map[keys[i]!];
      const mark = w.length;
      if (v !== undefined && v !== null) {
        write(w, v);
        w.varint(tag);
      } else if (!bytes) {
        write(w, p.wrapped ? [] : zero);
        w.varint(tag);
      }
      w.string(keys[i]!);
      w.varint((1 << 3) | DELIMITED);
      w.lengthSince(mark);
      w.varint(entry);
    }
  };
}

/** A message that holds a list of strings in its field 1. */
function wrappedItems(): ValueWriter {
  return (w, v) => {
    const mark = w.length;
    if (Array.isArray(v)) {
      for (let i = v.length - 1; i >= 0; i--) {
        w.string(text(v[i]!));
        w.varint((1 << 3) | DELIMITED);
      }
    }
    w.lengthSince(mark);
  };
}

function text(v: JsonValue): string {
  if (typeof v !== 'string') throw new WireError('a string was expected');
  return v;
}
function integer(v: JsonValue): number | bigint {
  if (typeof v !== 'number' && typeof v !== 'bigint') throw new WireError('a number was expected');
  return v;
}

function tagged(id: number, node: SchemaNode): [ValueWriter, number] {
  const tag = (type: number) => (id << 3) | type;
  switch (node.form) {
    case 'object': {
      const inner = messageWriter(node.type);
      return [(w, v) => delimited(w, () => inner(w, v as JsonObject)), tag(DELIMITED)];
    }
    case 'union':
      return [(w, v) => delimited(w, () => union(w, v, node)), tag(DELIMITED)];
    case 'list':
    case 'map':
      throw new WireError('a list within a list has no protobuf form');
    case 'bool':
      return [(w, v) => w.varint(v === true ? 1 : 0), tag(VARINT)];
    case 'int32':
    case 'int64':
      return [(w, v) => w.int(integer(v)), tag(VARINT)];
    case 'float64':
      return [(w, v) => w.double(Number(v)), tag(FIXED64)];
    default:
      return [scalarWriter(node.form), tag(DELIMITED)];
  }
}

function delimited(w: WireWriter, write: () => void): void {
  const mark = w.length;
  write();
  w.lengthSince(mark);
}

function scalarWriter(form: ScalarForm): ValueWriter {
  switch (form) {
    case 'bytes':
      return (w, v) => {
        const b = Buffer.from(text(v), 'base64');
        w.bytes(b);
        w.varint(b.length);
      };
    case 'quantity':
      return (w, v) => {
        const mark = w.length;
        w.string(text(v));
        w.varint((1 << 3) | DELIMITED);
        w.lengthSince(mark);
      };
    case 'time':
    case 'microtime':
      return (w, v) => {
        const mark = w.length;
        if (v !== null) timestamp(w, text(v), form === 'microtime');
        w.lengthSince(mark);
      };
    case 'duration':
      return (w, v) => {
        const mark = w.length;
        w.int(parseDuration(text(v)) ?? 0n);
        w.varint(1 << 3);
        w.lengthSince(mark);
      };
    case 'intOrString':
      return (w, v) => {
        const mark = w.length;
        const isText = typeof v === 'string';
        w.string(isText ? v : '');
        w.varint((3 << 3) | DELIMITED);
        w.int(isText ? 0 : integer(v));
        w.varint(2 << 3);
        w.varint(isText ? 1 : 0);
        w.varint(1 << 3);
        w.lengthSince(mark);
      };
    case 'raw':
    case 'fieldsV1':
    case 'any':
      return (w, v) => {
        const mark = w.length;
        if (v !== null || form === 'any') {
          w.string(embeddedJson(v));
          w.varint((1 << 3) | DELIMITED);
        }
        w.lengthSince(mark);
      };
    default:
      return (w, v) => w.string(text(v));
  }
}

/** JSON within protobuf, with markup characters escaped as Go's clients write it: some of them compare the bytes. */
const embeddedJson = (value: unknown): string =>
  encodeJson(value).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

function timestamp(w: WireWriter, value: string, micro: boolean): void {
  const t = parseRfc3339(value);
  if (!t) throw new WireError(`no time: ${value}`);
  w.varint(micro ? Math.floor(t.nanos / 1000) * 1000 : 0);
  w.varint(2 << 3);
  w.int(t.seconds);
  w.varint(1 << 3);
}

/** JSONSchemaPropsOrBool {allows 1, schema 2}, ...OrArray {schema 1, jSONSchemas 2}, ...OrStringArray {schema 1, property 2}. */
function union(w: WireWriter, v: JsonValue, node: UnionNode): void {
  const schema = messageWriter(node.type);
  const field = (id: number, write: () => void) => {
    delimited(w, write);
    w.varint((id << 3) | DELIMITED);
  };
  const isSchema = typeof v === 'object' && v !== null && !Array.isArray(v);
  if (node.or === 'bool') {
    if (isSchema) field(2, () => schema(w, v));
    // An object in place of the boolean counts as true.
    w.varint(v === true || isSchema ? 1 : 0);
    w.varint(1 << 3);
    return;
  }
  if (isSchema) field(1, () => schema(w, v));
  else if (Array.isArray(v)) {
    for (let i = v.length - 1; i >= 0; i--) {
      if (node.or === 'list') field(2, () => schema(w, v[i] as JsonObject));
      else {
        w.string(text(v[i]!));
        w.varint((2 << 3) | DELIMITED);
      }
    }
  }
}

function zeroValue(node: SchemaNode): JsonValue {
  switch (node.form) {
    case 'object':
      return {};
    case 'string':
      return '';
    case 'bool':
      return false;
    case 'quantity':
      return '0';
    case 'duration':
      return '0s';
    case 'int32':
    case 'int64':
    case 'float64':
    case 'intOrString':
      return 0;
    default:
      return null;
  }
}
