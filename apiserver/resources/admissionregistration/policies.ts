/** Admission policies and their bindings, validating and mutating. */
import type * as k8s from '@kubernetes/client-node';
import type { DeclType } from '../../../api/cel/index.ts';
import { semanticEqual } from '../../../api/meta.ts';
import { formatLabelSelector } from '../../../api/selectors.ts';
import type { DeepReadonly, Json, KubeObject, LabelSelector } from '../../../api/types.ts';
import { define, specAndStatus, statusEndpoint, withGeneration } from '../define.ts';
import { rules } from '../rules.ts';
import { age, nameOf, UNSET } from '../table.ts';
import { Field } from '../validation/field.ts';
import { dns1035Label, dns1123Subdomain, pathSegment, qualifiedName } from '../validation/names.ts';
import { conditions, labelSelector } from '../validation/values.ts';
import { expression, isIdentifier, typeOfExpression, type Scope } from '../validation/expressions.ts';
import { FAILURE_POLICIES, matchConditions, matchDefaults, matchResources, onlyMutating } from './rules.ts';

const GROUP = 'admissionregistration.k8s.io';
type Policy = Json<k8s.V1ValidatingAdmissionPolicy>;
type PolicySpec = NonNullable<Policy['spec']>;
type Variable = Json<k8s.V1Variable>;
type ParamKind = Json<k8s.V1ParamKind>;
type ParamRef = Json<k8s.V1ParamRef>;

function paramKind(f: Field<ParamKind>): void {
  const version = f.get('apiVersion');
  if (version.need()) {
    const parts = version.value!.split('/');
    const [group, v] = parts.length === 1 ? ['', parts[0]] : parts;
    if (parts.length > 2) version.invalid(`unexpected GroupVersion string: ${version.value}`);
    else {
      for (const m of group ? dns1123Subdomain(group) : []) version.invalid(m, group);
      if (!v) version.invalid('version must be specified');
      else for (const m of dns1035Label(v)) version.invalid(m, v);
    }
  }
  const kind = f.get('kind');
  if (kind.need())
    for (const m of dns1035Label(kind.value!.toLowerCase()))
      kind.invalid(`may have mixed case, but should otherwise match: ${m}`);
}

/** Variables see those before them; gives their types. */
function variables(f: Field<Variable[]>, scope: Scope): Map<string, DeclType> {
  const known = new Map<string, DeclType>();
  f.each((v) => {
    const name = v.get('name');
    if (name.need('name is not specified')) name.check(isIdentifier(name.value!), 'must be a valid CEL identifier');
    const text = v.get('expression');
    const within: Scope = { ...scope, variables: known, result: 'any' };
    expression(text, within, 'expression is not specified');
    if (name.value && text.value?.trim()) known.set(name.value, typeOfExpression(text.value, within));
  });
  return known;
}

interface CommonSpec {
  failurePolicy?: string;
  paramKind?: ParamKind;
  matchConstraints?: NonNullable<PolicySpec['matchConstraints']>;
  matchConditions?: NonNullable<PolicySpec['matchConditions']>;
  variables?: Variable[];
}

/** What both kinds of policies have; gives the scope of their expressions. */
function common(f: Field<CommonSpec>, old: DeepReadonly<CommonSpec> | undefined): Scope {
  const s = f.value ?? {};
  const failure = f.get('failurePolicy');
  if (failure.isSet) failure.oneOf(FAILURE_POLICIES);
  else failure.missing();
  f.get('paramKind').with(paramKind);
  const constraints = f.get('matchConstraints');
  if (constraints.isSet) {
    matchResources(constraints);
    constraints.get('resourceRules').required();
  } else constraints.missing();
  const scope: Scope = { params: s.paramKind !== undefined };
  const same =
    old && semanticEqual(s.paramKind, old.paramKind) && semanticEqual(s.matchConditions, old.matchConditions);
  if (!same) matchConditions(f.get('matchConditions'), scope);
  return { ...scope, variables: variables(f.get('variables'), scope) };
}

const MAX_AUDIT_ANNOTATIONS = 20;
const MAX_VALUE_EXPRESSION = 5 * 1024;

