/** SubjectAccessReview and its relatives: questions about permissions, answered and never stored. */
import type * as k8s from '@kubernetes/client-node';
import { Path, forbiddenField, invalid, invalidObject, required, type FieldError } from '../../api/field-errors.ts';
import { parseFieldSelector } from '../../api/field-selectors.ts';
import { parseLabelSelector } from '../../api/selectors.ts';
import { isLabelValue, isQualifiedName } from '../../api/validation/names.ts';
import { badRequest } from '../../api/status.ts';
import type { Json, KubeObject } from '../../api/types.ts';
import type { UserInfo } from '../authentication/types.ts';
import type { ObjectHandler } from '../registry/special.ts';
import type { Authorization } from './authorization.ts';
import { compactRules, type PolicyRule } from './rules.ts';
import type { AuthorizationAttributes, Authorizer } from './types.ts';

type Review = Json<k8s.V1SubjectAccessReview>;
type Spec = Review['spec'];
type ResourceAttributes = Json<k8s.V1ResourceAttributes>;
type Kind = 'SubjectAccessReview' | 'SelfSubjectAccessReview' | 'LocalSubjectAccessReview';

const GROUP = 'authorization.k8s.io';

interface Requirement {
  readonly key?: string;
  readonly operator?: string;
  readonly values?: readonly string[];
}
interface Selector {
  readonly rawSelector?: string;
  readonly requirements?: readonly Requirement[];
}

