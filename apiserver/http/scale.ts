/** The scale subresource: a small object that stands for one field of its parent. */
import { encodeJson } from '../../api/codec/json.ts';
import { parentEntries, scaleEntries } from '../../api/apply/index.ts';
import { invalid, invalidObject } from '../../api/field-errors.ts';
import { badRequest, conflict, internalError, notFound } from '../../api/status.ts';
import type { DeepReadonly, JsonObject, JsonValue, KubeObject, ManagedFieldsEntry } from '../../api/types.ts';
import type { ServedResource, ServedSubresource } from '../registry/catalog.ts';
import { admissionAttributes, type RegistryDeps, type WriteRequest } from '../registry/operation.ts';
import { prepared, preparedEntries } from '../registry/prepared.ts';
import { applyPatch } from '../registry/patch-forms.ts';
import { parseObject } from '../registry/resource-store.ts';
import { updateObject } from '../registry/update.ts';
import { fieldValidationOf, readObject, type ExpectedKind } from './body.ts';
import { servedObject } from './render.ts';
import type { ApiRequest } from './request.ts';
import { checkNames, invalidPatch, readPatch, showPatch, typedPatch, writeRequest } from './write-options.ts';
import { ageSince } from './table.ts';

interface Scale extends KubeObject {
  spec?: { replicas?: number };
  status?: { replicas?: number; selector?: string };
}
/** What patches of a Scale find where a custom resource says nothing of replicas, so that they must. */
const UNSET = -2_147_483_648;
type Entries = readonly DeepReadonly<ManagedFieldsEntry>[] | undefined;

function at(object: unknown, path: readonly string[]): unknown {
  let v = object;
  for (const p of path) v = (v as Record<string, unknown> | undefined)?.[p];
  return v;
}

function scaleOf(sub: ServedSubresource, parent: DeepReadonly<KubeObject>): Scale {
  if (sub.definition.type !== 'scale') throw badRequest('not scalable');
  const d = sub.definition;
  const m = parent.metadata ?? {};
  const spec: Scale['spec'] = {};
  const replicas = at(parent, d.specReplicas) as number | undefined;
  if (replicas) spec.replicas = replicas;
  const status: Scale['status'] = { replicas: (at(parent, d.statusReplicas) as number | undefined) ?? 0 };
  const selector = d.selector(parent);
  if (selector !== '') status.selector = selector;
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: {
      name: m.name,
      namespace: m.namespace,
      uid: m.uid,
      resourceVersion: m.resourceVersion,
      creationTimestamp: m.creationTimestamp,
    },
    spec,
    status,
  };
}

/** Throws 404 when there is no such parent. */
export async function getScale(
  request: ApiRequest,
  served: ServedResource,
  sub: ServedSubresource,
): Promise<JsonObject> {
  const entry = await served.store!.get(request.info.namespace, request.info.name);
  if (!entry) throw notFound(served, request.info.name);
  await preparedEntries(served, [entry]);
  const object = servedObject(served, entry.object());
  if (served.custom && sub.definition.type === 'scale' && at(object, sub.definition.specReplicas) === undefined)
    throw internalError(`the spec replicas field ".${sub.definition.specReplicas.join('.')}" does not exist`);
  return scaleOf(sub, object) as unknown as JsonObject;
}

