/** Clients that mean no good, or are broken: the server stays up, small and quick for everybody else. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { once } from 'node:events';
import http2, { type ClientHttp2Session } from 'node:http2';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { systemClock } from '../../../base/clock.ts';
import { namespaces } from '../../../client/resources.ts';
import { startBenchServer, type BenchServer } from '../../bench/server.ts';
import { seeded } from '../../unit/api/gen.ts';
import { until } from '../../support/wait.ts';
import { startTestServer, type TestServer } from './harness.ts';
import { ask } from './http.ts';

const MIB = 1024 * 1024;
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

interface Target {
  readonly port: number;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

function noise(bytes: number, seed: number): Buffer {
  const r = seeded(seed);
  return Buffer.from(Array.from({ length: bytes }, () => Math.floor(r.next() * 256)));
}

/** A connection that is used by hand; `protocols` undefined means no TLS at all. */
async function dial(t: Target, protocols?: string[]): Promise<net.Socket> {
  const { port, ca, cert, key } = t;
  const socket = protocols
    ? tls.connect({ host: '127.0.0.1', port, ca, cert, key, ALPNProtocols: protocols })
    : net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await new Promise<void>((resolve, reject) => {
    socket.once(protocols ? 'secureConnect' : 'connect', () => resolve());
    socket.once('close', () => reject(new Error('closed at once')));
  });
  return socket;
}

/** Everything that comes until the server closes the connection. */
function untilClosed(socket: net.Socket): Promise<string> {
  let got = '';
  socket.on('data', (d: Buffer) => (got += d.toString('latin1')));
  return new Promise((resolve) => {
    if (socket.destroyed) resolve(got);
    else socket.once('close', () => resolve(got));
  });
}

/** The Status in an HTTP/1.1 answer. */
const statusIn = (answer: string) =>
  JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as { code: number; reason: string };

/** One request on a session; answers with the code and the body. */
function ask2(s: ClientHttp2Session, headers: Record<string, string>, body?: Buffer): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const stream = s.request(headers, { endStream: body === undefined });
    let code = 0;
    let text = '';
    stream.on('response', (h) => (code = Number(h[':status'])));
    stream.on('data', (d: Buffer) => (text += d.toString()));
    stream.once('error', reject);
    stream.once('close', () => resolve([code, text]));
    if (body) stream.end(body);
  });
}