/** Checks one selector of the attributes; operators that newer clients know are let through. */
function validateSelector(selector: Selector | undefined, path: Path, ofLabels: boolean): FieldError[] {
  if (!selector) return [];
  const raw = selector.rawSelector ?? '';
  const requirements = selector.requirements ?? [];
  const errors: FieldError[] = [];
  if (raw !== '' && requirements.length > 0)
    errors.push(invalid(path.child('rawSelector'), raw, 'may not specified at the same time as requirements'));
  if (raw === '' && requirements.length === 0) {
    const why = `when ${String(path)} is specified, requirements or rawSelector is required`;
    errors.push(required(path.child('requirements'), why));
  }
  for (const [i, r] of requirements.entries()) {
    const at = path.child('requirements').index(i);
    const many = r.values?.length ?? 0;
    if (!ofLabels && !r.key) errors.push(required(at.child('key'), 'must be specified'));
    if ((r.operator === 'In' || r.operator === 'NotIn') && many === 0)
      errors.push(required(at.child('values'), "must be specified when `operator` is 'In' or 'NotIn'"));
    if ((r.operator === 'Exists' || r.operator === 'DoesNotExist') && many > 0)
      errors.push(
        forbiddenField(at.child('values'), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
      );
    if (!ofLabels) continue;
    for (const why of isQualifiedName(r.key ?? '')) errors.push(invalid(at.child('key'), r.key ?? '', why));
    for (const [n, v] of (r.values ?? []).entries())
      for (const why of isLabelValue(v)) errors.push(invalid(at.child('values').index(n), v, why));
  }
  return errors;
}

function validate(kind: Kind, review: Review): FieldError[] {
  const { spec } = review;
  const path = Path.root('spec');
  const errors: FieldError[] = [];
  if (spec.resourceAttributes && spec.nonResourceAttributes) {
    errors.push(
      invalid(
        path.child('nonResourceAttributes'),
        spec.nonResourceAttributes,
        'cannot be specified in combination with resourceAttributes',
      ),
    );
  }
  if (!spec.resourceAttributes && !spec.nonResourceAttributes) {
    errors.push(
      invalid(
        path.child('resourceAttributes'),
        null,
        'exactly one of nonResourceAttributes or resourceAttributes must be specified',
      ),
    );
  }
  if (kind !== 'SelfSubjectAccessReview' && !spec.user && !spec.groups?.length) {
    errors.push(invalid(path.child('user'), spec.user ?? '', 'at least one of user or group must be specified'));
  }
  const attributes = spec.resourceAttributes;
  errors.push(...validateSelector(attributes?.fieldSelector, path.child('resourceAttributes', 'fieldSelector'), false));
  errors.push(...validateSelector(attributes?.labelSelector, path.child('resourceAttributes', 'labelSelector'), true));
  const { managedFields: _, creationTimestamp: __, namespace, ...meta } = review.metadata ?? {};
  if (Object.keys(meta).length || (namespace && kind !== 'LocalSubjectAccessReview')) {
    errors.push(
      invalid(
        'metadata',
        review.metadata,
        kind === 'LocalSubjectAccessReview' ? 'must be empty except for namespace' : 'must be empty',
      ),
    );
  }
  if (kind === 'LocalSubjectAccessReview') {
    if (attributes && (attributes.namespace ?? '') !== (namespace ?? '')) {
      errors.push(
        invalid(
          path.child('resourceAttributes', 'namespace'),
          attributes.namespace ?? '',
          'must match metadata.namespace',
        ),
      );
    }
    if (spec.nonResourceAttributes) {
      errors.push(
        invalid(path.child('nonResourceAttributes'), spec.nonResourceAttributes, 'disallowed on this kind of request'),
      );
    }
  }
  return errors;
}

/** A selector as text, and what to say of the parts that can't be used: leaving them out asks for more. */
interface Selection {
  readonly text: string | undefined;
  readonly ignored?: 'ignored' | 'partially ignored';
}

function selection(
  s: Selector | undefined,
  term: (r: Requirement) => string | undefined,
  parse: (text: string) => unknown,
): Selection {
  if (!s) return { text: undefined };
  if (s.rawSelector) {
    try {
      parse(s.rawSelector);
      return { text: s.rawSelector };
    } catch {
      return { text: undefined, ignored: 'ignored' };
    }
  }
  const all = s.requirements ?? [];
  const terms = all.map(term).filter((t) => t !== undefined);
  const text = terms.length > 0 ? terms.join(',') : undefined;
  return terms.length === all.length ? { text } : { text, ignored: text ? 'partially ignored' : 'ignored' };
}

/** Only equality can be asked of fields. */
const fieldSelection = (r: ResourceAttributes): Selection =>
  selection(
    r.fieldSelector,
    ({ key, operator, values }) =>
      values?.length === 1 && (operator === 'In' || operator === 'NotIn')
        ? `${key}${operator === 'In' ? '=' : '!='}${values[0]!.replace(/[\\,=]/g, '\\$&')}`
        : undefined,
    parseFieldSelector,
  );

const labelSelection = (r: ResourceAttributes): Selection =>
  selection(
    r.labelSelector,
    ({ key, operator, values = [] }) => {
      if (operator === 'Exists') return key;
      if (operator === 'DoesNotExist') return `!${key}`;
      if (operator === 'In') return `${key} in (${values.join(',')})`;
      return operator === 'NotIn' ? `${key} notin (${values.join(',')})` : undefined;
    },
    parseLabelSelector,
  );

/** What a review's answer says of selectors that could not be used. */
function selectorComplaints(r: ResourceAttributes | undefined): string[] {
  if (!r) return [];
  return Object.entries({ fieldSelector: fieldSelection(r), labelSelector: labelSelection(r) }).flatMap(([name, s]) =>
    s.ignored ? [`spec.resourceAttributes.${name} ${s.ignored} due to parse error`] : [],
  );
}

/** The attributes that a review asks about. */
function reviewAttributes(spec: Spec, user: UserInfo): AuthorizationAttributes {
  const r = spec.resourceAttributes;
  if (!r) {
    const n = spec.nonResourceAttributes ?? {};
    return {
      user,
      verb: n.verb ?? '',
      resourceRequest: false,
      path: n.path ?? '',
      namespace: '',
      apiGroup: '',
      apiVersion: '',
      resource: '',
      subresource: '',
      name: '',
    };
  }
  return {
    user,
    verb: r.verb ?? '',
    resourceRequest: true,
    path: '',
    namespace: r.namespace ?? '',
    apiGroup: r.group ?? '',
    apiVersion: r.version || '*',
    resource: r.resource ?? '',
    subresource: r.subresource ?? '',
    name: r.name ?? '',
    fieldSelector: fieldSelection(r).text,
    labelSelector: labelSelection(r).text,
  };
}

/** A handler to register as `subjectaccessreviews.authorization.k8s.io` and so on. */
export function createAccessReviewHandler(kind: Kind, authorizer: Authorizer): ObjectHandler {
  return {
    type: 'object',
    async create(object, context) {
      const review = { ...object, spec: (object as Review).spec ?? {} } as Review;
      if (kind === 'LocalSubjectAccessReview' && (review.metadata?.namespace ?? '') !== context.namespace) {
        if (review.metadata?.namespace) throw badRequest('spec.resourceAttributes.namespace must match namespace');
        review.metadata = { ...review.metadata, namespace: context.namespace };
      }
      const errors = validate(kind, review);
      if (errors.length) throw invalidObject({ group: GROUP, kind: '' }, '', errors);
      const { spec } = review;
      const user: UserInfo =
        kind === 'SelfSubjectAccessReview'
          ? context.user
          : { name: spec.user ?? '', uid: spec.uid, groups: spec.groups ?? [], extra: spec.extra };
      let status: Json<k8s.V1SubjectAccessReviewStatus>;
      try {
        const d = await authorizer.authorize(reviewAttributes(spec, user));
        const complaints = [
          ...(d.error === undefined ? [] : [d.error]),
          ...selectorComplaints(spec.resourceAttributes),
        ];
        status = {
          allowed: d.decision === 'allow',
          ...(d.decision === 'deny' ? { denied: true } : {}),
          ...(d.reason ? { reason: d.reason } : {}),
          ...(complaints.length > 0 ? { evaluationError: complaints.join('; ') } : {}),
        };
      } catch (error) {
        status = { allowed: false, evaluationError: error instanceof Error ? error.message : String(error) };
      }
      return { object: { ...review, status } as KubeObject };
    },
  };
}

const sorted = (rules: readonly PolicyRule[]) =>
  compactRules(rules)
    .map((rule) => ({ rule, key: JSON.stringify(rule) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map((x) => x.rule);

/** The handler to register as `selfsubjectrulesreviews.authorization.k8s.io`. */
export function createRulesReviewHandler(authorization: Authorization): ObjectHandler {
  return {
    type: 'object',
    async create(object, context) {
      const namespace = (object as Json<k8s.V1SelfSubjectRulesReview>).spec?.namespace ?? '';
      if (namespace === '') throw badRequest('no namespace on request');
      const { rules, incomplete, errors } = authorization.rulesFor(context.user, namespace);
      const resourceRules = sorted(rules.filter((r) => r.resources?.length)).map((r) => ({
        verbs: r.verbs,
        ...(r.apiGroups?.length ? { apiGroups: r.apiGroups } : {}),
        ...(r.resources?.length ? { resources: r.resources } : {}),
        ...(r.resourceNames?.length ? { resourceNames: r.resourceNames } : {}),
      }));
      const nonResourceRules = sorted(rules.filter((r) => r.nonResourceURLs?.length)).map((r) => ({
        verbs: r.verbs,
        nonResourceURLs: r.nonResourceURLs,
      }));
      return {
        object: {
          kind: 'SelfSubjectRulesReview',
          apiVersion: object.apiVersion ?? 'authorization.k8s.io/v1',
          metadata: {},
          spec: {},
          status: {
            resourceRules,
            nonResourceRules,
            incomplete,
            ...(errors.length ? { evaluationError: errors.join(', ') } : {}),
          },
        } as KubeObject,
      };
    },
  };
}
