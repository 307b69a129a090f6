/** Changing an object: PUT, every kind of patch, and subresources that write their parent. */
import { invalidObject, type FieldError } from '../../api/field-errors.ts';
import { StatusError, conflict, notFound } from '../../api/status.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { AdmissionAttributes } from '../admission/types.ts';
import { deepEqual } from '../../api/meta.ts';
import { keepTimesOfNoop } from '../../api/apply/index.ts';
import { createPrepared, orderMeta } from './create.ts';
import { setDefaults } from './decode.ts';
import { dedupeOwners, isVersion } from './object-meta.ts';
import {
  admissionAttributes,
  rightsOf,
  strategyContext,
  strategyOf,
  type RegistryDeps,
  type WriteOutcome,
  type WriteRequest,
} from './operation.ts';
import { encodeStored, parseObject, withRevision, type Current } from './resource-store.ts';
import { dropDisabledFields, intoStoredForm } from './stored-form.ts';
import { findings } from './validation.ts';

/** Where an update's new object comes from. */
export interface UpdateSource {
  /**
   * Makes the new object in the served version; `live` is a fresh copy that may be changed, undefined when nothing
   * is stored yet. Managed fields are settled by it. Called again after a conflict.
   */
  produce(live: KubeObject | undefined): Promise<KubeObject> | KubeObject;
  /**
   * `produce` changes nothing of what it is given: its result is a new tree, normalised from whatever it was. The stored
   * object itself then serves, which spares a parse.
   */
  readonly leavesLive?: boolean;
  /** A name that isn't there is created. */
  readonly createWhenAbsent: boolean;
  /** An object without a resourceVersion is refused (422). */
  readonly requireVersion: boolean;
  /** Another uid than the stored object's is a conflict (PUT); else it is an invalid value. */
  readonly checkUid?: boolean;
  /** Times to try when somebody else writes at the same time; PUTs go on for ever. */
  readonly attempts: number;
}

const MODIFIED = 'the object has been modified; please apply your changes to the latest version and try again';

/** Runs an update until it is stored, refused, or has nothing to change. */
export async function updateObject(
  deps: RegistryDeps,
  request: WriteRequest,
  source: UpdateSource,
): Promise<WriteOutcome> {
  const store = request.served.store!;
  let current: Current | undefined = store.peek(request.namespace, request.name);
  let fresh = false;
  if (!current) {
    current = await store.get(request.namespace, request.name);
    fresh = true;
  }
  for (let attempt = 1; ; attempt++) {
    let outcome: WriteOutcome | { conflict: Current | undefined };
    try {
      outcome = await tryUpdate(deps, request, source, current);
    } catch (error) {
      // What was refused on the strength of a cached object is looked at again with the newest one.
      if (fresh || !(error instanceof StatusError)) throw error;
      const newest: Current | undefined = await store.get(request.namespace, request.name);
      fresh = true;
      if (newest?.revision === current?.revision) throw error;
      current = newest;
      continue;
    }
    if (!('conflict' in outcome)) return outcome;
    current = outcome.conflict;
    fresh = true;
    if (attempt >= source.attempts) throw conflict(request.served, request.name, MODIFIED);
  }
}

async function tryUpdate(
  deps: RegistryDeps,
  request: WriteRequest,
  source: UpdateSource,
  current: Current | undefined,
): Promise<WriteOutcome | { conflict: Current | undefined }> {
  const { served } = request;
  const { definition } = served;
  if (!current) {
    if (!source.createWhenAbsent) throw notFound(served, request.name);
    return createAbsent(deps, request, source);
  }
  const stored = parseObject(current.json) as DeepReadonly<KubeObject>;
  await served.convert?.prepare?.([stored]);
  const asServed = served.convert ? (served.convert.fromStorage(stored) as DeepReadonly<KubeObject>) : stored;
  const late = definition.inRequestVersion === true;
  const old = late ? asServed : stored;
  const shared = source.leavesLive === true && served.type !== undefined && !served.convert && !served.custom;
  const live = shared ? (stored as KubeObject) : parseObject(current.json);
  const ctx = strategyContext(deps, request);
  let object = await source.produce(
    served.convert ? served.convert.fromStorage(live as DeepReadonly<KubeObject>) : live,
  );
  const admitting = deps.admission.handles('UPDATE');
  const attributes = admissionAttributes(request, 'UPDATE', object, asServed);
  dedupeOwners(object, request.warn);
  if (admitting) {
    await deps.admission.admit(attributes);
    object = attributes.object ?? object;
    setDefaults(served, object);
    dedupeOwners(object, request.warn);
  }
  if (served.convert && !late) object = served.convert.toStorage(object);
  const meta = (object.metadata ??= {});
  if (!served.namespaced) delete meta.namespace;
  const version = meta.resourceVersion;
  const before = old.metadata!;
  if (source.checkUid && meta.uid && meta.uid !== before.uid)
    throw conflict(
      served,
      request.name,
      `Precondition failed: UID in precondition: ${meta.uid}, UID in object meta: ${before.uid}`,
    );
  if (!version || version === '0') {
    if (source.requireVersion)
      throw invalidObject({ group: served.group, kind: served.resource }, request.name, [
        {
          type: 'FieldValueInvalid',
          field: 'metadata.resourceVersion',
          message: 'Invalid value: 0: must be specified for an update',
        },
      ]);
  } else if (checked(version) !== String(current.revision)) throw conflict(served, request.name, MODIFIED);
  meta.resourceVersion = String(current.revision);
  // What clients may leave out comes from the stored object, and times that they can't change.
  if (served.namespaced) meta.namespace ||= request.namespace;
  meta.uid ||= before.uid;
  if (before.creationTimestamp) meta.creationTimestamp = before.creationTimestamp;
  if (before.deletionTimestamp) meta.deletionTimestamp = before.deletionTimestamp;
  meta.deletionGracePeriodSeconds ??= before.deletionGracePeriodSeconds;
  meta.generation = before.generation;
  // Only storing drops it.
  if (!ctx.dryRun) delete meta.selfLink;
  const claimed = request.subresource === '' ? await definition.allocate?.(object, old, ctx) : undefined;
  try {
    const outcome = await prepared(deps, request, object, old, current, attributes, admitting);
    if ('conflict' in outcome) await claimed?.revert();
    else await claimed?.commit();
    return outcome;
  } catch (error) {
    await claimed?.revert();
    throw error;
  }
}

