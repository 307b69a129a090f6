/** Defaults in schemas: valid by their own schema, and without fields that it doesn't know. */
import { invalid, type FieldError, type Path } from '../../../api/field-errors.ts';
import type { JsonValue } from '../../../api/types.ts';
import type { Value } from '../schema/equal.ts';
import { itemsOf, type SchemaProps } from '../schema/props.ts';
import { compileRules } from '../schema/rules.ts';
import { SchemaValidator } from '../schema/validator.ts';
import { validateEmbedded } from '../schema/walk.ts';

const META_FIELDS = new Set(['apiVersion', 'kind', 'metadata']);

/** Where a schema stands in that of the embedded object around it. */
interface Inside {
  readonly root: SchemaProps;
  /** In its kind, apiVersion or metadata. */
  readonly meta: boolean;
  /** The object that has nothing but the value there. */
  around(value: JsonValue): JsonValue;
}

/** `pruned` when unknown fields are taken away from objects; `inside` below an embedded object. */
export function validateDefaults(schema: SchemaProps, path: Path, pruned: boolean, inside?: Inside): FieldError[] {
  const errors: FieldError[] = [];
  const embedded = schema['x-kubernetes-embedded-resource'] === true;
  const here: Inside | undefined = embedded ? { root: schema, meta: false, around: withTypeMeta } : inside;
  const value = schema.default;
  if (value !== undefined && value !== null)
    errors.push(...oneDefault(schema, value, path.child('default'), pruned, here));
  const items = itemsOf(schema);
  if (items) {
    const within = here && { ...here, around: (v: JsonValue) => here.around([v]) };
    errors.push(...validateDefaults(items, path.child('items'), pruned, within));
  }
  for (const [k, p] of Object.entries(schema.properties ?? {})) {
    const meta = embedded ? META_FIELDS.has(k) : here?.meta === true;
    const within = here && { ...here, meta, around: (v: JsonValue) => here.around({ [k]: v }) };
    errors.push(...validateDefaults(p, path.child('properties').key(k), pruned, within));
  }
  return errors;
}

const withTypeMeta = (v: JsonValue): JsonValue => ({
  apiVersion: 'validation/v1',
  kind: 'Validation',
  ...(v as Record<string, JsonValue>),
});

function oneDefault(
  schema: SchemaProps,
  value: JsonValue,
  at: Path,
  pruned: boolean,
  inside: Inside | undefined,
): FieldError[] {
  if (inside?.meta) {
    const wrong = validateEmbedded(inside.around(value) as Value, inside.root).map((e) => `${e.field}: ${e.message}`);
    const text = wrong.length === 1 ? wrong[0] : `[${wrong.join(', ')}]`;
    return wrong.length > 0
      ? [invalid(at, value, `must result in valid metadata: ${text}`)]
      : byItsSchema(schema, value, at);
  }
  const unknown = pruned && hasUnknown(schema, value) ? [invalid(at, value, 'must not have unknown fields')] : [];
  return [...unknown, ...byItsSchema(schema, value, at)];
}

/** The first kind of complaint that there is. */
function byItsSchema(schema: SchemaProps, value: JsonValue, at: Path): FieldError[] {
  const embedded = validateEmbedded(value as Value, schema).map((e) => ({
    ...e,
    field: `${at.toString()}.${e.field}`,
  }));
  if (embedded.length > 0) return embedded;
  const errors = new SchemaValidator(untyped(schema)).validate(value as Value, at.toString());
  if (errors.length > 0) return errors;
  const rules = compileRules(schema);
  if (!rules) return [];
  const asUpdate = rules.validate(value as Value, value as Value, at.toString());
  return asUpdate.length > 0 ? asUpdate : rules.validate(value as Value, undefined, at.toString());
}

/** A schema in which int-or-string takes anything, as upstream judges defaults. */
function untyped(schema: SchemaProps): SchemaProps {
  const out = { ...schema };
  delete out['x-kubernetes-int-or-string'];
  const each = (s: SchemaProps) => untyped(s);
  if (schema.properties)
    out.properties = Object.fromEntries(Object.entries(schema.properties).map(([k, s]) => [k, each(s)]));
  if (typeof schema.additionalProperties === 'object') out.additionalProperties = each(schema.additionalProperties);
  if (schema.items)
    out.items = Array.isArray(schema.items) ? schema.items.map(each) : each(schema.items as SchemaProps);
  return out;
}

/** Whether pruning would change a default: fields that no schema names, nulls and metadata apart. */
export function hasUnknown(schema: SchemaProps | undefined, value: JsonValue | undefined, preserved = false): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const preserves = preserved || schema?.['x-kubernetes-preserve-unknown-fields'] === true;
  if (Array.isArray(value)) {
    const items = schema && itemsOf(schema);
    return (!preserves || items !== undefined) && value.some((v) => hasUnknown(items, v, preserves));
  }
  const more = schema?.additionalProperties;
  return Object.entries(value).some(([k, v]) => {
    if (schema?.['x-kubernetes-embedded-resource'] && META_FIELDS.has(k)) return false;
    const own = schema?.properties && Object.hasOwn(schema.properties, k) ? schema.properties[k] : undefined;
    if (own) return hasUnknown(own, v);
    if (more !== undefined) return hasUnknown(typeof more === 'object' ? more : undefined, v);
    return !preserves;
  });
}
