import assert from 'node:assert/strict';
import { createAbac, readAbacPolicies } from '../../../apiserver/authorization/abac.ts';
import type { AuthorizationAttributes } from '../../../apiserver/authorization/types.ts';

const policy = (spec: object) =>
  JSON.stringify({ apiVersion: 'abac.authorization.kubernetes.io/v1beta1', kind: 'Policy', spec });
const on = (user: string, groups: string[], a: Partial<AuthorizationAttributes>): AuthorizationAttributes => ({
  user: { name: user, groups },
  verb: 'get',
  resourceRequest: a.path === undefined,
  path: '',
  namespace: '',
  apiGroup: '',
  apiVersion: 'v1',
  resource: '',
  subresource: '',
  name: '',
  ...a,
});

describe('ABAC', () => {
  const abac = createAbac(
    readAbacPolicies(
      [
        '# who may what',
        '',
        policy({ user: 'ann', namespace: '*', resource: '*', apiGroup: '*' }),
        policy({ group: 'readers', namespace: 'projects', resource: 'pods', readonly: true }),
        policy({ user: '*', nonResourcePath: '/logs/*', readonly: true }),
        '{"user":"old","resource":"pods","namespace":"legacy"}',
      ].join('\n'),
    ),
  );
  const may = (user: string, groups: string[], a: Partial<AuthorizationAttributes>) =>
    (abac.authorize(on(user, groups, a)) as { decision: string }).decision === 'allow';

  it('allows what a line covers', () => {
    assert.ok(may('ann', [], { verb: 'delete', resource: 'deployments', apiGroup: 'apps', namespace: 'x' }));
    assert.ok(may('bob', ['readers'], { verb: 'list', resource: 'pods', namespace: 'projects' }));
    assert.ok(may('bob', [], { path: '/logs/kubelet' }));
    assert.ok(may('old', [], { verb: 'create', resource: 'pods', namespace: 'legacy' }));
  });
  it('has no opinion on the rest', () => {
    assert.ok(!may('bob', ['readers'], { verb: 'create', resource: 'pods', namespace: 'projects' }));
    assert.ok(!may('bob', ['readers'], { verb: 'list', resource: 'pods', namespace: 'other' }));
    assert.ok(!may('ann', [], { path: '/version' }));
    assert.ok(!may('bob', [], { verb: 'post', path: '/logs/kubelet' }));
    assert.ok(!may('old', [], { resource: 'pods', namespace: 'other' }));
  });
  it('lists the rules of a user', () => {
    assert.deepEqual(abac.rulesFor({ name: 'bob', groups: ['readers'] }, 'projects'), [
      { verbs: ['get', 'list', 'watch'], apiGroups: [''], resources: ['pods'] },
      { verbs: ['get', 'list', 'watch'], nonResourceURLs: ['/logs/*'] },
    ]);
  });
  it('names the line that it can not read', () => {
    assert.throws(() => readAbacPolicies(`\n{"user": }`), /line 2/);
    assert.throws(() => readAbacPolicies('{"apiVersion":"v1","kind":"Policy"}'), /line 1/);
    assert.throws(() => readAbacPolicies(policy({ user: 7 })), /user must be a text/);
  });
});