/** From the strategy's preparation to the write; what was claimed outside is the caller's business. */
async function prepared(
  deps: RegistryDeps,
  request: WriteRequest,
  object: KubeObject,
  old: DeepReadonly<KubeObject>,
  current: Current,
  attributes: AdmissionAttributes,
  admitting: boolean,
): Promise<WriteOutcome | { conflict: Current | undefined }> {
  const { served } = request;
  const store = served.store!;
  const strategy = strategyOf(request);
  const ctx = strategyContext(deps, request);
  if (!strategy.countsDisabledFields) dropDisabledFields(served.definition, object);
  strategy.prepareForUpdate?.(object, old, ctx);
  if (strategy.countsDisabledFields) dropDisabledFields(served.definition, object);
  object.metadata = orderMeta(object.metadata ?? {});
  const errors: FieldError[] = strategy.authorizeUpdate
    ? await strategy.authorizeUpdate(object, old, ctx, rightsOf(deps, request))
    : [];
  errors.push(...findings(deps, () => strategy.validateUpdate?.(object, old, ctx)));
  if (errors.length > 0)
    throw invalidObject(
      { group: served.definition.group, kind: (served.custom && object.kind) || served.kind },
      request.name,
      errors,
    );
  for (const w of strategy.warnings?.(object, old, ctx) ?? []) request.warn(w);
  strategy.canonicalize?.(object);
  intoStoredForm(served.definition, object);
  if (admitting) {
    const asSent =
      served.convert && !served.definition.inRequestVersion
        ? served.convert.fromStorage(object as DeepReadonly<KubeObject>)
        : object;
    await deps.admission.validate({ ...attributes, object: asSent });
  }
  object = keepTimesOfNoop(object, old);
  const newMeta = object.metadata!;
  if (endsDeletion(request, object, old)) {
    if (request.dryRun) return { code: 200, object: object as DeepReadonly<KubeObject> };
    const gone = await store.delete(request.namespace, request.name, current.revision);
    if ('conflict' in gone) return gone;
    await served.definition.release?.(old, ctx);
    return { code: 200, json: withRevision(encodeStored(object), current.revision), revision: current.revision };
  }
  const asWritten = object;
  if (served.convert && served.definition.inRequestVersion) {
    await served.convert.prepareStorage?.(object as DeepReadonly<KubeObject>);
    object = served.convert.toStorage(object);
  }
  const value = encodeStored(object);
  if (
    unchanged(value, object, current, old) &&
    !(store.mayBeStale && (await store.isStale(request.namespace, request.name)))
  )
    return { code: 200, json: current.json, revision: current.revision };
  if (request.dryRun) {
    newMeta.resourceVersion = String(current.revision);
    return { code: 200, object: asWritten as DeepReadonly<KubeObject> };
  }
  const written = await store.update(request.namespace, request.name, object, value, current.revision);
  if ('conflict' in written) return written;
  return { code: 200, json: written.json, revision: written.revision };
}

/** The version, if it is one. */
function checked(version: string): string {
  if (isVersion(version)) return version;
  throw new StatusError(500, '', `strconv.ParseUint: parsing ${JSON.stringify(version)}: invalid syntax`);
}

/** PUT or apply of a name that isn't there; which version was expected doesn't matter. */
async function createAbsent(deps: RegistryDeps, request: WriteRequest, source: UpdateSource): Promise<WriteOutcome> {
  const object = await source.produce(undefined);
  const meta = (object.metadata ??= {});
  if (meta.resourceVersion) checked(meta.resourceVersion);
  if (source.checkUid && meta.uid)
    throw conflict(
      request.served,
      request.name,
      `Precondition failed: UID in precondition: ${meta.uid}, UID in object meta: `,
    );
  delete meta.resourceVersion;
  meta.name ||= request.name;
  return createPrepared(deps, request, object);
}

/** The same bytes, or the same values in another order of keys (then the length is the same too). */
function unchanged(value: Buffer, object: KubeObject, current: Current, old: DeepReadonly<KubeObject>): boolean {
  const withVersion = withRevision(value, current.revision);
  if (withVersion.length !== current.json.length) return false;
  return (
    withVersion.equals(current.json) ||
    deepEqual({ ...object, metadata: { ...object.metadata, resourceVersion: String(current.revision) } }, old)
  );
}

/** The last finalizer of an object being deleted is taken away: then it goes. */
function endsDeletion(request: WriteRequest, object: KubeObject, old: DeepReadonly<KubeObject>): boolean {
  const meta = object.metadata!;
  if (meta.deletionTimestamp === undefined || old.metadata!.deletionTimestamp === undefined) return false;
  if ((meta.finalizers?.length ?? 0) > 0) return false;
  if ((request.served.definition.moreFinalizers?.(object as DeepReadonly<KubeObject>).length ?? 0) > 0) return false;
  return (old.metadata!.deletionGracePeriodSeconds ?? 0) === 0;
}
