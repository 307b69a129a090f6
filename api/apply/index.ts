/** Server-side apply and field management. Start with createFieldManagers, or a FieldManager for one kind alone. */
import type { ObjectType } from '../schema/model.ts';
import { StatusError } from '../status.ts';
import type { DeepReadonly, GroupVersionKind, JsonObject, KubeObject, ManagedFieldsEntry } from '../types.ts';
import { FieldManager, type OtherVersion } from './manager.ts';

export { FieldManager, type OtherVersion } from './manager.ts';
export { decodeManagedFields } from './managed.ts';
export { mergeTyped, TypedConfigError } from './overlay.ts';
export { keepTimesOfNoop } from './noop.ts';
export { scaleEntries, parentEntries } from './scale.ts';
export { FieldPathError } from './shape.ts';

/** A write as the registry has it. */
export interface ManagedWrite {
  readonly type: ObjectType;
  readonly live: DeepReadonly<KubeObject> | undefined;
  readonly object: KubeObject;
  readonly manager: string;
  readonly kind: GroupVersionKind;
  readonly subresource: string;
  readonly resetFields: readonly (readonly string[])[] | undefined;
}

export interface FieldManagersOptions {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Other served versions of a kind, for entries written at them. Defaults to none. */
  readonly version?: (this: void, kind: GroupVersionKind, apiVersion: string) => OtherVersion | undefined;
}

/** Field management for all kinds, one manager per type. */
export interface FieldManagers {
  /** Returns `object` with its metadata.managedFields brought up to date (a copy down to metadata). */
  update(request: ManagedWrite): KubeObject;
  /** Applies `patch` onto `live`; the result is still to be normalised and defaulted. Throws as FieldManager.apply. */
  apply(request: ManagedWrite & { readonly patch: JsonObject; readonly force: boolean }): KubeObject;
}

/** RFC 3339 to the second; the same text as long as the second lasts. */
function timeTexts(): (ms: number) => string {
  let known = NaN;
  let text = '';
  return (ms) => {
    const second = Math.floor(ms / 1000);
    if (second !== known) {
      known = second;
      text = `${new Date(second * 1000).toISOString().slice(0, 19)}Z`;
    }
    return text;
  };
}

/** One manager for each type that is written, made when it is first needed. */
export function createFieldManagers(options: FieldManagersOptions): FieldManagers {
  const managers = new WeakMap<ObjectType, Map<string, FieldManager>>();
  const timeText = timeTexts();
  const managerOf = (type: ObjectType, kind: GroupVersionKind): FieldManager => {
    let byKind = managers.get(type);
    if (byKind === undefined) managers.set(type, (byKind = new Map()));
    const key = `${kind.group}/${kind.version}/${kind.kind}`;
    let manager = byKind.get(key);
    if (manager === undefined) {
      const { version } = options;
      manager = new FieldManager(type, version ? { kind, version: (v) => version(kind, v) } : { kind });
      byKind.set(key, manager);
    }
    return manager;
  };
  const write = (r: ManagedWrite) => ({
    manager: r.manager,
    subresource: r.subresource,
    resetFields: r.resetFields,
    time: timeText(options.now()),
  });
  return {
    update(r) {
      return withManagedFields(r.object, managerOf(r.type, r.kind).update(r.live, r.object, write(r)));
    },
    apply(r) {
      if (r.manager === '')
        throw new StatusError(
          400,
          'BadRequest',
          'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value',
        );
      const manager = managerOf(r.type, r.kind);
      const { object, managedFields } = manager.apply(r.live, r.patch, { ...write(r), force: r.force });
      return withManagedFields(object, managedFields);
    },
  };
}

function withManagedFields(object: KubeObject, entries: ManagedFieldsEntry[] | undefined): KubeObject {
  const { managedFields: _old, ...metadata } = object.metadata ?? {};
  return { ...object, metadata: entries === undefined ? metadata : { ...metadata, managedFields: entries } };
}
