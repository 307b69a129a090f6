/**
 * OpenAPI v2 in the protobuf form that kubectl up to 1.26 asks for: gnostic's OpenAPIv2.proto. Only what our own
 * documents hold is written; unknown keywords of schemas travel as vendor extensions.
 */
import { isObject } from '../patch/value.ts';
import type { JsonObject, JsonValue } from '../types.ts';

/** Encodes a document made by buildV2. */
export function encodeV2(document: JsonObject): Buffer {
  const m = new Message();
  m.text(1, document['swagger']);
  m.child(2, info(document['info']));
  const paths = new Message();
  each(document['paths'], (name, item) => paths.child(2, named(name, pathItem(item))));
  m.child(8, paths);
  const definitions = new Message();
  each(document['definitions'], (name, schema) => definitions.child(1, named(name, encodeSchema(schema))));
  m.child(9, definitions);
  const parameters = new Message();
  each(document['parameters'], (name, p) => parameters.child(1, named(name, parameter(p))));
  m.child(10, parameters);
  for (const requirement of list(document['security'])) m.child(12, securityRequirement(requirement));
  m.child(13, securityDefinitions(document['securityDefinitions']));
  return m.bytes();
}

/** A message under construction: fields in the order they are written. */
class Message {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  #push(part: Uint8Array): void {
    this.#parts.push(part);
    this.#length += part.length;
  }
  #block(field: number, bytes: Uint8Array): void {
    this.#push(varints((field << 3) | 2, bytes.length));
    this.#push(bytes);
  }
  text(field: number, value: JsonValue | undefined): void {
    if (typeof value === 'string' && value !== '') this.#block(field, Buffer.from(value));
  }
  texts(field: number, values: JsonValue | undefined): void {
    for (const v of list(values)) if (typeof v === 'string') this.#block(field, Buffer.from(v));
  }
  flag(field: number, value: JsonValue | undefined): void {
    if (value === true) this.#push(varints(field << 3, 1));
  }
  /** The members of a oneof are written even when false. */
  choice(field: number, value: boolean): void {
    this.#push(varints(field << 3, value ? 1 : 0));
  }
  integer(field: number, value: JsonValue | undefined): void {
    if ((typeof value === 'number' || typeof value === 'bigint') && value > 0) {
      this.#push(varints(field << 3, Number(value)));
    }
  }
  double(field: number, value: JsonValue | undefined): void {
    if ((typeof value !== 'number' && typeof value !== 'bigint') || Number(value) === 0) return;
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(Number(value));
    this.#push(varints((field << 3) | 1));
    this.#push(bytes);
  }
  child(field: number, message: Message | undefined): void {
    if (message !== undefined) this.#block(field, message.bytes());
  }
  bytes(): Buffer {
    return Buffer.concat(this.#parts, this.#length);
  }
}

function varints(...values: number[]): Buffer {
  const out: number[] = [];
  for (const value of values) {
    let v = value;
    while (v > 127) {
      out.push((v % 128) | 128);
      v = Math.floor(v / 128);
    }
    out.push(v);
  }
  return Buffer.from(out);
}

const list = (value: JsonValue | undefined): JsonValue[] => (Array.isArray(value) ? value : []);
function each(value: JsonValue | undefined, fn: (key: string, value: JsonObject) => void): void {
  if (isObject(value)) for (const [k, v] of Object.entries(value)) if (isObject(v)) fn(k, v);
}
function named(name: string, value: Message): Message {
  const m = new Message();
  m.text(1, name);
  m.child(2, value);
  return m;
}
/** gnostic's Any: YAML text; JSON is YAML. */
function any(value: JsonValue): Message {
  const m = new Message();
  const text = JSON.stringify(value, (_k, v: unknown) => (typeof v === 'bigint' ? Number(v) : v));
  m.text(2, `${text}\n`);
  return m;
}
/** Everything that starts with `x-`. */
function extensions(m: Message, field: number, value: JsonObject): void {
  for (const [key, v] of Object.entries(value)) {
    if (key.startsWith('x-') && v !== undefined) m.child(field, named(key, any(v)));
  }
}

function info(value: JsonValue | undefined): Message {
  const m = new Message();
  if (isObject(value)) {
    m.text(1, value['title']);
    m.text(2, value['version']);
  }
  return m;
}

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch'];
function pathItem(item: JsonObject): Message {
  const m = new Message();
  METHODS.forEach((method, i) => {
    const op = item[method];
    if (isObject(op)) m.child(i + 2, operation(op));
  });
  return m;
}

