import assert from 'node:assert/strict';
import { WebSocket } from 'ws';
import { configMaps, namespaces } from '../../../client/resources.ts';
import type { JsonObject, WatchEvent } from '../../../api/types.ts';
import { startTestServer, type TestServer } from './harness.ts';
import { ask, session } from './http.ts';

const MAPS = '/api/v1/namespaces/lw/configmaps';

describe('lists and watches', () => {
  let server: TestServer;
  const make = (name: string, labels: Record<string, string> = {}) =>
    server.client.create(configMaps, { metadata: { name, namespace: 'lw', labels } });
  const names = (items: JsonObject[]) => items.map((i) => (i.metadata as JsonObject).name);
  /** The events of a watch that ends by itself after a second at most, or once `count` have come. */
  async function events(query: string, count: number): Promise<WatchEvent[]> {
    const out: WatchEvent[] = [];
    const res = await server.client.stream({ path: `${MAPS}?watch=true&timeoutSeconds=1&${query}` });
    let rest = '';
    for await (const chunk of res as AsyncIterable<Buffer>) {
      rest += chunk.toString();
      for (let nl = rest.indexOf('\n'); nl >= 0; nl = rest.indexOf('\n')) {
        out.push(JSON.parse(rest.slice(0, nl)) as WatchEvent);
        rest = rest.slice(nl + 1);
      }
      if (out.length >= count) break;
    }
    return out;
  }
  before(async () => {
    server = await startTestServer({ historyEvents: 200 });
    await server.client.create(namespaces, { metadata: { name: 'lw' } });
    for (const n of ['a', 'b', 'c', 'd', 'e']) await make(n, { x: n < 'c' ? 'low' : 'high' });
  });
  after(() => server.stop());

  it('pages through one snapshot', async () => {
    const first = await ask(server, { path: `${MAPS}?limit=2` });
    assert.deepEqual(names(first.json.items), ['a', 'b']);
    assert.equal(first.json.metadata.remainingItemCount, 3);
    await make('bb');
    const second = await ask(server, { path: `${MAPS}?limit=10&continue=${first.json.metadata.continue}` });
    assert.deepEqual(names(second.json.items), ['c', 'd', 'e']);
    assert.equal(second.json.metadata.resourceVersion, first.json.metadata.resourceVersion);
    assert.equal(second.json.metadata.continue, undefined);
    await server.client.delete(configMaps, 'bb', { namespace: 'lw' });
  });

  it('reads at exact revisions and not before their time', async () => {
    const before = await ask(server, { path: MAPS });
    await make('later');
    const rv = before.json.metadata.resourceVersion;
    const exact = await ask(server, { path: `${MAPS}?resourceVersion=${rv}&resourceVersionMatch=Exact` });
    assert.ok(!names(exact.json.items).includes('later'));
    const newer = await ask(server, { path: `${MAPS}?resourceVersion=${rv}&resourceVersionMatch=NotOlderThan` });
    assert.ok(names(newer.json.items).includes('later'));
    await server.client.delete(configMaps, 'later', { namespace: 'lw' });
    assert.equal((await ask(server, { path: `${MAPS}?resourceVersionMatch=Exact` })).code, 422);
    assert.equal((await ask(server, { path: `${MAPS}?resourceVersion=abc` })).code, 400);
    assert.equal((await ask(server, { path: `${MAPS}?continue=nonsense` })).code, 400);
  });

  it('tells who pages too slowly how to go on', async () => {
    const first = await ask(server, { path: `${MAPS}?limit=2` });
    const store = server.app.store;
    await make('tick');
    // Both the store's history and the cache's are left behind.
    for (let i = 0; i < 201; i++)
      await server.app.writer.update(
        'namespaces',
        '',
        'lw',
        (ns) => ({ ...ns, metadata: { ...ns.metadata, annotations: { i: String(i) } } }) as never,
      );
    await store.compact(await store.currentRevision());
    const token = Buffer.from(String(first.json.metadata.continue), 'base64url').toString();
    const old = Buffer.from(token.replace(/"rv":\d+/, '"rv":1')).toString('base64url');
    const gone = await ask(server, { path: `${MAPS}?limit=2&continue=${old}` });
    assert.deepEqual([gone.code, gone.json.reason], [410, 'Expired']);
    const rest = await ask(server, { path: `${MAPS}?limit=9&continue=${gone.json.metadata.continue}` });
    assert.deepEqual(names(rest.json.items), ['c', 'd', 'e', 'tick']);
    await server.client.delete(configMaps, 'tick', { namespace: 'lw' });
  });

  it('selects by labels and fields', async () => {
    const list = async (q: string) => names((await ask(server, { path: `${MAPS}?${q}` })).json.items);
    assert.deepEqual(await list('labelSelector=x%3Dlow'), ['a', 'b']);
    assert.deepEqual(await list('labelSelector=x%20notin%20(low)'), ['c', 'd', 'e']);
    assert.deepEqual(await list('fieldSelector=metadata.name%3Dd'), ['d']);
    assert.deepEqual(await list('fieldSelector=metadata.name!%3Dd&labelSelector=x%3Dhigh'), ['c', 'e']);
    assert.equal((await ask(server, { path: `${MAPS}?fieldSelector=data.a%3Db` })).code, 400);
    assert.equal((await ask(server, { path: `${MAPS}?labelSelector=a%20b` })).code, 400);
  });

  it('shows what enters and leaves a selection', async () => {
    const { client } = server;
    const rv = (await client.list(configMaps, { namespace: 'lw' })).metadata!.resourceVersion;
    const made = await make('sel', { on: 'no' });
    const on = await client.update(configMaps, { ...made, metadata: { ...made.metadata, labels: { on: 'yes' } } });
    const changed = await client.update(configMaps, { ...on, data: { a: 'b' } });
    const off = await client.update(configMaps, { ...changed, metadata: { ...changed.metadata, labels: {} } });
    await client.delete(configMaps, 'sel', { namespace: 'lw' });
    const seen = await events(`resourceVersion=${rv}&labelSelector=on%3Dyes`, 3);
    assert.deepEqual(
      seen.map((e) => e.type),
      ['ADDED', 'MODIFIED', 'DELETED'],
    );
    const last = seen[2]!.object.metadata!;
    assert.deepEqual([last.labels?.on, last.resourceVersion], ['yes', off.metadata!.resourceVersion]);
  });

  it('begins with the present state, marked by a bookmark when asked', async () => {
    const seen = await events('sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true', 6);
    assert.deepEqual(
      seen.map((e) => e.type),
      ['ADDED', 'ADDED', 'ADDED', 'ADDED', 'ADDED', 'BOOKMARK'],
    );
    assert.equal(seen[5]!.object.metadata!.annotations!['k8s.io/initial-events-end'], 'true');
    const zero = await events('resourceVersion=0', 5);
    assert.equal(zero.length, 5);
  });

  it('shows bookmarks as rows where Tables are asked for, of every kind', async function () {
    const documents = ['/api/v1'];
    const { json } = await ask(server, { path: '/apis' });
    for (const g of json['groups'] as { versions: { groupVersion: string }[] }[])
      documents.push(...g.versions.map((v) => `/apis/${v.groupVersion}`));
    const paths: string[] = [];
    for (const path of documents)
      for (const r of (await ask(server, { path })).json['resources'] as { name: string; verbs: string[] }[])
        if (r.verbs.includes('watch')) paths.push(`${path}/${r.name}`);
    assert.ok(paths.length > 50);
    const query = 'watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    const headers = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
    const seen = paths.map(async (path) => {
      const { body } = await ask(server, { path: `${path}?${query}&labelSelector=none&timeoutSeconds=1`, headers });
      const [event] = body.toString().split('\n');
      const { type, object } = JSON.parse(event!) as WatchEvent & { object: JsonObject };
      assert.equal(type, 'BOOKMARK', path);
      const [row] = object['rows'] as { object: { metadata: JsonObject } }[];
      assert.deepEqual(row!.object.metadata['annotations'], { 'k8s.io/initial-events-end': 'true' }, path);
      assert.ok(Array.isArray(object['columnDefinitions']), path);
    });
    await Promise.all(seen);
  });

  it('names its health checks as upstream does, and counts what they said', async () => {
    for (const path of ['/livez', '/readyz']) {
      const { body } = await ask(server, { path: `${path}?verbose` });
      for (const check of ['log', 'etcd', 'poststarthook/storage-readiness', 'poststarthook/rbac/bootstrap-roles'])
        assert.ok(body.toString().includes(`[+]${check} ok\n`), `${path} ${check}`);
    }
    const { body } = await ask(server, { path: '/metrics/slis' });
    assert.match(body.toString(), /^kubernetes_healthcheck\{name="etcd",type="livez"\} 1$/m);
    assert.match(body.toString(), /^kubernetes_healthchecks_total\{name="log",status="success",type="readyz"\} 1$/m);
  });

  it('refuses a timeout that is no duration', async () => {
    const wrong = await ask(server, { path: '/version?timeout=soon' });
    assert.equal(wrong.code, 400);
    assert.match(wrong.json.message as string, /^invalid timeout specified in the request URL/);
    for (const timeout of ['0s', '3m', '']) {
      const right = await ask(server, { path: `/version?timeout=${timeout}` });
      assert.equal(right.code, 200);
    }
  });

  it('ends a watch when its time is up', async () => {
    const rv = (await server.client.list(configMaps, { namespace: 'lw' })).metadata!.resourceVersion;
    assert.deepEqual(await events(`resourceVersion=${rv}`, 99), []);
  });

  it('watches over HTTP/2', async () => {
    const s = session(server);
    try {
      const stream = s.request({ ':path': `${MAPS}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dh2` });
      const got = new Promise<string>((resolve) => stream.once('data', (c: Buffer) => resolve(c.toString())));
      await new Promise((resolve) => stream.once('response', resolve));
      await make('h2');
      assert.equal((JSON.parse(await got) as WatchEvent).type, 'ADDED');
      stream.close();
    } finally {
      s.close();
    }
  });

  it('tells each of many watchers every event, in order, while events follow each other closely', async function () {
    this.timeout(60_000);
    const crowd = 50;
    const updates = 60;
    const made = await make('crowd');
    const s = session(server);
    const seen = Array.from({ length: crowd }, () => [] as string[]);
    let arrived: () => void = () => {};
    try {
      for (const list of seen) {
        const query = `watch=true&resourceVersion=${made.metadata!.resourceVersion}&fieldSelector=metadata.name%3Dcrowd`;
        const stream = s.request({ ':path': `${MAPS}?${query}` });
        let rest = '';
        stream.on('data', (chunk: Buffer) => {
          const lines = (rest + chunk.toString()).split('\n');
          rest = lines.pop()!;
          for (const line of lines) list.push((JSON.parse(line) as { object: { data: { n: string } } }).object.data.n);
          arrived();
        });
        await new Promise((resolve) => stream.once('response', resolve));
      }
      const wanted = Array.from({ length: updates }, (_, i) => String(i));
      for (const n of wanted)
        await server.client.patch(
          configMaps,
          'crowd',
          'merge',
          // some of them too long to be put together with others
          { data: { n, filler: Number(n) % 10 === 9 ? 'x'.repeat(20_000) : '' } },
          { namespace: 'lw' },
        );
      while (seen.some((list) => list.length < updates)) await new Promise<void>((resolve) => (arrived = resolve));
      for (const list of seen) assert.deepEqual(list, wanted);
    } finally {
      s.destroy();
      await server.client.delete(configMaps, 'crowd', { namespace: 'lw' });
    }
  });

  it('watches over WebSocket, past the same authorization', async () => {
    const { cert, key } = server.client.options;
    const url = `${server.url.replace('https', 'wss')}${MAPS}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Da`;
    const ws = new WebSocket(url, { ca: server.ca, cert, key });
    const text = await new Promise<string>((resolve, reject) => {
      ws.once('message', (m: Buffer) => resolve(m.toString()));
      ws.once('error', reject);
    });
    assert.deepEqual(
      [(JSON.parse(text) as WatchEvent).type, (JSON.parse(text) as WatchEvent).object.metadata!.name],
      ['ADDED', 'a'],
    );
    ws.terminate();
    const jo = server.identity('jo');
    const refused = new WebSocket(url, { ca: server.ca, ...jo });
    const code = await new Promise<number>((resolve) => {
      refused.once('unexpected-response', (_req, res) => resolve(res.statusCode ?? 0));
      refused.once('error', () => {});
    });
    assert.equal(code, 403);
  });
});

describe('a server that stops', () => {
  it('ends watches in good order and takes no more requests', async () => {
    const server = await startTestServer();
    let begun: () => void = () => {};
    const open = new Promise<void>((resolve) => (begun = resolve));
    const ended = (async () => {
      let n = 0;
      for await (const _ of server.client.watch(namespaces, { resourceVersion: '0' })) {
        n++;
        begun();
      }
      return n;
    })();
    await open;
    await server.running.stop();
    assert.ok((await ended) >= 4);
    await assert.rejects(ask(server, { path: '/readyz' }));
    await server.stop();
  });
});
