/** Rules of whole values that a schema declares by extensions: unique list items, embedded resources. */
import { encodeJson } from '../../../api/codec/json.ts';
import { Path, duplicate, invalid, required, type FieldError } from '../../../api/field-errors.ts';
import { builtinSchemas } from '../../../api/schema/builtin.ts';
import { DecodeError, normalize } from '../../../api/schema/normalize.ts';
import type { JsonObject, JsonValue, KubeObject } from '../../../api/types.ts';
import { isDNS1035Label, isPathSegmentName } from '../../../api/validation/names.ts';
import { Field } from '../../resources/validation/field.ts';
import { objectMeta } from '../../resources/validation/meta.ts';
import { isObject, type Value, type ValueObject } from './equal.ts';
import { itemsOf, valuesOf, type SchemaProps } from './props.ts';

/** Calls `visit` for every value that the structure of `schema` describes, outer ones first. */
function walk(
  value: Value | undefined,
  schema: SchemaProps | undefined,
  path: Path,
  visit: (v: Value, s: SchemaProps, p: Path) => void,
): void {
  if (schema === undefined || typeof value !== 'object' || value === null) return;
  visit(value, schema, path);
  if (Array.isArray(value)) {
    const items = itemsOf(schema);
    if (items) (value as Value[]).forEach((v, i) => walk(v, items, path.index(i), visit));
    return;
  }
  const more = valuesOf(schema);
  const { properties } = schema;
  for (const [key, v] of Object.entries(value as ValueObject)) {
    if (properties && Object.hasOwn(properties, key)) walk(v, properties[key], path.child(key), visit);
    else if (more) walk(v, more, path.key(key), visit);
  }
}

const ROOT = Path.root();
const wanting = new WeakMap<SchemaProps, { lists: boolean; embedded: boolean }>();

/** What a schema makes necessary, so that most objects are not walked at all. */
function needs(schema: SchemaProps): { lists: boolean; embedded: boolean } {
  let known = wanting.get(schema);
  if (!known) {
    known = { lists: false, embedded: false };
    const look = (s: SchemaProps | undefined): void => {
      if (!s) return;
      if (s['x-kubernetes-list-type'] === 'set' || s['x-kubernetes-list-type'] === 'map') known!.lists = true;
      if (s['x-kubernetes-embedded-resource']) known!.embedded = true;
      for (const p of Object.values(s.properties ?? {})) look(p);
      look(itemsOf(s));
      look(valuesOf(s));
    };
    look(schema);
    wanting.set(schema, known);
  }
  return known;
}

/** Items of sets and keys of maps must differ. */
export function validateLists(object: Value, schema: SchemaProps): FieldError[] {
  if (!needs(schema).lists) return [];
  const errors: FieldError[] = [];
  walk(object, schema, ROOT, (v, s, path) => {
    if (!Array.isArray(v)) return;
    const list = v as Value[];
    if (s['x-kubernetes-list-type'] === 'set')
      repeated(list).forEach((i) => errors.push(duplicate(path.index(i), list[i])));
    if (s['x-kubernetes-list-type'] === 'map')
      errors.push(...keysDiffer(list, s['x-kubernetes-list-map-keys'] ?? [], path));
  });
  return errors;
}

function keysDiffer(list: readonly Value[], names: readonly string[], path: Path): FieldError[] {
  const wrong = list.findIndex((v) => v !== null && !isObject(v));
  if (wrong >= 0) return [invalid(path.index(wrong), list[wrong], 'must be an object for an array of list-type map')];
  const keys = list.map((v): ValueObject => {
    const key: Record<string, Value> = {};
    if (isObject(v)) for (const n of names) if (v[n] !== undefined) key[n] = v[n];
    return key;
  });
  return repeated(keys).map((i) => duplicate(path.index(i), keys[i]));
}

/** The places where something appears for the second time. */
function repeated(list: readonly Value[]): number[] {
  if (list.length < 2) return [];
  const seen = new Map<string, number>();
  const out: number[] = [];
  list.forEach((v, i) => {
    const key = canonical(v);
    const times = (seen.get(key) ?? 0) + 1;
    seen.set(key, times);
    if (times === 2) out.push(i);
  });
  return out;
}

function canonical(v: Value): string {
  if (typeof v === 'bigint') return v.toString();
  if (typeof v !== 'object' || v === null) return encodeJson(v);
  if (Array.isArray(v)) return `[${(v as Value[]).map(canonical).join(',')}]`;
  const o = v as ValueObject;
  return `{${Object.keys(o)
    .filter((k) => o[k] !== undefined)
    .sort()
    .map((k) => `${JSON.stringify(k)}:${canonical(o[k]!)}`)
    .join(',')}}`;
}

/** Embedded resources have a kind, an apiVersion and valid metadata. */
export function validateEmbedded(object: Value, schema: SchemaProps): FieldError[] {
  if (!needs(schema).embedded) return [];
  const errors: FieldError[] = [];
  walk(object, schema, ROOT, (v, s, path) => {
    if (s['x-kubernetes-embedded-resource'] && isObject(v)) embedded(v, path, errors);
  });
  return errors;
}

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';

function embedded(o: ValueObject, path: Path, errors: FieldError[]): void {
  for (const name of ['apiVersion', 'kind'] as const) {
    const v = o[name];
    const at = path.child(name);
    if (v === undefined) errors.push(required(at));
    else if (typeof v !== 'string') errors.push(invalid(at, v, 'must be a string'));
    else if (v === '') errors.push(invalid(at, v, 'must not be empty'));
    else if (name === 'apiVersion') {
      if (v.split('/').length > 2) errors.push(invalid(at, v, `unexpected GroupVersion string: ${v}`));
    } else {
      const wrong = isDNS1035Label(v.toLowerCase());
      if (wrong.length > 0)
        errors.push(invalid(at, v, `may have mixed case, but should otherwise match: ${wrong.join(',')}`));
    }
  }
  if (o.metadata === undefined) return;
  const at = path.child('metadata');
  try {
    const meta = normalize(o.metadata as JsonValue, builtinSchemas().type(OBJECT_META), { ignoreUnknown: true })
      .object as JsonObject;
    meta.name ||= 'fakename';
    const found: FieldError[] = [];
    objectMeta(
      new Field<KubeObject>({ metadata: meta } as KubeObject, found),
      { namespaced: Boolean(meta.namespace) },
      isPathSegmentName,
      { anyFinalizer: true },
    );
    for (const e of found)
      errors.push({ ...e, field: `${path.toString() === '' ? '' : `${path.toString()}.`}${e.field}` });
  } catch (e) {
    if (!(e instanceof DecodeError)) throw e;
    errors.push(invalid(at, o.metadata, e.message));
  }
}
