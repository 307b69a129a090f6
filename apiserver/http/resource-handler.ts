/** Requests for resources, routed by verb to the generic registry. */
import { badRequest, methodNotAllowed, notFound } from '../../api/status.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { Catalog, ServedResource, ServedSubresource } from '../registry/catalog.ts';
import { preparedEntries } from '../registry/prepared.ts';
import type { RegistryDeps } from '../registry/operation.ts';
import type { SpecialHandlers } from '../registry/special.ts';
import { admitConnect } from './connect.ts';
import { handleDelete, handleDeleteCollection } from './delete-handlers.ts';
import { listEntries, optionsOf, parseReadVersion } from './list.ts';
import { addWarnings } from './compress.ts';
import { negotiate } from './negotiate.ts';
import { methodRefused } from './paths.ts';
import { handlePost } from './post-handler.ts';
import { encodeObject, renderList, renderObject, partialMetadata } from './render.ts';
import type { ApiRequest, Reply } from './request.ts';
import { RESOURCE, includeOf, resourceOffer, send } from './respond.ts';
import { getScale, scaleTable, writeScale } from './scale.ts';
import type { Target } from './target.ts';
import { responseSink, serveWatch, watchContentType, type WatchDeps } from './watch.ts';
import { handleCreate, handlePatch, handleUpdate } from './write-handlers.ts';

export interface ResourceHandlerDeps {
  readonly catalog: Catalog;
  readonly registry: RegistryDeps;
  readonly special: SpecialHandlers;
  readonly watch: WatchDeps;
}

/** Answers one verb for a stored resource. */
export type Handler = (
  deps: ResourceHandlerDeps,
  request: ApiRequest,
  reply: Reply,
  served: ServedResource,
) => Promise<void>;

const watchOffer = (served: ServedResource) => ({ ...resourceOffer(served), watch: true });

/** Warned of on every request. */
const DEPRECATED: Readonly<Record<string, string>> = {
  'v1/endpoints': 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice',
  'v1/componentstatuses': 'v1 ComponentStatus is deprecated in v1.19+',
};

/** Serves one request whose target is known and allowed. */
export async function handleResource(
  deps: ResourceHandlerDeps,
  request: ApiRequest,
  reply: Reply,
  target: Target,
): Promise<void> {
  const { served, sub } = target;
  const { info } = request;
  const deprecation = served.deprecation ?? DEPRECATED[`${served.apiVersion}/${served.resource}`];
  if (deprecation) {
    request.warn(deprecation);
    if (!served.custom) request.deprecated = { removedRelease: '' };
  }
  const special = deps.special.get(served.group, served.resource, info.subresource);
  if (special) {
    if (special.type === 'raw') {
      if (!special.handle) throw badRequest('you must specify at least 1 of the upgrade protocols');
      await admitConnect(deps, request, target);
      return special.handle(request, reply);
    }
    if (info.verb === 'create') return handlePost(deps, request, reply, target, special);
  }
  if (sub) {
    switch (sub.definition.type) {
      case 'special': {
        if (served.store && !(await served.store.get(served.namespaced ? info.namespace : '', info.name)))
          throw notFound(served, info.name);
        throw methodNotAllowed(served, info.subresource);
      }
      case 'scale':
        return handleScale(deps, request, reply, served, sub);
      case 'update':
        break;
    }
  }
  if (!served.store) throw methodNotAllowed(served, info.verb);
  const handler = handlers.get(info.verb);
  if (!handler) throw methodRefused();
  return handler(deps, request, reply, served);
}

const handleGet: Handler = async (deps, request, reply, served) => {
  const { info } = request;
  const view = negotiate(request, resourceOffer(served));
  if (request.rawQuery.includes('export=') && request.query.get('export') === 'true')
    throw badRequest('the export parameter is no longer supported');
  const store = served.store!;
  const namespace = served.namespaced ? info.namespace : '';
  let entry;
  const rv = request.rawQuery === '' ? '' : (request.query.get('resourceVersion') ?? '');
  if (rv === '') entry = await store.get(namespace, info.name);
  else {
    const version = parseReadVersion(rv, served.definition.uncached);
    if (version > 0) await store.cache.waitFor(version);
    entry = store.cache.peek(store.key(namespace, info.name));
  }
  if (!entry) throw notFound(served, info.name);
  await preparedEntries(served, [entry]);
  const include = view.as === 'Table' ? includeOf(request) : 'Metadata';
  send(request, reply, 200, view, renderObject(served, entry, view, deps.registry.clock.now(), include));
};

const handleList: Handler = async (deps, request, reply, served) => {
  const view = negotiate(request, resourceOffer(served));
  const options = optionsOf(request, served);
  const include = view.as === 'Table' ? includeOf(request) : 'Metadata';
  const { entries, meta } = await listEntries(served, served.namespaced ? request.info.namespace : '', '', options);
  await preparedEntries(served, entries);
  send(request, reply, 200, view, renderList(served, entries, meta, view, deps.registry.clock.now(), include));
};

const handleWatch: Handler = async (deps, request, reply, served) => {
  const view = negotiate(request, watchOffer(served));
  const options = optionsOf(request, served);
  const { info } = request;
  const include = view.as === 'Table' ? includeOf(request) : 'Metadata';
  const target = {
    served,
    namespace: served.namespaced ? info.namespace : '',
    name: info.parts[1] ?? '',
    options,
    view,
    include,
  };
  await serveWatch(deps.watch, target, () => {
    addWarnings(request, reply);
    return responseSink(reply.stream(200, watchContentType(view)), deps.watch.outbox);
  });
};

const handlers: ReadonlyMap<string, Handler> = new Map([
  ['get', handleGet],
  ['list', handleList],
  ['watch', handleWatch],
  ['create', handleCreate],
  ['update', handleUpdate],
  ['patch', handlePatch],
  ['delete', handleDelete],
  ['deletecollection', handleDeleteCollection],
]);

async function handleScale(
  deps: ResourceHandlerDeps,
  request: ApiRequest,
  reply: Reply,
  served: ServedResource,
  sub: ServedSubresource,
): Promise<void> {
  const view = negotiate(request, RESOURCE);
  const scale =
    request.info.verb === 'get'
      ? await getScale(request, served, sub)
      : await writeScale(deps.registry, request, served, sub);
  const now = deps.registry.clock.now();
  const shown =
    view.as === 'Table'
      ? scaleTable(scale, view.asVersion, now)
      : view.as === ''
        ? scale
        : partialMetadata(scale as unknown as DeepReadonly<KubeObject>, view.asVersion);
  send(request, reply, 200, view, encodeObject(shown, view));
}
