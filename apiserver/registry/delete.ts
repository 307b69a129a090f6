/** Deleting: preconditions, grace periods, finalizers, propagation. */
import { invalidObject, invalid, notSupported, type FieldError } from '../../api/field-errors.ts';
import { conflict, notFound } from '../../api/status.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import { formatTime } from '../../base/clock.ts';
import {
  admissionAttributes,
  strategyContext,
  type RegistryDeps,
  type WriteOutcome,
  type WriteRequest,
} from './operation.ts';
import { encodeStored, parseObject, withRevision, type Current } from './resource-store.ts';

/** metav1.DeleteOptions, decoded. */
export interface DeleteOptions extends KubeObject {
  gracePeriodSeconds?: number;
  preconditions?: { uid?: string; resourceVersion?: string };
  orphanDependents?: boolean;
  propagationPolicy?: string;
  dryRun?: string[];
  [key: string]: unknown;
}

/** `deleted` is false while finalizers or a grace period hold the object. */
export type DeleteOutcome = WriteOutcome & { readonly deleted: boolean; readonly last: DeepReadonly<KubeObject> };

const POLICIES = ['Background', 'Foreground', 'Orphan'];
const ORPHAN = 'orphan';
const FOREGROUND = 'foregroundDeletion';

/** Refuses options that contradict themselves. */
export function validateDeleteOptions(options: DeleteOptions): void {
  const errors: FieldError[] = [];
  const { propagationPolicy, orphanDependents } = options;
  if (propagationPolicy !== undefined && orphanDependents !== undefined)
    errors.push(
      invalid('propagationPolicy', propagationPolicy, 'orphanDependents and deletionPropagation cannot be both set'),
    );
  else if (propagationPolicy !== undefined && !POLICIES.includes(propagationPolicy))
    errors.push(notSupported('propagationPolicy', propagationPolicy, [...POLICIES, 'nil']));
  if (options.dryRun && options.dryRun.some((d) => d !== 'All'))
    errors.push(notSupported('dryRun', options.dryRun, ['All']));
  if (errors.length > 0) throw invalidObject({ group: 'meta.k8s.io', kind: 'DeleteOptions' }, '', errors);
}

/** Deletes the object of the request, or marks it as being deleted. */
export async function deleteObject(
  deps: RegistryDeps,
  request: WriteRequest,
  options: DeleteOptions,
): Promise<DeleteOutcome> {
  const store = request.served.store!;
  let current: Current | undefined = await store.get(request.namespace, request.name);
  for (;;) {
    if (!current) throw notFound(request.served, request.name);
    const outcome = await tryDelete(deps, request, options, current);
    if (!('conflict' in outcome)) return outcome;
    current = outcome.conflict;
  }
}

