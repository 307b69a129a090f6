import assert from 'node:assert/strict';
import { systemClock, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import type { ConfigMap, DeepReadonly } from '../../../api/types.ts';
import { METADATA_ONLY, METADATA_ONLY_LIST } from '../../../client/client.ts';
import { createInformer, type Index, type Informer } from '../../../client/informer.ts';
import { configMaps } from '../../../client/resources.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

const byOwner: Index<ConfigMap> = { values: (m) => (m.data?.['owner'] ? [m.data['owner']] : []) };

describe('informer against our API server', () => {
  let server: TestServer;
  const informers: Informer<ConfigMap>[] = [];
  before(async () => {
    server = await startTestServer();
  });
  after(async () => {
    for (const i of informers) i.stop();
    await server.stop();
  });

  function informer(
    options: { fieldSelector?: string; namespace?: string; accept?: string; listAccept?: string } = {},
  ): Informer<ConfigMap> {
    const i = createInformer(configMaps, {
      client: server.client,
      clock: systemClock,
      rand: systemRand,
      logger: silentLogger,
      freeze: true,
      ...options,
    });
    informers.push(i);
    i.start();
    return i;
  }
  /** Resolves with the next event that `is` says yes to. */
  function next(
    i: Informer<ConfigMap>,
    is: (what: string, m: DeepReadonly<ConfigMap>) => boolean,
  ): Promise<DeepReadonly<ConfigMap>> {
    return new Promise((resolve) => {
      const see = (what: string) => (m: DeepReadonly<ConfigMap>) => {
        if (!is(what, m)) return;
        i.off(handlers);
        resolve(m);
      };
      const handlers = { added: see('added'), updated: see('updated'), deleted: see('deleted') };
      i.on(handlers);
    });
  }
  const map = (name: string, data: Record<string, string>) => ({ metadata: { name, namespace: 'default' }, data });
  const named = (name: string) => (_what: string, m: DeepReadonly<ConfigMap>) => m.metadata?.name === name;

  it('has what was there and follows what comes, in handlers that see the cache of their event', async () => {
    await server.client.create(configMaps, map('a', { owner: 'x' }));
    const i = informer({ namespace: 'default' });
    await i.synced();
    assert.equal(i.get('a', 'default')?.data?.['owner'], 'x');
    assert.equal(i.get('a', 'default')?.metadata?.managedFields, undefined);
    assert.ok(Object.isFrozen(i.get('a', 'default')));
    const seen: string[] = [];
    i.on({
      added: (m) =>
        seen.push(
          `${m.metadata?.name} ${Number(i.resourceVersion) >= Number(m.metadata?.resourceVersion)} ${i.get('b', 'default') !== undefined || m.metadata?.name !== 'b'}`,
        ),
    });
    const arrived = next(i, named('b'));
    await server.client.create(configMaps, map('b', { owner: 'x' }));
    await arrived;
    assert.ok(seen.includes('b true true'));
  });

  it('keeps an index that is asked for late', async () => {
    const i = informer({ namespace: 'default' });
    await i.synced();
    const names = (owner: string) =>
      i
        .lookup(byOwner, owner)
        .map((m) => m.metadata?.name)
        .toSorted((a, b) => (a! < b! ? -1 : 1));
    assert.deepEqual(names('x'), ['a', 'b']);
    const moved = next(i, (what, m) => what === 'updated' && m.metadata?.name === 'b' && m.data?.['owner'] === 'y');
    await server.client.patch(configMaps, 'b', 'merge', { data: { owner: 'y' } }, { namespace: 'default' });
    await moved;
    assert.deepEqual([names('x'), names('y'), names('z')], [['a'], ['b'], []]);
    const gone = next(i, (what, m) => what === 'deleted' && m.metadata?.name === 'b');
    await server.client.delete(configMaps, 'b', { namespace: 'default' });
    await gone;
    assert.deepEqual(names('y'), []);
  });

  it('holds only what a field selector lets in', async () => {
    const i = informer({ fieldSelector: 'metadata.name=only' });
    await i.synced();
    assert.equal(i.size, 0);
    const arrived = next(i, named('only'));
    await server.client.create(configMaps, map('other', {}));
    await server.client.create(configMaps, map('only', {}));
    await arrived;
    assert.equal(i.size, 1);
  });

  it('fetches metadata alone when asked to', async () => {
    const i = informer({ namespace: 'default', accept: METADATA_ONLY, listAccept: METADATA_ONLY_LIST });
    await i.synced();
    assert.equal(i.get('a', 'default')?.metadata?.name, 'a');
    assert.equal(i.get('a', 'default')?.data, undefined);
  });
});