function validating(f: Field<Policy>, old: DeepReadonly<Policy> | undefined): void {
  const s = f.get('spec') as Field<PolicySpec>;
  const scope = common(s as unknown as Field<CommonSpec>, old?.spec as DeepReadonly<CommonSpec> | undefined);
  const { validations, auditAnnotations } = s.value ?? {};
  if (!validations?.length && !auditAnnotations?.length) {
    for (const k of ['validations', 'auditAnnotations'] as const)
      s.get(k).missing('validations or auditAnnotations must contain at least one item');
    return;
  }
  s.get('validations').each((v) => {
    expression(v.get('expression'), scope, 'expression is not specified');
    const text = v.get('messageExpression');
    if (text.value && text.value.trim() === '') text.invalid('must be non-empty if specified');
    else if (text.value) expression(text, { ...scope, authorizer: false, result: ['string'] });
    const message = v.get('message');
    const trimmed = message.value?.trim() ?? '';
    if (message.value && trimmed === '') message.invalid('must be non-empty if specified');
    else if (/[\n\r]/.test(trimmed)) message.invalid('must not contain line breaks');
    v.get('reason').oneOf(['Forbidden', 'Invalid', 'RequestEntityTooLarge']);
  });
  const audits = s.get('auditAnnotations');
  audits.check(
    (auditAnnotations?.length ?? 0) <= MAX_AUDIT_ANNOTATIONS,
    `must not have more than ${MAX_AUDIT_ANNOTATIONS} auditAnnotations`,
  );
  const name = nameOf(f.value!);
  audits.each((a) => {
    const key = a.get('key');
    if (name === '') key.invalid('requires metadata.name be non-empty');
    else for (const m of qualifiedName(`${name}/${key.value ?? ''}`)) key.invalid(m);
    const value = a.get('valueExpression');
    if ((value.value ?? '').trim().length > MAX_VALUE_EXPRESSION)
      value.missing(`must not exceed ${MAX_VALUE_EXPRESSION} bytes in length`);
    else expression(value, { ...scope, result: ['string', 'null_type'] }, 'valueExpression is not specified');
  });
  audits.unique(
    (a) => a.key,
    (a) => a.get('key'),
  );
}

const paramKindCell = (p: DeepReadonly<ParamKind> | undefined) => (p ? `${p.apiVersion}/${p.kind}` : UNSET);

export const validatingAdmissionPolicies = define<Policy>(
  GROUP,
  'validatingadmissionpolicies',
  'ValidatingAdmissionPolicy',
  'Cluster',
  {
    allowUnconditionalUpdate: false,
    strategy: {
      ...specAndStatus<Policy>(),
      defaults(p) {
        if (p.spec) p.spec.failurePolicy ??= 'Fail';
        matchDefaults(p.spec?.matchConstraints);
      },
      ...rules<Policy>({ scope: 'Cluster', anyFinalizer: true, always: (f, _ctx, old) => validating(f, old) }),
    },
    subresources: {
      status: statusEndpoint<Policy>({
        resetFields: [['spec'], ['metadata']],
        validateUpdate(p) {
          const f = new Field<Policy>(p, []).get('status');
          f.get('typeChecking')
            .get('expressionWarnings')
            .each((w) => {
              w.get('warning').required();
              w.get('fieldRef').required();
            });
          conditions(f.get('conditions'));
          return f.errors;
        },
      }),
    },
    table: {
      cells: (p, now) => [nameOf(p), p.spec?.validations?.length ?? 0, paramKindCell(p.spec?.paramKind), age(p, now)],
    },
  },
);

interface Mutation {
  patchType: string;
  applyConfiguration?: { expression: string };
  jsonPatch?: { expression: string };
}
interface MutatingPolicy extends KubeObject {
  spec?: CommonSpec & { mutations?: Mutation[]; reinvocationPolicy?: string };
}

const PATCHES = [
  ['ApplyConfiguration', 'applyConfiguration', 'Object'],
  ['JSONPatch', 'jsonPatch', 'list(JSONPatch)'],
] as const;

function mutation(f: Field<Mutation>, scope: Scope): void {
  const type = f.get('patchType').enumerated(PATCHES.map(([t]) => t)).value;
  if (!PATCHES.some(([t]) => t === type)) return;
  for (const [t, member, result] of PATCHES) {
    const patch = f.get(member);
    if (t !== type) patch.check(!patch.isSet, `must not be specified when patchType is ${type}`);
    else if (!patch.isSet) patch.missing(`must be specified when patchType is ${type}`);
    else expression(patch.get('expression'), { ...scope, result: [result], exact: true });
  }
}