async function tryDelete(
  deps: RegistryDeps,
  request: WriteRequest,
  options: DeleteOptions,
  current: Current,
): Promise<DeleteOutcome | { conflict: Current | undefined }> {
  const { served } = request;
  const { definition } = served;
  const store = served.store!;
  const old = parseObject(current.json) as DeepReadonly<KubeObject>;
  const meta = old.metadata!;
  const want = options.preconditions;
  // Here the thing is named by its kind, as upstream has it; kinds with a deletion of their own name the resource.
  const named = { group: served.group, resource: definition.moreFinalizers ? served.resource : served.kind };
  if (want?.uid !== undefined && want.uid !== meta.uid)
    throw conflict(
      named,
      request.name,
      `Precondition failed: UID in precondition: ${want.uid}, UID in object meta: ${meta.uid}`,
    );
  if (want?.resourceVersion !== undefined && want.resourceVersion !== meta.resourceVersion)
    throw conflict(
      named,
      request.name,
      `Precondition failed: ResourceVersion in precondition: ${want.resourceVersion}, ResourceVersion in object meta: ${meta.resourceVersion}`,
    );
  if (deps.admission.handles('DELETE')) {
    await served.convert?.prepare?.([old]);
    const oldServed = served.convert ? (served.convert.fromStorage(old) as DeepReadonly<KubeObject>) : old;
    const attributes = admissionAttributes({ ...request, options }, 'DELETE', undefined, oldServed);
    await deps.admission.admit(attributes);
    await deps.admission.validate(attributes);
  }
  const ctx = strategyContext(deps, request);
  const now = deps.clock.now();
  const object = parseObject(current.json);
  const om = object.metadata!;
  let grace = 0;
  if (definition.gracePeriodSeconds) {
    grace = definition.gracePeriodSeconds(old, options.gracePeriodSeconds);
    if (grace < 0) grace = 1;
  }
  const finalizers = finalizersAfter(old, definition.uncollected ? BACKGROUND : options, definition.defaultPropagation);
  const changedFinalizers = !sameList(finalizers, meta.finalizers ?? []);
  if (changedFinalizers) {
    if (finalizers.length > 0) om.finalizers = finalizers;
    else delete om.finalizers;
  }
  // Kinds with such finalizers are always marked first, and go at a later look.
  const more = definition.moreFinalizers?.(old);
  const held =
    finalizers.length > 0 || (more !== undefined && (more.length > 0 || meta.deletionTimestamp === undefined));
  if (grace > 0 || held) {
    const deadline = formatTime(now + grace * 1000);
    if (meta.deletionTimestamp === undefined) {
      om.deletionTimestamp = deadline;
      if (!more) om.deletionGracePeriodSeconds = grace;
      if (!more && (om.generation ?? 0) > 0) om.generation = om.generation! + 1;
      definition.onDeleting?.(object);
    } else if (definition.gracePeriodSeconds && grace < (meta.deletionGracePeriodSeconds ?? 0)) {
      // A deletion under way can only be made shorter.
      const start = Date.parse(meta.deletionTimestamp) - (meta.deletionGracePeriodSeconds ?? 0) * 1000;
      om.deletionTimestamp = formatTime(
        options.gracePeriodSeconds === undefined ? Date.parse(meta.deletionTimestamp) : start + grace * 1000,
      );
      om.deletionGracePeriodSeconds = grace;
    } else if (!changedFinalizers)
      return { code: 200, json: current.json, revision: current.revision, deleted: false, last: old };
    if (request.dryRun) return { code: 200, object: object as DeepReadonly<KubeObject>, deleted: false, last: old };
    const written = await store.update(request.namespace, request.name, object, encodeStored(object), current.revision);
    if ('conflict' in written) return written;
    return { code: 200, json: written.json, revision: written.revision, deleted: false, last: old };
  }
  if (definition.gracePeriodSeconds) {
    if (om.deletionTimestamp === undefined && (om.generation ?? 0) > 0) om.generation = om.generation! + 1;
    om.deletionTimestamp ??= formatTime(now);
    om.deletionGracePeriodSeconds = 0;
  }
  if (request.dryRun) return { code: 200, object: object as DeepReadonly<KubeObject>, deleted: true, last: old };
  const gone = await store.delete(request.namespace, request.name, current.revision);
  if ('conflict' in gone) return gone;
  await definition.release?.(old, ctx);
  return {
    code: 200,
    json: withRevision(encodeStored(object), gone.revision),
    revision: gone.revision,
    deleted: true,
    last: old,
  };
}

const BACKGROUND: DeleteOptions = { propagationPolicy: 'Background' };

/** The finalizers that the garbage collector needs for the propagation asked for. */
function finalizersAfter(
  object: DeepReadonly<KubeObject>,
  options: DeleteOptions,
  byDefault: 'Background' | 'Orphan' | undefined,
): string[] {
  const have = object.metadata?.finalizers ?? [];
  const out = have.filter((f) => f !== ORPHAN && f !== FOREGROUND);
  let orphan: boolean;
  let foreground: boolean;
  if (options.propagationPolicy !== undefined) {
    orphan = options.propagationPolicy === 'Orphan';
    foreground = options.propagationPolicy === 'Foreground';
  } else if (options.orphanDependents !== undefined) {
    orphan = options.orphanDependents;
    foreground = false;
  } else if (have.includes(ORPHAN) || have.includes(FOREGROUND)) {
    orphan = have.includes(ORPHAN);
    foreground = have.includes(FOREGROUND);
  } else {
    orphan = byDefault === 'Orphan';
    foreground = false;
  }
  if (orphan) out.push(ORPHAN);
  if (foreground) out.push(FOREGROUND);
  return out;
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((v, i) => v === b[i]);
}
