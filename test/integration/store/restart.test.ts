/** A server that starts again on the same store: clients go on watching where they were. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CacheEvent, ResourceCache } from '../../../apiserver/storage/cache.ts';
import { COMPACTION_KEY } from '../../../apiserver/storage/compactor.ts';
import { createEtcdStore } from '../../../apiserver/storage/etcd/store.ts';
import { openStore } from '../../../apiserver/storage/open.ts';
import { CompactedError, type Store } from '../../../apiserver/storage/store.ts';
import { createWatchCache } from '../../../apiserver/storage/watch-cache.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { written } from './contract.ts';
import { startEtcd } from './etcd.ts';

const pods = { prefix: '/pods/', namespaced: true };
const things = { prefix: '/example.com/things/', namespaced: true };
const common = { clock: systemClock, logger: silentLogger };
const bytes = (name: string, n: number) => Buffer.from(JSON.stringify({ metadata: { name, namespace: 'a' }, n }));

const ENGINES: Record<string, () => Promise<{ open(): Promise<Store>; close(): Promise<void> }>> = {
  async lmdb() {
    const dataDir = await mkdtemp(join(tmpdir(), 'k8ts-restart-'));
    return {
      open: () => openStore({ backend: 'lmdb', dataDir, ...common }),
      close: () => rm(dataDir, { recursive: true, force: true }),
    };
  },
  async etcd() {
    const etcd = await startEtcd();
    return { open: async () => createEtcdStore({ ...etcd.options, clock: systemClock }), close: () => etcd.close() };
  },
};

/** All events that a watch from a revision is given at once, as texts. */
function past(cache: ResourceCache, after: number): string[] {
  const out: string[] = [];
  const told = (e: CacheEvent) => {
    const o = e.entry.object() as { n?: number };
    out.push(`${e.type} ${e.entry.name} ${o.n} at ${e.revision}${e.previous ? ` was ${e.previous.revision}` : ''}`);
    return true;
  };
  cache.watch(after, {}, { event: told, progress() {}, end() {} }).close();
  return out;
}

for (const [engine, make] of Object.entries(ENGINES))
  describe(`a restart on ${engine}`, function () {
    it('loses no event of those that clients still have to hear of', async () => {
      const place = await make();
      let store = await place.open();
      let cache = createWatchCache({ store, ...common });
      try {
        const first = await cache.resource(pods);
        await cache.resource(things);
        const created = written(await store.create('/pods/a/x', bytes('x', 1)));
        const gone = written(await store.create('/pods/a/y', bytes('y', 1)));
        const known = written(await store.update('/pods/a/x', bytes('x', 2), created));
        const thing = written(await store.create('/example.com/things/a/t', bytes('t', 1)));
        await first.waitFor(thing);
        await cache.close();
        // While no server runs, another writes.
        const third = written(await store.update('/pods/a/x', bytes('x', 3), known));
        const deleted = written(await store.delete('/pods/a/y', gone));
        const thing2 = written(await store.update('/example.com/things/a/t', bytes('t', 2), thing));
        await store.close();

        store = await place.open();
        cache = createWatchCache({ store, ...common });
        const again = await cache.resource(pods);
        assert.ok(again.revision >= thing2);
        assert.deepEqual(
          again.snapshot().entries.map((e) => `${e.name} ${e.revision}`),
          [`x ${third}`],
        );
        assert.deepEqual(past(again, known), [
          `put x 3 at ${third} was ${known}`,
          `delete y 1 at ${deleted} was ${gone}`,
        ]);
        assert.deepEqual(past(again, created)[0], `put y 1 at ${gone}`);
        assert.deepEqual(
          (await again.listAt(gone)).entries.map((e) => `${e.name} ${e.revision}`),
          [`x ${created}`, `y ${gone}`],
        );
        const fourth = written(await store.update('/pods/a/x', bytes('x', 4), third));
        await again.waitFor(fourth);
        assert.deepEqual(past(again, deleted), [`put x 4 at ${fourth} was ${third}`]);
        // A custom resource is opened a little later.
        const later = await cache.resource(things);
        assert.deepEqual(past(later, thing), [`put t 2 at ${thing2} was ${thing}`]);
        assert.equal(later.snapshot().entries[0]!.revision, thing2);
      } finally {
        await cache.close();
        await store.close();
        await place.close();
      }
    });

    it('says what is forgotten, whoever compacted', async () => {
      const place = await make();
      let store = await place.open();
      const revisions: number[] = [];
      const write = async (n: number) => {
        const current = await store.get('/pods/a/x');
        const made = current
          ? await store.update('/pods/a/x', bytes('x', n), current.revision)
          : await store.create('/pods/a/x', bytes('x', n));
        revisions.push(written(made));
      };
      try {
        for (let n = 0; n < 10; n++) await write(n);
        // By other means than our own servers', which leave a mark.
        await store.compact(revisions[4]!);
        let cache = createWatchCache({ store, ...common });
        let resource = await cache.resource(pods);
        assert.throws(() => past(resource, revisions[3]!), CompactedError);
        assert.equal(resource.snapshot().entries[0]!.revision, revisions[9]);
        await cache.close();

        await store.create(COMPACTION_KEY, Buffer.from(`{"compacted":${revisions[6]}}`));
        await store.compact(revisions[6]!);
        await store.close();
        store = await place.open();
        cache = createWatchCache({ store, ...common });
        resource = await cache.resource(pods);
        assert.throws(() => past(resource, revisions[5]!), CompactedError);
        assert.equal(past(resource, revisions[6]!).length, 3);
        await cache.close();
      } finally {
        await store.close();
        await place.close();
      }
    });
  });
