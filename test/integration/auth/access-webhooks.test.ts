import assert from 'node:assert/strict';
import type { KubeObject } from '../../../api/types.ts';
import { events, namespaces, pods, resourceQuotas, serviceAccounts } from '../../../client/resources.ts';
import type { Client } from '../../../client/client.ts';
import {
  kubeconfig,
  startConfigured,
  startLoopback,
  type Call,
  type ConfiguredServer,
  type Loopback,
} from './loopback.ts';

const codeOf = (work: Promise<unknown>): Promise<number> =>
  work.then(
    () => 200,
    (e: { code: number }) => e.code,
  );
const messageOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => '',
    (e: Error) => e.message,
  );

describe('the webhook for tokens', () => {
  for (const version of ['v1', 'v1beta1']) {
    it(`is asked once for each token while its answer is fresh (${version})`, async () => {
      const hook = await startLoopback((c: Call) => {
        const { token } = c.body!.spec as { token: string };
        if (token === 'broken') return { code: 503, body: {} };
        const status =
          token === 'jo-token'
            ? { authenticated: true, user: { username: 'jo', uid: '1', groups: ['g'], extra: { k: ['v'] } } }
            : { authenticated: false, error: 'never heard of it' };
        return { body: { kind: 'TokenReview', apiVersion: c.body!.apiVersion, status } };
      });
      const flags = [
        '--authentication-token-webhook-config-file=@hook',
        `--authentication-token-webhook-version=${version}`,
        '--authentication-token-webhook-cache-ttl=1m',
      ];
      const api = await startConfigured(flags, () => ({ hook: kubeconfig(`${hook.url}/authn`) }));
      const who = async (token: string) => {
        const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
        const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
        const made = await api.server
          .clientAs({ token })
          .request<{ status: { userInfo: object } }>({ method: 'POST', path, body });
        return made.status.userInfo;
      };
      try {
        const expected = { username: 'jo', uid: '1', groups: ['g', 'system:authenticated'], extra: { k: ['v'] } };
        assert.deepEqual(await who('jo-token'), expected);
        assert.deepEqual(await who('jo-token'), expected);
        assert.equal(hook.calls.length, 1);
        const { path, authorization, body } = hook.calls[0]!;
        assert.deepEqual(
          [path, authorization, body!.kind, body!.apiVersion],
          ['/authn', 'Bearer hook-secret', 'TokenReview', `authentication.k8s.io/${version}`],
        );
        assert.deepEqual(body!.spec!['audiences'], ['https://kubernetes.default.svc.cluster.local']);
        assert.equal(await codeOf(who('unknown')), 401);
        assert.equal(await codeOf(who('broken')), 401);
        assert.deepEqual(await who('jo-token'), expected);
      } finally {
        await api.stop();
        await hook.stop();
      }
    });
  }
});

