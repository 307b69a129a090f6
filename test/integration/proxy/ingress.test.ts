/** The Ingress controller over a real API server and real backends: what a client of it sees. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import { systemClock, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { createAuthority, issue } from '../../../base/pki.ts';
import { ingressClasses, ingresses, namespaces, secrets, services } from '../../../client/resources.ts';
import { startIngress, type IngressController } from '../../../proxy/ingress/controller.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

const NS = 'web';

async function eventually(check: () => Promise<string | undefined>, limitMs = 30_000): Promise<void> {
  const until = performance.now() + limitMs;
  for (;;) {
    const missing = await check().catch((e: unknown) => String(e));
    if (missing === undefined) return;
    if (performance.now() > until) throw new Error(missing);
    await new Promise((r) => setTimeout(r, 20));
  }
}

interface Reply {
  status: number;
  body: string;
  headers: http.IncomingHttpHeaders;
}

describe('the Ingress controller', function () {
  let api: TestServer;
  let controller: IngressController;
  let backend: http.Server;
  let backendPort = 0;
  let grpc: http2.Http2Server;
  /** A client's connection. */
  let session: http2.ClientHttp2Session | undefined;
  const open = new Set<http2.ServerHttp2Session>();

  const send = (
    path: string,
    o: { host?: string; method?: string; body?: string[]; agent?: http.Agent; headers?: http.OutgoingHttpHeaders } = {},
  ): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const req = http.request(
        {
          port: controller.httpPort,
          path,
          method: o.method ?? 'GET',
          agent: o.agent ?? false,
          headers: { Host: o.host ?? 'a.test', ...o.headers },
        },
        (res) => {
          let body = '';
          res.on('data', (c) => (body += String(c)));
          res.on('end', () => resolve({ status: res.statusCode ?? 0, body, headers: res.headers }));
          res.on('error', reject);
        },
      );
      req.on('error', reject);
      for (const part of o.body ?? []) req.write(part);
      req.end();
    });
  const path = (p: string, service: string, port: object, pathType = 'Prefix') => ({
    path: p,
    pathType,
    backend: { service: { name: service, port } },
  });

  before(async () => {
    backend = http.createServer((req, res) => {
      if (req.url === '/slow') {
        // half now, half when the client says so by a second request
        res.write('first,');
        backend.once('go', () => res.end('second'));
        return;
      }
      if (req.url === '/go') backend.emit('go');
      if (req.url === '/shut') {
        // answers, then closes the kept connection without a word
        res.end('shut');
        res.once('finish', () => setTimeout(() => req.socket.destroy(), 5));
        return;
      }
      let body = '';
      req.on('data', (c) => (body += String(c)));
      req.on('end', () => {
        res.setHeader('Set-Cookie', ['a=1', 'b=2']);
        res.writeHead(req.url === '/teapot' ? 418 : 200);
        res.end(JSON.stringify({ method: req.method, url: req.url, headers: req.headers, body }));
      });
    });
    backend.on('upgrade', (req: http.IncomingMessage, socket: net.Socket) => {
      const accept = createHash('sha1')
        .update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
        .digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\nhello `,
      );
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
    backendPort = (backend.address() as AddressInfo).port;

    // as a gRPC server answers: the status after the body, or in the head alone
    grpc = http2.createServer();
    grpc.on('session', (s) => {
      open.add(s);
      s.once('close', () => open.delete(s));
    });
    grpc.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      if (headers[':path'] === '/refuse')
        return stream.respond({ ':status': 200, 'grpc-status': '7' }, { endStream: true });
      stream.respond({ ':status': 200, 'x-te': headers['te'] ?? 'none' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.pipe(stream);
    });
    await new Promise<void>((resolve) => grpc.listen(0, '127.0.0.1', resolve));

    api = await startTestServer();
    await api.client.create(namespaces, { metadata: { name: NS } });
    await api.client.create(ingressClasses, {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'IngressClass',
      metadata: { name: 'k8ts' },
      spec: { controller: 'k8ts.io/ingress' },
    });
    await api.client.create(
      services,
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'back' },
        spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ name: 'http', port: backendPort }] },
      },
      { namespace: NS },
    );
    await api.client.create(
      services,
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'grpc' },
        spec: {
          type: 'ExternalName',
          externalName: 'localhost',
          ports: [{ name: 'grpc', port: (grpc.address() as AddressInfo).port, appProtocol: 'kubernetes.io/h2c' }],
        },
      },
      { namespace: NS },
    );
    await api.client.create(
      services,
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'empty' }, spec: { ports: [{ port: 80 }] } },
      { namespace: NS },
    );
    await api.client.create(
      services,
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'front' },
        spec: { ports: [{ port: 80 }], externalIPs: ['192.0.2.7'] },
      },
      { namespace: NS },
    );
    controller = await startIngress({
      client: api.client,
      clock: systemClock,
      rand: systemRand,
      logger: silentLogger,
      host: '127.0.0.1',
      httpPort: 0,
      httpsPort: 0,
      statusPort: 0,
      publishService: `${NS}/front`,
    });
    await controller.synced();
    await api.client.create(
      ingresses,
      {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'Ingress',
        metadata: { name: 'one' },
        spec: {
          ingressClassName: 'k8ts',
          tls: [{ hosts: ['a.test'], secretName: 'cert' }],
          rules: [
            {
              host: 'a.test',
              http: {
                paths: [
                  path('/', 'back', { name: 'http' }),
                  path('/none', 'empty', { number: 80 }),
                  path('/gone', 'nosuch', { number: 1 }),
                ],
              },
            },
            { host: 'g.test', http: { paths: [path('/', 'grpc', { name: 'grpc' })] } },
          ],
        },
      },
      { namespace: NS },
    );
    await eventually(async () => ((await send('/')).status === 200 ? undefined : 'no route yet'));
  });
  after(async () => {
    session?.destroy();
    await controller.stop(100);
    backend.closeAllConnections();
    backend.close();
    for (const s of open) s.destroy();
    grpc.close();
    await api.stop();
  });

  it('passes requests and answers on, and says who asked', async () => {
    const r = await send('/x?y=1', {
      method: 'POST',
      body: ['one', 'two'],
      headers: { 'X-Forwarded-For': '6.6.6.6', Connection: 'X-Hop', 'X-Hop': 'no', 'X-End': 'yes' },
    });
    assert.equal(r.status, 200);
    assert.deepEqual(r.headers['set-cookie'], ['a=1', 'b=2']);
    const seen = JSON.parse(r.body) as { method: string; url: string; body: string; headers: Record<string, string> };
    assert.deepEqual([seen.method, seen.url, seen.body], ['POST', '/x?y=1', 'onetwo']);
    assert.equal(seen.headers['host'], 'a.test');
    assert.equal(seen.headers['x-forwarded-for'], '127.0.0.1');
    assert.equal(seen.headers['x-forwarded-proto'], 'http');
    assert.equal(seen.headers['x-end'], 'yes');
    assert.equal(seen.headers['x-hop'], undefined);
    assert.equal((await send('/teapot')).status, 418);
  });

  it('streams: the first part of an answer comes before the last is there', async () => {
    await new Promise<void>((resolve, reject) => {
      const req = http.get(
        { port: controller.httpPort, path: '/slow', headers: { Host: 'a.test' }, agent: false },
        (res) => {
          let body = '';
          res.on('data', (c) => {
            body += String(c);
            if (body === 'first,') void send('/go');
          });
          res.on('end', () => (body === 'first,second' ? resolve() : reject(new Error(body))));
        },
      );
      req.on('error', reject);
    });
  });

  it('answers 404 without a rule, 503 without a backend', async () => {
    assert.equal((await send('/', { host: 'b.test' })).status, 404);
    assert.equal((await send('/none')).status, 503);
    assert.equal((await send('/gone')).status, 503);
  });

  it('repeats what a closing connection has swallowed', async () => {
    for (let i = 0; i < 100; i++) assert.equal((await send(i % 2 ? '/shut' : '/')).status, 200);
  });

  it('upgrades connections', async () => {
    const text = await new Promise<string>((resolve, reject) => {
      const socket = net.connect(controller.httpPort, '127.0.0.1', () =>
        socket.write(
          'GET /ws HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAA\r\nSec-WebSocket-Version: 13\r\n\r\n',
        ),
      );
      let got = '';
      socket.on('data', (c) => {
        got += String(c);
        if (got.endsWith('hello ')) socket.write('echo');
        if (got.endsWith('echo')) {
          socket.destroy();
          resolve(got);
        }
      });
      socket.on('error', reject);
    });
    assert.match(text, /^HTTP\/1\.1 101 /);
  });

  const call = (host: string, path: string, parts: string[], more: http2.OutgoingHttpHeaders = {}) =>
    new Promise<{
      head: http2.IncomingHttpHeaders;
      trailers: http2.IncomingHttpHeaders;
      body: string;
      ended: boolean;
    }>((resolve, reject) => {
      const method = parts.length ? 'POST' : 'GET';
      session ??= http2.connect(`https://127.0.0.1:${controller.httpsPort}`, { rejectUnauthorized: false });
      session.once('error', reject);
      const stream = session.request({ ':method': method, ':path': path, ':authority': host, ...more });
      const got = { head: {}, trailers: {}, body: '', ended: false };
      stream.on('response', (head, flags) =>
        Object.assign(got, { head, ended: (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0 }),
      );
      stream.on('trailers', (trailers) => Object.assign(got, { trailers }));
      const next = () => (parts.length ? stream.write(parts.shift()) : stream.end());
      // each part only after the one before it has come back: both directions stream
      stream.on('data', (c) => {
        got.body += String(c);
        if (method === 'POST' && host === 'g.test') next();
      });
      stream.on('end', () => resolve(got));
      stream.on('error', reject);
      next();
      if (host !== 'g.test') while (!stream.writableEnded) next();
    });

  it('leads over HTTP/2 to backends of either version', async () => {
    const one = await call('a.test', '/x', ['a', 'b'], { cookie: 'x=1', 'x-end': 'yes' });
    assert.equal(one.head[':status'], 200);
    assert.deepEqual(one.head['set-cookie'], ['a=1', 'b=2']);
    const seen = JSON.parse(one.body) as { method: string; body: string; headers: Record<string, string> };
    assert.deepEqual([seen.method, seen.body], ['POST', 'ab']);
    assert.equal(seen.headers['host'], 'a.test');
    assert.equal(seen.headers['x-forwarded-proto'], 'https');
    assert.equal(seen.headers['x-end'], 'yes');
    assert.equal((await call('b.test', '/', [])).head[':status'], 404);
    const plain = await send('/x', { host: 'g.test', method: 'POST', body: ['from HTTP/1.1'] });
    assert.deepEqual([plain.status, plain.body], [200, 'from HTTP/1.1']);
  });

  it('carries gRPC: streams both ways, the status after the body or with the head', async () => {
    const echo = await call('g.test', '/echo', ['one,', 'two,', 'three'], { te: 'trailers' });
    assert.equal(echo.body, 'one,two,three');
    assert.equal(echo.head['x-te'], 'trailers');
    assert.equal(echo.trailers['grpc-status'], '0');
    const refused = await call('g.test', '/refuse', []);
    assert.equal(refused.head['grpc-status'], '7');
    assert.ok(refused.ended, 'the head must be all there is');
  });

  it('makes a new connection when the backend has ended the last one', async () => {
    assert.equal((await call('g.test', '/echo', ['x'])).body, 'x');
    assert.equal(open.size, 1, 'one connection for all requests');
    for (const s of open) s.destroy();
    await eventually(async () =>
      (await call('g.test', '/echo', ['x'])).body === 'x' ? undefined : 'the backend is not reached again',
    );
  });

  it("serves TLS with the host's Secret, and takes a new one without a restart", async () => {
    const now = Date.now();
    const validity = { notBefore: now - 3600_000, notAfter: now + 3600_000 };
    const name = (servername: string) =>
      new Promise<string>((resolve, reject) => {
        const req = https.get(
          {
            port: controller.httpsPort,
            path: '/',
            servername,
            headers: { Host: 'a.test' },
            rejectUnauthorized: false,
            agent: false,
          },
          (res) => {
            const cn = (res.socket as import('node:tls').TLSSocket).getPeerCertificate().issuer.CN;
            res.resume();
            res.on('end', () => resolve(`${res.statusCode} ${String(cn)}`));
          },
        );
        req.on('error', reject);
      });
    assert.equal(await name('a.test'), '200 k8ts ingress');
    for (const ca of ['first', 'second']) {
      const authority = createAuthority({ commonName: ca, ...validity });
      const id = issue(authority, { subject: { commonName: 'a.test' }, altNames: { dns: ['a.test'] }, ...validity });
      const data = {
        'tls.crt': Buffer.from(id.cert).toString('base64'),
        'tls.key': Buffer.from(id.key).toString('base64'),
      };
      if (ca === 'first')
        await api.client.create(
          secrets,
          { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata: { name: 'cert' }, data },
          { namespace: NS },
        );
      else await api.client.patch(secrets, 'cert', 'merge', { data }, { namespace: NS });
      await eventually(async () => ((await name('a.test')) === `200 ${ca}` ? undefined : `not ${ca} yet`));
    }
    assert.equal(await name('other.test'), '200 k8ts ingress');
  });

  it('writes where it is reached into the status, and follows changes of rules', async () => {
    await eventually(async () => {
      const i = await api.client.get(ingresses, 'one', NS);
      const got = JSON.stringify(i.status?.loadBalancer?.ingress);
      return got === '[{"ip":"192.0.2.7"}]' ? undefined : `status ${got}`;
    });
    const rules = [{ host: 'c.test', http: { paths: [path('/only', 'back', { number: backendPort }, 'Exact')] } }];
    await api.client.patch(ingresses, 'one', 'merge', { spec: { rules } }, { namespace: NS });
    await eventually(async () => ((await send('/only', { host: 'c.test' })).status === 200 ? undefined : 'old rules'));
    assert.equal((await send('/')).status, 404);
    assert.equal((await send('/only/more', { host: 'c.test' })).status, 404);
  });
});
