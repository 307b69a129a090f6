/** From the bytes of a request to an object in normal form, with what the client is to hear about it. */
import { applyDefaults } from '../../api/schema/defaults.ts';
import { normalize } from '../../api/schema/normalize.ts';
import type { ObjectType } from '../../api/schema/model.ts';
import { strictComplaints } from '../../api/codec/errors.ts';
import { badRequest } from '../../api/status.ts';
import type { JsonObject, JsonValue, KubeObject } from '../../api/types.ts';
import type { ServedResource } from './catalog.ts';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

/** Schema defaults, then the kind's own. */
export function setDefaults(served: ServedResource, object: KubeObject): void {
  if (served.type) applyDefaults(object as JsonObject, served.type);
  served.definition.strategy.defaults?.(object, served.apiVersion);
}

/** How closely a body is looked at (KEP-2885), and what is known of it already. */
export interface Scrutiny {
  readonly validation: FieldValidation;
  /** Paths of fields that stand twice in it. */
  readonly duplicates: readonly string[];
  /** Complaints about the patch that made it. */
  readonly ofPatch?: readonly string[];
  warn(text: string): void;
}

/**
 * Types a decoded value as `type`. Unknown and duplicate fields are ignored, warned of or refused; `kind` names the
 * thing for the error's text. `keepNulls`: see NormalizeOptions.
 */
export function typed(
  value: JsonValue,
  type: ObjectType | undefined,
  kind: { apiVersion: string; kind: string },
  scrutiny: Scrutiny,
  keepNulls = false,
): KubeObject {
  const { validation, duplicates, ofPatch = [] } = scrutiny;
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badRequest('the object provided is unrecognized: must be an object');
  if (!type) return value as KubeObject;
  const { object, unknown } = normalize(value, type, { ignoreUnknown: validation === 'Ignore', keepNulls });
  if (validation !== 'Ignore' && (unknown.length > 0 || duplicates.length > 0 || ofPatch.length > 0)) {
    const complaints = [...ofPatch, ...strictComplaints(duplicates, unknown, value)];
    if (validation === 'Strict')
      throw badRequest(
        `${kind.kind} in version ${JSON.stringify(kind.apiVersion.split('/').pop())} cannot be handled as a ${kind.kind}: strict decoding error: ${complaints.join(', ')}`,
      );
    for (const c of complaints) scrutiny.warn(c);
  }
  return object as KubeObject;
}
