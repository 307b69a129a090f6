import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createClient, type Client } from '../../../client/client.ts';

/** A server that answers with bytes as they stand; each request's head is told with the bytes. */
describe('plain requests', function () {
  let server: Server;
  let client: Client;
  let answer: (socket: Socket, head: string, requests: number) => void;
  let connections = 0;
  const sockets = new Set<Socket>();

  beforeEach(async () => {
    connections = 0;
    server = createServer((socket) => {
      connections++;
      sockets.add(socket);
      let text = '';
      let requests = 0;
      socket.on('error', () => {});
      socket.on('data', (data) => {
        text += data.toString('latin1');
        for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
          const head = text.slice(0, end);
          const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
          if (text.length < end + 4 + length) return;
          text = text.slice(end + 4 + length);
          answer(socket, head, ++requests);
        }
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    client = createClient({ server: `http://127.0.0.1:${port}`, userAgent: 'test', maxSockets: 2 });
  });
  afterEach(async () => {
    client.close();
    for (const s of sockets) s.destroy();
    sockets.clear();
    server.close();
    await once(server, 'close');
  });

  const json = 'Content-Type: application/json\r\n';
  const ok = (body: string) => `HTTP/1.1 200 OK\r\n${json}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  const get = (path = '/x', more = {}) => client.request<unknown>({ path, ...more });
  /** Sends byte by byte, each in a turn of its own. */
  async function slowly(socket: Socket, text: string): Promise<void> {
    for (const byte of Buffer.from(text)) {
      socket.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
  }

  const CHUNKED = `HTTP/1.1 200 OK\r\n${json}Transfer-Encoding: chunked\r\n\r\n`;
  const forms: [string, string, unknown][] = [
    ['a body with its length', ok('{"a":"ä"}'), { a: 'ä' }],
    ['chunks', `${CHUNKED}3\r\n{"a\r\n4;x=y\r\n":1}\r\n0\r\n\r\n`, { a: 1 }],
    ['chunks with a trailer', `${CHUNKED}7\r\n{"a":1}\r\n0\r\nx: y\r\n\r\n`, { a: 1 }],
    ['an interim answer first', `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${ok('[]')}`, []],
    ['nothing', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
    ['text', 'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length:2\r\n\r\nok', 'ok'],
  ];
  for (const [what, text, value] of forms)
    it(`read ${what}, in one piece or in many, and keep the connection`, async () => {
      answer = (socket) => void socket.write(text);
      assert.deepEqual(await get(), value);
      answer = (socket) => void slowly(socket, text);
      assert.deepEqual(await get(), value);
      assert.equal(connections, 1);
    });

  it('read a body that ends with the connection', async () => {
    answer = (socket) => void socket.end(`HTTP/1.1 200 OK\r\n${json}\r\n{"a":1}`);
    assert.deepEqual(await get(), { a: 1 });
    assert.deepEqual(await get(), { a: 1 });
    assert.equal(connections, 2);
  });

  it('fail when an answer is cut off or is none, and go on after it', async () => {
    for (const text of [
      `HTTP/1.1 200 OK\r\n${json}Content-Length: 9\r\n\r\n{"a"`,
      `${CHUNKED}7\r\n{"a"`,
      'HTTP/1.1 200 OK\r\nContent-Le',
      'SSH-2.0-OpenSSH\r\n\r\n',
      `HTTP/1.1 200 OK\r\n${json}Content-Length: 2x\r\n\r\n{}`,
      `${CHUNKED}zz\r\n{}\r\n`,
    ]) {
      answer = (socket) => void socket.end(text);
      await assert.rejects(get(), Error, text);
    }
    answer = (socket) => void socket.write(ok('"well"'));
    assert.equal(await get(), 'well');
  });

  it('wait for one another beyond the bound, in order', async () => {
    const seen: string[] = [];
    answer = (socket, head) => {
      seen.push(head.split(' ')[1]!);
      setImmediate(() => socket.write(ok(JSON.stringify(head.split(' ')[1]))));
    };
    const paths = Array.from({ length: 20 }, (_, i) => `/n/${i}`);
    assert.deepEqual(await Promise.all(paths.map((p) => get(p))), paths);
    assert.equal(connections, 2);
    assert.deepEqual(seen.toSorted(), paths.toSorted());
  });

  it('ask again when the server had closed an idle connection, but write only once', async () => {
    let posts = 0;
    answer = (socket, head, requests) => {
      if (head.startsWith('POST')) posts++;
      if (requests > 1) socket.destroy();
      else socket.write(ok('"first"'));
    };
    assert.equal(await get(), 'first');
    assert.equal(await get(), 'first');
    assert.equal(connections, 2);
    await assert.rejects(client.request({ method: 'POST', path: '/x', body: {} }), { code: 'ECONNRESET' });
    assert.equal(posts, 1);
  });

  it('end early when they are given up, wait too long, or the client is closed', async () => {
    answer = () => {};
    const giveUp = new AbortController();
    const both = [get('/a', { signal: giveUp.signal }), get('/b', { timeoutMs: 50 }), get('/c', { timeoutMs: 50 })];
    const ends = Promise.allSettled(both);
    giveUp.abort(new Error('given up'));
    assert.deepEqual(
      (await ends).map((r) => (r as PromiseRejectedResult).reason.message),
      ['given up', 'no answer within 50 ms: GET /b', 'no answer within 50 ms: GET /c'],
    );
    const left = [get('/d'), get('/e'), get('/f')];
    const after = Promise.allSettled(left);
    client.close();
    assert.deepEqual(
      (await after).map((r) => r.status),
      ['rejected', 'rejected', 'rejected'],
    );
  });

  it('are not asked again when the server is there and only late', async () => {
    let silent = 0;
    answer = (socket, head) => {
      if (head.includes('/late')) silent++;
      else socket.write(ok('"well"'));
    };
    // Two connections that have been used before.
    assert.deepEqual(await Promise.all([get(), get()]), ['well', 'well']);
    await assert.rejects(get('/late', { timeoutMs: 50 }), /no answer within 50 ms/);
    assert.equal(silent, 1);
  });

  it('have their turn when the one before them is refused', async () => {
    const { server: url } = client.options;
    let mayWrite = true;
    const one = createClient({ server: url, userAgent: 'test', maxSockets: 1, mayWrite: () => mayWrite });
    try {
      answer = (socket, head) => {
        if (!head.includes('/lost')) return void socket.write(ok('"well"'));
        mayWrite = false;
        socket.destroy();
      };
      const write = (path: string) => one.request({ method: 'POST', path, body: {} });
      const all = await Promise.allSettled([write('/lost'), write('/refused'), one.request({ path: '/read' })]);
      assert.deepEqual(
        all.map((r) => (r.status === 'fulfilled' ? r.value : r.status)),
        ['rejected', 'rejected', 'well'],
      );
    } finally {
      one.close();
    }
  });

  it('of streams end when an error is not told to its end', async () => {
    answer = (socket) => void socket.write('HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\n\r\nwhy');
    await assert.rejects(client.stream({ path: '/x', timeoutMs: 50 }));
  });

  it('never let a value become a line of its own', async () => {
    answer = (socket) => void socket.write(ok('{}'));
    await assert.rejects(get('/x', { accept: 'a\r\nX-Remote-User: admin' }), /Accept/);
    await assert.rejects(get('/x HTTP/1.1\r\n\r\nDELETE /y'), /encoded/);
    await assert.rejects(get('/ü'), /encoded/);
    assert.equal(connections, 0);
  });
});
