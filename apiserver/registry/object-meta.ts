/** Rules of metadata that hold for every kind. */
import { deepEqual } from '../../api/meta.ts';
import type { FieldError } from '../../api/field-errors.ts';
import { forbiddenField, invalid, Path, required } from '../../api/field-errors.ts';
import type { DeepReadonly, KubeObject, ObjectMeta } from '../../api/types.ts';
import type { ResourceDefinition } from './definition.ts';

const META = Path.root('metadata');

/** A text that a resourceVersion may be. */
export const isVersion = (text: string | undefined): boolean => text !== undefined && /^\d+$/.test(text);

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

/** Leaves owners that are named twice out and tells the client so. */
export function dedupeOwners(object: KubeObject, warn: (text: string) => void): void {
  const owners = object.metadata?.ownerReferences;
  if (!owners || owners.length < 2) return;
  const kept = owners.filter((o, i) => !owners.slice(0, i).some((p) => deepEqual(p, o)));
  if (kept.length === owners.length) return;
  const twice = new Set(owners.filter((o) => !kept.includes(o)).map((o) => o.uid));
  object.metadata!.ownerReferences = kept;
  warn(
    `.metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${[...twice].join(', ')}`,
  );
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