/** kube-apiserver keeps mutating policies and their bindings in v1beta1 still; the fields are the same. */
const KEPT_AS_BETA = { [`${GROUP}/v1beta1`]: <T>(object: T) => object };

export const mutatingAdmissionPolicies = define<MutatingPolicy>(
  GROUP,
  'mutatingadmissionpolicies',
  'MutatingAdmissionPolicy',
  'Cluster',
  {
    allowUnconditionalUpdate: false,
    storedVersions: KEPT_AS_BETA,
    announcedStorage: 'v1beta1',
    strategy: {
      ...withGeneration<MutatingPolicy>(),
      defaults(p) {
        if (p.spec) p.spec.failurePolicy ??= 'Fail';
        matchDefaults(p.spec?.matchConstraints);
      },
      ...rules<MutatingPolicy>({
        scope: 'Cluster',
        anyFinalizer: true,
        always(f, _ctx, old) {
          const s = f.get('spec');
          const scope = common(s as Field<CommonSpec>, old?.spec as DeepReadonly<CommonSpec> | undefined);
          onlyMutating(s.get('matchConstraints'));
          s.get('mutations')
            .required('mutations must contain at least one item')
            .each((m) => mutation(m, scope));
          s.get('reinvocationPolicy').enumerated(['IfNeeded', 'Never']);
        },
      }),
    },
    table: {
      cells: (p, now) => [nameOf(p), p.spec?.mutations?.length ?? 0, paramKindCell(p.spec?.paramKind), age(p, now)],
    },
  },
);

interface Binding extends KubeObject {
  spec?: {
    policyName?: string;
    paramRef?: ParamRef;
    matchResources?: NonNullable<PolicySpec['matchConstraints']>;
    validationActions?: string[];
  };
}

function paramRef(f: Field<ParamRef>): void {
  const name = f.get('name').format(pathSegment);
  const selector = f.get('selector');
  labelSelector(selector as Field<LabelSelector>);
  if (name.value && selector.isSet)
    for (const x of [name, selector]) x.forbidden('name and selector are mutually exclusive');
  if (!name.value && !selector.isSet) f.missing('one of name or selector must be specified');
  f.get('parameterNotFoundAction').enumerated(['Deny', 'Allow']);
}

function actions(f: Field<string[]>): void {
  f.each((a) => a.oneOf(['Audit', 'Deny', 'Warn']));
  f.unique((a) => a);
  const list = f.value ?? [];
  f.check(
    !(list.includes('Deny') && list.includes('Warn')),
    'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
  );
  f.required('at least one validation action is required');
}

function paramCell(p: DeepReadonly<ParamRef> | undefined): string {
  if (!p) return UNSET;
  if (p.name) return `${p.namespace || '*'}/${p.name}`;
  return p.selector ? formatLabelSelector(p.selector as LabelSelector) : UNSET;
}

function binding(resource: string, kind: string, mutating: boolean) {
  return define<Binding>(GROUP, resource, kind, 'Cluster', {
    allowUnconditionalUpdate: false,
    storedVersions: KEPT_AS_BETA,
    ...(mutating ? { announcedStorage: 'v1beta1' } : {}),
    strategy: {
      ...withGeneration<Binding>(),
      defaults: (b) => matchDefaults(b.spec?.matchResources),
      ...rules<Binding>({
        scope: 'Cluster',
        anyFinalizer: true,
        always(f) {
          const s = f.get('spec');
          s.get('policyName').requiredFormat(dns1123Subdomain);
          s.get('paramRef').with(paramRef);
          matchResources(s.get('matchResources'));
          if (mutating) onlyMutating(s.get('matchResources'));
          else actions(s.get('validationActions'));
        },
      }),
    },
    table: { cells: (b, now) => [nameOf(b), b.spec?.policyName ?? '', paramCell(b.spec?.paramRef), age(b, now)] },
  });
}

export const validatingAdmissionPolicyBindings = binding(
  'validatingadmissionpolicybindings',
  'ValidatingAdmissionPolicyBinding',
  false,
);
export const mutatingAdmissionPolicyBindings = binding(
  'mutatingadmissionpolicybindings',
  'MutatingAdmissionPolicyBinding',
  true,
);
