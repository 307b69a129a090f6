/**
 * Who owns which field: keeps metadata.managedFields on every write, and applies configurations.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/
 */
import { isObject, jsonEqual } from '../patch/value.ts';
import type { ObjectType } from '../schema/model.ts';
import { badRequest, StatusError } from '../status.ts';
import type { DeepReadonly, GroupVersionKind, JsonObject, KubeObject, ManagedFieldsEntry } from '../types.ts';
import { apiVersionOf, parseApiVersion } from '../types.ts';
import { compare, type Comparison } from './compare.ts';
import { ConflictError, conflictStatus } from './conflict.ts';
import { allowedConflicts, hasLastApplied, withLastApplied } from './last-applied.ts';
import {
  capUpdaters,
  decodeManagedFields,
  encodeManagedFields,
  type Owner,
  ownerKey,
  type Owners,
  setFields,
} from './managed.ts';
import { prune } from './prune.ts';
import {
  difference,
  type FieldSet,
  hasPath,
  intersection,
  isEmpty,
  LEAF,
  paths,
  recursiveDifference,
  setOfFields,
  union,
} from './set.ts';
import { FieldPathError, type Plan, planOf } from './shape.ts';
import { fieldSetOf, mergeConfig, reconcile } from './typed.ts';
import { joinErrors, validateConfig } from './validate.ts';

/** Another version of the same kind, for entries written at it. */
export interface OtherVersion {
  readonly type: ObjectType;
  /** Brings an object of the manager's own version into this one. */
  convert(object: DeepReadonly<KubeObject>): DeepReadonly<KubeObject>;
  /** And back. */
  convertBack(object: DeepReadonly<KubeObject>): KubeObject;
  /** Converting drops nothing, so that an object may hold what this version doesn't declare, which is an error then. */
  readonly strict?: boolean;
}

export interface FieldManagerOptions {
  readonly kind: GroupVersionKind;
  /**
   * Looks up another served version of the kind; undefined: gone, entries of it are dropped. Throws FieldPathError where
   * nothing can be tracked for it.
   */
  readonly version?: (this: void, apiVersion: string) => OtherVersion | undefined;
}

/** What a write carries. */
export interface FieldWrite {
  /** The field manager's name; '' becomes `unknown`. */
  readonly manager: string;
  /** '' or the subresource written through. */
  readonly subresource?: string;
  /** Fields that the endpoint ignores, as paths of names. */
  readonly resetFields?: readonly (readonly string[])[] | undefined;
  /** RFC 3339 in UTC, whole seconds: `2024-05-01T10:00:00Z`. */
  readonly time: string;
}

export interface ApplyResult {
  /** The merged object without managedFields; still to be normalised and defaulted. */
  readonly object: KubeObject;
  /** For metadata.managedFields; undefined: none. */
  readonly managedFields: ManagedFieldsEntry[] | undefined;
  /** False when the configuration was already there. */
  readonly changed: boolean;
}

/** The owner of the write in progress, before it is joined with what the manager has. */
const CURRENT = '\ncurrent';
const BEFORE_FIRST_APPLY = 'before-first-apply';
const STRIPPED = [
  'name',
  'namespace',
  'creationTimestamp',
  'selfLink',
  'uid',
  'clusterName',
  'generation',
  'managedFields',
  'resourceVersion',
];
const STRIP: FieldSet = setOfFields([['apiVersion'], ['kind'], ['metadata'], ...STRIPPED.map((f) => ['metadata', f])]);

type Fields = DeepReadonly<JsonObject>;

/** Keeps the managed fields of one kind at one version. Holds no state besides the type's plan. */
export class FieldManager {
  readonly #plan: Plan;
  readonly #apiVersion: string;
  readonly #options: FieldManagerOptions;

  constructor(type: ObjectType, options: FieldManagerOptions) {
    this.#plan = planOf(type);
    this.#apiVersion = apiVersionOf(options.kind);
    this.#options = options;
  }

