/** CEL's `authorizer`: asks whether the user of a request may do something else too. */
import { CelError, fn, method, OpaqueValue, type Functions, type Value } from '../../../api/cel/index.ts';
import type { UserInfo } from '../../authentication/types.ts';
import type { AuthorizationAttributes, Authorizer, Decision } from '../../authorization/types.ts';

const A = 'kubernetes.authorization.Authorizer';
const P = 'kubernetes.authorization.PathCheck';
const G = 'kubernetes.authorization.GroupCheck';
const R = 'kubernetes.authorization.ResourceCheck';
const D = 'kubernetes.authorization.Decision';

class AuthorizerValue extends OpaqueValue {
  readonly typeName = A;
  readonly authorizer: Authorizer;
  readonly user: UserInfo;
  constructor(authorizer: Authorizer, user: UserInfo) {
    super();
    this.authorizer = authorizer;
    this.user = user;
  }
}
class PathCheck extends OpaqueValue {
  readonly typeName = P;
  readonly from: AuthorizerValue;
  readonly path: string;
  constructor(from: AuthorizerValue, path: string) {
    super();
    this.from = from;
    this.path = path;
  }
}
class GroupCheck extends OpaqueValue {
  readonly typeName = G;
  readonly from: AuthorizerValue;
  readonly group: string;
  constructor(from: AuthorizerValue, group: string) {
    super();
    this.from = from;
    this.group = group;
  }
}
type Fields = Pick<AuthorizationAttributes, 'apiGroup' | 'resource'> &
  Partial<Pick<AuthorizationAttributes, 'subresource' | 'namespace' | 'name' | 'fieldSelector' | 'labelSelector'>>;
class ResourceCheck extends OpaqueValue {
  readonly typeName = R;
  readonly from: AuthorizerValue;
  readonly fields: Fields;
  constructor(from: AuthorizerValue, fields: Fields) {
    super();
    this.from = from;
    this.fields = fields;
  }
  with(more: Partial<Fields>): ResourceCheck {
    return new ResourceCheck(this.from, { ...this.fields, ...more });
  }
}
class DecisionValue extends OpaqueValue {
  readonly typeName = D;
  readonly decision: Decision;
  constructor(decision: Decision) {
    super();
    this.decision = decision;
  }
}

function ask(from: AuthorizerValue, part: Partial<AuthorizationAttributes>): Value {
  const decision = from.authorizer.authorize({
    user: from.user,
    verb: '',
    resourceRequest: true,
    path: '',
    namespace: '',
    apiGroup: '',
    apiVersion: '*',
    resource: '',
    subresource: '',
    name: '',
    ...part,
  });
  if (decision instanceof Promise) throw new CelError('authorization is not decided at once here');
  return new DecisionValue(decision);
}

/** The functions of kube-apiserver's authorizer library. */
export const AUTHORIZER_FUNCTIONS: Functions = {
  path: [method('authorizer_path', [A, 'string'], P, (a: AuthorizerValue, path: string) => new PathCheck(a, path))],
  group: [
    method('authorizer_group', [A, 'string'], G, (a: AuthorizerValue, group: string) => new GroupCheck(a, group)),
  ],
  serviceAccount: [
    method(
      'authorizer_serviceaccount',
      [A, 'string', 'string'],
      A,
      (a: AuthorizerValue, namespace: string, name: string) => {
        const groups = ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'];
        return new AuthorizerValue(a.authorizer, { name: `system:serviceaccount:${namespace}:${name}`, groups });
      },
    ),
  ],
  resource: [
    method(
      'groupcheck_resource',
      [G, 'string'],
      R,
      (g: GroupCheck, resource: string) => new ResourceCheck(g.from, { apiGroup: g.group, resource }),
    ),
  ],
  subresource: [
    method('resourcecheck_subresource', [R, 'string'], R, (r: ResourceCheck, subresource: string) =>
      r.with({ subresource }),
    ),
  ],
  namespace: [
    method('resourcecheck_namespace', [R, 'string'], R, (r: ResourceCheck, namespace: string) => r.with({ namespace })),
  ],
  name: [method('resourcecheck_name', [R, 'string'], R, (r: ResourceCheck, name: string) => r.with({ name }))],
  fieldSelector: [
    method('authorizer_fieldselector', [R, 'string'], R, (r: ResourceCheck, fieldSelector: string) =>
      r.with({ fieldSelector }),
    ),
  ],
  labelSelector: [
    method('authorizer_labelselector', [R, 'string'], R, (r: ResourceCheck, labelSelector: string) =>
      r.with({ labelSelector }),
    ),
  ],
  check: [
    method('pathcheck_check', [P, 'string'], D, (p: PathCheck, verb: string) =>
      ask(p.from, { verb, path: p.path, resourceRequest: false }),
    ),
    method('resourcecheck_check', [R, 'string'], D, (r: ResourceCheck, verb: string) =>
      ask(r.from, { verb, ...r.fields }),
    ),
  ],
  allowed: [method('decision_allowed', [D], 'bool', (d: DecisionValue) => d.decision.decision === 'allow')],
  reason: [method('decision_reason', [D], 'string', (d: DecisionValue) => d.decision.reason ?? '')],
  errored: [method('decision_errored', [D], 'bool', () => false)],
  error: [method('decision_error', [D], 'string', () => '')],
  'jsonpatch.escapeKey': [
    fn('escapeKeyForJSONPatch', ['string'], 'string', (s: string) => s.replaceAll('~', '~0').replaceAll('/', '~1')),
  ],
};

export const authorizerValue = (authorizer: Authorizer, user: UserInfo): Value => new AuthorizerValue(authorizer, user);

/** `authorizer.requestResource`: a check that speaks of the request's own resource already. */
export function requestResourceValue(
  authorizer: Authorizer,
  user: UserInfo,
  r: { resource: { group: string; resource: string }; subresource: string; namespace: string; name: string },
): Value {
  const { subresource, namespace, name } = r;
  return new ResourceCheck(new AuthorizerValue(authorizer, user), {
    apiGroup: r.resource.group,
    resource: r.resource.resource,
    subresource,
    namespace,
    name,
  });
}
