/** SubjectAccessReview and its relatives: questions about permissions, answered and never stored. */
import type * as k8s from '@kubernetes/client-node';
import { Path, invalid, invalidObject, required, type FieldError } from '../../api/field-errors.ts';
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

/** Checks one selector of the attributes; operators that newer clients know are let through. */
function validateSelector(
  selector: { rawSelector?: string; requirements?: readonly unknown[] } | undefined,
  path: Path,
): FieldError[] {
  if (!selector) return [];
  const raw = selector.rawSelector ?? '';
  const count = selector.requirements?.length ?? 0;
  if (raw !== '' && count > 0)
    return [invalid(path.child('rawSelector'), raw, 'may not specified at the same time as requirements')];
  if (raw === '' && count === 0) {
    return [
      required(
        path.child('requirements'),
        `when ${String(path)} is specified, requirements or rawSelector is required`,
      ),
    ];
  }
  return [];
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
  errors.push(...validateSelector(attributes?.fieldSelector, path.child('resourceAttributes', 'fieldSelector')));
  errors.push(...validateSelector(attributes?.labelSelector, path.child('resourceAttributes', 'labelSelector')));
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

/** The field selector as text; requirements with other operators than equality are dropped, which asks for more. */
function fieldSelector(r: ResourceAttributes): string | undefined {
  const s = r.fieldSelector;
  if (!s) return undefined;
  if (s.rawSelector) return s.rawSelector;
  const terms: string[] = [];
  for (const q of s.requirements ?? []) {
    if (q.values?.length !== 1 || (q.operator !== 'In' && q.operator !== 'NotIn')) continue;
    terms.push(`${q.key}${q.operator === 'In' ? '=' : '!='}${q.values[0]!.replace(/[\\,=]/g, '\\$&')}`);
  }
  return terms.length ? terms.join(',') : undefined;
}
function labelSelector(r: ResourceAttributes): string | undefined {
  const s = r.labelSelector;
  if (!s) return undefined;
  if (s.rawSelector) return s.rawSelector;
  const terms: string[] = [];
  for (const q of s.requirements ?? []) {
    if (q.operator === 'Exists') terms.push(q.key);
    if (q.operator === 'DoesNotExist') terms.push(`!${q.key}`);
    if (q.operator === 'In') terms.push(`${q.key} in (${(q.values ?? []).join(',')})`);
    if (q.operator === 'NotIn') terms.push(`${q.key} notin (${(q.values ?? []).join(',')})`);
  }
  return terms.length ? terms.join(',') : undefined;
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
    fieldSelector: fieldSelector(r),
    labelSelector: labelSelector(r),
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
        status = {
          allowed: d.decision === 'allow',
          ...(d.decision === 'deny' ? { denied: true } : {}),
          ...(d.reason ? { reason: d.reason } : {}),
          ...(d.error === undefined ? {} : { evaluationError: d.error }),
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