  /**
   * What metadata.managedFields of `object` shall be after a create (`live` undefined) or an update: what differs
   * from `live` belongs to the manager now. Never fails: where fields can't be tracked, nothing is.
   */
  update(
    live: DeepReadonly<KubeObject> | undefined,
    object: DeepReadonly<KubeObject>,
    write: FieldWrite,
  ): ManagedFieldsEntry[] | undefined {
    try {
      const owners = this.#ownersFor(live, object, write);
      if (owners.size === 0 && live?.metadata?.uid) return undefined;
      this.#update(live ?? this.#zero(), object, owners, write, write.manager);
      capUpdaters(owners, union);
      return encodeManagedFields(owners);
    } catch (e) {
      if (e instanceof FieldPathError) return undefined;
      throw e;
    }
  }

  /**
   * Applies a configuration. `live` is undefined when the object isn't there. Throws 409 with the conflicts unless
   * `force`, 400 for another kind, 500 (as kube-apiserver does) for a configuration that doesn't fit the type.
   */
  apply(
    live: DeepReadonly<KubeObject> | undefined,
    config: JsonObject,
    write: FieldWrite & { readonly force: boolean },
  ): ApplyResult {
    this.#checkConfig(config);
    const before = live ?? { apiVersion: this.#apiVersion, kind: this.#options.kind.kind };
    let owners: Owners;
    try {
      owners = decodeManagedFields(before.metadata?.managedFields, true);
    } catch (e) {
      throw new StatusError(500, '', `failed to decode managed fields: ${(e as Error).message}`);
    }
    try {
      if (owners.size === 0 && live !== undefined) {
        this.#update(this.#zero(), before, owners, write, BEFORE_FIRST_APPLY);
        capUpdaters(owners, union);
      }
      const key = ownerKey(this.#owner(write, write.manager, 'Apply'));
      const merged = this.#apply(before as Fields, config, owners, key, write);
      return this.#finish(before, merged, config, owners, write);
    } catch (e) {
      if (e instanceof ConflictError) throw conflictStatus(e.conflicts);
      if (e instanceof FieldPathError) throw new StatusError(500, '', `failed to merge config: ${e.message}`);
      throw e;
    }
  }

  #finish(
    before: DeepReadonly<KubeObject>,
    merged: JsonObject | undefined,
    config: JsonObject,
    owners: Owners,
    write: FieldWrite,
  ): ApplyResult {
    const changed = merged !== undefined;
    let object = withoutManagedFields((merged ?? before) as KubeObject);
    if (write.manager === 'kubectl' && hasLastApplied(object)) object = withLastApplied(object, config);
    return { object, managedFields: encodeManagedFields(owners), changed };
  }

  #checkConfig(config: JsonObject): void {
    const { kind } = this.#options;
    if (config['kind'] !== kind.kind || config['apiVersion'] !== this.#apiVersion) {
      const named = (key: string) => (typeof config[key] === 'string' ? config[key] : '');
      const { group, version } = parseApiVersion(named('apiVersion'));
      throw badRequest(`invalid object type: ${group}/${version}, Kind=${named('kind')}`);
    }
    const metadata = isObject(config['metadata']) ? config['metadata'] : {};
    if (metadata['managedFields'] !== undefined && metadata['managedFields'] !== null) {
      throw badRequest('metadata.managedFields must be nil');
    }
    const errors = validateConfig(this.#plan, config);
    if (errors.length === 0) return;
    const text = (key: string) => (typeof metadata[key] === 'string' ? metadata[key] : '');
    const id = `${text('namespace')}/${text('name')}; ${this.#apiVersion}, Kind=${kind.kind}`;
    throw new StatusError(500, '', `failed to create typed patch object (${id}): ${joinErrors(errors)}`);
  }

  #zero(): DeepReadonly<KubeObject> {
    return this.#plan.zero as KubeObject;
  }

