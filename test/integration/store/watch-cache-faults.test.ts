import assert from 'node:assert/strict';
import { createEtcdStore } from '../../../apiserver/storage/etcd/store.ts';
import { CompactedError, RequestTooLargeError, StoreUnavailableError } from '../../../apiserver/storage/store.ts';
import { createWatchCache, PROGRESS_KEY } from '../../../apiserver/storage/watch-cache.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { eventually } from '../../support/wait.ts';
import { Follower, pod, pods, put, setup } from './cache-harness.ts';
import { written } from './contract.ts';
import { startEtcd } from './etcd.ts';

describe('watch cache over a store that fails', () => {
  it('goes on after the watch broke, losing and repeating nothing', async () => {
    const { store, resource, close } = await setup();
    const f = new Follower({}).follow(resource, resource.revision);
    const r = [await put(store, pod('a', 'p0', 'x'))];
    store.pause();
    r.push(await put(store, pod('a', 'p1', 'x')));
    store.cut(new StoreUnavailableError('cut'));
    store.resume();
    r.push(await put(store, pod('a', 'p2', 'x')));
    assert.ok(await resource.get('/pods/a/p2'));
    assert.deepEqual(f.revisions, r);
    assert.equal(f.ended, undefined);
    await close();
  });

  it('goes on after the watch broke while the store has too much to do to say that it is there', async () => {
    const { store, resource, close } = await setup();
    const { ping } = store;
    let refusals = 2;
    store.ping = () =>
      refusals-- > 0 ? Promise.reject(new RequestTooLargeError('etcdserver: too many requests')) : ping.call(store);
    store.cut(new StoreUnavailableError('cut'));
    await put(store, pod('a', 'p0', 'x'));
    await eventually(async () => assert.ok(await resource.get('/pods/a/p0')));
    await close();
  });

  it('reads anew and ends its watches when history is lost', async () => {
    const { store, cache, resource, close } = await setup();
    const f = new Follower({}).follow(resource, resource.revision);
    await put(store, pod('a', 'p0', 'x'));
    store.pause();
    await put(store, pod('a', 'p1', 'x'));
    const r = await put(store, pod('a', 'p2', 'x'));
    await store.compact(r);
    store.cut(new StoreUnavailableError('cut'));
    store.resume();
    const list = await resource.list();
    assert.deepEqual(
      list.entries.map((e) => e.name),
      ['p0', 'p1', 'p2'],
    );
    assert.ok(f.ended instanceof CompactedError);
    assert.equal(f.revisions.length, 1);
    assert.equal(cache.ready, true);
    assert.throws(() => new Follower({}).follow(resource, r - 1), CompactedError);
    const again = new Follower({}).follow(resource, list.revision);
    const r2 = await put(store, pod('a', 'p3', 'x'));
    assert.deepEqual(again.revisions, [r2]);
    await close();
  });
});

describe('watch cache on etcd', () => {
  it('moves on though others write in the same etcd, and outlives its absence', async () => {
    const etcd = await startEtcd();
    const store = createEtcdStore({ ...etcd.options, clock: systemClock });
    const other = createEtcdStore({ ...etcd.options, prefix: '/elsewhere', clock: systemClock });
    const cache = createWatchCache({ store, clock: systemClock, logger: silentLogger, patienceMs: 50 });
    try {
      const resource = await cache.resource(pods);
      const f = new Follower({}).follow(resource, resource.revision);
      const r = [await put(store, pod('a', 'p0', 'x'))];
      written(await other.create('/x', Buffer.from('x')));
      assert.equal((await resource.list()).entries.length, 1);
      assert.ok(await store.get(PROGRESS_KEY), 'it did not have to move on');

      await etcd.kill();
      await assert.rejects(resource.list(), StoreUnavailableError);
      assert.equal(resource.snapshot().entries.length, 1);
      await etcd.start();
      const written1 = await eventually(() => put(store, pod('a', 'p1', 'x')));
      r.push(written1);
      const deleted = written(await store.delete('/pods/a/p0', r[0]!));
      r.push(deleted);
      const list = await eventually(() => resource.list());
      assert.deepEqual(
        list.entries.map((e) => e.name),
        ['p1'],
      );
      assert.deepEqual(f.revisions, r);
      assert.equal(f.ended, undefined);
    } finally {
      await cache.close();
      await store.close();
      await other.close();
      await etcd.close();
    }
  });
});
