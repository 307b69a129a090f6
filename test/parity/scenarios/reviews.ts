/** Tokens and who they speak for; access reviews of every shape; webhooks that nobody answers. */
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { core } from './shapes.ts';
import { RUN, Scenario } from './step.ts';

const AUTHN = '/apis/authentication.k8s.io/v1';
const AUTHZ = '/apis/authorization.k8s.io/v1';

/** Tokens of service accounts: audiences, bindings, lifetimes, and what becomes of them. */
export function tokens(): Scenario {
  const s = new Scenario('auth', 'tokens2');
  const ns = s.namespace('sc-tokens');
  const at = `${core(ns, 'serviceaccounts')}/default/token`;
  const request = (spec: JsonObject, more: JsonObject = {}): JsonObject => ({
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec,
    ...more,
  });
  s.post(core(ns, 'pods'), { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'i' }] } });
  s.post(core(ns, 'secrets'), { metadata: { name: 'opaque' } });
  const ref = (kind: string, name: string, more: JsonObject = {}) => ({
    boundObjectRef: { apiVersion: 'v1', kind, name, ...more },
  });
  for (const spec of [
    { audiences: [] },
    { audiences: ['https://kubernetes.default.svc.cluster.local'] },
    { audiences: ['a', 'a', 'b c', 'ü'] },
    { audiences: 'a' },
    { audiences: [1] },
    { expirationSeconds: 0 },
    { expirationSeconds: -5 },
    { expirationSeconds: 600.5 },
    { expirationSeconds: '700' },
    { expirationSeconds: 3607 },
    { expirationSeconds: 31_536_000 },
    { expirationSeconds: 4_294_967_296 },
    ref('Pod', 'p'),
    { ...ref('Pod', 'p'), expirationSeconds: 3607 },
    ref('pod', 'p'),
    ref('Pod', ''),
    { boundObjectRef: {} },
    { boundObjectRef: { kind: 'Pod', name: 'p' } },
    { boundObjectRef: { apiVersion: 'v2', kind: 'Pod', name: 'p' } },
    ref('Secret', 'opaque'),
    ref('Secret', 'opaque', { uid: '00000000-0000-4000-8000-000000000001' }),
    ref('Node', `none-${RUN}`),
    ref('Node', `none-${RUN}`, { uid: 'x' }),
    ref('ServiceAccount', 'default'),
    { unknown: 1 },
  ] as JsonObject[]) {
    s.post(at, request(spec));
    s.post(`${at}?dryRun=All&fieldValidation=Strict`, request(spec));
  }
  for (const more of [
    { metadata: { name: 'default' } },
    { metadata: { name: 'other' } },
    { metadata: { namespace: ns } },
    { metadata: { namespace: 'other' } },
    { metadata: { name: 'default', uid: 'x' } },
    { metadata: { generateName: 'x-' } },
    { status: { token: 'x', expirationTimestamp: '2020-01-01T00:00:00Z' } },
    { apiVersion: 'authentication.k8s.io/v1beta1' },
    { apiVersion: 'v1', kind: 'ServiceAccount' },
  ] as JsonObject[])
    s.post(at, request({}, more));
  const review = (token: string, more: JsonObject = {}, extra = {}) =>
    s.post(
      `${AUTHN}/tokenreviews`,
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, ...more } },
      extra,
    );
  s.post(at, request({ ...ref('Pod', 'p'), audiences: ['one', 'https://kubernetes.default.svc.cluster.local'] }), {
    capture: { t: '.status.token' },
  });
  s.post(at, request({ audiences: ['two'] }), { capture: { u: '.status.token' } });
  for (const t of ['${t}', '${u}', '${t}x', 'a.b.c', '', 'bootst.rap0123456789abcd', 'abcdef.0123456789abcdef'])
    for (const more of [
      {},
      { audiences: ['one'] },
      { audiences: ['two', 'one'] },
      { audiences: ['none'] },
      { audiences: [] },
    ] as JsonObject[])
      review(t, more);
  const bearer = (t: string) => ({ headers: { Authorization: `Bearer ${t}` }, auth: 'none' as const });
  const self = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  for (const t of ['${t}', '${u}', 'x', '']) {
    s.post(`${AUTHN}/selfsubjectreviews`, self, bearer(t));
    s.get(core(ns, 'pods'), bearer(t));
    s.get('/version', { ...bearer(t), view: 'version' });
    s.get('/api', { ...bearer(t), view: 'keys' });
  }
  for (const h of ['Basic dTpw', 'bearer ${t}', 'Bearer  ${t}', 'Token ${t}', 'Bearer'])
    s.post(`${AUTHN}/selfsubjectreviews`, self, { headers: { Authorization: h }, auth: 'none' });
  s.post(`${AUTHN}/selfsubjectreviews`, self, { auth: 'none' });
  s.del(`${core(ns, 'pods')}/p?gracePeriodSeconds=0`, undefined, { view: 'code' });
  review('${t}', { audiences: ['one'] }, { sleep: 300 });
  s.del(`${core(ns, 'serviceaccounts')}/default`);
  review('${u}', { audiences: ['two'] }, { sleep: 300 });
  s.post(at, request({}));
  return s;
}

