/** MutatingAdmissionPolicy: CEL expressions that change objects, by apply or by JSON patch. */
import type * as k8s from '@kubernetes/client-node';
import { deepCopy, deepEqual } from '../../../api/meta.ts';
import { applyJsonPatch, JsonPatchError, JsonPatchTestError } from '../../../api/patch/json-patch.ts';
import { applyMergePatch } from '../../../api/patch/merge-patch.ts';
import { mergeTyped, TypedConfigError } from '../../../api/apply/index.ts';
import { DecodeError, normalize } from '../../../api/schema/normalize.ts';
import type { ObjectType } from '../../../api/schema/model.ts';
import { internalError, StatusError } from '../../../api/status.ts';
import type {
  DeepReadonly,
  GroupVersionKind,
  Json,
  JsonObject,
  JsonValue,
  KubeObject,
  Namespace,
} from '../../../api/types.ts';
import { deny } from '../plugin.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../types.ts';
import { bindingsFor, conditionsHold, evaluate, EvaluationError, jsonOf } from './expressions.ts';
import {
  followPolicies,
  matches,
  ParamError,
  paramsOf,
  type Policy,
  type PolicyBinding,
  type PolicySpec,
} from './policy.ts';
import { isJudged, type PolicyOptions } from './validating.ts';

type Mutation = DeepReadonly<Json<k8s.V1alpha1Mutation>>;
type Spec = PolicySpec & { readonly mutations?: readonly Mutation[]; readonly reinvocationPolicy?: string };

export interface MutatingPolicyOptions extends PolicyOptions {
  /** The schema of a kind, for lists that merge by key. */
  typeOf(kind: GroupVersionKind): ObjectType | undefined;
}

/** What was run for a request, and whether it changed something. */
interface Progress {
  passes: number;
  changed: boolean;
  readonly run: Set<string>;
}

function applied(o: MutatingPolicyOptions, a: AdmissionAttributes, patch: JsonValue): JsonValue {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch))
    throw new EvaluationError('the apply configuration must be an Object');
  const type = o.typeOf(a.kind);
  const document = a.object as unknown as JsonObject;
  if (!type) return applyMergePatch(document, patch);
  try {
    return mergeTyped(type, document, { ...patch, apiVersion: document['apiVersion']!, kind: document['kind']! });
  } catch (error) {
    if (!(error instanceof TypedConfigError)) throw error;
    throw new EvaluationError(`error applying patch: ${error.message}`);
  }
}

/** A JSON patch applied; the object itself where a test of the patch fails. */
function patched(a: AdmissionAttributes, patch: JsonValue): JsonValue {
  const document = a.object as unknown as JsonValue;
  try {
    return applyJsonPatch(document, patch);
  } catch (error) {
    if (error instanceof JsonPatchTestError) return document;
    if (error instanceof JsonPatchError) throw new EvaluationError(`JSON Patch: ${error.detail}`);
    throw error;
  }
}

/** What was made of the object, read as its type: no policy may make something that isn't of the kind. */
function typed(o: MutatingPolicyOptions, a: AdmissionAttributes, value: JsonValue): KubeObject {
  const type = o.typeOf(a.kind);
  // Parts may be shared with the patch; what follows changes the object in place.
  if (!type) return deepCopy<KubeObject>(value as unknown as KubeObject);
  try {
    return deepCopy<KubeObject>(normalize(value, type, { ignoreUnknown: true }).object as unknown as KubeObject);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw internalError(error.message);
  }
}

/** The refusal of a mutation that failed. */
function refusal(a: AdmissionAttributes, message: string): StatusError {
  const error = deny(a, message);
  Object.assign(error.status, { reason: 'Invalid', message });
  error.status.details = { ...error.status.details, causes: [{ message }] };
  return error;
}

/** The plugin; hand it to the chain as `extra`. */
export function createMutatingPolicies(o: MutatingPolicyOptions): { plugin: AdmissionPlugin; close(): void } {
  const policies = followPolicies<Spec>(o.caches, 'mutatingadmissionpolicies');
  const inProgress = new WeakMap<AdmissionAttributes, Progress>();
  const namespaceOf = (name: string) => o.reader.get<Namespace>('namespaces', '', name);

  /** Runs the mutations of a policy for one parameter; true when the object changed. */
  function mutate(
    a: AdmissionAttributes,
    policy: Policy<Spec>,
    params: DeepReadonly<KubeObject> | null | undefined,
  ): boolean {
    const source = {
      authorizer: o.authorizer,
      namespace: a.namespace === '' ? undefined : namespaceOf(a.namespace),
      variables: policy.variables,
      params,
    };
    if (policy.conditions.length && !conditionsHold(policy.conditions, bindingsFor(a, source))) return false;
    let changed = false;
    for (const m of policy.spec.mutations ?? []) {
      const expression = m.patchType === 'JSONPatch' ? m.jsonPatch?.expression : m.applyConfiguration?.expression;
      const value = jsonOf(evaluate(policy.expression(expression ?? ''), bindingsFor(a, source)));
      const next = m.patchType === 'JSONPatch' ? patched(a, value) : applied(o, a, value);
      if (deepEqual(next, a.object)) continue;
      a.object = typed(o, a, next);
      changed = true;
    }
    return changed;
  }

  function run(a: AdmissionAttributes, policy: Policy<Spec>, binding: PolicyBinding): boolean {
    try {
      let changed = false;
      for (const params of paramsOf(policy.spec, binding.spec, a, o.reader, o.findKind))
        changed = mutate(a, policy, params) || changed;
      return changed;
    } catch (error) {
      if (!(error instanceof ParamError || error instanceof EvaluationError)) throw error;
      if (policy.failOpen) return false;
      throw refusal(a, `policy '${policy.name}' with binding '${binding.name}' denied request: ${error.message}`);
    }
  }

  return {
    plugin: {
      name: 'MutatingAdmissionPolicy',
      handles: (operation) => operation === 'CREATE' || operation === 'UPDATE',
      admit(a) {
        const pairs = policies.pairs();
        return pairs.length === 0 || !a.object || !isJudged(a) ? undefined : admit(a, pairs);
      },
      wantsReinvocation(a) {
        const progress = inProgress.get(a);
        return progress?.passes === 1 && progress.changed;
      },
    },
    close: () => policies.close(),
  };

  async function admit(a: AdmissionAttributes, pairs: ReturnType<typeof policies.pairs>): Promise<void> {
    let progress = inProgress.get(a);
    if (!progress) inProgress.set(a, (progress = { passes: 0, changed: false, run: new Set() }));
    progress.passes++;
    for (const { policy, bindings } of pairs) {
      const wanted = matches(policy.match, a, namespaceOf, o.equivalence);
      if (!wanted) continue;
      for (const binding of bindings) {
        const key = `${policy.name}/${binding.name}`;
        if (progress.run.has(key) && policy.spec.reinvocationPolicy !== 'IfNeeded') continue;
        if (!matches(binding.match, a, namespaceOf, o.equivalence)) continue;
        const view = await o.equivalence.view(a, wanted);
        if (run(view.attributes, policy, binding)) {
          await view.takeOver();
          progress.changed = true;
        }
        progress.run.add(key);
      }
    }
  }
}
