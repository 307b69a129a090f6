import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import type * as k8s from '@kubernetes/client-node';
import type { Json, JsonObject } from '../../../api/types.ts';
import { bootstrapHooks } from '../../../apiserver/bootstrap/hooks.ts';
import { extensionHooks } from '../../../apiserver/extensions/index.ts';
import { createAuthority, issue } from '../../../base/pki.ts';
import { namespaces, services, type ResourceRef } from '../../../client/resources.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

type APIService = Json<k8s.V1APIService>;
const apiServices: ResourceRef<APIService> = {
  group: 'apiregistration.k8s.io',
  version: 'v1',
  resource: 'apiservices',
  kind: 'APIService',
  namespaced: false,
};
const AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
const DOCUMENT = 'apis/metrics.test.io/v1';
const fails = (code: number) => (error: unknown) => (error as { code: number }).code === code;

describe('API aggregation', () => {
  const validity = { notBefore: Date.now() - 86_400_000, notAfter: Date.now() + 86_400_000 };
  const ca = createAuthority({ commonName: 'extension-ca', ...validity });
  const serving = issue(ca, {
    subject: { commonName: 'extension' },
    altNames: { dns: ['ext.agg.svc'] },
    extendedUsages: ['server auth'],
    ...validity,
  });
  const proxyCa = createAuthority({ commonName: 'proxy-ca', ...validity });
  const proxy = issue(proxyCa, {
    subject: { commonName: 'front-proxy-client' },
    extendedUsages: ['client auth'],
    ...validity,
  });
  const dir = mkdtempSync(join(tmpdir(), 'aggregation-'));
  let server: TestServer;
  let extension: Server;
  const seen: { url: string; headers: IncomingMessage['headers']; client: string }[] = [];

  before(async () => {
    writeFileSync(join(dir, 'proxy.crt'), proxy.cert);
    writeFileSync(join(dir, 'proxy.key'), proxy.key);
    server = await startTestServer({
      hooks: [
        ...bootstrapHooks({ serviceCidrs: ['10.96.0.0/16'] }),
        ...extensionHooks({ proxyFiles: { cert: join(dir, 'proxy.crt'), key: join(dir, 'proxy.key') } }),
      ],
    });
    extension = createServer({ ...serving, ca: proxyCa.cert, requestCert: true }, (req, res) => {
      const client = (req.socket as TLSSocket).getPeerCertificate().subject?.CN ?? '';
      seen.push({ url: req.url!, headers: req.headers, client: String(client) });
      const list: JsonObject = {
        kind: 'APIResourceList',
        apiVersion: 'v1',
        groupVersion: 'metrics.test.io/v1',
        resources: [
          { name: 'samples', singularName: 'sample', namespaced: true, kind: 'Sample', verbs: ['get', 'list'] },
        ],
      };
      res.setHeader('content-type', 'application/json');
      if (req.url === '/apis') res.writeHead(404).end('{}');
      else if (req.url === '/apis/metrics.test.io/v1') res.end(JSON.stringify(list));
      else if (req.url === '/openapi/v3')
        res.end(JSON.stringify({ paths: { [DOCUMENT]: { serverRelativeURL: `/openapi/v3/${DOCUMENT}?hash=1` } } }));
      else if (req.url === '/openapi/v2')
        res.end(
          JSON.stringify({
            paths: {
              [`/${DOCUMENT}/samples`]: { get: { responses: { 200: { schema: { $ref: '#/definitions/Sample' } } } } },
              '/other': {},
            },
            definitions: { Sample: { type: 'object' }, Other: {} },
          }),
        );
      else {
        const chunks: Buffer[] = [];
        req.on('data', (c: Buffer) => chunks.push(c));
        req.on('end', () =>
          res.end(
            JSON.stringify({
              kind: 'Sample',
              method: req.method,
              url: req.url,
              body: Buffer.concat(chunks).toString(),
            }),
          ),
        );
      }
    });
    await new Promise<void>((resolve) => extension.listen(0, '127.0.0.1', resolve));
    await server.client.create(namespaces, { metadata: { name: 'agg' } });
  });
  after(async () => {
    await server.stop();
    extension.closeAllConnections();
    await new Promise<void>((resolve) => extension.close(() => resolve()));
    rmSync(dir, { recursive: true });
  });

  const condition = async (status: string, reason: string): Promise<void> => {
    for await (const e of server.client.watch(apiServices, { fieldSelector: 'metadata.name=v1.metrics.test.io' })) {
      const c = e.object.status?.conditions?.find((x) => x.type === 'Available');
      if (c?.status === status && c.reason === reason) return;
    }
  };
  const groupsInOrder = async (): Promise<string[]> =>
    (await server.client.request<{ groups: { name: string }[] }>({ path: '/apis' })).groups.map((g) => g.name);

  it('has a Local APIService for each group version of its own', async () => {
    const { items } = await server.client.list(apiServices);
    const names = items.map((i) => i.metadata!.name);
    for (const n of ['v1.', 'v1.apps', 'v2.autoscaling', 'v1.apiextensions.k8s.io']) assert.ok(names.includes(n), n);
    assert.ok(items.every((i) => i.spec!.service === undefined && i.status!.conditions![0]!.reason === 'Local'));
    assert.ok(!names.includes('v1.apiregistration.k8s.io'));
  });

  it('says why a server is not available', async () => {
    await server.client.create(apiServices, {
      metadata: { name: 'v1.metrics.test.io' },
      spec: {
        group: 'metrics.test.io',
        version: 'v1',
        groupPriorityMinimum: 17_900,
        versionPriority: 10,
        caBundle: Buffer.from(ca.cert).toString('base64'),
        service: { namespace: 'agg', name: 'ext', port: (extension.address() as AddressInfo).port },
      },
    });
    await condition('False', 'ServiceNotFound');
    await assert.rejects(server.client.request({ path: '/apis/metrics.test.io/v1/samples' }), fails(503));
  });

  it('routes requests to the server once it answers, with the user in headers', async () => {
    const { port } = extension.address() as AddressInfo;
    await server.client.create(services, {
      metadata: { name: 'ext', namespace: 'agg' },
      spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port }] },
    });
    await condition('True', 'Passed');
    const alice = server.clientAs({ name: 'alice', groups: ['system:masters', 'staff'] });
    const answer = await alice.request<JsonObject>({
      method: 'POST',
      path: '/apis/metrics.test.io/v1/namespaces/agg/samples',
      query: { dryRun: 'All' },
      body: { a: 1 },
    });
    assert.deepEqual(answer, {
      kind: 'Sample',
      method: 'POST',
      url: '/apis/metrics.test.io/v1/namespaces/agg/samples?dryRun=All',
      body: '{"a":1}',
    });
    const last = seen.at(-1)!;
    assert.equal(last.client, 'front-proxy-client');
    assert.equal(last.headers['x-remote-user'], 'alice');
    assert.deepEqual(
      new Set(String(last.headers['x-remote-group']).split(', ')),
      new Set(['system:masters', 'staff', 'system:authenticated']),
    );
    assert.equal(last.headers.authorization, undefined);
  });

  it('asks its own authorizer first', async () => {
    const bob = server.clientAs({ name: 'bob' });
    const before = seen.length;
    await assert.rejects(bob.request({ path: '/apis/metrics.test.io/v1/namespaces/agg/samples' }), fails(403));
    assert.equal(seen.length, before);
  });

  it('shows the group in both forms of discovery, where its priority puts it', async () => {
    const groups = await groupsInOrder();
    assert.ok(groups.indexOf('metrics.test.io') < groups.indexOf('apps'), groups.join());
    const whole = await server.client.request<{ items: { metadata: { name: string }; versions: JsonObject[] }[] }>({
      path: '/apis',
      accept: AGGREGATED,
    });
    const found = whole.items.find((g) => g.metadata.name === 'metrics.test.io')!;
    assert.deepEqual(found.versions, [
      {
        version: 'v1',
        resources: [
          {
            resource: 'samples',
            responseKind: { group: 'metrics.test.io', version: 'v1', kind: 'Sample' },
            scope: 'Namespaced',
            singularResource: 'sample',
            verbs: ['get', 'list'],
          },
        ],
        freshness: 'Current',
      },
    ]);
  });

  it('adds to the OpenAPI documents', async () => {
    const index = JSON.parse(await server.client.request<string>({ path: '/openapi/v3' })) as { paths: JsonObject };
    assert.deepEqual(index.paths[DOCUMENT], { serverRelativeURL: `/openapi/v3/${DOCUMENT}?hash=1` });
    const v2 = await server.client.request<{ paths: JsonObject; definitions: JsonObject }>({ path: '/openapi/v2' });
    assert.ok(`/${DOCUMENT}/samples` in v2.paths && 'Sample' in v2.definitions);
    assert.ok(!('/other' in v2.paths) && !('Other' in v2.definitions));
    await server.client.request({ path: `/openapi/v3/${DOCUMENT}` });
    assert.equal(seen.at(-1)!.url, `/openapi/v3/${DOCUMENT}`);
  });

  it('takes the group out with its APIService', async () => {
    await server.client.delete(services, 'ext', { namespace: 'agg' });
    await condition('False', 'ServiceNotFound');
    await server.client.delete(apiServices, 'v1.metrics.test.io');
    assert.ok(!(await groupsInOrder()).includes('metrics.test.io'));
    await assert.rejects(server.client.request({ path: '/apis/metrics.test.io/v1/samples' }), fails(404));
  });
});
