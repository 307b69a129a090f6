/** The protobuf messages of the API kinds, from api/facts/api-proto.json, joined with the type model. */
import { readFileSync } from 'node:fs';
import type { FieldSchema, ObjectType, SchemaRegistry } from '../schema/model.ts';

interface FieldFact {
  rule?: string;
  type: string;
  keyType?: string;
  id: number;
}
interface Namespace {
  fields?: Record<string, FieldFact>;
  nested?: Record<string, Namespace>;
}

/** One field of a message and where its value lives in the JSON object. */
export interface ProtoField {
  readonly id: number;
  /** The JSON field; undefined for an embedded struct, whose fields lie in the same JSON object. */
  readonly field: FieldSchema | undefined;
  readonly embedded: ObjectType | undefined;
  readonly repeated: boolean;
  readonly map: boolean;
  /** The value is a message with a list `items` in it (ExtraValue, Verbs). */
  readonly wrapped: boolean;
}

let shared: Map<string, Record<string, FieldFact>> | undefined;

/** By the type model's names. */
function messages(): Map<string, Record<string, FieldFact>> {
  if (shared) return shared;
  const out = new Map<string, Record<string, FieldFact>>();
  const walk = (ns: Namespace, path: string) => {
    for (const [name, inner] of Object.entries(ns.nested ?? {})) {
      const full = path === '' ? name : `${path}.${name}`;
      if (inner.fields) out.set(modelName(full), inner.fields);
      walk(inner, full);
    }
  };
  walk(JSON.parse(readFileSync(new URL('../facts/api-proto.json', import.meta.url), 'utf8')) as Namespace, '');
  shared = out;
  return out;
}

/** `io.k8s.kube-aggregator.pkg...` of `k8s.io.kube_aggregator.pkg...`. */
const modelName = (proto: string) => proto.replace(/^\.?k8s\.io\./, 'io.k8s.').replace(/^(io\.k8s\.[a-z]+)_/, '$1-');

const plain = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, '');

/** The fields of a type's message in ascending order of their numbers; undefined when the type has none. */
export function protoFields(type: ObjectType, registry: SchemaRegistry): ProtoField[] | undefined {
  const all = messages();
  const facts = all.get(type.name);
  if (!facts) return undefined;
  const names = new Map(type.fields.map((f) => [plain(f.name), f]));
  const home = type.name.slice(0, type.name.lastIndexOf('.'));
  const out: ProtoField[] = [];
  for (const [name, fact] of Object.entries(facts)) {
    const field = type.field(name) ?? names.get(plain(name));
    const target = fact.type.includes('.') ? modelName(fact.type) : `${home}.${fact.type}`;
    const embedded = field ? undefined : registry.lookup(target);
    if (!field && !embedded) continue;
    const inner = all.get(target);
    out.push({
      id: fact.id,
      field,
      embedded,
      repeated: fact.rule === 'repeated',
      map: fact.keyType !== undefined,
      wrapped: inner !== undefined && 'items' in inner && registry.lookup(target) === undefined,
    });
  }
  return out.sort((a, b) => a.id - b.id);
}
