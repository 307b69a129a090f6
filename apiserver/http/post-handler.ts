/** Objects that are posted and answered, not stored: reviews, bindings, evictions, tokens. */
import { applyDefaults } from '../../api/schema/defaults.ts';
import { badRequest } from '../../api/status.ts';
import type { DeepReadonly, JsonObject, KubeObject } from '../../api/types.ts';
import { setDefaults } from '../registry/decode.ts';
import { admissionAttributes } from '../registry/operation.ts';
import type { ObjectHandler } from '../registry/special.ts';
import { fieldValidationOf, readObject, type ExpectedKind } from './body.ts';
import { negotiate } from './negotiate.ts';
import type { ApiRequest, Reply } from './request.ts';
import type { ResourceHandlerDeps } from './resource-handler.ts';
import { resourceOffer, sendObject } from './respond.ts';
import type { Target } from './target.ts';
import { writeRequest } from './write-options.ts';

/** A posted object that isn't stored: reviews, bindings, tokens. */
export async function handlePost(
  deps: ResourceHandlerDeps,
  request: ApiRequest,
  reply: Reply,
  target: Target,
  handler: ObjectHandler,
): Promise<void> {
  const { served, sub } = target;
  // what isn't stored has no table and no metadata worth a view of its own
  const view = negotiate(
    request,
    served.store || served.custom ? resourceOffer(served) : { transforms: false, protobuf: true },
  );
  const write = writeRequest(request, served, request.info.subresource, 'CreateOptions');
  const expected: ExpectedKind = sub
    ? {
        ...sub.kind,
        aliases: sub.kind.kind === 'Eviction' ? ['policy/v1beta1'] : undefined,
        apiVersion: sub.kind.group === '' ? sub.kind.version : `${sub.kind.group}/${sub.kind.version}`,
        type: sub.type,
      }
    : served;
  let object = (await readObject(request, expected, fieldValidationOf(request)))();
  if (!sub) setDefaults(served, object);
  else if (expected.type) applyDefaults(object as JsonObject, expected.type);
  if (expected.kind === 'TokenRequest')
    ((object as { spec?: { expirationSeconds?: number } }).spec ??= {}).expirationSeconds ??= 3600;
  const meta = (object.metadata ??= {});
  if (served.namespaced && meta.namespace && meta.namespace !== write.namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  if (!served.namespaced) delete meta.namespace;
  const { admission, fields } = deps.registry;
  if (fields && expected.type)
    object = fields.update({
      type: expected.type,
      live: undefined,
      object,
      manager: write.fieldManager,
      apiVersion: expected.apiVersion,
      kind: expected,
      subresource: request.info.subresource,
      resetFields: undefined,
      resource: served,
    });
  if (admission.handles('CREATE')) {
    const attributes = { ...admissionAttributes(write, 'CREATE', object, undefined), kind: expected };
    await admission.admit(attributes);
    object = attributes.object ?? object;
    await admission.validate(attributes);
  }
  const result = await handler.create(object, {
    user: request.user,
    namespace: write.namespace,
    name: request.info.name,
    dryRun: write.dryRun,
    warn: write.warn,
    request,
  });
  sendObject(deps, request, reply, result.code ?? 201, served, view, result.object as DeepReadonly<KubeObject>, true);
}
