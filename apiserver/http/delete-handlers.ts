/** DELETE of one object and of collections. */
import { encodeJson } from '../../api/codec/json.ts';
import { badRequest, isNotFound } from '../../api/status.ts';
import type { DeepReadonly, JsonObject, KubeObject } from '../../api/types.ts';
import type { ServedResource } from '../registry/catalog.ts';
import { deleteObject, validateDeleteOptions, type DeleteOptions } from '../registry/delete.ts';
import { preparedEntries } from '../registry/prepared.ts';
import type { WriteRequest } from '../registry/operation.ts';
import { decodeBody } from './body.ts';
import { listEntries, optionsOf } from './list.ts';
import { negotiate } from './negotiate.ts';
import { decodeProtobuf } from './protobuf.ts';
import { renderList } from './render.ts';
import type { ApiRequest } from './request.ts';
import type { Handler } from './resource-handler.ts';
import { resourceOffer, send, sendObject, sendOutcome } from './respond.ts';
import { writeRequest } from './write-options.ts';

const DELETE_OPTIONS = { group: '', version: 'v1', kind: 'DeleteOptions' };

async function readDeleteOptions(request: ApiRequest): Promise<DeleteOptions> {
  const { query } = request;
  const body = await request.body();
  let options: DeleteOptions = {};
  if (body.length > 0) {
    const type = request.header('content-type') ?? '';
    const value = type.includes('protobuf')
      ? (decodeProtobuf(body, DELETE_OPTIONS) as JsonObject)
      : (await decodeBody(request, body, type.includes('yaml') ? 'yaml' : 'json'))().value;
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw badRequest('the body is not a DeleteOptions object');
    if (value.kind !== undefined && value.kind !== 'DeleteOptions')
      throw badRequest(`the body is a ${encodeJson(value.kind)}, not DeleteOptions`);
    options = value as DeleteOptions;
  } else {
    const grace = query.get('gracePeriodSeconds');
    if (grace !== null && grace !== '') {
      if (!/^[+-]?[0-9]+$/.test(grace))
        throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(grace)}: invalid syntax`);
      options.gracePeriodSeconds = Number(grace);
    }
    const policy = query.get('propagationPolicy');
    if (policy !== null) options.propagationPolicy = policy;
    const orphan = query.get('orphanDependents');
    if (orphan) options.orphanDependents = !(orphan === '0' || orphan.toLowerCase() === 'false');
    const dry = query.getAll('dryRun');
    if (dry.length > 0) options.dryRun = dry;
  }
  validateDeleteOptions(options);
  return { kind: 'DeleteOptions', apiVersion: 'meta.k8s.io/v1', ...options };
}

const JOB_DELETE =
  'child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning';

function warnOfOrphans(request: ApiRequest, served: ServedResource, options: DeleteOptions): void {
  const isJob = served.group === 'batch' && served.definition.defaultPropagation === 'Orphan';
  if (isJob && options.propagationPolicy === undefined && options.orphanDependents === undefined)
    request.warn(JOB_DELETE);
}

/** Kinds whose DELETE answers with the object, where a definition says nothing. */
const RETURNS_DELETED = new Set([
  'pods',
  'persistentvolumes',
  'persistentvolumeclaims',
  'podtemplates',
  'resourcequotas',
  'services',
  'serviceaccounts',
  'storageclasses',
  'csidrivers',
  'csinodes',
  'volumeattachments',
  'volumeattributesclasses',
]);

export const handleDelete: Handler = async (deps, request, reply, served) => {
  const view = negotiate(request, resourceOffer(served));
  const options = await readDeleteOptions(request);
  warnOfOrphans(request, served, options);
  const write: WriteRequest = {
    ...writeRequest(request, served, '', 'DeleteOptions'),
    dryRun: (options.dryRun?.length ?? 0) > 0,
    options,
  };
  const outcome = await deleteObject(deps.registry, write, options);
  if (outcome.deleted && !(served.definition.returnDeletedObject ?? RETURNS_DELETED.has(served.resource))) {
    const details: JsonObject = { name: request.info.name };
    if (served.group !== '') details.group = served.group;
    details.kind = served.resource;
    if (outcome.last.metadata?.uid !== undefined) details.uid = outcome.last.metadata.uid;
    const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
    sendObject(deps, request, reply, 200, served, view, status as unknown as DeepReadonly<KubeObject>, true);
    return;
  }
  const accepted = !outcome.deleted && options.orphanDependents === false;
  await sendOutcome(deps, request, reply, served, view, { ...outcome, code: accepted ? 202 : 200 });
};

export const handleDeleteCollection: Handler = async (deps, request, reply, served) => {
  const view = negotiate(request, resourceOffer(served));
  const listOptions = optionsOf(request, served);
  const options = await readDeleteOptions(request);
  warnOfOrphans(request, served, options);
  const base = writeRequest(request, served, '', 'DeleteOptions');
  const { entries, meta } = await listEntries(served, base.namespace, '', listOptions);
  for (const entry of entries) {
    const write: WriteRequest = {
      ...base,
      namespace: entry.namespace,
      name: entry.name,
      dryRun: (options.dryRun?.length ?? 0) > 0,
      options,
    };
    try {
      await deleteObject(deps.registry, write, options);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  await preparedEntries(served, entries);
  send(request, reply, 200, view, renderList(served, entries, meta, view, deps.registry.clock.now(), 'Metadata'));
};
