/** Admission of connections (exec, attach, port-forward, proxy): the options are the object. */
import { badRequest } from '../../api/status.ts';
import type { KubeObject } from '../../api/types.ts';
import type { ApiRequest } from './request.ts';
import type { ResourceHandlerDeps } from './resource-handler.ts';
import type { Target } from './target.ts';

const CONNECTING = new Set(['exec', 'attach', 'portforward', 'proxy']);

/** Asks admission when the subresource is one that connects; throws what a plugin throws, and 400 for dry runs. */
export async function admitConnect(deps: ResourceHandlerDeps, request: ApiRequest, target: Target): Promise<void> {
  const { served, sub } = target;
  const { admission } = deps.registry;
  if (!sub || !CONNECTING.has(sub.name)) return;
  // What runs somewhere else can't be tried without effect.
  if (request.query.has('dryRun')) throw badRequest('dryRun is not supported');
  if (!admission.handles('CONNECT')) return;
  const { info, query } = request;
  const options: KubeObject & Record<string, unknown> = { kind: sub.kind.kind, apiVersion: 'v1' };
  for (const key of query.keys()) {
    const values = query.getAll(key);
    const only = values[0]!;
    options[key] =
      key === 'command' || key === 'ports' ? values : only === 'true' || only === 'false' ? only === 'true' : only;
  }
  const attributes = {
    operation: 'CONNECT' as const,
    kind: sub.kind,
    resource: { group: served.group, version: served.version, resource: served.resource },
    subresource: sub.name,
    namespace: info.namespace,
    name: info.name,
    user: request.user,
    dryRun: false,
    object: options,
    oldObject: undefined,
    options: {},
    warn: (text: string) => request.warn(text),
    annotate: (key: string, value: string) => request.annotate(key, value),
  };
  await admission.admit(attributes);
  await admission.validate(attributes);
}
