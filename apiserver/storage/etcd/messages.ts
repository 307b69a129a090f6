/** Protobuf messages described as data, as plain objects: enough of proto3 for the few that a client of etcd sends and gets. */
import { WireReader, WireWriter } from '../../../api/codec/wire.ts';

/** `bytes`, `string`, `bool`, `int32`, `int64`, or the name of a message; the field's number; whether it is a list. */
export type FieldSpec = readonly [type: string, id: number, rule?: 'repeated'];

/** Objects of one message to bytes and back. */
export interface Message {
  /** Fields that are undefined are left out. */
  encode(object: Readonly<Record<string, unknown>>): Buffer;
  /** Fields that aren't there are zero, empty, or (messages) undefined. Throws WireError. Bytes are views. */
  decode(bytes: Buffer): unknown;
}

interface Field {
  readonly name: string;
  readonly id: number;
  readonly kind: 'bytes' | 'string' | 'bool' | 'int' | 'message';
  readonly repeated: boolean;
  readonly message: Plan | undefined;
}

interface Plan {
  readonly fields: Field[];
  readonly byId: Field[];
  /** A message without anything. Lists are made anew for each object. */
  readonly empty: Record<string, unknown>;
  readonly lists: string[];
}

type Values = Readonly<Record<string, unknown>>;

const KINDS: Record<string, Exclude<Field['kind'], 'message'>> = {
  bytes: 'bytes',
  string: 'string',
  bool: 'bool',
  int32: 'int',
  int64: 'int',
};
const ZERO: Record<Field['kind'], unknown> = {
  bytes: Buffer.alloc(0),
  string: '',
  bool: false,
  int: 0,
  message: undefined,
};
const WIRE_TYPE: Record<Field['kind'], number> = { bytes: 2, string: 2, message: 2, bool: 0, int: 0 };

/** Finds messages by name. */
export function createMessages(specs: Readonly<Record<string, Readonly<Record<string, FieldSpec>>>>) {
  const plans = new Map<string, Plan>();
  const planOf = (name: string): Plan => {
    const known = plans.get(name);
    if (known) return known;
    const spec = specs[name];
    if (!spec) throw new Error(`no message ${name}`);
    const plan: Plan = { fields: [], byId: [], empty: {}, lists: [] };
    plans.set(name, plan);
    for (const [field, [type, id, rule]] of Object.entries(spec)) {
      const kind = KINDS[type] ?? 'message';
      const repeated = rule === 'repeated';
      const f: Field = { name: field, id, kind, repeated, message: kind === 'message' ? planOf(type) : undefined };
      plan.fields.push(f);
      plan.byId[id] = f;
      plan.empty[field] = repeated ? undefined : ZERO[kind];
      if (repeated) plan.lists.push(field);
    }
    return plan;
  };
  const writer = new WireWriter();
  return (name: string): Message => {
    const plan = planOf(name);
    return {
      encode(object) {
        writer.reset();
        write(writer, plan, object);
        return writer.finish();
      },
      decode: (bytes) => read(new WireReader(bytes), plan),
    };
  };
}

/** The writer goes from the end to the front, and so do the fields. */
function write(w: WireWriter, plan: Plan, object: Values): void {
  for (let i = plan.fields.length - 1; i >= 0; i--) {
    const f = plan.fields[i]!;
    const value = object[f.name];
    if (value === undefined) continue;
    if (!f.repeated) writeField(w, f, value);
    else for (let j = (value as unknown[]).length - 1; j >= 0; j--) writeField(w, f, (value as unknown[])[j]);
  }
}

function writeField(w: WireWriter, f: Field, value: unknown): void {
  const mark = w.length;
  switch (f.kind) {
    case 'bytes':
      w.bytes(value as Buffer);
      w.lengthSince(mark);
      break;
    case 'string':
      w.string(value as string);
      break;
    case 'bool':
      w.varint(value === true ? 1 : 0);
      break;
    case 'int':
      w.int(value as number | bigint);
      break;
    case 'message':
      write(w, f.message!, value as Values);
      w.lengthSince(mark);
  }
  w.varint(f.id * 8 + WIRE_TYPE[f.kind]);
}

function read(r: WireReader, plan: Plan): Record<string, unknown> {
  const out = { ...plan.empty };
  for (const list of plan.lists) out[list] = [];
  while (!r.done) {
    const tag = r.varint();
    const f = plan.byId[Math.floor(tag / 8)];
    if (f === undefined || WIRE_TYPE[f.kind] !== tag % 8) {
      r.skip(tag % 8);
      continue;
    }
    const value = readField(r, f);
    if (f.repeated) (out[f.name] as unknown[]).push(value);
    else out[f.name] = value;
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
      return r.int();
    case 'message':
      return read(r.message(), f.message!);
  }
}
