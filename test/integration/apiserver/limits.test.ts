import assert from 'node:assert/strict';
import tls from 'node:tls';
import { configMaps, namespaces } from '../../../client/resources.ts';
import type { ConfigMap } from '../../../api/types.ts';
import { startTestServer, type TestServer } from './harness.ts';
import { ask, session } from './http.ts';

const REVIEW = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
const review = { spec: { resourceAttributes: { verb: 'get', resource: 'pods' } } };

describe('limits', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      priorityAndFairness: false,
      maxMutatingRequestsInFlight: 2,
      requestTimeoutSeconds: 0.3,
      maxWatchBytes: 2_000_000,
    });
    await server.client.create(namespaces, { metadata: { name: 'lim' } });
  });
  after(() => server.stop());

  it('answers 504 to what takes too long and 429 to what is too much', async () => {
    const jo = server.identity('jo');
    let go: () => void = () => {};
    const gate = new Promise<void>((resolve) => (go = resolve));
    let running = 0;
    let full: () => void = () => {};
    const both = new Promise<void>((resolve) => (full = resolve));
    server.app.special.register('selfsubjectaccessreviews.authorization.k8s.io', {
      type: 'object',
      async create(object) {
        if (++running === 2) full();
        await gate;
        return { object };
      },
    });
    const slow = [1, 2].map(() => ask(server, { path: REVIEW, body: review, identity: jo }));
    await both;
    const third = await ask(server, { path: REVIEW, body: review, identity: jo });
    assert.deepEqual([third.code, third.headers['retry-after']], [429, '1']);
    const answers = await Promise.all(slow);
    go();
    assert.deepEqual(
      answers.map((a) => [a.code, a.json.reason]),
      [
        [504, 'Timeout'],
        [504, 'Timeout'],
      ],
    );
  });

  /** Changes an object of nearly a megabyte until `cut`, or for 60 times. */
  async function flood(name: string, cut: () => boolean, pace?: (events: number) => Promise<void>): Promise<void> {
    const big = 'x'.repeat(900_000);
    await server.client.create(configMaps, { metadata: { name, namespace: 'lim' }, data: { big } });
    const { writer } = server.app;
    for (let i = 0; i < 60 && !cut(); i++) {
      await writer.update<ConfigMap>(
        'configmaps',
        'lim',
        name,
        (m) => ({ ...m, data: { ...m.data, i: String(i) } }) as ConfigMap,
      );
      if (pace) await pace(i + 2);
      else await new Promise((resolve) => setImmediate(resolve));
    }
  }

  it('cuts off a watcher that does not read (HTTP/1.1)', async () => {
    const { cert, key } = server.client.options;
    const socket = tls.connect({ host: '127.0.0.1', port: server.port, ca: server.ca, cert, key });
    let closed = false;
    socket.on('close', () => (closed = true));
    socket.on('error', () => {});
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    const before = server.app.chain.inFlight;
    socket.write('GET /api/v1/namespaces/lim/configmaps?watch=true HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise((resolve) => socket.once('data', resolve)); // the watch has begun
    socket.pause();
    await flood('slow1', () => closed);
    // The server has broken off: what is left to read ends without the last chunk.
    let tail = Buffer.alloc(0);
    socket.on('data', (c: Buffer) => (tail = Buffer.concat([tail, c]).subarray(-64)));
    const end = new Promise((resolve) => socket.once('close', resolve));
    socket.resume();
    await end;
    assert.ok(!tail.toString().endsWith('0\r\n\r\n'));
    assert.equal(server.app.chain.inFlight, before);
  });

  it('cuts off a watcher that does not read (HTTP/2), not its neighbours', async () => {
    const s = session(server);
    await new Promise((resolve) => s.once('connect', resolve));
    // As Go's clients have it: what one stream leaves unread doesn't hold up the connection.
    s.setLocalWindowSize(1 << 30);
    try {
      const lazy = s.request({ ':path': '/api/v1/namespaces/lim/configmaps?watch=true' });
      let cut = false;
      lazy.on('error', () => {});
      lazy.on('close', () => (cut = true));
      lazy.pause();
      const keen = s.request({
        ':path': '/api/v1/namespaces/lim/configmaps?watch=true&fieldSelector=metadata.name%3Dslow2',
      });
      let bytes = 0;
      let told: () => void = () => {};
      keen.on('data', (c: Buffer) => {
        bytes += c.length;
        told();
      });
      const reached = async (events: number) => {
        while (bytes < events * 900_000) await new Promise<void>((resolve) => (told = resolve));
      };
      await new Promise((resolve) => keen.once('response', resolve));
      await flood('slow2', () => cut, reached);
      assert.equal(cut, true);
      assert.equal(keen.closed, false);
      keen.close();
    } finally {
      s.destroy();
    }
  });
});
