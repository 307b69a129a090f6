/** ValidatingAdmissionPolicy: CEL expressions that must hold, in place of a webhook. */
import type * as k8s from '@kubernetes/client-node';
import { deny } from '../plugin.ts';
import type { DeepReadonly, Json, Namespace } from '../../../api/types.ts';
import type { StatusError } from '../../../api/status.ts';
import type { CacheLookup } from '../../authorization/follow.ts';
import type { Authorizer } from '../../authorization/types.ts';
import type { ObjectReader } from '../../registry/definition.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../types.ts';
import type { Equivalence } from '../equivalence.ts';
import { isExempt } from '../webhooks/hook.ts';
import { bindingsFor, conditionsHold, evaluate, EvaluationError } from './expressions.ts';
import {
  followPolicies,
  matches,
  ParamError,
  paramsOf,
  type KindFinder,
  type Policy,
  type PolicyBinding,
  type PolicySpec,
} from './policy.ts';

export interface PolicyOptions {
  caches: CacheLookup;
  reader: ObjectReader;
  authorizer: Authorizer;
  findKind: KindFinder;
  equivalence: Equivalence;
}

type Spec = PolicySpec &
  Pick<DeepReadonly<Json<k8s.V1ValidatingAdmissionPolicySpec>>, 'validations' | 'auditAnnotations'>;
interface Denial {
  readonly message: string;
  readonly reason: string;
}

const CODES: Record<string, number> = { Forbidden: 403, Unauthorized: 401, RequestEntityTooLarge: 413, Invalid: 422 };
const MAX_MESSAGE = 5 * 1024;
const MAX_ANNOTATION = 10 * 1024;
/** Questions about credentials and permissions are never judged: answering them must not need answers of their own. */
const VIRTUAL = new Set([
  'authentication.k8s.io/selfsubjectreviews',
  'authentication.k8s.io/tokenreviews',
  'authorization.k8s.io/localsubjectaccessreviews',
  'authorization.k8s.io/selfsubjectaccessreviews',
  'authorization.k8s.io/selfsubjectrulesreviews',
  'authorization.k8s.io/subjectaccessreviews',
]);
export const isJudged = (a: AdmissionAttributes) =>
  !isExempt(a) && !VIRTUAL.has(`${a.resource.group}/${a.resource.resource}`);

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** The denials of one policy for one parameter. */
function judge(policy: Policy<Spec>, bindings: ReturnType<typeof bindingsFor>): Denial[] {
  const denials: Denial[] = [];
  for (const v of policy.spec.validations ?? []) {
    const fallback = v.message || `failed expression: ${v.expression.trim()}`;
    try {
      if (evaluate(policy.expression(v.expression), bindings) === true) continue;
    } catch (error) {
      if (!(error instanceof EvaluationError)) throw error;
      if (!policy.failOpen) denials.push({ message: error.message, reason: '' });
      continue;
    }
    let message = fallback;
    if (v.messageExpression) {
      try {
        const made = evaluate(policy.expression(v.messageExpression), bindings);
        if (typeof made === 'string' && made.trim() !== '' && made.length <= MAX_MESSAGE && !made.includes('\n'))
          message = made.trim();
      } catch (error) {
        if (!(error instanceof EvaluationError)) throw error;
      }
    }
    denials.push({ message, reason: v.reason ?? '' });
  }
  return denials;
}

function annotate(a: AdmissionAttributes, policy: Policy<Spec>, bindings: ReturnType<typeof bindingsFor>): Denial[] {
  const denials: Denial[] = [];
  for (const { key, valueExpression } of policy.spec.auditAnnotations ?? []) {
    try {
      const value = evaluate(policy.expression(valueExpression), bindings);
      if (typeof value === 'string' && value.trim() !== '')
        a.annotate(`${policy.name}/${key}`, value.trim().slice(0, MAX_ANNOTATION));
    } catch (error) {
      if (!(error instanceof EvaluationError)) throw error;
      if (!policy.failOpen) denials.push({ message: error.message, reason: '' });
    }
  }
  return denials;
}

function refusal(a: AdmissionAttributes, policy: string, binding: string, d: Denial): StatusError {
  const message = `ValidatingAdmissionPolicy '${policy}' with binding '${binding}' denied request: ${d.message}`;
  const error = deny(a, message);
  const reason = d.reason || 'Invalid';
  Object.assign(error.status, { reason, code: CODES[reason] ?? 422 });
  error.status.details = { ...error.status.details, causes: [{ message }] };
  return error;
}

/** The plugin; hand it to the chain as `extra`. */
export function createValidatingPolicies(o: PolicyOptions): { plugin: AdmissionPlugin; close(): void } {
  const policies = followPolicies<Spec>(o.caches, 'validatingadmissionpolicies');
  const namespaceOf = (name: string) => o.reader.get<Namespace>('namespaces', '', name);

  function run(a: AdmissionAttributes, policy: Policy<Spec>, binding: PolicyBinding): Denial[] {
    const base = {
      authorizer: o.authorizer,
      namespace: a.namespace === '' ? undefined : namespaceOf(a.namespace),
      variables: policy.variables,
    };
    try {
      const denials: Denial[] = [];
      for (const params of paramsOf(policy.spec, binding.spec, a, o.reader, o.findKind)) {
        const bindings = bindingsFor(a, { ...base, params });
        if (policy.conditions.length && !conditionsHold(policy.conditions, bindings)) continue;
        denials.push(...judge(policy, bindings), ...annotate(a, policy, bindings));
      }
      return denials;
    } catch (error) {
      if (!(error instanceof ParamError || error instanceof EvaluationError)) throw error;
      return policy.failOpen ? [] : [{ message: `failed to configure binding: ${textOf(error)}`, reason: '' }];
    }
  }

  return {
    plugin: {
      name: 'ValidatingAdmissionPolicy',
      handles: () => true,
      validate(a) {
        const pairs = policies.pairs();
        return pairs.length === 0 || !isJudged(a) ? undefined : validate(a, pairs);
      },
    },
    close: () => policies.close(),
  };

  async function validate(a: AdmissionAttributes, pairs: ReturnType<typeof policies.pairs>): Promise<void> {
    let first: StatusError | undefined;
    for (const { policy, bindings } of pairs) {
      const wanted = matches(policy.match, a, namespaceOf, o.equivalence);
      if (!wanted) continue;
      const { attributes } = await o.equivalence.view(a, wanted);
      for (const binding of bindings) {
        if (!matches(binding.match, a, namespaceOf, o.equivalence)) continue;
        const actions = binding.spec.validationActions ?? [];
        const denials = run(attributes, policy, binding);
        denials.forEach((d, expressionIndex) => {
          if (actions.includes('Deny')) first ??= refusal(a, policy.name, binding.name, d);
          if (actions.includes('Warn'))
            a.warn(
              `Validation failed for ValidatingAdmissionPolicy '${policy.name}' with binding '${binding.name}': ${d.message}`,
            );
          if (!actions.includes('Audit')) return;
          const note = {
            message: d.message,
            policy: policy.name,
            binding: binding.name,
            expressionIndex,
            validationActions: actions,
          };
          a.annotate('validation.policy.admission.k8s.io/validation_failure', JSON.stringify([note]));
        });
      }
    }
    if (first) throw first;
  }
}
