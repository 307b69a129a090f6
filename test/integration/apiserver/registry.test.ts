import assert from 'node:assert/strict';
import { configMaps, namespaces } from '../../../client/resources.ts';
import { hasCode, isNotFound } from '../../../api/status.ts';
import { startTestServer, type TestServer } from './harness.ts';

describe('the generic registry', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.client.create(namespaces, { metadata: { name: 'reg' } });
  });
  after(() => server.stop());

  it('creates, reads, lists, updates and deletes an object', async () => {
    const { client } = server;
    const made = await client.create(configMaps, { metadata: { name: 'a', namespace: 'reg' }, data: { k: 'v' } });
    assert.match(made.metadata!.uid!, /^[0-9a-f-]{36}$/);
    const read = await client.get(configMaps, 'a', 'reg');
    assert.deepEqual(read.data, { k: 'v' });
    assert.equal(read.metadata!.resourceVersion, made.metadata!.resourceVersion);
    const list = await client.list(configMaps, { namespace: 'reg' });
    assert.deepEqual(
      list.items.map((i) => i.metadata!.name),
      ['a'],
    );
    const updated = await client.update(configMaps, { ...read, data: { k: 'w' } });
    assert.notEqual(updated.metadata!.resourceVersion, read.metadata!.resourceVersion);
    await assert.rejects(client.update(configMaps, { ...read, data: { k: 'x' } }), (e) => hasCode(e, 409));
    await client.delete(configMaps, 'a', { namespace: 'reg' });
    await assert.rejects(client.get(configMaps, 'a', 'reg'), (e) => isNotFound(e));
  });

  it('tells watchers of changes', async () => {
    const { client } = server;
    const seen: string[] = [];
    const stop = new AbortController();
    const start = await client.list(configMaps, { namespace: 'reg' });
    const watching = (async () => {
      for await (const e of client.watch(configMaps, {
        namespace: 'reg',
        resourceVersion: start.metadata!.resourceVersion,
        signal: stop.signal,
      })) {
        seen.push(`${e.type} ${e.object.metadata!.name}`);
        if (seen.length === 3) break;
      }
    })();
    const made = await client.create(configMaps, { metadata: { name: 'w', namespace: 'reg' } });
    await client.update(configMaps, { ...made, data: { a: 'b' } });
    await client.delete(configMaps, 'w', { namespace: 'reg' });
    await watching;
    assert.deepEqual(seen, ['ADDED w', 'MODIFIED w', 'DELETED w']);
  });
});