/** Reviews of access: attributes that belong together and that don't, for oneself and others. */
export function reviews(): Scenario {
  const s = new Scenario('auth', 'reviews');
  const ns = s.namespace('sc-reviews');
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const name = `rev-${RUN}`;
  const user = { name: `rita-${RUN}`, groups: ['readers'] };
  s.post(`${rbac}/clusterroles`, {
    metadata: { name },
    rules: [
      { apiGroups: [''], resources: ['pods', 'pods/log'], verbs: ['get', 'list'] },
      { apiGroups: ['apps'], resources: ['*/scale'], verbs: ['*'] },
      { apiGroups: ['*'], resources: ['deployments'], verbs: ['delete'], resourceNames: ['a', 'b'] },
      { nonResourceURLs: ['/logs/*', '/exact'], verbs: ['get'] },
    ],
  });
  s.post(`${rbac}/clusterrolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: user.name }],
  });
  const attributes: JsonObject[] = [
    { verb: 'get', resource: 'pods' },
    { verb: 'get', resource: 'pods', namespace: ns },
    { verb: 'get', resource: 'pods', subresource: 'log', name: 'x', namespace: ns },
    { verb: 'create', resource: 'pods' },
    { verb: '*', resource: '*', group: '*' },
    { verb: 'list', resource: 'pods', version: 'v9' },
    { verb: 'patch', group: 'apps', resource: 'deployments', subresource: 'scale' },
    { verb: 'delete', group: 'apps', resource: 'deployments', name: 'a' },
    { verb: 'delete', group: 'apps', resource: 'deployments', name: 'c' },
    { verb: 'delete', group: 'apps', resource: 'deployments' },
    { verb: '', resource: '' },
    { verb: 'get', resource: 'nosuch', group: 'no.such' },
    { verb: 'list', resource: 'pods', fieldSelector: { rawSelector: 'spec.nodeName=x' } },
    { verb: 'list', resource: 'pods', fieldSelector: { rawSelector: 'a in (b)' } },
    { verb: 'list', resource: 'pods', fieldSelector: { requirements: [{ key: 'a', operator: 'In', values: ['b'] }] } },
    { verb: 'list', resource: 'pods', fieldSelector: { requirements: [{ key: 'a', operator: 'In', values: [] }] } },
    {
      verb: 'list',
      resource: 'pods',
      fieldSelector: { requirements: [{ key: '', operator: 'Exists', values: ['x'] }] },
    },
    { verb: 'list', resource: 'pods', fieldSelector: { requirements: [] } },
    { verb: 'list', resource: 'pods', fieldSelector: {} },
    { verb: 'list', resource: 'pods', labelSelector: { rawSelector: 'a=b' } },
    { verb: 'list', resource: 'pods', labelSelector: { rawSelector: '=' } },
    { verb: 'list', resource: 'pods', labelSelector: { requirements: [{ key: 'a', operator: 'Exists' }] } },
    {
      verb: 'list',
      resource: 'pods',
      labelSelector: { requirements: [{ key: 'a', operator: 'DoesNotExist', values: ['x'] }] },
    },
    {
      verb: 'list',
      resource: 'pods',
      labelSelector: { rawSelector: 'a', requirements: [{ key: 'a', operator: 'Exists' }] },
    },
  ];
  const paths: JsonObject[] = [
    { path: '/logs/x', verb: 'get' },
    { path: '/logs/', verb: 'get' },
    { path: '/logs', verb: 'get' },
    { path: '/exact', verb: 'get' },
    { path: '/exact/x', verb: 'get' },
    { path: '', verb: '' },
    { path: '/healthz', verb: 'get' },
    { path: '*', verb: '*' },
  ];
  const specs: JsonObject[] = [
    ...attributes.map((resourceAttributes) => ({ resourceAttributes })),
    ...paths.map((nonResourceAttributes) => ({ nonResourceAttributes })),
    { resourceAttributes: {}, nonResourceAttributes: {} },
    {},
  ];
  s.post(
    `${AUTHZ}/subjectaccessreviews`,
    { spec: { user: user.name, resourceAttributes: attributes[0]! } },
    { until: { '.status.allowed': 'true' } },
  );
  for (const spec of specs) {
    s.post(
      `${AUTHZ}/selfsubjectaccessreviews`,
      { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec },
      { user },
    );
    s.post(`${AUTHZ}/subjectaccessreviews`, { spec: { ...spec, user: user.name } });
    s.post(`${AUTHZ}/subjectaccessreviews`, {
      spec: { ...spec, user: 'x', groups: ['system:masters'], uid: 'u', extra: { 'a.b/c': ['d'] } },
    });
    s.post(`${AUTHZ}/namespaces/${ns}/localsubjectaccessreviews`, {
      metadata: { namespace: ns },
      spec: { ...spec, groups: ['g'] },
    });
    s.post(`${AUTHZ}/subjectaccessreviews`, { spec: { ...spec, user: user.name } }, { user });
  }
  for (const body of [
    { metadata: { name: 'x' }, spec: specs[0]! },
    { metadata: { labels: { a: 'b' } }, spec: { ...specs[0]!, user: 'u' } },
    { metadata: { generateName: 'x' }, spec: { ...specs[0]!, user: 'u' } },
    { metadata: { namespace: 'other' }, spec: { ...specs[0]!, user: 'u' } },
    { spec: { ...specs[0]!, user: 5 } },
    { spec: { ...specs[0]!, user: 'u', unknown: 1 } },
    { spec: { ...specs[0]!, user: 'u' }, status: { allowed: true } },
  ] as JsonValue[]) {
    for (const kind of ['selfsubjectaccessreviews', 'subjectaccessreviews']) s.post(`${AUTHZ}/${kind}`, body);
    s.post(`${AUTHZ}/namespaces/${ns}/localsubjectaccessreviews?fieldValidation=Strict`, body);
    s.post(`${AUTHZ}/selfsubjectrulesreviews`, body);
  }
  for (const spec of [{ namespace: ns }, { namespace: 'none' }, { namespace: '' }, { namespace: '*' }]) {
    s.post(`${AUTHZ}/selfsubjectrulesreviews`, { spec }, { user });
    s.post(`${AUTHZ}/selfsubjectrulesreviews`, { spec }, { user: { name: 'nobody' } });
  }
  const accept = (a: string) => ({ headers: { Accept: a }, user });
  for (const a of [
    'application/yaml',
    'application/vnd.kubernetes.protobuf',
    'application/json;as=Table;v=v1;g=meta.k8s.io',
    'text/plain',
  ])
    s.post(`${AUTHZ}/selfsubjectaccessreviews`, { spec: specs[0]! }, accept(a));
  for (const method of ['GET', 'PUT', 'PATCH', 'DELETE'])
    for (const kind of ['selfsubjectaccessreviews', 'subjectaccessreviews', 'selfsubjectrulesreviews']) {
      s.send(method, `${AUTHZ}/${kind}`, method === 'GET' ? undefined : {});
      s.send(method, `${AUTHZ}/${kind}/x`, method === 'GET' ? undefined : {});
    }
  s.del(`${rbac}/clusterrolebindings/${name}`, undefined, { view: 'code' });
  s.del(`${rbac}/clusterroles/${name}`, undefined, { view: 'code' });
  return s;
}

/** Webhooks behind a closed port: who is asked, and what is done when nobody answers. */
export function webhooks(): Scenario[] {
  const API = '/apis/admissionregistration.k8s.io/v1';
  const hook = (name: string, ns: string, more: JsonObject): JsonObject => ({
    name: `${name}.example.com`,
    clientConfig: { url: 'https://127.0.0.1:1/x' },
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
    timeoutSeconds: 2,
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': ns } },
    rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['configmaps'] }],
    ...more,
  });
  const rule = (o: JsonObject) => ({
    rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['*'], resources: ['configmaps'], ...o }],
  });
  const hooks: Record<string, JsonObject> = {
    fail: {},
    ignore: { failurePolicy: 'Ignore' },
    effects: { sideEffects: 'NoneOnDryRun' },
    create: rule({ operations: ['CREATE'] }),
    delete: rule({ operations: ['DELETE'] }),
    cluster: rule({ scope: 'Cluster' }),
    others: rule({ resources: ['*/status', 'secrets'] }),
    // Objects of no namespace are never left out by it, so that other scenarios would meet the hook.
    everything: rule({ apiGroups: ['*'], apiVersions: ['*'], resources: ['*'], scope: 'Namespaced' }),
    labelled: { objectSelector: { matchLabels: { seen: 'yes' } } },
    excepted: { objectSelector: { matchExpressions: [{ key: 'seen', operator: 'DoesNotExist' }] } },
    conditions: { matchConditions: [{ name: 'c', expression: 'object.metadata.name.startsWith("x")' }] },
    erring: { matchConditions: [{ name: 'c', expression: 'object.data.none == "x"' }] },
    erringIgnored: { failurePolicy: 'Ignore', matchConditions: [{ name: 'c', expression: 'object.data.none == "x"' }] },
    mixed: {
      matchConditions: [
        { name: 'a', expression: 'object.data.none == "x"' },
        { name: 'b', expression: 'false' },
      ],
    },
    service: { clientConfig: { service: { namespace: 'none', name: 'none', path: '/x' } } },
  };
  return ['mutating', 'validating'].flatMap((form) =>
    Object.entries(hooks).map(([word, more]) => {
      const s = new Scenario('auth', `hook-${form}-${word}`);
      const ns = s.namespace(`sc-hook-${form}-${word.toLowerCase()}`);
      const maps = core(ns, 'configmaps');
      const all = `${API}/${form}webhookconfigurations`;
      const name = `${word.toLowerCase()}-${RUN}`;
      const map = (n: string, labels: JsonObject = {}) => ({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: n, labels },
        data: { a: 'b' },
      });
      s.post(maps, map('before', { seen: 'yes' }));
      s.post(all, { metadata: { name }, webhooks: [hook(word.toLowerCase(), ns, more)] });
      s.post(`${maps}?dryRun=All`, map('settle'), { sleep: 2000, view: 'code' });
      for (const n of ['a', 'xa']) {
        s.post(`${maps}?dryRun=All`, map(n));
        s.post(maps, map(n, { seen: 'yes' }));
        s.patch('apply', `${maps}/${n}-ap?fieldManager=m`, map(`${n}-ap`));
      }
      s.patch('merge', `${maps}/before`, { data: { c: 'd' } });
      s.patch('merge', `${maps}/before?dryRun=All`, { metadata: { labels: { seen: null } } });
      s.patch('merge', `${maps}/before`, {});
      s.put(`${maps}/before`, map('before'));
      s.post(core(ns, 'secrets'), { metadata: { name: 's' } });
      s.post(core(ns, 'pods'), { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'i' }] } });
      s.patch('merge', `${core(ns, 'pods')}/p/status`, { status: { phase: 'Running' } });
      s.post(`${core(ns, 'pods')}/p/binding`, { target: { kind: 'Node', name: 'n' } });
      s.del(`${maps}/before`);
      s.del(maps, undefined, { view: 'code' });
      s.del(`${all}/${name}`);
      return s;
    }),
  );
}
