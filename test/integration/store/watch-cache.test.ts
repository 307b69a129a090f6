import assert from 'node:assert/strict';
import { StatusError } from '../../../api/status.ts';
import type { CacheEvent, Scope } from '../../../apiserver/storage/cache.ts';
import { createMemoryStore } from '../../../apiserver/storage/memory/store.ts';
import { CompactedError } from '../../../apiserver/storage/store.ts';
import { createWatchCache } from '../../../apiserver/storage/watch-cache.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { manualClock } from '../../support/clock.ts';
import { bytes, Follower, inside, pod, type Pod, pods, put, setup } from './cache-harness.ts';
import { written } from './contract.ts';

function random(seed: number): (n: number) => number {
  return (n) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 4294967296) * n);
  };
}

describe('watch cache', () => {
  for (const { seed, engine, operations } of [
    { seed: 1, engine: 'memory', operations: 1500 },
    { seed: 2, engine: 'memory', operations: 1500 },
    { seed: 3, engine: 'memory', operations: 1500 },
    { seed: 4, engine: 'lmdb', operations: 300 },
  ]) {
    it(`agrees with the store under random operations (${engine}, seed ${seed})`, async () => {
      const next = random(seed);
      const { store, resource, close } = await setup({ lmdb: engine === 'lmdb' });
      const scopes = (): Scope => {
        const all: Scope[] = [
          {},
          { namespace: `ns${next(3)}` },
          { namespace: `ns${next(3)}`, name: `p${next(15)}` },
          { label: { key: 'app', value: `a${next(4)}` } },
          { field: { key: 'spec.nodeName', value: `n${next(3)}` } },
          { namespace: `ns${next(3)}`, label: { key: 'app', value: `a${next(4)}` } },
          { label: { key: 'app', value: `a${next(4)}` }, field: { key: 'spec.nodeName', value: `n${next(3)}` } },
          { name: `p${next(15)}` },
        ];
        return all[next(all.length)]!;
      };
      const followers: Follower[] = [];
      const revisions = [await store.currentRevision()];
      for (let n = 0; n < operations; n++) {
        const p = pod(`ns${next(3)}`, `p${next(15)}`, `a${next(4)}`, `n${next(3)}`, n);
        const key = `/pods/${p.metadata!.namespace}/${p.metadata!.name}`;
        const present = await store.get(key);
        if (!present) revisions.push(written(await store.create(key, bytes(p))));
        else if (next(3) === 0) revisions.push(written(await store.delete(key, present.revision)));
        else revisions.push(written(await store.update(key, bytes(p), present.revision)));
        if (next(10) === 0) await store.create(`/other/${n}`, bytes({}));
        if (next(40) === 0) {
          const f = new Follower(scopes());
          followers.push(f.follow(resource, f.load(resource)));
        }
        const f = followers[next(followers.length)];
        // Some go away for a while and come back where they were.
        if (f && next(8) === 0) {
          if (f.watcher) f.leave();
          else f.follow(resource, f.last);
        }
        if (n % 100 === 0) {
          const scope = scopes();
          const list = await store.list('/pods/');
          const got = await resource.list(scope);
          assert.equal(got.revision, list.revision);
          const all = (await resource.list()).entries;
          assert.deepEqual(
            all.map((e) => [e.key, e.revision]),
            list.items.map((i) => [i.key, i.revision]),
          );
          assert.deepEqual(
            got.entries,
            all.filter((e) => inside(scope, e)),
          );
          const revision = revisions[next(revisions.length)]!;
          const then = await store.list('/pods/', { revision });
          const past = await resource.listAt(revision);
          assert.deepEqual(
            past.entries.map((e) => [e.key, e.revision]),
            then.items.map((i) => [i.key, i.revision]),
          );
          assert.deepEqual(
            (await resource.listAt(revision, scope)).entries.map((e) => e.key),
            past.entries.filter((e) => inside(scope, e)).map((e) => e.key),
          );
        }
      }
      for (const f of followers) {
        f.leave();
        f.follow(resource, f.last);
        assert.deepEqual(f.mistakes, []);
        const expected = resource.snapshot(f.scope).entries.map((e) => [e.key, e.json.toString()]);
        assert.deepEqual(
          [...f.state].toSorted((a, b) => (a[0] < b[0] ? -1 : 1)),
          expected,
          JSON.stringify(f.scope),
        );
      }
      await close();
    });
  }

  it('gives the revision within the bytes and the object, also of a deletion', async () => {
    const { store, resource, close } = await setup();
    const r1 = await put(store, pod('a', 'x', 'web'));
    const events: CacheEvent[] = [];
    const w = resource.watch(r1 - 1, {}, { event: (e) => (events.push(e), true), progress() {}, end() {} });
    const r2 = written(await store.delete('/pods/a/x', r1));
    assert.deepEqual(
      events.map((e) => [e.type, e.revision, e.entry.object().metadata?.resourceVersion, e.previous?.revision]),
      [
        ['put', r1, String(r1), undefined],
        ['delete', r2, String(r2), r1],
      ],
    );
    assert.deepEqual(events[1]!.entry.labels, { app: 'web' });
    assert.deepEqual([events[0]!.entry.namespace, events[0]!.entry.name], ['a', 'x']);
    w.close();
    await close();
  });

  it('spends nothing on watchers of other names, namespaces and field values', async () => {
    const { store, resource, close } = await setup();
    let touched = 0;
    let told = 0;
    const counting = (scope: Scope): Scope => ({
      get namespace() {
        touched++;
        return scope.namespace;
      },
      get name() {
        touched++;
        return scope.name;
      },
      get label() {
        touched++;
        return scope.label;
      },
      get field() {
        touched++;
        return scope.field;
      },
    });
    const handlers = { event: () => (told++, true), progress() {}, end() {} };
    for (let i = 0; i < 100; i++) {
      resource.watch(resource.revision, counting({ namespace: 'a', name: `p${i}` }), handlers);
      resource.watch(resource.revision, counting({ namespace: `ns${i}` }), handlers);
      resource.watch(resource.revision, counting({ field: { key: 'spec.nodeName', value: `n${i}` } }), handlers);
      resource.watch(resource.revision, counting({ label: { key: 'app', value: `app${i}` } }), handlers);
    }
    touched = 0;
    await put(store, pod('b', 'stranger', 'none', 'elsewhere'));
    assert.deepEqual([touched, told], [0, 0]);
    await put(store, pod('ns7', 'x', 'app8', 'n9'));
    assert.equal(told, 3);
    await close();
  });

  it('drops watchers that are full, ends those that fail, and serves the others', async () => {
    const { store, resource, close } = await setup();
    let slow = 0;
    let failing = 0;
    const ends: string[] = [];
    const good = new Follower({}).follow(resource, resource.revision);
    resource.watch(resource.revision, {}, { event: () => ++slow < 2, progress() {}, end() {} });
    const failingHandler = {
      event: (): boolean => {
        failing++;
        throw new Error('broken handler');
      },
      progress() {},
      end: (error: Error) => void ends.push(error.message),
    };
    resource.watch(resource.revision, {}, failingHandler);
    for (let i = 0; i < 5; i++) await put(store, pod('a', `p${i}`, 'x'));
    assert.deepEqual([slow, failing, good.revisions.length], [2, 1, 5]);
    assert.deepEqual(ends, ['broken handler']);
    await close();
  });

  it('lets a watcher come and go while events are handed round', async () => {
    const { store, resource, close } = await setup();
    const late = new Follower({});
    const w = resource.watch(
      resource.revision,
      {},
      {
        event: (e) => {
          if (e.entry.name === 'p1') {
            w.close();
            late.follow(resource, e.revision - 1);
          }
          return true;
        },
        progress() {},
        end() {},
      },
    );
    const r = [];
    for (let i = 0; i < 4; i++) r.push(await put(store, pod('a', `p${i}`, 'x')));
    assert.deepEqual(late.revisions, r.slice(1));
    await close();
  });

  it('forgets history by time, count and size, and says so', async () => {
    const clock = manualClock();
    const { store, resource, close } = await setup({ clock, historyEvents: 10, historyBytes: 100_000 });
    const start = resource.revision;
    const revisions: number[] = [];
    for (let i = 0; i < 15; i++) revisions.push(await put(store, pod('a', `p${i}`, 'x')));
    assert.throws(() => new Follower({}).follow(resource, start), CompactedError);
    assert.deepEqual(new Follower({}).follow(resource, revisions[4]!).revisions, revisions.slice(5));
    clock.advance(310_000);
    assert.throws(() => new Follower({}).follow(resource, revisions[13]!), CompactedError);
    new Follower({}).follow(resource, revisions[14]!).watcher!.close();
    // Out of the window, but not yet out of the store.
    assert.equal((await resource.listAt(revisions[5]!)).entries.length, 6);
    await store.compact(revisions[14]!);
    await assert.rejects(resource.listAt(revisions[5]!), CompactedError);
    const big = pod('a', 'big', 'x'.repeat(60_000));
    const r1 = await put(store, big);
    await put(store, pod('a', 'big2', 'x'.repeat(60_000)));
    assert.throws(() => new Follower({}).follow(resource, r1 - 1), CompactedError);
    await close();
  });

  it('keeps fewer bytes of events that are no longer fresh', async () => {
    const clock = manualClock();
    const { store, resource, close } = await setup({ clock, historyBytes: 100_000, oldHistoryBytes: 25_000 });
    const revisions: number[] = [];
    const put10k = async (name: string) => revisions.push(await put(store, pod('a', name, 'x'.repeat(10_000))));
    for (let i = 0; i < 5; i++) await put10k(`p${i}`);
    clock.advance(70_000);
    const resumed = (i: number) => new Follower({}).follow(resource, revisions[i]!).revisions;
    assert.deepEqual(resumed(0), revisions.slice(1));
    clock.advance(12_000);
    assert.throws(() => resumed(0), CompactedError);
    assert.deepEqual(resumed(2), revisions.slice(3));
    // the fresh ones may be many again, and the old ones go before them
    for (let i = 5; i < 10; i++) await put10k(`p${i}`);
    assert.throws(() => resumed(3), CompactedError);
    assert.deepEqual(resumed(4), revisions.slice(5));
    await close();
  });

  it('forgets what was encoded of an object when nobody asks for it any more', async () => {
    const clock = manualClock();
    const { store, resource, close } = await setup({ clock });
    await put(store, pod('a', 'p', 'x'));
    await put(store, pod('a', 'q', 'x'));
    const entry = (name: string) => resource.peek(`/pods/a/${name}`)!;
    for (const name of ['p', 'q']) entry(name).views.set('v', bytes({}));
    clock.advance(90_000);
    assert.ok(entry('p').views.has('v'));
    clock.advance(90_000);
    assert.ok(entry('p').views.has('v'));
    assert.ok(!entry('q').views.has('v'));
    await close();
  });

  it('tells progress at once and then about each minute, also of writes elsewhere', async () => {
    const clock = manualClock();
    const { store, resource, close } = await setup({ clock });
    const f = new Follower({ namespace: 'a' }).follow(resource, resource.revision);
    assert.deepEqual(f.progress, [resource.revision]);
    const r = written(await store.create('/other/x', bytes({})));
    clock.advance(59_000);
    assert.equal(f.progress.length, 1);
    clock.advance(7_000);
    assert.deepEqual(f.progress.slice(1), [r]);
    await close();
  });

  it('reads consistently though the watch lags, with few requests', async () => {
    const { store, resource, close } = await setup({ patienceMs: 60_000 });
    store.pause();
    const r = await put(store, pod('a', 'x', 'web'));
    store.revisionRequests = 0;
    const reads = Array.from({ length: 100 }, () => resource.list({ namespace: 'a' }));
    assert.equal(resource.peek('/pods/a/x'), undefined);
    systemClock.after(20, () => store.resume());
    for (const list of await Promise.all(reads)) {
      assert.equal(list.entries[0]?.revision, r);
      assert.ok(list.revision >= r);
    }
    assert.ok(store.revisionRequests <= 2, `${store.revisionRequests} requests`);
    await close();
  });

  it('a read never builds on a revision that was asked for before it', async () => {
    const { store, resource, close } = await setup();
    for (let i = 0; i < 50; i++) {
      void resource.list();
      const p = pod('a', `p${i}`, 'x');
      await put(store, p);
      assert.ok(await resource.get(`/pods/a/p${i}`));
    }
    await close();
  });

  it('shows own writes at once, and only once', async () => {
    const { store, cache, resource, close } = await setup({ patienceMs: 60_000 });
    const f = new Follower({}).follow(resource, resource.revision);
    store.pause();
    const revisions: number[] = [];
    const writes = [];
    for (let i = 0; i < 5; i++) {
      const p = pod('a', `p${i}`, 'x');
      const value = bytes(p);
      const revision = written(await store.create(`/pods/a/p${i}`, value));
      revisions.push(revision);
      writes.push({ type: 'put' as const, key: `/pods/a/p${i}`, value, revision, object: p });
    }
    cache.wrote(writes[1]!);
    assert.equal(resource.peek('/pods/a/p1'), undefined, 'ahead of an unknown revision');
    cache.wrote(writes[0]!);
    assert.deepEqual(f.revisions, revisions.slice(0, 2));
    assert.equal((resource.peek('/pods/a/p1')!.object() as Pod).metadata?.resourceVersion, String(revisions[1]));
    cache.wrote(writes[3]!);
    store.resume();
    cache.wrote(writes[4]!);
    assert.deepEqual(f.revisions, revisions);
    const gone = written(await store.delete('/pods/a/p0', revisions[0]!));
    cache.wrote({ type: 'delete', key: '/pods/a/p0', value: Buffer.alloc(0), revision: gone });
    assert.deepEqual(f.revisions, [...revisions, gone]);
    assert.equal((await resource.list()).entries.length, 4);
    await close();
  });

  it('takes the object from the writer instead of parsing it', async () => {
    let parses = 0;
    const store = createMemoryStore({ clock: systemClock });
    const cache = createWatchCache({ store, clock: systemClock, logger: silentLogger });
    const parse = (b: Buffer) => (parses++, JSON.parse(b.toString()) as Pod);
    const resource = await cache.resource({ ...pods, parse });
    const f = new Follower({ field: { key: 'spec.nodeName', value: 'n1' } }).follow(resource, resource.revision);
    for (let i = 0; i < 10; i++) {
      const p = pod('a', `p${i}`, 'x', 'n1');
      const value = bytes(p);
      const key = `/pods/a/p${i}`;
      cache.hint(key, value, p);
      // an event may bring a copy
      written(await store.create(key, i % 2 === 0 ? value : Buffer.from(value)));
      cache.settled(key, value);
    }
    assert.equal(f.revisions.length, 10);
    assert.equal(parses, 0);
    // somebody else's write of the same key is another object
    const p = pod('a', 'p10', 'x', 'n1');
    cache.hint('/pods/a/p10', bytes(p), p);
    written(await store.create('/pods/a/p10', bytes(pod('a', 'p10', 'y', 'n1'))));
    assert.equal(parses, 1);
    assert.equal(resource.peek('/pods/a/p10')?.labels?.['app'], 'y');
    await cache.close();
    await store.close();
  });

  it('refuses to wait long for a revision that does not come', async () => {
    const clock = manualClock();
    const { resource, close } = await setup({ clock });
    const wait = resource.waitFor(resource.revision + 1000);
    clock.advance(3000);
    await assert.rejects(wait, (e: unknown) => {
      assert.ok(e instanceof StatusError);
      assert.equal(e.code, 504);
      assert.match(e.message, /Too large resource version: \d+, current: \d+/);
      return true;
    });
    await close();
  });

  it('leaves out what is not JSON, and serves the rest', async () => {
    const { store, cache, close } = await setup();
    await store.create('/things/bad', Buffer.from('k8s\0not JSON'));
    await store.create('/things/good', bytes({ metadata: { name: 'good' } }));
    const things = await cache.resource({ prefix: '/things/', namespaced: false });
    await store.create('/things/worse', Buffer.from('[]'));
    const r = written(await store.create('/things/more', bytes({ metadata: { name: 'more' } })));
    const list = await things.list();
    assert.deepEqual(
      list.entries.map((e) => e.name),
      ['good', 'more'],
    );
    assert.equal(list.revision, r);
    await close();
  });

  it('keeps frames only while an event is handed round', async () => {
    const { store, resource, close } = await setup();
    const events: CacheEvent[] = [];
    const take = (e: CacheEvent) => {
      events.push(e);
      const frame = e.frames.get('json');
      if (!frame) e.frames.set('json', e.entry.json);
      return true;
    };
    const handlers = { event: take, progress() {}, end() {} };
    resource.watch(resource.revision, {}, handlers);
    let shared: Buffer | undefined;
    const second = { ...handlers, event: (e: CacheEvent) => ((shared = e.frames.get('json')), true) };
    resource.watch(resource.revision, {}, second);
    await put(store, pod('a', 'x', 'web'));
    assert.equal(shared, events[0]!.entry.json);
    assert.equal(events[0]!.frames.size, 0);
    await close();
  });

  it('takes resources on and off at any time', async () => {
    const { store, cache, close } = await setup();
    const options = { prefix: '/example.com/things/', namespaced: false };
    await store.create('/example.com/things/a', bytes({ metadata: { name: 'a' } }));
    const [things, same] = await Promise.all([cache.resource(options), cache.resource(options)]);
    assert.equal(things, same);
    assert.equal(things.size, 1);
    const f = new Follower({}).follow(things, things.revision);
    await store.create('/example.com/things/b', bytes({ metadata: { name: 'b' } }));
    assert.equal(f.revisions.length, 1);
    cache.removeResource(options.prefix);
    assert.ok(f.ended);
    await store.create('/example.com/things/c', bytes({ metadata: { name: 'c' } }));
    const back = await cache.resource(options);
    assert.deepEqual(
      back.snapshot().entries.map((e) => e.name),
      ['a', 'b', 'c'],
    );
    await close();
  });
});
