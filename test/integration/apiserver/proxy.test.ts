/** The proxy subresource towards a pod that really listens. */
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { registerProxyHandlers } from '../../../apiserver/proxying/handlers.ts';
import { generateKey, keyToPem, signCertificate } from '../../../base/pki.ts';
import { pods, serviceAccounts } from '../../../client/resources.ts';
import { startTestServer, type TestServer } from './harness.ts';
import { ask } from './http.ts';

describe('the proxy subresource', () => {
  let server: TestServer;
  let plain: http.Server;
  let secure: https.Server;
  const answer: http.RequestListener = (req, res) => {
    res.setHeader('X-Method', req.method ?? '');
    if (req.url === '/page')
      return void res.writeHead(200, { 'Content-Type': 'text/html' }).end('<a href="/there">there</a>');
    if (req.url === '/away') return void res.writeHead(302, { Location: '/elsewhere' }).end();
    res.end(`${req.method} ${req.url}`);
  };
  const portOf = (s: http.Server | https.Server) => (s.address() as AddressInfo).port;
  const at = (scheme: string, port: number, path: string) =>
    `/api/v1/namespaces/default/pods/${scheme}backend:${port}/proxy${path}`;

  before(async () => {
    const key = generateKey();
    const day = 86_400_000;
    const cert = signCertificate(
      { subject: { commonName: 'nobody knows' }, notBefore: Date.now() - day, notAfter: Date.now() + day },
      key,
      key,
    );
    plain = http.createServer(answer).listen(0, '127.0.0.1');
    secure = https.createServer({ key: keyToPem(key), cert }, answer).listen(0, '127.0.0.1');
    server = await startTestServer({
      handlers: (parts) =>
        registerProxyHandlers(parts.special, {
          reader: parts.reader,
          rand: parts.rand,
          clock: parts.clock,
          kubelet: { preferredAddressTypes: ['InternalIP'], agent: new https.Agent() },
        }),
    });
    await server.client.create(serviceAccounts, { metadata: { name: 'default', namespace: 'default' } });
    const pod = await server.client.create(pods, {
      metadata: { name: 'backend', namespace: 'default' },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    });
    await server.client.updateStatus(pods, {
      ...pod,
      status: { phase: 'Running', podIP: '127.0.0.1', podIPs: [{ ip: '127.0.0.1' }] },
    });
  });
  after(async () => {
    await server.stop();
    plain.close();
    secure.close();
  });

  for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE'])
    it(`takes ${method}`, async () => {
      const r = await ask(server, { method, path: at('', portOf(plain), '/some/path') });
      assert.equal(r.code, 200);
      assert.equal(r.headers['x-method'], method);
      if (method !== 'HEAD') assert.equal(r.body.toString(), `${method} /some/path`);
    });
  it('leads links and redirects back through itself', async () => {
    const prefix = at('', portOf(plain), '');
    assert.equal(
      (await ask(server, { path: `${prefix}/page` })).body.toString(),
      `<a href="${prefix}/there">there</a>`,
    );
    assert.equal((await ask(server, { path: `${prefix}/away` })).headers['location'], `${prefix}/elsewhere`);
  });
  it('reaches a pod that speaks TLS with a certificate of its own', async () => {
    const r = await ask(server, { path: at('https:', portOf(secure), '/x') });
    assert.equal(r.body.toString(), 'GET /x');
  });
  it('refuses dry runs', async () => {
    const r = await ask(server, { path: `${at('', portOf(plain), '/x')}?dryRun=All` });
    assert.deepEqual([r.code, r.json.message], [400, 'dryRun is not supported']);
  });
  it('says that nobody answers', async () => {
    assert.equal((await ask(server, { path: at('', 1, '/x') })).code, 503);
  });
});
