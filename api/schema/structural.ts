/** Types of custom resources, built from a structural openAPIV3Schema. */
import type { GroupVersionKind, JsonValue } from '../types.ts';
import { builtinSchemas } from './builtin.ts';
import type { FieldSchema, ObjectType, ScalarForm, SchemaNode } from './model.ts';

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';

/** The parts of JSONSchemaProps that the type model takes notice of. */
export interface StructuralSchema {
  type?: string;
  format?: string;
  nullable?: boolean;
  default?: JsonValue;
  enum?: JsonValue[];
  required?: string[];
  items?: StructuralSchema;
  properties?: Record<string, StructuralSchema>;
  additionalProperties?: boolean | StructuralSchema;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
  'x-kubernetes-embedded-resource'?: boolean;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-map-type'?: string;
}

/**
 * The type of a custom resource. Fields stand in the order of the schema; apiVersion, kind and metadata
 * (an ordinary ObjectMeta) are always among them.
 */
export function structuralType(kind: GroupVersionKind, schema: StructuralSchema): ObjectType {
  const name = `${kind.group.split('.').reverse().join('.')}.${kind.version}.${kind.kind}`;
  return new StructuralType(name, schema, [kind]);
}

class StructuralType implements ObjectType {
  readonly name: string;
  readonly kinds: readonly GroupVersionKind[];
  readonly native = false;
  readonly preserveUnknown: boolean;
  readonly embedded: boolean;
  readonly fields: readonly FieldSchema[];
  readonly #byName: Map<string, FieldSchema>;

  constructor(name: string, schema: StructuralSchema, kinds: readonly GroupVersionKind[]) {
    this.name = name;
    this.kinds = kinds;
    this.preserveUnknown = schema['x-kubernetes-preserve-unknown-fields'] ?? false;
    this.embedded = schema['x-kubernetes-embedded-resource'] ?? false;
    const own = kinds.length > 0 || this.embedded;
    const byName = new Map<string, FieldSchema>();
    const add = (field: string, node: SchemaNode) =>
      byName.set(field, {
        name: field,
        node,
        presence: true,
        omitEmpty: true,
        omitZero: false,
        required: schema.required?.includes(field) ?? false,
        patchStrategy: [],
        patchMergeKey: undefined,
        inlinedFrom: undefined,
      });
    if (own) {
      add('apiVersion', { form: 'string' });
      add('kind', { form: 'string' });
      add('metadata', { form: 'object', type: builtinSchemas().type(OBJECT_META), mapType: 'granular' });
    }
    for (const [field, s] of Object.entries(schema.properties ?? {})) {
      if (!own || !byName.has(field)) add(field, structuralNode(s, `${name}.${field}`));
    }
    this.fields = [...byName.values()];
    this.#byName = byName;
  }
  field(name: string): FieldSchema | undefined {
    return this.#byName.get(name);
  }
}

/** The node of one structural schema; `name` is for the types inside. */
function structuralNode(schema: StructuralSchema, name: string): SchemaNode {
  const base = {
    ...(schema.default === undefined ? {} : { default: schema.default }),
    nullable: schema.nullable ?? false,
  };
  if (schema['x-kubernetes-int-or-string']) return { ...base, form: 'intOrString' };
  const listType = schema['x-kubernetes-list-type'];
  const mapType = schema['x-kubernetes-map-type'] === 'atomic' ? 'atomic' : 'granular';
  // Where anything may stand, what is declared holds for objects and lists all the same.
  switch (schema.type ?? (schema.properties ? 'object' : schema.items ? 'array' : undefined)) {
    case 'array':
      return {
        ...base,
        form: 'list',
        items: structuralNode(schema.items ?? {}, `${name}.items`),
        listType: listType === 'set' || listType === 'map' ? listType : 'atomic',
        listMapKeys: schema['x-kubernetes-list-map-keys'] ?? [],
      };
    case 'object': {
      const more = schema.additionalProperties;
      if (!schema.properties && more !== undefined && more !== false)
        return { ...base, form: 'map', values: more === true ? { form: 'any' } : structuralNode(more, name), mapType };
      return { ...base, form: 'object', type: new StructuralType(name, schema, []), mapType };
    }
    default:
      return { ...base, form: scalarForm(schema), ...(schema.enum ? { enum: schema.enum } : {}) };
  }
}

function scalarForm(schema: StructuralSchema): ScalarForm {
  switch (schema.type) {
    case 'string':
      return 'string';
    case 'boolean':
      return 'bool';
    case 'integer':
      return schema.format === 'int32' ? 'int32' : 'int64';
    case 'number':
      return 'float64';
    default:
      return 'any';
  }
}