describe('webhooks for authorization', () => {
  let hook: Loopback;
  let api: ConfiguredServer;
  /** What the hook says; by user and resource. */
  let status: (spec: Record<string, unknown>) => object;
  const answer = (c: Call) => ({
    body: { kind: 'SubjectAccessReview', apiVersion: c.body!.apiVersion, status: status(c.body!.spec!) },
  });
  const webhook = (path: (name: string) => string, more: object = {}) => ({
    type: 'Webhook',
    name: 'hook',
    webhook: {
      timeout: '3s',
      subjectAccessReviewVersion: 'v1',
      failurePolicy: 'NoOpinion',
      connectionInfo: { type: 'KubeConfigFile', kubeConfigFile: path('hook') },
      ...more,
    },
  });
  const file = (authorizers: object[]) =>
    JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'AuthorizationConfiguration', authorizers });
  const NODE_RBAC = [
    { type: 'Node', name: 'node' },
    { type: 'RBAC', name: 'rbac' },
  ];
  const CONDITIONS = {
    matchConditionSubjectAccessReviewVersion: 'v1',
    matchConditions: [
      { expression: 'has(request.resourceAttributes)' },
      { expression: 'request.resourceAttributes.namespace == "default"' },
      { expression: '!("system:serviceaccounts" in request.groups)' },
    ],
  };

  before(async () => {
    hook = await startLoopback(answer);
    api = await startConfigured(['--authorization-config=@authz'], (path) => ({
      hook: kubeconfig(`${hook.url}/authz`),
      authz: file([webhook(path, CONDITIONS), ...NODE_RBAC]),
    }));
  });
  beforeEach(() => {
    hook.calls.length = 0;
    hook.answer = answer;
    status = () => ({ allowed: false });
  });
  after(async () => {
    await api.stop();
    await hook.stop();
  });
  const list = (client: Client, namespace: string, labelSelector?: string) =>
    client.list(pods, { namespace, labelSelector });

  it('allow, deny and have no opinion, and are asked once', async () => {
    status = (spec) =>
      spec['user'] === 'allowed'
        ? { allowed: true }
        : spec['user'] === 'denied'
          ? { allowed: false, denied: true, reason: 'not today' }
          : { allowed: false, reason: 'no idea' };
    const allowed = api.server.clientAs({ name: 'allowed', groups: ['a'] });
    await list(allowed, 'default', 'x=1,y,z notin (a)');
    await list(allowed, 'default', 'x=1,y,z notin (a)');
    assert.equal(hook.calls.length, 1);
    assert.deepEqual(hook.calls[0]!.body!.spec, {
      user: 'allowed',
      groups: ['a', 'system:authenticated'],
      extra: hook.calls[0]!.body!.spec!['extra'],
      resourceAttributes: {
        namespace: 'default',
        verb: 'list',
        version: 'v1',
        resource: 'pods',
        labelSelector: {
          requirements: [
            { key: 'x', operator: 'In', values: ['1'] },
            { key: 'y', operator: 'Exists' },
            { key: 'z', operator: 'NotIn', values: ['a'] },
          ],
        },
      },
    });
    const denied = list(api.server.clientAs({ name: 'denied' }), 'default');
    assert.match(await messageOf(denied), /is forbidden: User "denied" cannot list .*: not today$/);
    assert.match(await messageOf(list(api.server.clientAs({ name: 'other' }), 'default')), /no idea$/);
  });

  it('are left out where their conditions do not hold', async () => {
    assert.equal(await codeOf(list(api.server.clientAs({ name: 'x' }), 'kube-system')), 403);
    assert.equal(await codeOf(api.server.clientAs({ name: 'x' }).request({ path: '/metrics' })), 403);
    await list(api.server.client, 'default');
    assert.equal(hook.calls.length, 0, 'masters and other requests are not its business');
  });

  it('fail with 500 when nobody else allows, and without saying where the hook is', async () => {
    hook.answer = () => ({ code: 403, body: {} });
    const client = api.server.clientAs({ name: 'lost' });
    assert.equal(await codeOf(list(client, 'default')), 500);
    assert.doesNotMatch(await messageOf(list(client, 'default')), /127\.0\.0\.1:|https:/);
    const rules = await api.server.client.request<{ status: Record<string, unknown> }>({
      method: 'POST',
      path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: { user: 'lost', resourceAttributes: { verb: 'get', resource: 'pods', namespace: 'default' } },
      },
    });
    assert.equal(rules.status['allowed'], false);
    assert.match(String(rules.status['evaluationError']), /"hook" can not be asked/);
  });

  it('are replaced when the file changes, within what the server was started with', async () => {
    const client = api.server.clientAs({ name: 'later' });
    assert.equal(await codeOf(list(client, 'kube-public')), 403);
    status = (spec) => ({ allowed: spec['user'] === 'later' });
    api.write('authz', file([{ type: 'RBAC', name: 'rbac' }]));
    api.reload();
    assert.equal(await codeOf(list(client, 'kube-public')), 403);
    assert.equal(hook.calls.length, 0);
    api.write('authz', file([...NODE_RBAC, webhook(api.file, { failurePolicy: 'Deny', unauthorizedTTL: '1ms' })]));
    api.reload();
    assert.equal(await codeOf(list(client, 'kube-public')), 200);
    const bound = api.server.clientAs({ name: 'system:kube-scheduler' });
    hook.answer = () => ({ code: 400, body: {} });
    assert.equal(await codeOf(list(bound, 'default')), 200, 'RBAC comes first now');
    assert.equal(await codeOf(list(api.server.clientAs({ name: 'none' }), 'default')), 500);
  });

  it('work by flags alone, in the old version', async () => {
    status = (spec) => ({ allowed: (spec['group'] as string[]).includes('old') });
    const flags = ['--authorization-mode=RBAC,Webhook', '--authorization-webhook-config-file=@hook'];
    const other = await startConfigured(flags, () => ({ hook: kubeconfig(hook.url) }));
    try {
      assert.equal(await codeOf(list(other.server.clientAs({ name: 'x', groups: ['old'] }), 'default')), 200);
      assert.equal(await codeOf(list(other.server.clientAs({ name: 'x', groups: ['new'] }), 'default')), 403);
      assert.ok(hook.calls.every((c) => c.body!.apiVersion === 'authorization.k8s.io/v1beta1'));
    } finally {
      await other.stop();
    }
  });
});

