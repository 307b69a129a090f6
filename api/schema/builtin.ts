/** The types of built-in kinds, read from api/facts when first asked for. */
import { readFileSync } from 'node:fs';
import type { GroupVersionKind, JsonValue } from '../types.ts';
import type { FieldSchema, ObjectType, ScalarForm, SchemaNode, SchemaRegistry } from './model.ts';

type FieldFact = readonly [name: string, form: string, flags: string];

/** An OpenAPI v3 schema as the facts have it. */
interface Spec {
  type?: string;
  format?: string;
  $ref?: string;
  allOf?: { $ref?: string }[];
  default?: JsonValue;
  enum?: JsonValue[];
  items?: Spec;
  properties?: Record<string, Spec>;
  additionalProperties?: Spec;
  required?: string[];
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-map-type'?: string;
  'x-kubernetes-patch-strategy'?: string;
  'x-kubernetes-patch-merge-key'?: string;
  'x-kubernetes-group-version-kind'?: GroupVersionKind[];
}

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.';
const APIEXT = 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.';
/** Kinds that belong to every group. */
const META_KINDS: ReadonlySet<string> = new Set([
  'Status',
  'DeleteOptions',
  'CreateOptions',
  'UpdateOptions',
  'PatchOptions',
  'GetOptions',
  'ListOptions',
  'WatchEvent',
  'APIGroup',
  'APIGroupList',
  'APIResourceList',
  'APIVersions',
]);
const SPECIAL: Readonly<Record<string, ScalarForm>> = {
  'io.k8s.apimachinery.pkg.api.resource.Quantity': 'quantity',
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': 'intOrString',
  'io.k8s.apimachinery.pkg.runtime.RawExtension': 'raw',
  [`${META}Time`]: 'time',
  [`${META}MicroTime`]: 'microtime',
  [`${META}Duration`]: 'duration',
  [`${META}FieldsV1`]: 'fieldsV1',
  [`${APIEXT}v1.JSON`]: 'any',
  [`${APIEXT}v1beta1.JSON`]: 'any',
};
const UNIONS: Readonly<Record<string, 'bool' | 'list' | 'strings'>> = {
  JSONSchemaPropsOrBool: 'bool',
  JSONSchemaPropsOrArray: 'list',
  JSONSchemaPropsOrStringArray: 'strings',
};
const SCALARS: Readonly<Record<string, ScalarForm>> = {
  string: 'string',
  bool: 'bool',
  int32: 'int32',
  int64: 'int64',
  float64: 'float64',
  bytes: 'bytes',
  interface: 'any',
};

