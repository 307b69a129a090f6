/** Defaults in schemas: valid by their own schema, and without fields that it doesn't know. */
import { invalid, type FieldError, type Path } from '../../../api/field-errors.ts';
import { normalize } from '../../../api/schema/normalize.ts';
import { structuralType, type StructuralSchema } from '../../../api/schema/structural.ts';
import type { JsonValue } from '../../../api/types.ts';
import { sameValue, type Value } from '../schema/equal.ts';
import { itemsOf, type SchemaProps } from '../schema/props.ts';
import { compileRules } from '../schema/rules.ts';
import { SchemaValidator } from '../schema/validator.ts';
import { validateEmbedded } from '../schema/walk.ts';

/** `pruned` when unknown fields are taken away from objects; `inMeta` inside an embedded object's metadata. */
export function validateDefaults(schema: SchemaProps, path: Path, pruned: boolean, inMeta = false): FieldError[] {
  const errors: FieldError[] = [];
  const embedded = schema['x-kubernetes-embedded-resource'] === true;
  const value = schema.default;
  if (value !== undefined && value !== null)
    errors.push(...oneDefault(schema, value, path.child('default'), pruned && !inMeta));
  const items = itemsOf(schema);
  if (items) errors.push(...validateDefaults(items, path.child('items'), pruned, inMeta && !embedded));
  for (const [k, p] of Object.entries(schema.properties ?? {})) {
    const meta = embedded ? k === 'metadata' || k === 'apiVersion' || k === 'kind' : inMeta;
    errors.push(...validateDefaults(p, path.child('properties').key(k), pruned, meta));
  }
  return errors;
}

function oneDefault(schema: SchemaProps, value: JsonValue, at: Path, pruned: boolean): FieldError[] {
  if (pruned && hasUnknown(schema, value)) return [invalid(at, value, 'must not have unknown fields')];
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

/** Whether pruning would change a default. */
export function hasUnknown(schema: SchemaProps, value: JsonValue): boolean {
  // A wrapper, since a default may be any value.
  const type = structuralType(
    { group: 'default', version: 'v1', kind: 'Default' },
    { type: 'object', properties: { value: schema as StructuralSchema } },
  );
  try {
    const kept = normalize({ value }, type, { ignoreUnknown: true }).object as { value?: Value };
    return !sameValue(kept.value, value as Value);
  } catch {
    return false;
  }
}