describe('hostile clients', function () {
  let dir: string;
  let server: BenchServer;
  let target: Target;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'k8ts-hostile-'));
    server = await startBenchServer(dir, ['--storage-backend=memory']);
    const { ca, cert, key } = server.client.options;
    target = { port: Number(new URL(server.url).port), ca: ca as string, cert: cert as string, key: key as string };
  });
  after(async () => {
    await server?.stop();
    await rm(dir, { recursive: true, force: true });
  });
  /** Others are served, by the same process. */
  afterEach(async () => {
    assert.ok((await server.client.list(namespaces)).items.length > 0);
    process.kill(server.pid, 0);
  });
  const memory = async () =>
    (Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${server.pid}/status`, 'utf8'))![1]) * 1024) / MIB;

  it('hangs up on noise', async () => {
    const noises: [string[] | undefined, Buffer][] = [
      [undefined, noise(4000, 1)],
      [undefined, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
      [['http/1.1'], noise(4000, 2)],
      [['h2'], noise(4000, 3)],
      [['h2'], Buffer.concat([PREFACE, noise(4000, 4)])],
      [['h2'], Buffer.concat([PREFACE, SETTINGS, noise(4000, 5)])],
      // A frame longer than allowed, and a HEADERS frame that never ends.
      [['h2'], Buffer.concat([PREFACE, SETTINGS, Buffer.from([255, 255, 255, 0, 0, 0, 0, 0, 1])])],
      [['h2'], Buffer.concat([PREFACE, SETTINGS, Buffer.from([0, 0, 4, 1, 4, 0, 0, 0, 1]), noise(4, 6)])],
    ];
    for (const [protocols, bytes] of noises) {
      const socket = await dial(target, protocols);
      socket.write(bytes);
      await untilClosed(socket);
    }
  });

  it('refuses requests that are no HTTP, or two at once', async () => {
    const bad = [
      'GET\r\n\r\n',
      'GET /api HTTP/1.1\r\n\r\n',
      'POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef',
      'POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n',
    ];
    for (const text of bad) {
      const socket = await dial(target, ['http/1.1']);
      socket.write(text);
      assert.match(await untilClosed(socket), /^HTTP\/1\.1 400 /, text);
    }
  });

  it('takes long queries, and refuses endless headers', async () => {
    const selector = Array.from({ length: 10_000 }, (_, i) => `key-${i}=v`).join(',');
    const list = await server.client.request<{ items: object[] }>({
      path: '/api/v1/pods',
      query: { labelSelector: selector },
    });
    assert.deepEqual(list.items, []);
    const socket = await dial(target, ['http/1.1']);
    const closed = untilClosed(socket);
    socket.write('GET /version HTTP/1.1\r\nHost: x\r\nX-Long: ');
    for (let i = 0; i < 64 && !socket.destroyed; i++)
      await new Promise<void>((resolve) => socket.write('x'.repeat(64 * 1024), () => resolve()));
    await closed;
  });

  it('refuses 100 MB without taking them in', async () => {
    const before = await memory();
    const heads = ['Content-Length: 100000000', 'Transfer-Encoding: chunked'];
    for (const head of heads)
      for (const type of ['application/json', 'application/yaml']) {
        const socket = await dial(target, ['http/1.1']);
        const answer = untilClosed(socket);
        socket.write(`POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\n${head}\r\n\r\n`);
        const piece = Buffer.alloc(MIB, ' ');
        const sent = head.startsWith('C')
          ? piece
          : Buffer.concat([Buffer.from('100000\r\n'), piece, Buffer.from('\r\n')]);
        for (let i = 0; i < 95 && !socket.destroyed && socket.writable; i++)
          await new Promise<void>((resolve) => socket.write(sent, () => resolve()));
        const status = statusIn(await answer);
        assert.deepEqual([status.code, status.reason], [413, 'RequestEntityTooLarge']);
      }
    const { ca, cert, key } = target;
    const session = http2.connect(server.url, { ca, cert, key, maxSessionMemory: 1000 });
    try {
      for (const [method, path, type] of [
        ['POST', '/api/v1/namespaces', 'application/json'],
        ['PATCH', '/api/v1/namespaces/default', 'application/merge-patch+json'],
      ] as const) {
        const headers = { ':method': method, ':path': path, 'content-type': type };
        const [code, text] = await ask2(session, headers, Buffer.alloc(100 * MIB, ' '));
        assert.equal(code, 413, text);
        assert.equal((JSON.parse(text) as { reason: string }).reason, 'RequestEntityTooLarge');
      }
    } finally {
      session.destroy();
    }
    const grown = (await memory()) - before;
    assert.ok(grown < 300, `grew by ${grown} MiB`);
  });

  it('answers nesting without end and YAML bombs', async () => {
    const deep = (open: string, close: string) => open.repeat(200_000) + close.repeat(200_000);
    const bombs: [string, string][] = [
      ['application/json', `{"kind":"ConfigMap","apiVersion":"v1","x":${deep('[', ']')}}`],
      ['application/json', `{"kind":"ConfigMap","apiVersion":"v1","x":${deep('{"a":', '}').replace('{"a":}', '{}')}`],
      ['application/yaml', `kind: ConfigMap\napiVersion: v1\nx: ${deep('[', ']')}`],
      [
        'application/yaml',
        `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghijk'.replace(
          /./g,
          (c) =>
            `${c}: &${c} [${Array(9)
              .fill(`*${String.fromCharCode(c.charCodeAt(0) - 1)}`)
              .join(',')}]\n`,
        )}`,
      ],
      ['application/yaml', `${'- '.repeat(100_000)}x`],
      ['application/yaml', `${'? '.repeat(100_000)}x`],
      ['application/yaml', `x: ${'"'.repeat(500_000)}`],
      ['application/yaml', ']'.repeat(30_000)],
    ];
    const { ca, cert, key } = target;
    const session = http2.connect(server.url, { ca, cert, key });
    try {
      for (const [type, body] of bombs)
        for (const [method, path, as] of [
          ['POST', '/api/v1/namespaces/default/configmaps', type],
          [
            'PATCH',
            '/api/v1/namespaces/default',
            type.endsWith('json') ? 'application/merge-patch+json' : 'application/apply-patch+yaml',
          ],
        ] as const) {
          const headers = { ':method': method, ':path': `${path}?fieldManager=x`, 'content-type': as };
          const [code, text] = await ask2(session, headers, Buffer.from(body));
          const said = `${method} ${as} ${body.slice(0, 60)}: ${code} ${text.slice(0, 300)}`;
          assert.ok(code >= 400 && code < 500, said);
          assert.equal((JSON.parse(text) as { kind: string }).kind, 'Status', said);
        }
    } finally {
      session.destroy();
    }
  });

  it('keeps 5,000 idle watches small, and tells them all', async () => {
    const before = await memory();
    const { ca, cert, key } = target;
    const sessions = Array.from({ length: 5 }, () => http2.connect(server.url, { ca, cert, key }));
    try {
      let open = 0;
      let told = 0;
      for (const s of sessions) {
        await once(s, 'connect');
        s.setLocalWindowSize(1 << 24);
        for (let i = 0; i < 1000; i++) {
          const stream = s.request({ ':path': '/api/v1/namespaces/default/configmaps?watch=true&resourceVersion=0' });
          stream.once('response', () => open++);
          stream.on('data', (d: Buffer) => (told += d.toString().split('\n').length - 1));
          stream.on('error', () => {});
        }
      }
      await until(() => open === 5000);
      await server.client.request({
        method: 'POST',
        path: '/api/v1/namespaces/default/configmaps',
        body: { metadata: { name: 'news' } },
      });
      await until(() => told >= 5000);
      const grown = (await memory()) - before;
      assert.ok(grown < 300, `grew by ${grown} MiB`);
    } finally {
      for (const s of sessions) s.destroy();
    }
  });

  it('serves others while a thousand connections do nothing', async () => {
    const sockets = await Promise.all(Array.from({ length: 1000 }, () => dial(target)));
    assert.ok((await server.client.list(namespaces)).items.length > 0);
    for (const s of sockets) s.destroy();
  });

  it('drops WebSockets that speak garbage', async () => {
    const socket = await dial(target, ['http/1.1']);
    const end = untilClosed(socket);
    socket.write(
      'GET /api/v1/namespaces?watch=true HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    await new Promise((resolve) => socket.once('data', resolve));
    socket.write(noise(3000, 7));
    assert.match(await end, /^HTTP\/1\.1 101 /);
  });
});

describe('requests that the parser refuses', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.stop());
  const say = async (text: string) => {
    const { cert, key } = server.client.options;
    const socket = await dial({ port: server.port, ca: server.ca, cert: cert as string, key: key as string }, [
      'http/1.1',
    ]);
    const answer = untilClosed(socket);
    socket.write(text);
    return answer;
  };

  it('are answered with a Status when only the method is unknown', async () => {
    const answer = await say('BREW /api/v1/namespaces HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.match(answer, /^HTTP\/1\.1 405 /);
    const status = statusIn(answer);
    assert.deepEqual([status.code, status.reason], [405, 'MethodNotAllowed']);
  });

  it('are bad otherwise', async () => {
    for (const text of ['BREW\r\n\r\n', 'GET /api HTTP/1.1\r\nHost x\r\n\r\n', '\u0000\u0001\u0002'])
      assert.match(await say(text), /^HTTP\/1\.1 400 /);
  });
});

describe('slow clients', function () {
  let server: TestServer;
  let target: Target;
  before(async () => {
    server = await startTestServer({ headersTimeoutMs: 2000, idleTimeoutMs: 2000, requestTimeoutSeconds: 3 });
    const { cert, key } = server.client.options;
    target = { port: server.port, ca: server.ca, cert: cert as string, key: key as string };
  });
  after(() => server.stop());

  it('may not take for ever to shake hands, or to send their headers', async () => {
    const silent = await dial(target);
    await untilClosed(silent);
    const slow = await dial(target, ['http/1.1']);
    const answer = untilClosed(slow);
    slow.write('GET /version HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    const drip = systemClock.every(50, () => slow.write('x'));
    assert.match(await answer, /^HTTP\/1\.1 408 /);
    drip.cancel();
  });

  it('are told when their body took too long', async () => {
    const slow = await dial(target, ['http/1.1']);
    const answer = untilClosed(slow);
    slow.write(
      'POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    const drip = systemClock.every(50, () => slow.write('1\r\n \r\n'));
    const status = statusIn(await answer);
    drip.cancel();
    assert.deepEqual([status.code, status.reason], [504, 'Timeout']);
  });

  it('lose their connection when they leave it idle, not while they watch', async () => {
    const { ca, cert, key } = target;
    const idle = http2.connect(server.url, { ca, cert, key });
    const watching = http2.connect(server.url, { ca, cert, key });
    const gone = new Promise<void>((resolve) => idle.once('close', () => resolve()));
    const stream = watching.request({ ':path': '/api/v1/namespaces?watch=true' });
    stream.on('error', () => {});
    let events = 0;
    stream.on('data', () => events++);
    await gone;
    await until(() => events > 0);
    const before = events;
    // On a connection of its own: the client's may be about to be closed for being idle, too.
    const late = await ask(server, { path: '/api/v1/namespaces', body: { metadata: { name: 'late' } } });
    assert.equal(late.code, 201);
    await until(() => events > before);
    watching.destroy();
  });
});
