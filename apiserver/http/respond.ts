/** Sends objects: what writes made, what handlers answer. */
import { badRequest } from '../../api/status.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { ServedResource } from '../registry/catalog.ts';
import { prepared } from '../registry/prepared.ts';
import type { WriteOutcome } from '../registry/operation.ts';
import { parseObject } from '../registry/resource-store.ts';
import { withNewline } from '../storage/cache/splice.ts';
import type { ByteSource } from './byte-source.ts';
import { gzipIfWanted } from './compress.ts';
import type { View } from './negotiate.ts';
import { contentType, encodeObject, transformObject, type AnyObject, type IncludeObject } from './render.ts';
import type { ApiRequest, Reply } from './request.ts';
import type { ResourceHandlerDeps } from './resource-handler.ts';

/** Objects and lists go out in every form. */
export const RESOURCE = { transforms: true, protobuf: true } as const;
const CUSTOM = { transforms: true, protobuf: 'metadata' } as const;

/** The forms of a resource's objects. */
export const resourceOffer = (served: ServedResource) => (served.custom ? CUSTOM : RESOURCE);

/** How rows of a Table carry their objects, as the query says. */
export function includeOf(request: ApiRequest): IncludeObject {
  const v = request.query.get('includeObject');
  if (v === null || v === '' || v === 'Metadata') return 'Metadata';
  if (v === 'None' || v === 'Object') return v;
  throw badRequest(`unrecognized includeObject value: ${JSON.stringify(v)}`);
}

/** Answers with what a write made. */
export async function sendOutcome(
  deps: ResourceHandlerDeps,
  request: ApiRequest,
  reply: Reply,
  served: ServedResource,
  view: View,
  outcome: WriteOutcome,
): Promise<void> {
  if (outcome.json && !served.convert && view.as === '' && view.media === 'json' && !view.pretty) {
    send(request, reply, outcome.code, view, withNewline(outcome.json));
    return;
  }
  const stored = outcome.json ? (parseObject(outcome.json) as DeepReadonly<KubeObject>) : outcome.object!;
  await prepared(served, [stored]);
  sendObject(deps, request, reply, outcome.code, served, view, stored);
}

/** Answers with one object; `plain` goes out as it is, whatever the view. */
export function sendObject(
  deps: ResourceHandlerDeps,
  request: ApiRequest,
  reply: Reply,
  code: number,
  served: ServedResource,
  view: View,
  object: DeepReadonly<KubeObject>,
  plain = false,
): void {
  const include = view.as === 'Table' ? includeOf(request) : 'Metadata';
  const shown: AnyObject = plain ? object : transformObject(served, object, view, deps.registry.clock.now(), include);
  send(request, reply, code, view, encodeObject(shown, view));
}

/** Sends encoded bytes, compressed when they are many and the client takes it. */
export function send(request: ApiRequest, reply: Reply, code: number, view: View, body: Buffer | ByteSource): void {
  gzipIfWanted(request, reply, code, contentType(view), body);
}
