/** PATCH in its four forms, each as the source of an update. */
import { badRequest } from '../../api/status.ts';
import type { DeepReadonly, JsonObject, JsonValue, KubeObject } from '../../api/types.ts';
import { setDefaults } from './decode.ts';
import { strategyOf, type RegistryDeps, type WriteRequest } from './operation.ts';
import { applyPatch, type PatchKind } from './patch-forms.ts';
import type { UpdateSource } from './update.ts';

export interface PatchInput {
  readonly kind: PatchKind;
  /** The decoded patch; throws when it can't be read, which is told only once there is an object to patch. */
  readonly patch: () => JsonValue;
  readonly force: boolean;
  /** Types the patched JSON as the served kind, with its warnings; refuses another kind. */
  typed(value: JsonValue): KubeObject;
}

const GO_KINDS: Readonly<Record<string, string>> = { boolean: 'bool', bigint: 'number' };

/** Conflicts that a patch without a resourceVersion outlives. */
const PATCH_ATTEMPTS = 5;

/** The update that a patch stands for. */
export function patchSource(deps: RegistryDeps, request: WriteRequest, input: PatchInput): UpdateSource {
  const { served } = request;
  const { kind } = input;
  if (kind === 'apply') return applySource(deps, request, input);
  return {
    createWhenAbsent: false,
    leavesLive: true,
    requireVersion: false,
    attempts: PATCH_ATTEMPTS,
    produce(live) {
      const base = live as unknown as JsonObject;
      const patched = applyPatch(kind, base, input.patch(), served.type);
      const object = input.typed(patched);
      const version = object.metadata?.resourceVersion;
      // A patch that names no version is good for whichever it meets.
      if (version === undefined) (object.metadata ??= {}).resourceVersion = live?.metadata?.resourceVersion;
      setDefaults(served, object);
      return managed(deps, request, live as DeepReadonly<KubeObject>, object);
    },
  };
}

function applySource(deps: RegistryDeps, request: WriteRequest, input: PatchInput): UpdateSource {
  const { served } = request;
  // Nothing at all is an empty configuration.
  const patch = input.patch() ?? {};
  if (typeof patch !== 'object' || Array.isArray(patch))
    throw badRequest(
      `error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ${Array.isArray(patch) ? 'array' : (GO_KINDS[typeof patch] ?? typeof patch)} into Go value of type map[string]interface {}`,
    );
  return {
    createWhenAbsent: request.subresource === '',
    leavesLive: true,
    requireVersion: false,
    attempts: PATCH_ATTEMPTS,
    produce(live) {
      if (!deps.fields || !served.type) throw badRequest('server-side apply is not supported for this resource');
      const object = deps.fields.apply({
        type: served.type,
        live: live as DeepReadonly<KubeObject> | undefined,
        object: live ?? { apiVersion: served.apiVersion, kind: served.kind },
        manager: request.fieldManager,
        apiVersion: served.apiVersion,
        kind: served,
        subresource: request.subresource,
        resetFields: strategyOf(request).resetFields,
        resource: served,
        patch,
        force: input.force,
      });
      const typed = input.typed(object as unknown as JsonValue);
      setDefaults(served, typed);
      return typed;
    },
  };
}

/** Settles managedFields after a change that isn't an apply. */
export function managed(
  deps: RegistryDeps,
  request: WriteRequest,
  live: DeepReadonly<KubeObject> | undefined,
  object: KubeObject,
): KubeObject {
  const { served } = request;
  if (!deps.fields || !served.type) return object;
  return deps.fields.update({
    type: served.type,
    live,
    object,
    manager: request.fieldManager,
    apiVersion: served.apiVersion,
    kind: served,
    subresource: request.subresource,
    resetFields: strategyOf(request).resetFields,
    resource: served,
  });
}
