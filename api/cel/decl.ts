/** Declared types from the schemas of custom resources, with the sizes that cost estimates go by. */
import { type DeclType, DYN, escapeField } from './json-values.ts';
import type { JsonValue } from '../types.ts';

/** The parts of a JSON schema that tell types and sizes apart. */
interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly required?: readonly string[];
  readonly default?: JsonValue;
  readonly enum?: readonly JsonValue[];
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-list-type'?: string;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
}

/** What one request can hold at most, without its brackets. */
const REQUEST = 3 * 1024 * 1024 - 2;
/** Quoted times and durations, the longest and the shortest. */
const TIMES: Readonly<Record<string, { max: number; min: number }>> = {
  duration: { max: 32, min: 3 },
  date: { max: 12, min: 12 },
  'date-time': { max: 32, min: 21 },
};

const METADATA: Schema = { type: 'object', properties: { name: { type: 'string' }, generateName: { type: 'string' } } };
const ROOT: Readonly<Record<string, Schema>> = {
  apiVersion: { type: 'string' },
  kind: { type: 'string' },
  metadata: METADATA,
};

function propertiesOf(schema: Schema, root: boolean): Readonly<Record<string, Schema>> {
  const own = schema.properties ?? {};
  return root || schema['x-kubernetes-embedded-resource'] ? { ...own, ...ROOT } : own;
}
const isVisible = (schema: Schema): boolean =>
  schema.type !== undefined || schema['x-kubernetes-int-or-string'] === true;

/** The shortest JSON that a value has. */
function minSize(schema: Schema): number {
  if (schema['x-kubernetes-int-or-string']) return 1;
  switch (schema.type) {
    case 'boolean':
      return 4;
    case 'integer':
    case 'number':
      return 1;
    case 'string':
      return TIMES[schema.format ?? '']?.min ?? 2;
    case 'object': {
      let size = 2;
      if (typeof schema.additionalProperties === 'object') return size;
      for (const [name, s] of Object.entries(propertiesOf(schema, false))) {
        if (schema.required?.includes(name) && s.default === undefined) size += name.length + minSize(s) + 4;
      }
      return size;
    }
    default:
      return 2;
  }
}

/** How many such values one request can hold, where nothing else bounds them. */
export const maxCardinality = (schema: Schema): number => Math.floor((REQUEST + 2) / (minSize(schema) + 1));

function maxText(schema: Schema): number {
  const time = TIMES[schema.format ?? ''];
  if (time !== undefined) return time.max;
  if (schema.maxLength !== undefined) return Math.max(0, schema.maxLength) * (schema.format === 'byte' ? 1 : 4);
  const texts = schema.enum?.filter((v) => typeof v === 'string') ?? [];
  return texts.length > 0 && schema.format !== 'byte' ? Math.max(...texts.map((t) => t.length)) : REQUEST;
}

/** The declared type of a structural schema; `root` for whole resources, whose metadata shows only its names. */
export function declTypeOf(schema: Schema, name = 'object', root = false): DeclType {
  if (schema['x-kubernetes-int-or-string']) return { kind: 'dyn', max: maxText(schema) };
  switch (schema.type) {
    case 'boolean':
      return { kind: 'bool' };
    case 'integer':
      return { kind: 'int' };
    case 'number':
      return { kind: 'double' };
    case 'string': {
      const max = maxText(schema);
      switch (schema.format) {
        case 'byte':
          return { kind: 'bytes', max };
        case 'duration':
          return { kind: 'duration', max };
        case 'date-time':
          return { kind: 'timestamp', max };
        case 'date':
          return { kind: 'date', max };
        default:
          return { kind: 'string', max };
      }
    }
    case 'array': {
      const items = schema.items ?? {};
      const listType = schema['x-kubernetes-list-type'];
      return {
        kind: 'list',
        items: declTypeOf(items, `${name}.@idx`),
        max: schema.maxItems === undefined ? Math.floor(REQUEST / (minSize(items) + 1)) : Math.max(0, schema.maxItems),
        ...(listType === 'set' || listType === 'map' ? { listType } : {}),
        ...(schema['x-kubernetes-list-map-keys'] ? { mapKeys: schema['x-kubernetes-list-map-keys'] } : {}),
      };
    }
    case 'object': {
      const values = schema.additionalProperties;
      if (typeof values === 'object') {
        const max = schema.maxProperties ?? Math.floor(REQUEST / (minSize(values) + 6));
        return { kind: 'map', values: declTypeOf(values, `${name}.@elem`), max: Math.max(0, max) };
      }
      const fields = new Map<string, DeclType>();
      for (const [key, s] of Object.entries(propertiesOf(schema, root))) {
        // What has no type of its own can't be seen; neither can fields that are kept though unknown.
        if (isVisible(s)) fields.set(escapeField(key), declTypeOf(s, `${name}.${key}`));
      }
      return { kind: 'object', name, fields };
    }
    default:
      return DYN;
  }
}
