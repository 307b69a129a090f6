/** Creating an object: the same steps for every kind. */
import { invalidObject } from '../../api/field-errors.ts';
import { alreadyExists, badRequest, isAlreadyExists, StatusError } from '../../api/status.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { AdmissionAttributes } from '../admission/types.ts';
import { formatTime } from '../../base/clock.ts';
import { setDefaults } from './decode.ts';
import { dedupeOwners, isVersion } from './object-meta.ts';
import { dropDisabledFields, intoStoredForm } from './stored-form.ts';
import { findings } from './validation.ts';
import {
  admissionAttributes,
  strategyContext,
  strategyOf,
  type RegistryDeps,
  type WriteOutcome,
  type WriteRequest,
} from './operation.ts';

/** Names are cut to this length before the random suffix is put on. */
const MAX_GENERATED_BASE = 58;
const GENERATE_ATTEMPTS = 8;

/** Creates `object` (decoded and defaulted, owned by the caller). */
export async function createObject(
  deps: RegistryDeps,
  request: WriteRequest,
  object: KubeObject,
): Promise<WriteOutcome> {
  const { served } = request;
  const meta = (object.metadata ??= {});
  if (served.namespaced) {
    if (meta.namespace && meta.namespace !== request.namespace)
      throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`);
    meta.namespace = request.namespace;
  }
  delete meta.uid;
  delete meta.creationTimestamp;
  delete meta.deletionTimestamp;
  delete meta.deletionGracePeriodSeconds;
  if (deps.fields && served.type) {
    object = deps.fields.update({
      type: served.type,
      live: undefined,
      object,
      manager: request.fieldManager,
      apiVersion: served.apiVersion,
      kind: served,
      subresource: '',
      resetFields: served.definition.strategy.resetFields,
      resource: served,
    });
  }
  return createPrepared(deps, request, object);
}

/** The part of a create after managed fields are settled: admission, strategy, validation, the write itself. */
export async function createPrepared(
  deps: RegistryDeps,
  request: WriteRequest,
  object: KubeObject,
): Promise<WriteOutcome> {
  const meta = (object.metadata ??= {});
  const generate = !meta.name && !!meta.generateName;
  if (!generate) return attempt(deps, request, object);
  const base = meta.generateName!;
  for (let i = 1; ; i++) {
    const copy = i === GENERATE_ATTEMPTS ? object : (structuredCopy(object) as KubeObject);
    try {
      return await attempt(deps, request, copy, base.slice(0, MAX_GENERATED_BASE) + deps.ids.suffix());
    } catch (error) {
      if (i === GENERATE_ATTEMPTS || !isAlreadyExists(error)) throw error;
    }
  }
}

function structuredCopy<T>(value: T): T {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map((v: unknown) => structuredCopy(v)) as T;
  const copy: Record<string, unknown> = {};
  for (const [k, v] of Object.entries(value)) copy[k] = structuredCopy(v);
  return copy as T;
}

async function attempt(
  deps: RegistryDeps,
  request: WriteRequest,
  object: KubeObject,
  generated?: string,
): Promise<WriteOutcome> {
  const { served } = request;
  const definition = served.definition;
  const ctx = strategyContext(deps, request);
  const admitting = deps.admission.handles('CREATE');
  const attributes = admissionAttributes(request, 'CREATE', object, undefined, object.metadata?.name ?? '');
  dedupeOwners(object, request.warn);
  if (admitting) {
    await deps.admission.admit(attributes);
    object = attributes.object ?? object;
    setDefaults(served, object);
    dedupeOwners(object, request.warn);
  }
  if (served.convert && !definition.inRequestVersion) object = served.convert.toStorage(object);
  const meta = (object.metadata ??= {});
  if (served.namespaced) meta.namespace = request.namespace;
  else delete meta.namespace;
  delete meta.deletionTimestamp;
  delete meta.deletionGracePeriodSeconds;
  delete meta.selfLink;
  meta.creationTimestamp = formatTime(deps.clock.now());
  meta.uid = deps.ids.uuid();
  if (generated !== undefined) meta.name = generated;
  const claimed = await definition.allocate?.(object, undefined, ctx);
  try {
    const outcome = await prepared(deps, request, object, attributes, admitting);
    await claimed?.commit();
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
  attributes: AdmissionAttributes,
  admitting: boolean,
): Promise<WriteOutcome> {
  const { served } = request;
  const { definition } = served;
  const store = served.store!;
  const strategy = strategyOf(request);
  const ctx = strategyContext(deps, request);
  dropDisabledFields(definition, object);
  strategy.prepareForCreate?.(object, ctx);
  object.metadata = orderMeta(object.metadata ?? {});
  const errors = findings(deps, () => strategy.validate?.(object, ctx));
  if (errors.length > 0)
    throw invalidObject(
      { group: definition.group, kind: (served.custom && object.kind) || served.kind },
      object.metadata.name ?? '',
      errors,
    );
  for (const w of strategy.warnings?.(object, undefined, ctx) ?? []) request.warn(w);
  strategy.canonicalize?.(object);
  intoStoredForm(served.definition, object);
  const name = object.metadata.name!;
  if (admitting) {
    const asSent =
      served.convert && !served.definition.inRequestVersion
        ? served.convert.fromStorage(object as DeepReadonly<KubeObject>)
        : object;
    await deps.admission.validate({ ...attributes, object: asSent, name });
  }
  if (request.dryRun) {
    if (store.peek(request.namespace, name) || (await store.get(request.namespace, name)))
      throw alreadyExists(served, name);
    return { code: 201, object: object as DeepReadonly<KubeObject> };
  }
  // What is no version is taken for none.
  if (isVersion(object.metadata.resourceVersion))
    throw new StatusError(500, '', 'resourceVersion should not be set on objects to be created');
  delete object.metadata.resourceVersion;
  if (served.convert && served.definition.inRequestVersion) {
    await served.convert.prepareStorage?.(object as DeepReadonly<KubeObject>);
    object = served.convert.toStorage(object);
  }
  const written = await store.create(request.namespace, name, object);
  return { code: 201, json: written.json, revision: written.revision };
}

const META_ORDER = [
  'name',
  'generateName',
  'namespace',
  'selfLink',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'labels',
  'annotations',
  'ownerReferences',
  'finalizers',
  'managedFields',
] as const;

/** Metadata in the schema's order, so that stored bytes have their uid before anything a client may choose freely. */
export function orderMeta(meta: NonNullable<KubeObject['metadata']>): NonNullable<KubeObject['metadata']> {
  const out: Record<string, unknown> = {};
  for (const k of META_ORDER) if (meta[k] !== undefined && meta[k] !== null) out[k] = meta[k];
  return out as NonNullable<KubeObject['metadata']>;
}
