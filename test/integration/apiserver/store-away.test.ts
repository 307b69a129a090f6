/** The server while its store is away: it says so, keeps watches open, and goes on by itself. */
import assert from 'node:assert/strict';
import { createEtcdStore } from '../../../apiserver/storage/etcd/store.ts';
import { systemClock } from '../../../base/clock.ts';
import { configMaps, namespaces } from '../../../client/resources.ts';
import { startEtcd, type Etcd } from '../store/etcd.ts';
import { until } from '../../support/wait.ts';
import { startTestServer, type TestServer } from './harness.ts';
import { ask } from './http.ts';

describe('a server whose etcd goes away', function () {
  let etcd: Etcd;
  let store: ReturnType<typeof createEtcdStore>;
  let server: TestServer;
  before(async () => {
    etcd = await startEtcd();
    store = createEtcdStore({ ...etcd.options, clock: systemClock });
    server = await startTestServer({ store });
    await server.client.create(namespaces, { metadata: { name: 'away' } });
  });
  after(async () => {
    await server?.stop();
    await store?.close();
    await etcd?.close();
  });

  it('says so, and then serves and tells everything', async () => {
    const { client } = server;
    const maps = '/api/v1/namespaces/away/configmaps';
    const first = await client.create(configMaps, { metadata: { name: 'before', namespace: 'away' } });
    const seen: string[] = [];
    const leaving = new AbortController();
    const watching = (async () => {
      const o = { namespace: 'away', resourceVersion: first.metadata!.resourceVersion, signal: leaving.signal };
      for await (const e of client.watch(configMaps, o)) seen.push(`${e.type} ${e.object.metadata?.name}`);
    })().catch(() => {});
    await client.create(configMaps, { metadata: { name: 'during', namespace: 'away' } });
    await until(() => seen.length > 0);

    await etcd.kill();
    for (const [method, path, body] of [
      ['POST', maps, { metadata: { name: 'lost' } }],
      ['PUT', `${maps}/before`, { metadata: { name: 'before' }, data: { a: 'b' } }],
      ['DELETE', `${maps}/before`, undefined],
      ['GET', maps, undefined],
      ['GET', `${maps}/before`, undefined],
    ] as const) {
      const a = await ask(server, { method, path, body });
      assert.equal(a.code, 503, `${method} ${path}: ${a.body.toString()}`);
      assert.equal(a.json.kind, 'Status');
    }
    // What needs no newest state is answered from the cache, and the process is well, only not ready.
    const cached = await ask(server, { path: `${maps}?resourceVersion=0` });
    assert.deepEqual(
      cached.json.items.map((i) => (i.metadata as { name: string }).name),
      ['before', 'during'],
    );
    assert.equal((await ask(server, { path: '/readyz' })).code, 500);

    await etcd.start();
    await until(async () => (await ask(server, { path: '/readyz' })).code === 200);
    await until(async () => (await ask(server, { path: maps })).code === 200);
    const names = (await client.list(configMaps, { namespace: 'away' })).items.map((i) => i.metadata!.name);
    // A write that failed may have happened, or not; nothing else has.
    assert.ok(names.includes('during') && names.every((n) => ['before', 'during', 'lost'].includes(n!)), names.join());
    await until(async () => {
      const a = await ask(server, { path: maps, body: { metadata: { name: 'after' } } });
      return a.code === 201 || a.code === 409;
    });
    await until(() => seen.includes('ADDED after'));
    leaving.abort();
    await watching;
    assert.equal(seen[0], 'ADDED during');
  });
});