describe('the configuration of admission', () => {
  let api: ConfiguredServer;
  const CONFIG = `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  path: podsecurity.yaml
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - resource: pods
      matchScopes:
      - {scopeName: PriorityClass, operator: In, values: [gold]}
    - resource: persistentvolumeclaims
      matchContains: [requests.storage]
- name: EventRateLimit
  configuration:
    apiVersion: eventratelimit.admission.k8s.io/v1alpha1
    kind: Configuration
    limits: [{type: Namespace, qps: 1, burst: 3}]
`;
  const POD_SECURITY = `
apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: {enforce: baseline, enforce-version: latest}
exemptions: {usernames: [], namespaces: [exempt], runtimeClasses: []}
`;
  before(async () => {
    api = await startConfigured(
      ['--admission-control-config-file=@admission.yaml', '--enable-admission-plugins=EventRateLimit'],
      () => ({ 'admission.yaml': CONFIG, 'podsecurity.yaml': POD_SECURITY }),
      ['EventRateLimit'],
    );
    for (const name of ['exempt', 'open']) {
      const labels = name === 'open' ? { 'pod-security.kubernetes.io/enforce': 'privileged' } : undefined;
      await api.server.client.create(namespaces, { metadata: { name, labels } });
    }
    for (const namespace of ['default', 'exempt', 'open'])
      await api.server.client.create(serviceAccounts, { metadata: { name: 'default', namespace } });
  });
  after(() => api.stop());
  const create = (namespace: string, spec: object) =>
    api.server.client.create(pods, {
      metadata: { name: `p${++made}`, namespace },
      spec: { automountServiceAccountToken: false, containers: [{ name: 'c', image: 'i' }], ...spec },
    });
  let made = 0;

  it('gives PodSecurity its defaults and exemptions', async () => {
    assert.match(await messageOf(create('default', { hostNetwork: true })), /violates PodSecurity "baseline:latest"/);
    await create('default', {});
    await create('exempt', { hostNetwork: true });
    await create('open', { hostNetwork: true });
  });

  it('limits what no quota covers', async () => {
    await api.server.client.request({
      method: 'POST',
      path: '/apis/scheduling.k8s.io/v1/priorityclasses',
      body: { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'gold' }, value: 7 },
    });
    const gold = { priorityClassName: 'gold' };
    assert.match(
      await messageOf(create('default', gold)),
      /insufficient quota to match these scopes: \[\{PriorityClass In \[gold\]\}\]/,
    );
    const claim = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'c' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    };
    const path = '/api/v1/namespaces/default/persistentvolumeclaims';
    const refused = api.server.client.request({ method: 'POST', path, body: claim });
    assert.match(await messageOf(refused), /insufficient quota to consume: requests\.storage$/);
    const scopes = { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In', values: ['gold'] }] };
    const quota = {
      metadata: { name: 'gold', namespace: 'default' },
      spec: { hard: { pods: '5' }, scopeSelector: scopes },
    };
    await api.server.client.create(resourceQuotas, quota as KubeObject);
    await api.server.client.request({
      method: 'PATCH',
      path: '/api/v1/namespaces/default/resourcequotas/gold/status',
      contentType: 'application/merge-patch+json',
      body: { status: { hard: { pods: '5' }, used: { pods: '0' } } },
    });
    await create('default', gold);
  });

  it('slows down events', async () => {
    const event = (namespace: string, n: number) =>
      api.server.client.create(events, {
        metadata: { name: `e${n}`, namespace },
        involvedObject: { kind: 'Pod', name: 'p', namespace },
        reason: 'R',
        message: 'm',
      } as KubeObject);
    const codes = [];
    for (let i = 0; i < 5; i++) codes.push(await codeOf(event('default', i)));
    assert.deepEqual(codes.slice(0, 3), [200, 200, 200]);
    assert.ok(codes.slice(3).includes(429), String(codes));
    assert.equal(await codeOf(event('open', 0)), 200);
  });
});
