/** A part of an object laid over the whole, as MutatingAdmissionPolicies do. No fields are tracked. */
import { isObject } from '../patch/value.ts';
import type { ObjectType } from '../schema/model.ts';
import type { JsonObject, JsonValue } from '../types.ts';
import { showPath } from './path-element.ts';
import { ANY, FieldPathError, planOf, type Shape } from './shape.ts';
import { mergeConfig } from './typed.ts';
import { joinErrors, validateConfig } from './validate.ts';

/** The part doesn't fit the type, or names what can only be replaced as a whole. */
export class TypedConfigError extends Error {}

/** `object` with `part` merged in: lists and maps by their keys. Throws TypedConfigError. */
export function mergeTyped(type: ObjectType, object: JsonObject, part: JsonObject): JsonObject {
  const plan = planOf(type);
  const errors = validateConfig(plan, part);
  if (errors.length > 0)
    throw new TypedConfigError(`failed to convert patch object to typed object: ${joinErrors(errors)}`);
  const whole: string[] = [];
  atomics({ kind: 'object', plan }, part, [], whole);
  if (whole.length > 0)
    throw new TypedConfigError(
      `invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ${whole.join(', ')}`,
    );
  try {
    return mergeConfig(plan, object, part);
  } catch (error) {
    if (!(error instanceof FieldPathError)) throw error;
    throw new TypedConfigError(error.message);
  }
}

function atomics(shape: Shape, value: JsonValue, path: string[], found: string[]): void {
  if (value === null) return;
  if (shape.kind === 'leaf') {
    if (shape.atomic) found.push(showPath(path));
    return;
  }
  const visit = (step: string, inner: Shape, v: JsonValue | undefined) => {
    if (v === undefined) return;
    path.push(step);
    atomics(inner, v, path, found);
    path.pop();
  };
  if (Array.isArray(value)) {
    if (shape.kind === 'list') value.forEach((v, i) => visit(`i:${i}`, shape.items, v));
    else if (shape.kind === 'any') found.push(showPath(path));
    return;
  }
  if (!isObject(value)) return;
  for (const key of Object.keys(value)) {
    const own = shape.kind === 'object' ? shape.plan.field(key)?.shape : undefined;
    visit(`f:${key}`, own ?? (shape.kind === 'map' ? shape.values : ANY), value[key]);
  }
}