const load = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../facts/${name}`, import.meta.url), 'utf8')) as T;

let shared: SchemaRegistry | undefined;

/** The registry of all built-in types; the facts are read once per process. */
export function builtinSchemas(): SchemaRegistry {
  shared ??= makeRegistry(load('fields.json'), load('schema-v3.json'));
  return shared;
}

function makeRegistry(
  facts: Record<string, FieldFact[]>,
  byVersion: Record<string, Record<string, Spec>>,
): SchemaRegistry {
  const specs = new Map<string, Spec>();
  const kinds = new Map<string, GroupVersionKind & { type: string }>();
  const kindsOf = new Map<string, GroupVersionKind[]>();
  for (const types of Object.values(byVersion)) {
    for (const [name, spec] of Object.entries(types)) {
      if (!specs.has(name)) specs.set(name, spec);
      for (const k of spec['x-kubernetes-group-version-kind'] ?? []) {
        const key = `${k.group}/${k.version}/${k.kind}`;
        if (kinds.has(key)) continue;
        const kind = { group: k.group, version: k.version, kind: k.kind };
        kinds.set(key, { ...kind, type: name });
        kindsOf.set(name, [...(kindsOf.get(name) ?? []), kind]);
      }
    }
  }
  const types = new Map<string, ObjectType>();

  const lookup = (name: string): ObjectType | undefined => {
    const known = types.get(name);
    if (known) return known;
    if (!Object.hasOwn(facts, name)) return undefined;
    const type = new LazyType(name, kindsOf.get(name) ?? [], () => fieldsOf(name));
    types.set(name, type);
    return type;
  };
  const type = (name: string): ObjectType => {
    const t = lookup(name);
    if (!t) throw new Error(`no such type: ${name}`);
    return t;
  };

  function nodeOf(form: string, spec: Spec | undefined): SchemaNode {
    const base = spec?.default === undefined ? {} : { default: spec.default };
    if (form.startsWith('[]')) {
      const listType = spec?.['x-kubernetes-list-type'];
      return {
        ...base,
        form: 'list',
        items: nodeOf(form.slice(2), spec?.items),
        listType: listType === 'set' || listType === 'map' ? listType : 'atomic',
        listMapKeys: spec?.['x-kubernetes-list-map-keys'] ?? [],
      };
    }
    if (form.startsWith('map[string]')) {
      return {
        ...base,
        form: 'map',
        values: nodeOf(form.slice('map[string]'.length), spec?.additionalProperties),
        mapType: spec?.['x-kubernetes-map-type'] === 'atomic' ? 'atomic' : 'granular',
      };
    }
    const scalar = SCALARS[form] ?? SPECIAL[form];
    if (scalar !== undefined) return { ...base, form: scalar, ...(spec?.enum ? { enum: spec.enum } : {}) };
    const or = form.startsWith(APIEXT) ? UNIONS[form.slice(form.lastIndexOf('.') + 1)] : undefined;
    if (or !== undefined)
      return { ...base, form: 'union', or, type: type(form.slice(0, form.indexOf('Or', APIEXT.length))) };
    const atomic = (spec?.['x-kubernetes-map-type'] ?? specs.get(form)?.['x-kubernetes-map-type']) === 'atomic';
    return { ...base, form: 'object', type: type(form), mapType: atomic ? 'atomic' : 'granular' };
  }

  function fieldsOf(name: string, spec: Spec | undefined = specs.get(name), inlinedFrom?: string): FieldSchema[] {
    const out: FieldSchema[] = [];
    for (const [field, form, flags] of facts[name] ?? []) {
      if (flags.includes('i')) {
        // An embedded struct has its own schema entry only when it is used elsewhere too; the outer one has its properties.
        out.push(...fieldsOf(form, spec ?? specs.get(form), form));
        continue;
      }
      if (field === '' || field === '-') continue;
      const property = spec?.properties?.[field];
      out.push({
        name: field,
        node: nodeOf(form, property),
        presence: flags.includes('p'),
        omitEmpty: flags.includes('o'),
        omitZero: flags.includes('z'),
        required: spec?.required?.includes(field) ?? false,
        patchStrategy: property?.['x-kubernetes-patch-strategy']?.split(',') ?? [],
        patchMergeKey: property?.['x-kubernetes-patch-merge-key'],
        inlinedFrom,
      });
    }
    return out;
  }

  return {
    type,
    lookup,
    forKind(kind) {
      const k = kinds.get(`${kind.group}/${kind.version}/${kind.kind}`);
      if (k) return lookup(k.type);
      if (kind.group === 'meta.k8s.io' || META_KINDS.has(kind.kind)) return lookup(`${META}${kind.kind}`);
      return kind.kind === 'List' && kind.group === '' ? lookup('io.k8s.api.core.v1.List') : undefined;
    },
    kinds: () => [...kinds.values()],
  };
}

class LazyType implements ObjectType {
  readonly name: string;
  readonly kinds: readonly GroupVersionKind[];
  readonly native = true;
  readonly preserveUnknown = false;
  readonly embedded = false;
  readonly #make: () => FieldSchema[];
  #fields: readonly FieldSchema[] | undefined;
  #byName: Map<string, FieldSchema> | undefined;

  constructor(name: string, kinds: readonly GroupVersionKind[], make: () => FieldSchema[]) {
    this.name = name;
    this.kinds = kinds;
    this.#make = make;
  }
  get fields(): readonly FieldSchema[] {
    this.#fields ??= this.#make();
    return this.#fields;
  }
  field(name: string): FieldSchema | undefined {
    this.#byName ??= new Map(this.fields.map((f) => [f.name, f]));
    return this.#byName.get(name);
  }
}
