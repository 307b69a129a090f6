/** Rules of metadata that hold for every kind. */
import type { FieldError } from '../../api/field-errors.ts';
import { forbiddenField, invalid, Path, required } from '../../api/field-errors.ts';
import type { DeepReadonly, KubeObject, ObjectMeta } from '../../api/types.ts';
import type { ResourceDefinition } from './definition.ts';

const META = Path.root('metadata');

/** Validates the metadata of an object about to be created. */
export function validateMeta(object: KubeObject, definition: ResourceDefinition): FieldError[] {
  const errors: FieldError[] = [];
  const meta = object.metadata ?? {};
  if (!meta.name) errors.push(required(META.child('name'), 'name or generateName is required'));
  if (definition.namespaced) {
    if (!meta.namespace) errors.push(required(META.child('namespace')));
  } else if (meta.namespace) errors.push(forbiddenField(META.child('namespace'), 'not allowed on this type'));
  return errors;
}

const IMMUTABLE = [
  'name',
  'namespace',
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
] as const;

/** Validates metadata against the stored object's. */
export function validateMetaUpdate(object: KubeObject, old: DeepReadonly<KubeObject>): FieldError[] {
  const errors: FieldError[] = [];
  const meta = (object.metadata ?? {}) as ObjectMeta & Record<string, unknown>;
  const before = (old.metadata ?? {}) as Record<string, unknown>;
  for (const k of IMMUTABLE)
    if ((meta[k] ?? undefined) !== (before[k] ?? undefined))
      errors.push(invalid(META.child(k), meta[k], 'field is immutable'));
  if (before.deletionTimestamp) {
    const had = new Set((before.finalizers as string[] | undefined) ?? []);
    const added = (meta.finalizers ?? []).filter((f) => !had.has(f));
    if (added.length > 0)
      errors.push(
        forbiddenField(
          META.child('finalizers'),
          `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`,
        ),
      );
  }
  return errors;
}
