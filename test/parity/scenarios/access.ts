/** Impersonation and the rights to give rights. */
import type { JsonValue } from '../../../api/types.ts';
import { core } from './shapes.ts';
import { RUN, Scenario } from './step.ts';

/** Who may act as whom, and with what. */
export function impersonation(): Scenario {
  const s = new Scenario('auth', 'impersonate');
  const ns = s.namespace('sc-imp');
  const me = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const headers: Record<string, string | string[]>[] = [
    { 'Impersonate-User': 'jane' },
    { 'Impersonate-User': 'jane', 'Impersonate-Group': ['a', 'b'] },
    { 'Impersonate-Group': 'a' },
    { 'Impersonate-User': 'jane', 'Impersonate-Uid': 'u1' },
    { 'Impersonate-Uid': 'u1' },
    { 'Impersonate-User': 'jane', 'Impersonate-Extra-Scopes': ['x', 'y'], 'Impersonate-Extra-A%2fb': 'z' },
    { 'Impersonate-Extra-Scopes': 'x' },
    { 'Impersonate-User': `system:serviceaccount:${ns}:default` },
    { 'Impersonate-User': 'system:serviceaccount:bad' },
    { 'Impersonate-User': 'system:anonymous' },
    { 'Impersonate-User': 'system:node:n1' },
    { 'Impersonate-User': 'jane', 'Impersonate-Group': 'system:masters' },
    { 'Impersonate-User': '' },
  ];
  for (const h of headers) {
    s.post(me, review, { headers: h });
    s.get(core(ns, 'pods'), { headers: h });
  }
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const role = `imp-${RUN}`;
  s.post(`${rbac}/clusterroles`, {
    metadata: { name: role },
    rules: [
      { apiGroups: [''], resources: ['users'], verbs: ['impersonate'], resourceNames: ['jane'] },
      { apiGroups: ['authentication.k8s.io'], resources: ['uids'], verbs: ['impersonate'], resourceNames: ['u1'] },
      {
        apiGroups: ['authentication.k8s.io'],
        resources: ['userextras/scopes'],
        verbs: ['impersonate'],
        resourceNames: ['x'],
      },
    ],
  });
  s.post(`${rbac}/clusterrolebindings`, {
    metadata: { name: role },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'actor' }],
  });
  const user = { name: 'actor', groups: ['g'] };
  s.post(me, review, { user, headers: { 'Impersonate-User': 'jane' }, retry: true, expect: 201 });
  for (const h of headers) s.post(me, review, { user, headers: h });
  s.get(core(ns, 'pods'), { user });
  s.get(core(ns, 'pods'), { user, headers: { 'Impersonate-User': 'jane' } });
  // escalation
  const own = { name: 'lim', groups: ['g'] };
  s.post(`${rbac}/clusterroles`, {
    metadata: { name: `${role}-w` },
    rules: [
      {
        apiGroups: ['rbac.authorization.k8s.io'],
        resources: ['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings'],
        verbs: ['*'],
      },
      { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
    ],
  });
  s.post(`${rbac}/clusterrolebindings`, {
    metadata: { name: `${role}-w` },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: `${role}-w` },
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'lim' }],
  });
  const roles = `${rbac}/namespaces/${ns}/roles`;
  s.post(
    roles,
    { metadata: { name: 'ok' }, rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] },
    { user: own, retry: true, expect: 201 },
  );
  for (const rules of [
    [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }],
    [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] }],
    [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }],
    [{ apiGroups: [''], resources: ['pods'], verbs: ['get'], resourceNames: ['x'] }],
    [{ nonResourceURLs: ['/x'], verbs: ['get'] }],
    [],
  ] as JsonValue[])
    for (const path of [roles, `${rbac}/clusterroles`])
      s.post(`${path}?dryRun=All`, { metadata: { name: `r-${RUN}` }, rules }, { user: own });
  for (const name of ['view', 'admin', `${role}-w`, 'none'])
    s.post(
      `${rbac}/namespaces/${ns}/rolebindings?dryRun=All`,
      {
        metadata: { name: 'b' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
        subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'x' }],
      },
      { user: own },
    );
  s.patch(
    'merge',
    `${roles}/ok`,
    { rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }] },
    { user: own },
  );
  s.patch('merge', `${roles}/ok`, { metadata: { labels: { a: 'b' } } }, { user: own });
  s.post('/apis/authorization.k8s.io/v1/selfsubjectrulesreviews', { spec: { namespace: ns } }, { user: own });
  for (const n of [role, `${role}-w`]) {
    s.del(`${rbac}/clusterrolebindings/${n}`);
    s.del(`${rbac}/clusterroles/${n}`);
  }
  return s;
}
