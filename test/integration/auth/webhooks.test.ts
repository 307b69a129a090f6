import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type * as k8s from '@kubernetes/client-node';
import type { ConfigMap, Json, KubeObject } from '../../../api/types.ts';
import { createAuthority, issue } from '../../../base/pki.ts';
import { configMaps, namespaces, pods, serviceAccounts, type ResourceRef } from '../../../client/resources.ts';
import { ask } from '../apiserver/http.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

type Configuration = Json<k8s.V1MutatingWebhookConfiguration>;
type Webhook = Json<k8s.V1MutatingWebhook>;
interface Review {
  request: {
    uid: string;
    operation: string;
    name?: string;
    namespace?: string;
    object: KubeObject & ConfigMap;
    dryRun: boolean;
    kind?: { version: string };
    requestKind?: { version: string };
    userInfo: { username: string };
  };
}
type Answer = {
  allowed?: boolean;
  status?: object;
  patch?: object[];
  warnings?: string[];
  delayMs?: number;
  code?: number;
};

const configuration = (kind: 'Mutating' | 'Validating'): ResourceRef<Configuration> => ({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  resource: `${kind.toLowerCase()}webhookconfigurations`,
  kind: `${kind}WebhookConfiguration`,
  namespaced: false,
});
const mutating = configuration('Mutating');
const validating = configuration('Validating');
const rejected = (code: number, message: RegExp) => (error: unknown) => {
  const e = error as { code: number; message: string };
  assert.equal(e.code, code, e.message);
  assert.match(e.message, message);
  return true;
};

