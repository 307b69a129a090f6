/** Whole numbers that don't fit an int32, cut to its 32 bits: what Go does where it reads decoded values into structs. */
import type { JsonObject, JsonValue } from '../types.ts';
import type { ObjectType, SchemaNode } from './model.ts';

/** The value with its int32 fields cut; the same value when all fit. Nothing of it is changed in place. */
export function wrapIntegers(value: JsonValue, type: ObjectType): JsonValue {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  let out: JsonObject | undefined;
  for (const f of type.fields) {
    const v = Object.hasOwn(value, f.name) ? value[f.name] : undefined;
    if (v === undefined) continue;
    const w = wrap(v, f.node);
    if (w !== v) (out ??= { ...value })[f.name] = w;
  }
  return out ?? value;
}

function wrap(value: JsonValue, node: SchemaNode): JsonValue {
  switch (node.form) {
    case 'int32': {
      const whole = typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value));
      return whole ? Number(BigInt.asIntN(32, BigInt(value))) : value;
    }
    case 'object':
      return wrapIntegers(value, node.type);
    case 'list': {
      if (!Array.isArray(value)) return value;
      const items = value.map((v) => wrap(v, node.items));
      return items.some((v, i) => v !== value[i]) ? items : value;
    }
    case 'map': {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
      const entries = Object.entries(value).map(([k, v]) => [k, wrap(v!, node.values)] as const);
      return entries.some(([k, v]) => v !== value[k]) ? Object.fromEntries(entries) : value;
    }
    default:
      return value;
  }
}