function operation(op: JsonObject): Message {
  const m = new Message();
  m.texts(1, op['tags']);
  m.text(3, op['description']);
  m.text(5, op['operationId']);
  m.texts(6, op['produces']);
  m.texts(7, op['consumes']);
  for (const p of list(op['parameters'])) if (isObject(p)) m.child(8, parametersItem(p));
  const responses = new Message();
  each(op['responses'], (code, r) => {
    const value = new Message();
    value.child(1, response(r));
    responses.child(1, named(code, value));
  });
  m.child(9, responses);
  m.texts(10, op['schemes']);
  extensions(m, 13, op);
  return m;
}

function response(r: JsonObject): Message {
  const m = new Message();
  m.text(1, r['description']);
  if (isObject(r['schema'])) {
    const item = new Message();
    item.child(1, encodeSchema(r['schema']));
    m.child(2, item);
  }
  return m;
}

function parametersItem(p: JsonObject): Message {
  const m = new Message();
  if (typeof p['$ref'] === 'string') {
    const reference = new Message();
    reference.text(1, p['$ref']);
    m.child(2, reference);
  } else m.child(1, parameter(p));
  return m;
}

function parameter(p: JsonObject): Message {
  const m = new Message();
  if (p['in'] === 'body') {
    const body = new Message();
    body.text(1, p['description']);
    body.text(2, p['name']);
    body.text(3, p['in']);
    body.flag(4, p['required']);
    if (isObject(p['schema'])) body.child(5, encodeSchema(p['schema']));
    m.child(1, body);
    return m;
  }
  const query = p['in'] === 'query';
  const inner = new Message();
  inner.flag(1, p['required']);
  inner.text(2, p['in']);
  inner.text(3, p['description']);
  inner.text(4, p['name']);
  inner.text(query ? 6 : 5, p['type']);
  inner.flag(query ? 20 : 19, p['uniqueItems']);
  const outer = new Message();
  outer.child(query ? 3 : 4, inner);
  m.child(2, outer);
  return m;
}

function encodeSchema(s: JsonObject): Message {
  const m = new Message();
  m.text(1, s['$ref']);
  m.text(2, s['format']);
  m.text(3, s['title']);
  m.text(4, s['description']);
  if (s['default'] !== undefined) m.child(5, any(s['default']));
  m.double(6, s['multipleOf']);
  m.double(7, s['maximum']);
  m.flag(8, s['exclusiveMaximum']);
  m.double(9, s['minimum']);
  m.flag(10, s['exclusiveMinimum']);
  m.integer(11, s['maxLength']);
  m.integer(12, s['minLength']);
  m.text(13, s['pattern']);
  m.integer(14, s['maxItems']);
  m.integer(15, s['minItems']);
  m.flag(16, s['uniqueItems']);
  m.integer(17, s['maxProperties']);
  m.integer(18, s['minProperties']);
  m.texts(19, s['required']);
  for (const v of list(s['enum'])) m.child(20, any(v));
  const additional = s['additionalProperties'];
  if (additional !== undefined) {
    const item = new Message();
    if (isObject(additional)) item.child(1, encodeSchema(additional));
    else item.choice(2, additional === true);
    m.child(21, item);
  }
  if (typeof s['type'] === 'string') {
    const type = new Message();
    type.text(1, s['type']);
    m.child(22, type);
  }
  if (isObject(s['items'])) {
    const items = new Message();
    items.child(1, encodeSchema(s['items']));
    m.child(23, items);
  }
  for (const v of list(s['allOf'])) if (isObject(v)) m.child(24, encodeSchema(v));
  if (isObject(s['properties'])) {
    const properties = new Message();
    each(s['properties'], (name, v) => properties.child(1, named(name, encodeSchema(v))));
    m.child(25, properties);
  }
  extensions(m, 31, s);
  return m;
}

function securityRequirement(value: JsonValue): Message {
  const m = new Message();
  if (isObject(value)) {
    for (const [name, scopes] of Object.entries(value)) {
      const array = new Message();
      array.texts(1, scopes);
      m.child(1, named(name, array));
    }
  }
  return m;
}

function securityDefinitions(value: JsonValue | undefined): Message {
  const m = new Message();
  each(value, (name, d) => {
    const key = new Message();
    key.text(1, d['type']);
    key.text(2, d['name']);
    key.text(3, d['in']);
    key.text(4, d['description']);
    const item = new Message();
    item.child(2, key);
    m.child(1, named(name, item));
  });
  return m;
}
