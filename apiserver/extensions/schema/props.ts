/** JSONSchemaProps: an openAPIV3Schema as it stands in a CustomResourceDefinition. */
import type { JsonValue } from '../../../api/types.ts';

/** One rule of x-kubernetes-validations (KEP-2876). */
export interface ValidationRule {
  rule: string;
  message?: string;
  messageExpression?: string;
  reason?: string;
  fieldPath?: string;
  optionalOldSelf?: boolean;
}

export interface SchemaProps {
  id?: string;
  $schema?: string;
  $ref?: string;
  description?: string;
  type?: string;
  format?: string;
  title?: string;
  default?: JsonValue;
  maximum?: number;
  exclusiveMaximum?: boolean;
  minimum?: number;
  exclusiveMinimum?: boolean;
  maxLength?: number;
  minLength?: number;
  pattern?: string;
  maxItems?: number;
  minItems?: number;
  uniqueItems?: boolean;
  multipleOf?: number;
  enum?: JsonValue[];
  maxProperties?: number;
  minProperties?: number;
  required?: string[];
  items?: SchemaProps | SchemaProps[];
  allOf?: SchemaProps[];
  oneOf?: SchemaProps[];
  anyOf?: SchemaProps[];
  not?: SchemaProps;
  properties?: Record<string, SchemaProps>;
  additionalProperties?: SchemaProps | boolean;
  patternProperties?: Record<string, SchemaProps>;
  dependencies?: Record<string, SchemaProps | string[]>;
  additionalItems?: SchemaProps | boolean;
  definitions?: Record<string, SchemaProps>;
  externalDocs?: { description?: string; url?: string };
  example?: JsonValue;
  nullable?: boolean;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
  'x-kubernetes-embedded-resource'?: boolean;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-map-type'?: string;
  'x-kubernetes-validations'?: ValidationRule[];
}

/** The one schema of a list's items; undefined for none or for a list of schemas. */
export const itemsOf = (s: SchemaProps): SchemaProps | undefined => (Array.isArray(s.items) ? undefined : s.items);

/** The schema of a map's values; undefined when there is none (`true` and `false` have none). */
export const valuesOf = (s: SchemaProps): SchemaProps | undefined =>
  typeof s.additionalProperties === 'object' ? s.additionalProperties : undefined;

/** Every schema inside `s`, itself first. */
export function* eachSchema(s: SchemaProps | undefined): Generator<SchemaProps> {
  if (s === undefined) return;
  yield s;
  const lists = [s.allOf, s.anyOf, s.oneOf, Array.isArray(s.items) ? s.items : undefined];
  for (const list of lists) for (const inner of list ?? []) yield* eachSchema(inner);
  for (const one of [itemsOf(s), s.not, valuesOf(s)]) yield* eachSchema(one);
  if (typeof s.additionalItems === 'object') yield* eachSchema(s.additionalItems);
  for (const map of [s.properties, s.patternProperties, s.definitions])
    for (const inner of Object.values(map ?? {})) yield* eachSchema(inner);
  for (const d of Object.values(s.dependencies ?? {})) if (!Array.isArray(d)) yield* eachSchema(d);
}