/** A scale as a Table of one row. */
export function scaleTable(scale: JsonObject, version: string, now: number): JsonObject {
  const s = scale as unknown as Scale;
  const column = (name: string, type: string) => ({ name, type, format: '', description: '', priority: 0 });
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${version}`,
    metadata: { resourceVersion: s.metadata?.resourceVersion },
    columnDefinitions: [
      column('Name', 'string'),
      column('Desired', 'integer'),
      column('Available', 'integer'),
      column('Age', 'string'),
    ],
    rows: [
      {
        cells: [
          s.metadata?.name ?? '',
          s.spec?.replicas ?? 0,
          s.status?.replicas ?? 0,
          ageSince(s.metadata?.creationTimestamp, now),
        ],
        object: {
          kind: 'PartialObjectMetadata',
          apiVersion: `meta.k8s.io/${version}`,
          metadata: s.metadata as unknown as JsonObject,
        },
      },
    ],
  };
}

/** PUT and PATCH of a scale: a change of the parent's replicas. */
export async function writeScale(
  deps: RegistryDeps,
  request: ApiRequest,
  served: ServedResource,
  sub: ServedSubresource,
): Promise<JsonObject> {
  if (sub.definition.type !== 'scale') throw badRequest('not scalable');
  const path = sub.definition.specReplicas;
  const isPatch = request.info.verb === 'patch';
  const write = writeRequest(request, served, 'scale', isPatch ? 'PatchOptions' : 'UpdateOptions');
  const expected: ExpectedKind = { ...sub.kind, apiVersion: 'autoscaling/v1', type: sub.type };
  const validation = fieldValidationOf(request);
  const patch = isPatch ? await readPatch(request, served) : undefined;
  const sent: Scale | undefined = isPatch ? undefined : (await readObject(request, expected, validation))();
  if (sent) checkNames(request, served, sent);
  const replicasAt = sub.definition.replicasAt ?? { [served.apiVersion]: path };
  const outcome = await updateObject(deps, write, {
    createWhenAbsent: false,
    requireVersion: false,
    attempts: 5,
    async produce(live) {
      const parent = live!;
      const now = scaleOf(sub, parent as DeepReadonly<KubeObject>);
      if (served.custom && patch?.kind !== 'apply' && at(parent, path) === undefined) now.spec!.replicas = UNSET;
      now.metadata!.managedFields = scaleEntries(parent.metadata?.managedFields as Entries, replicasAt);
      let scale: Scale;
      if (patch?.kind === 'apply')
        scale = settle(deps, write, sub, now, undefined, { patch: patch.patch() as JsonObject, force: patch.force });
      else {
        if (patch) {
          const patched = applyPatch(patch.kind, now as unknown as JsonObject, patch.patch(), sub.type);
          scale = typedPatch(
            patched as JsonValue,
            expected,
            { validation, duplicates: [], ofPatch: patch.complaints?.(), warn: (t) => request.warn(t) },
            (why) => invalidPatch(() => showPatch(patch.kind, patch.patch()), why),
          );
        } else scale = { ...sent!, metadata: { ...sent!.metadata } };
        scale = settle(deps, write, sub, now, scale, undefined);
      }
      if (deps.admission.handles('UPDATE')) {
        const attributes = {
          ...admissionAttributes(write, 'UPDATE', scale, now as DeepReadonly<KubeObject>),
          kind: expected,
        };
        await deps.admission.admit(attributes);
        await deps.admission.validate(attributes);
        scale = (attributes.object as Scale | undefined) ?? scale;
      }
      checkNames(request, served, scale);
      return parentWith(served, parent, scale, path, replicasAt, request.info.name);
    },
  });
  const stored = outcome.json ? (parseObject(outcome.json) as DeepReadonly<KubeObject>) : outcome.object!;
  await prepared(served, [stored]);
  return scaleOf(sub, servedObject(served, stored)) as unknown as JsonObject;
}

/** Brings the scale's own managedFields up to date, or applies a configuration to it. */
function settle(
  deps: RegistryDeps,
  write: WriteRequest,
  sub: ServedSubresource,
  now: Scale,
  scale: Scale | undefined,
  apply: { patch: JsonObject; force: boolean } | undefined,
): Scale {
  if (!deps.fields || !sub.type) return scale ?? now;
  const base = {
    type: sub.type,
    live: now as DeepReadonly<KubeObject>,
    object: scale ?? now,
    manager: write.fieldManager,
    apiVersion: 'autoscaling/v1',
    kind: sub.kind,
    subresource: 'scale',
    resetFields: undefined,
    resource: write.served,
  };
  return (apply ? deps.fields.apply({ ...base, ...apply }) : deps.fields.update(base)) as Scale;
}

/** The parent with the scale's replicas and their owners. */
function parentWith(
  served: ServedResource,
  parent: KubeObject,
  scale: Scale,
  path: readonly string[],
  replicasAt: Record<string, readonly string[]>,
  name: string,
): KubeObject {
  const replicas = scale.spec?.replicas ?? 0;
  if (replicas === UNSET && served.custom)
    throw badRequest(`the spec replicas field ".${path.join('.')}" cannot be empty`);
  // The rules of a custom resource say so themselves.
  if (replicas < 0 && !served.custom)
    throw invalidObject({ group: 'autoscaling', kind: 'Scale' }, name, [
      invalid('spec.replicas', replicas, 'must be greater than or equal to 0'),
    ]);
  const uid = scale.metadata?.uid;
  if (uid && uid !== parent.metadata!.uid)
    throw conflict(
      served,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${parent.metadata!.uid}`,
    );
  const object = parseObject(Buffer.from(encodeJson(parent)));
  const version = scale.metadata?.resourceVersion;
  if (version) object.metadata!.resourceVersion = version;
  let holder = object as unknown as Record<string, unknown>;
  for (const p of path.slice(0, -1)) holder = (holder[p] ??= {}) as Record<string, unknown>;
  holder[path.at(-1)!] = replicas;
  const entries = parentEntries(
    parent.metadata?.managedFields as Entries,
    scale.metadata?.managedFields as Entries,
    replicasAt,
    served.apiVersion,
  );
  if (entries) object.metadata!.managedFields = entries;
  else delete object.metadata!.managedFields;
  return object;
}