describe('admission webhooks', () => {
  const validity = { notBefore: Date.now() - 86_400_000, notAfter: Date.now() + 86_400_000 };
  const ca = createAuthority({ commonName: 'hook-ca', ...validity });
  const identity = issue(ca, {
    subject: { commonName: 'hook' },
    altNames: { ip: ['127.0.0.1'] },
    extendedUsages: ['server auth'],
    ...validity,
  });
  const caBundle = Buffer.from(ca.cert).toString('base64');
  let server: TestServer;
  let hookServer: Server;
  const handlers = new Map<string, (review: Review) => Answer>();
  const seen: { path: string; review: Review }[] = [];

  before(async () => {
    server = await startTestServer();
    hookServer = createServer(identity, (req, res) => {
      const chunks: Buffer[] = [];
      req.on('data', (c: Buffer) => chunks.push(c));
      req.on('end', () => {
        const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
        const path = req.url!.split('?')[0]!;
        seen.push({ path, review });
        const { patch, delayMs, code, ...answer } = handlers.get(path)!(review);
        const response = {
          uid: review.request.uid,
          allowed: true,
          ...answer,
          ...(patch ? { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') } : {}),
        };
        if (delayMs) return void setTimeout(() => res.destroy(), delayMs).unref();
        res.writeHead(code ?? 200, { 'content-type': 'application/json' });
        res.end(JSON.stringify({ kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', response }));
      });
    });
    await new Promise<void>((resolve) => hookServer.listen(0, '127.0.0.1', resolve));
    await server.client.create(namespaces, { metadata: { name: 'hooked', labels: { hooks: 'on' } } });
    await server.client.create(serviceAccounts, { metadata: { name: 'default', namespace: 'hooked' } });
  });
  after(async () => {
    await server.stop();
    hookServer.closeAllConnections();
    await new Promise((resolve) => hookServer.close(resolve));
  });
  afterEach(async () => {
    for (const r of [mutating, validating]) await server.client.deleteCollection(r);
    handlers.clear();
    seen.length = 0;
  });

  const hook = (path: string, more: Partial<Webhook> = {}): Webhook => ({
    name: `${path.slice(1)}.example.com`,
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    clientConfig: { url: `https://127.0.0.1:${(hookServer.address() as AddressInfo).port}${path}`, caBundle },
    rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['configmaps'] }],
    namespaceSelector: { matchLabels: { hooks: 'on' } },
    ...more,
  });
  const install = (r: ResourceRef<Configuration>, ...webhooks: Webhook[]) =>
    server.client.create(r, { metadata: { name: 'hooks' }, webhooks });
  const create = (name: string, more: Partial<ConfigMap> = {}, dryRun = false) =>
    server.client.create(
      configMaps,
      { metadata: { name, namespace: 'hooked', ...more.metadata }, data: more.data },
      { dryRun },
    );
  const addData =
    (key: string) =>
    (review: Review): Answer => ({
      patch: [
        review.request.object.data
          ? { op: 'add', path: `/data/${key}`, value: 'x' }
          : { op: 'add', path: '/data', value: { [key]: 'x' } },
      ],
    });

  it('change objects, one after the other', async () => {
    handlers.set('/a', addData('a')).set('/b', addData('b'));
    await install(mutating, hook('/a'), hook('/b'));
    const made = await create('one');
    assert.deepEqual(made.data, { a: 'x', b: 'x' });
    const { request } = seen[0]!.review;
    assert.deepEqual(
      [request.operation, request.name, request.namespace, request.userInfo.username, request.dryRun],
      ['CREATE', 'one', 'hooked', 'admin', false],
    );
    assert.deepEqual([request.object.kind, request.object.metadata!.namespace], ['ConfigMap', 'hooked']);
    await server.client.create(configMaps, { metadata: { name: 'elsewhere', namespace: 'default' } });
    assert.equal(seen.length, 2, 'the namespace selector holds');
  });

  it('see an object again when a later one changed it', async () => {
    handlers
      .set('/first', (r) => (r.request.object.data?.['first'] === 'x' ? {} : addData('first')(r)))
      .set('/second', addData('second'));
    await install(mutating, hook('/first', { reinvocationPolicy: 'IfNeeded' }), hook('/second'));
    await create('again');
    assert.deepEqual(
      seen.map((s) => s.path),
      ['/first', '/second', '/first'],
    );
    assert.deepEqual(seen[2]!.review.request.object.data, { first: 'x', second: 'x' });
  });

  it('let the built-in plugins treat what they added', async () => {
    handlers.set('/sidecar', (r) =>
      (r.request.object as unknown as { spec: { containers: { name: string }[] } }).spec.containers.length > 1
        ? {}
        : { patch: [{ op: 'add', path: '/spec/containers/-', value: { name: 'sidecar', image: 's' } }] },
    );
    await install(
      mutating,
      hook('/sidecar', {
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
      }),
    );
    const pod = await server.client.create(pods, {
      metadata: { name: 'p', namespace: 'hooked' },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    });
    const mounts = pod.spec!.containers.map((c) => c.volumeMounts?.map((m) => m.mountPath));
    assert.deepEqual(mounts, [
      ['/var/run/secrets/kubernetes.io/serviceaccount'],
      ['/var/run/secrets/kubernetes.io/serviceaccount'],
    ]);
    assert.equal(pod.spec!.volumes!.length, 1);
  });

  it('refuse with their own words and code', async () => {
    handlers
      .set('/no', () => ({ allowed: false, status: { message: 'not today', code: 409, reason: 'Conflict' } }))
      .set('/mute', () => ({ allowed: false }));
    await install(
      validating,
      hook('/no', { objectSelector: { matchLabels: { a: 'b' } } }),
      hook('/mute', {
        rules: [{ apiGroups: ['*'], apiVersions: ['*'], operations: ['UPDATE'], resources: ['configmaps'] }],
      }),
    );
    await create('fine');
    await assert.rejects(
      create('bad', { metadata: { labels: { a: 'b' } } }),
      rejected(409, /^admission webhook "no.example.com" denied the request: not today$/),
    );
    await assert.rejects(
      server.client.patch(configMaps, 'fine', 'merge', { data: { x: 'y' } }, { namespace: 'hooked' }),
      rejected(400, /^admission webhook "mute.example.com" denied the request without explanation$/),
    );
  });

  it('fail closed or open when they are out of order', async () => {
    handlers.set('/broken', () => ({ code: 500 }));
    await install(validating, hook('/broken', { failurePolicy: 'Ignore' }));
    await create('ignored');
    await server.client.deleteCollection(validating);
    await install(validating, hook('/broken'));
    await assert.rejects(
      create('refused'),
      rejected(500, /failed calling webhook "broken.example.com": failed to call webhook/),
    );
    await server.client.deleteCollection(validating);
    await install(validating, hook('/broken', { clientConfig: { service: { name: 'none', namespace: 'hooked' } } }));
    await assert.rejects(create('refused'), rejected(500, /service "none" not found/));
  });

  it('are given up after their time', async () => {
    handlers.set('/slow', () => ({ delayMs: 5000 }));
    await install(validating, hook('/slow', { timeoutSeconds: 1 }));
    await assert.rejects(create('late'), rejected(500, /\?timeout=1s": context deadline exceeded/));
  });

  it('are asked only when their conditions hold', async () => {
    handlers.set('/some', () => ({ allowed: false }));
    const matchConditions = [
      { name: 'not-skipped', expression: 'object.metadata.name != "skip-me"' },
      { name: 'not-robots', expression: '!request.userInfo.username.startsWith("robot")' },
    ];
    await install(validating, hook('/some', { matchConditions }));
    await create('skip-me');
    await assert.rejects(create('other'), rejected(400, /denied/));
    await server.client.deleteCollection(validating);
    await install(
      validating,
      hook('/some', { matchConditions: [{ name: 'wrong', expression: 'object.nothing.here == true' }] }),
    );
    await assert.rejects(create('another'), rejected(403, /can't be matched/));
    assert.equal(seen.length, 1);
  });

  it('see other versions of a resource in the one that they name', async () => {
    const autoscaler = { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' }, maxReplicas: 3 };
    const v1 = (name: string) => ({
      method: 'POST',
      path: '/apis/autoscaling/v1/namespaces/hooked/horizontalpodautoscalers',
      body: {
        apiVersion: 'autoscaling/v1',
        kind: 'HorizontalPodAutoscaler',
        metadata: { name },
        spec: { ...autoscaler, targetCPUUtilizationPercentage: 50 },
      },
    });
    const rules = [
      {
        apiGroups: ['autoscaling'],
        apiVersions: ['v2'],
        operations: ['CREATE'],
        resources: ['horizontalpodautoscalers'],
      },
    ];
    handlers.set('/any', () => ({ patch: [{ op: 'replace', path: '/spec/maxReplicas', value: 7 }] }));
    handlers.set('/exact', () => ({ allowed: false }));
    await install(mutating, hook('/any', { rules }), hook('/exact', { rules, matchPolicy: 'Exact' }));
    const made = await ask(server, v1('one'));
    assert.equal(made.code, 201, String(made.body));
    assert.deepEqual(
      [made.json.apiVersion, made.json.spec],
      ['autoscaling/v1', { ...autoscaler, minReplicas: 1, maxReplicas: 7, targetCPUUtilizationPercentage: 50 }],
    );
    assert.deepEqual(
      seen.map((s) => s.path),
      ['/any'],
    );
    const { kind, requestKind, object } = seen[0]!.review.request;
    assert.deepEqual([kind!.version, requestKind!.version, object.apiVersion], ['v2', 'v1', 'autoscaling/v2']);
    assert.equal((object as { spec?: { metrics?: unknown[] } }).spec?.metrics?.length, 1);
  });

  it('are told of dry runs', async () => {
    handlers.set('/side', () => ({ warnings: ['mind the gap'] }));
    await install(mutating, hook('/side', { sideEffects: 'NoneOnDryRun' }));
    await create('dry', {}, true);
    await create('wet');
    assert.deepEqual(
      seen.map((s) => s.review.request.dryRun),
      [true, false],
    );
  });

  it('may refuse connections to pods', async () => {
    handlers.set('/attach', (r) => ({ allowed: false, status: { message: r.request.object.kind } }));
    await install(
      validating,
      hook('/attach', {
        rules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['CONNECT'], resources: ['pods/attach', 'pods/proxy'] },
        ],
      }),
    );
    const get = (path: string) => server.client.request({ path: `/api/v1/namespaces/hooked/pods/x/${path}` });
    server.app.special.register('pods/proxy', {
      type: 'raw',
      handle: async (_request, reply) => reply.send(200, 'text/plain', Buffer.from('through')),
    });
    await assert.rejects(get('proxy/some/path'), rejected(400, /denied the request: PodProxyOptions/));
    await server.client.deleteCollection(validating);
    assert.equal(await get('proxy/some/path'), 'through');
  });

  it('never lock anyone out of their own configurations', async () => {
    handlers.set('/all', () => ({ allowed: false }));
    const everything = {
      rules: [{ apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*/*'] }],
      namespaceSelector: {},
    };
    await install(validating, hook('/all', everything));
    await assert.rejects(create('x'), rejected(400, /denied/));
    await server.client.delete(validating, 'hooks');
    await create('x');
  });
});