  #owner(write: FieldWrite, manager: string, operation: 'Apply' | 'Update', fields: FieldSet = LEAF): Owner {
    return {
      manager: manager === '' ? 'unknown' : manager,
      operation,
      apiVersion: this.#apiVersion,
      subresource: write.subresource ?? '',
      time: write.time,
      fields,
    };
  }

  /** The owners before this write: those that the request names, else those of the live object. */
  #ownersFor(live: DeepReadonly<KubeObject> | undefined, object: DeepReadonly<KubeObject>, write: FieldWrite): Owners {
    const old = live?.metadata?.managedFields;
    const sent = object.metadata?.managedFields;
    if (!write.subresource && sent && sent !== old && !jsonEqual(sent, old)) {
      if (sent.length === 0 || (sent.length === 1 && Object.values(sent[0]!).every((v) => !v))) return new Map();
      const owners = attempt(sent, false);
      if (owners.size > 0) return owners;
    }
    return attempt(old, true);
  }

  #update(
    live: DeepReadonly<KubeObject>,
    object: DeepReadonly<KubeObject>,
    owners: Owners,
    write: FieldWrite,
    manager: string,
  ): void {
    const reset = resetSet(write.resetFields);
    this.#reconcileAll(owners, live);
    const { changed } = this.#compareFor(owners, live as Fields, object as Fields, reset, CURRENT, true);
    const fields = difference(changed, STRIP);
    if (isEmpty(fields)) return;
    const owner = this.#owner(write, manager, 'Update', fields);
    const key = ownerKey(owner);
    const previous = owners.get(key);
    owners.set(key, previous === undefined ? owner : { ...owner, fields: union(fields, previous.fields) });
  }

  #apply(
    live: Fields,
    config: JsonObject,
    owners: Owners,
    key: string,
    write: FieldWrite & { readonly force: boolean },
  ): JsonObject | undefined {
    const attemptOnce = (force: boolean): { merged: JsonObject | undefined; owners: Owners } => {
      const draft: Owners = new Map(owners);
      this.#reconcileAll(draft, live as DeepReadonly<KubeObject>);
      const last = draft.get(key);
      const reset = resetSet(write.resetFields);
      const set = recursiveDifference(fieldSetOf(this.#plan, config), reset);
      const self: Owner = { ...this.#owner(write, write.manager, 'Apply', set), time: last?.time };
      draft.set(key, self);
      let merged = mergeConfig(this.#plan, live, config);
      if (last !== undefined) merged = prune(merged, draft, last, this.#apiVersion, this.#plan, this.#options.version);
      this.#compareFor(draft, live, merged, reset, key, force);
      const changed = !jsonEqual(live, merged);
      setFields(draft, key, changed ? { ...self, time: write.time } : self, difference(set, STRIP));
      return { merged: changed ? merged : undefined, owners: draft };
    };
    let result: ReturnType<typeof attemptOnce>;
    try {
      result = attemptOnce(write.force);
    } catch (e) {
      if (!(e instanceof ConflictError) || write.manager !== 'kubectl') throw e;
      // Fields that kubectl's client-side apply set and nobody changed since are kubectl's to take over.
      const allowed = allowedConflicts(this.#plan, live as DeepReadonly<KubeObject>, this.#apiVersion);
      if (allowed === undefined) throw e;
      const left = e.conflicts.filter((c) => !hasPath(allowed, c.path));
      if (left.length > 0) throw new ConflictError(left);
      result = attemptOnce(true);
    }
    owners.clear();
    for (const [k, o] of result.owners) owners.set(k, o);
    return result.merged;
  }

  #reconcileAll(owners: Owners, live: DeepReadonly<KubeObject>): void {
    const plans = new Map<string, Plan | undefined>([[this.#apiVersion, this.#plan]]);
    for (const [key, owner] of owners) {
      if (!plans.has(owner.apiVersion)) plans.set(owner.apiVersion, this.#planAt(owner.apiVersion, live));
      const plan = plans.get(owner.apiVersion);
      if (plan === undefined) continue;
      const fields = reconcile({ kind: 'object', plan }, owner.fields);
      if (fields !== owner.fields) owners.set(key, { ...owner, fields });
    }
  }

  #planAt(apiVersion: string, live: DeepReadonly<KubeObject>): Plan | undefined {
    const other = this.#options.version?.(apiVersion);
    if (other !== undefined && live !== this.#plan.zero) converted(other, live);
    return other && planOf(other.type);
  }

  /**
   * Compares, and takes what changed or went away from every owner but `self`. Throws ConflictError when somebody
   * loses a field that changed and `force` isn't set.
   */
  #compareFor(
    owners: Owners,
    live: Fields,
    object: Fields,
    reset: FieldSet | undefined,
    self: string,
    force: boolean,
  ): Comparison {
    const own = filter(compare(this.#plan, live, object), reset);
    const others = new Map<string, Comparison | undefined>([[this.#apiVersion, own]]);
    const losses: [string, Owner, FieldSet][] = [];
    const conflicts: { owner: Owner; path: string[] }[] = [];
    for (const [key, owner] of owners) {
      if (key === self) continue;
      if (!others.has(owner.apiVersion))
        others.set(owner.apiVersion, this.#compareAt(owner.apiVersion, live, object, reset));
      const comparison = others.get(owner.apiVersion);
      if (comparison === undefined) {
        owners.delete(key);
        continue;
      }
      const lost = intersection(comparison.changed, owner.fields);
      if (!isEmpty(lost)) for (const path of force ? [] : paths(lost)) conflicts.push({ owner, path });
      const rest = difference(difference(owner.fields, lost), comparison.removed);
      if (rest !== owner.fields || isEmpty(rest)) losses.push([key, owner, rest]);
    }
    if (conflicts.length > 0) throw new ConflictError(conflicts);
    for (const [key, owner, rest] of losses) setFields(owners, key, owner, rest);
    return own;
  }

  #compareAt(apiVersion: string, live: Fields, object: Fields, reset: FieldSet | undefined): Comparison | undefined {
    const other = this.#options.version?.(apiVersion);
    if (other === undefined) return undefined;
    const plan = planOf(other.type);
    const before = live === this.#plan.zero ? plan.zero : converted(other, live as DeepReadonly<KubeObject>);
    return filter(compare(plan, before, converted(other, object as DeepReadonly<KubeObject>)), reset);
  }
}

/** An object at another version. */
function converted(other: OtherVersion, object: DeepReadonly<KubeObject>): Fields {
  const fields = other.convert(object) as JsonObject;
  const errors = other.strict ? validateConfig(planOf(other.type), fields) : [];
  if (errors.length > 0) throw new FieldPathError(joinErrors(errors));
  return fields;
}

const filter = (c: Comparison, reset: FieldSet | undefined): Comparison =>
  reset === undefined
    ? c
    : { changed: recursiveDifference(c.changed, reset), removed: recursiveDifference(c.removed, reset) };

const resetSets = new WeakMap<readonly (readonly string[])[], FieldSet>();
function resetSet(fields: readonly (readonly string[])[] | undefined): FieldSet | undefined {
  if (fields === undefined || fields.length === 0) return undefined;
  let set = resetSets.get(fields);
  if (set === undefined) resetSets.set(fields, (set = setOfFields(fields)));
  return set;
}

/** Owners as far as they can be read; none when they can't. */
function attempt(entries: readonly DeepReadonly<ManagedFieldsEntry>[] | undefined, trusted: boolean): Owners {
  try {
    return decodeManagedFields(entries, trusted);
  } catch {
    return new Map();
  }
}

function withoutManagedFields(object: KubeObject): KubeObject {
  if (object.metadata?.managedFields === undefined) return object;
  const { managedFields: _managedFields, ...metadata } = object.metadata;
  return { ...object, metadata };
}
