/** Which resource a path means, and whether it offers the verb. */
import { badRequest, methodNotAllowed, notFound, pathNotFound } from '../../api/status.ts';
import type { Catalog, ServedResource, ServedSubresource } from '../registry/catalog.ts';
import { methodRefused } from './paths.ts';
import type { ApiRequest, Reply } from './request.ts';
import type { RequestInfo } from './request-info.ts';

/** What a request is about, once found. */
export interface Target {
  readonly served: ServedResource;
  readonly sub: ServedSubresource | undefined;
}

/** Finds the resource of a request; throws 404 and 405 as the paths and verbs demand. */
export function resolveTarget(catalog: Catalog, request: ApiRequest): Target {
  const { info } = request;
  // what lies behind a proxy takes any method
  const proxied = info.subresource === 'proxy';
  // Methods that no path knows, on paths that are there.
  const odd = (request.method === 'HEAD' || info.verb === '') && !proxied;
  const served = catalog.get(info.apiGroup, info.apiVersion, info.resource);
  if (!served) throw pathNotFound();
  if (odd && served.custom) throw methodRefused();
  const inNamespace = info.resource !== 'namespaces' && info.namespace !== '';
  const named = info.parts.length > 1;
  if (inNamespace && !served.namespaced) throw pathNotFound();
  if (served.namespaced && !inNamespace && named) throw pathNotFound();
  let sub: ServedSubresource | undefined;
  if (info.subresource !== '') {
    sub = served.subresources.get(info.subresource);
    if (!sub && served.custom && served.deprecation) request.warn(served.deprecation);
    if (!sub) throw served.custom ? notFound(served, info.name) : pathNotFound();
    if (info.parts.length > 3 && !proxied) throw pathNotFound();
    if (info.deprecatedWatch) throw pathNotFound();
    if (odd) throw methodRefused();
    if (!proxied && !sub.verbs.includes(info.verb))
      throw served.custom ? methodNotAllowed(served, info.verb) : methodRefused();
    return { served, sub };
  }
  if (odd || (info.deprecatedWatch && request.method !== 'GET')) throw methodRefused();
  // `list` and `watch` of everything in all namespaces is all that a namespaced resource offers without one.
  const verb = info.verb;
  if (named && (verb === 'list' || verb === 'deletecollection')) throw methodRefused();
  if (named && verb === 'create') throw methodRefused();
  if (!named && (verb === 'update' || verb === 'patch'))
    throw served.custom ? badRequest('name must be provided') : methodRefused();
  if (served.namespaced && !inNamespace && !served.store) throw pathNotFound();
  if (served.namespaced && !inNamespace && verb !== 'list' && verb !== 'watch')
    throw served.custom ? pathNotFound() : methodRefused();
  if (!served.verbs.includes(verb)) {
    const paths = named
      ? served.verbs.some((v) => v === 'get' || v === 'update' || v === 'delete' || v === 'patch')
      : true;
    throw paths ? methodRefused() : pathNotFound();
  }
  return { served, sub };
}

/** `/api/v1/watch` and `/api/v1/proxy` with nothing behind them, which are paths of no kind. */
export const namesNoKind = (info: RequestInfo): boolean =>
  info.parts.length === 1 && !info.deprecatedWatch && (info.resource === 'watch' || info.resource === 'proxy');

/** The answer to them: no Status, as upstream fails before it has come to the API. */
export function kindUnknown(request: ApiRequest, reply: Reply): void {
  const why = `failed to create RequestInfo: unable to determine kind and namespace from url, ${request.path}`;
  const text = `Internal Server Error: ${JSON.stringify(request.path)}: ${why}\n`;
  reply.send(500, 'text/plain; charset=utf-8', Buffer.from(text));
}
