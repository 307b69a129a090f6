import assert from 'node:assert/strict';
import { startCompactor } from '../../../apiserver/storage/compactor.ts';
import { createMemoryStore } from '../../../apiserver/storage/memory/store.ts';
import { CompactedError } from '../../../apiserver/storage/store.ts';
import { createWatchCache } from '../../../apiserver/storage/watch-cache.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { manualClock } from '../../support/clock.ts';
import { written } from './contract.ts';

/** Lets everything that is ready to run do so. */
const settle = () => systemClock.sleep(5);

describe('compactor', () => {
  it('forgets what is older than an interval, and nothing younger', async () => {
    const clock = manualClock();
    const store = createMemoryStore({ clock });
    const compactor = startCompactor({ store, clock, logger: silentLogger, intervalMs: 300_000 });
    await settle();
    const r1 = written(await store.create('/a', Buffer.from('1')));
    const r2 = written(await store.update('/a', Buffer.from('2'), r1));
    clock.advance(300_000);
    await settle();
    assert.equal((await store.get('/a', r1))!.value.toString(), '1');
    const r3 = written(await store.update('/a', Buffer.from('3'), r2));
    clock.advance(300_000);
    await settle();
    await assert.rejects(store.get('/a', r1), CompactedError);
    assert.equal((await store.get('/a', r3))!.value.toString(), '3');
    await compactor.stop();
  });

  it('ends what a cache can list at old revisions, also where nothing has changed since', async () => {
    const clock = manualClock();
    const store = createMemoryStore({ clock });
    const cache = createWatchCache({ store, clock, logger: silentLogger });
    const resource = await cache.resource({ prefix: '/things/', namespaced: false });
    const compactor = startCompactor({ store, clock, logger: silentLogger, intervalMs: 300_000 });
    await settle();
    const before = written(await store.create('/things/a', Buffer.from('{}')));
    await settle();
    written(await store.create('/elsewhere', Buffer.from('{}')));
    assert.equal((await resource.listAt(before)).entries.length, 1);
    for (let i = 0; i < 2; i++) {
      clock.advance(300_000);
      await settle();
    }
    await assert.rejects(resource.listAt(before), CompactedError);
    assert.equal((await resource.listAt(resource.revision)).entries.length, 1);
    await compactor.stop();
    await cache.close();
  });

  it('is done by one of several servers in an interval, also when one of them dies', async () => {
    const clock = manualClock();
    const store = createMemoryStore({ clock });
    let compactions = 0;
    const counting = { ...store, compact: (r: number) => (compactions++, store.compact(r)) };
    const servers = Array.from({ length: 3 }, () =>
      startCompactor({ store: counting, clock, logger: silentLogger, intervalMs: 300_000 }),
    );
    await settle();
    for (let i = 0; i < 6; i++) {
      written(await store.create(`/x${i}`, Buffer.from('x')));
      clock.advance(300_000);
      await settle();
      if (i === 2) await servers[0]!.stop();
    }
    assert.ok(compactions >= 5 && compactions <= 6, `${compactions} compactions in 6 intervals`);
    const { compactRevision } = await store.stats();
    assert.ok(compactRevision > 5 && compactRevision < (await store.currentRevision()));
    for (const s of servers) await s.stop();
  });
});
