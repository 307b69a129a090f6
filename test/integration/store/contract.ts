/** What every engine must do; run for each of them by engines.test.ts. */
import assert from 'node:assert/strict';
import { int, pick, seeded } from '../../unit/api/gen.ts';
import {
  CompactedError,
  FutureRevisionError,
  type Store,
  type StoreEvent,
  type WriteResult,
} from '../../../apiserver/storage/store.ts';
import { systemClock } from '../../../base/clock.ts';
import { BOUND_MS } from '../../support/wait.ts';

/** One engine under test; every store that `open` gives is empty. */
export interface Engine {
  readonly name: string;
  /** How many work against each other where every try costs a round trip; defaults to 200. */
  readonly contenders?: number;
  open(): Promise<{ store: Store; discard: () => Promise<void> }>;
}

const bytes = (text: string) => Buffer.from(text);

/** The revision of a write that must have succeeded. */
export function written(r: WriteResult): number {
  assert.ok(r.ok, 'the write was refused');
  return r.revision;
}

/** Collects events until a condition holds; fails with what came when it doesn't in time. */
export class Recorder {
  readonly events: StoreEvent[] = [];
  readonly batches: StoreEvent[][] = [];
  error: Error | undefined;
  #wake: (() => void) | undefined;

  readonly handlers = {
    events: (events: readonly StoreEvent[]) => {
      this.batches.push([...events]);
      this.events.push(...events);
      this.#wake?.();
    },
    error: (error: Error) => {
      this.error = error;
      this.#wake?.();
    },
  };

  async until(condition: () => boolean, ms = BOUND_MS): Promise<void> {
    const deadline = Date.now() + ms;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0) assert.fail(`not in time; got ${this.events.length} events, error: ${this.error?.message}`);
      await new Promise<void>((resolve) => {
        const t = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(t);
          resolve();
        };
      });
    }
  }
}

/** Defines the suite for one engine. */
export function storeContract(engine: Engine): void {
  describe(`store contract: ${engine.name}`, function () {
    this.timeout(300_000);
    let store: Store;
    let discard: () => Promise<void>;

    beforeEach(async () => {
      ({ store, discard } = await engine.open());
    });
    afterEach(() => discard());

    it('creates, reads, updates and deletes by revision', async () => {
      assert.equal(await store.get('/pods/a/x'), undefined);
      const r1 = written(await store.create('/pods/a/x', bytes('1')));
      assert.deepEqual(await store.get('/pods/a/x'), { key: '/pods/a/x', value: bytes('1'), revision: r1 });
      const r2 = written(await store.update('/pods/a/x', bytes('2'), r1));
      assert.ok(r2 > r1);
      const r3 = written(await store.delete('/pods/a/x', r2));
      assert.ok(r3 > r2);
      assert.equal(await store.get('/pods/a/x'), undefined);
      assert.equal(await store.currentRevision(), r3);
    });

    it('refuses writes whose expectation fails and tells what is there', async () => {
      const r1 = written(await store.create('/pods/a/x', bytes('1')));
      const current = { key: '/pods/a/x', value: bytes('1'), revision: r1 };
      assert.deepEqual(await store.create('/pods/a/x', bytes('2')), { ok: false, current });
      assert.deepEqual(await store.update('/pods/a/x', bytes('2'), r1 + 1), { ok: false, current });
      assert.deepEqual(await store.delete('/pods/a/x', r1 - 1), { ok: false, current });
      assert.deepEqual(await store.update('/pods/a/y', bytes('2'), r1), { ok: false, current: undefined });
      assert.deepEqual(await store.delete('/pods/a/y', r1), { ok: false, current: undefined });
      assert.equal(await store.currentRevision(), r1);
    });

    it('loses no update among 200 concurrent increments', async () => {
      written(await store.create('/counter', bytes('0')));
      const contenders = engine.contenders ?? 200;
      const revisions: number[] = [];
      const contend = async () => {
        let seen = await store.get('/counter');
        for (let done = 0; done < 200 / contenders;) {
          const r = await store.update('/counter', bytes(String(Number(seen!.value.toString()) + 1)), seen!.revision);
          if (r.ok) {
            done++;
            revisions.push(r.revision);
            seen = await store.get('/counter');
          } else seen = r.current;
        }
      };
      await Promise.all(Array.from({ length: contenders }, contend));
      assert.equal((await store.get('/counter'))!.value.toString(), '200');
      assert.equal(new Set(revisions).size, 200);
    });

    it('lets exactly one of many concurrent creates win', async () => {
      const results = await Promise.all(Array.from({ length: 50 }, (_, i) => store.create('/one', bytes(String(i)))));
      assert.equal(results.filter((r) => r.ok).length, 1);
      const winner = results.findIndex((r) => r.ok);
      assert.equal((await store.get('/one'))!.value.toString(), String(winner));
      for (const r of results) if (!r.ok) assert.equal(r.current?.value.toString(), String(winner));
    });

    it('reads at exact revisions', async () => {
      const r1 = written(await store.create('/pods/a/x', bytes('1')));
      const r2 = written(await store.update('/pods/a/x', bytes('2'), r1));
      const r3 = written(await store.create('/pods/a/y', bytes('y')));
      const r4 = written(await store.delete('/pods/a/x', r2));
      assert.equal((await store.get('/pods/a/x', r1))!.value.toString(), '1');
      assert.equal((await store.get('/pods/a/x', r3))!.value.toString(), '2');
      assert.equal(await store.get('/pods/a/x', r4), undefined);
      const names = async (revision: number) =>
        (await store.list('/pods/', { revision })).items.map((i) => i.key + '=' + i.value.toString());
      assert.deepEqual(await names(r1), ['/pods/a/x=1']);
      assert.deepEqual(await names(r3), ['/pods/a/x=2', '/pods/a/y=y']);
      assert.deepEqual(await names(r4), ['/pods/a/y=y']);
      await assert.rejects(store.get('/pods/a/x', r4 + 1000), FutureRevisionError);
      await assert.rejects(store.list('/pods/', { revision: r4 + 1000 }), FutureRevisionError);
    });

    it('agrees with a simple model under random operations', async () => {
      const r = seeded(41);
      const keys = ['/a/x', '/a/y', '/a/y/z', '/a0', '/b/x', '/b/ü'];
      const model = new Map<string, { value: string; revision: number }>();
      const past: { revision: number; state: Map<string, { value: string; revision: number }> }[] = [];
      const told: string[] = [];
      const expected: string[] = [];
      const start = await store.currentRevision();
      const watch = store.watch('/', start, {
        events: (events) => {
          for (const e of events) told.push(`${e.type} ${e.key} ${e.value.toString()} ${e.revision}`);
        },
        error: (e) => told.push(String(e)),
      });
      let last = start;
      for (let i = 0; i < 300; i++) {
        const key = pick(r, keys);
        const known = model.get(key);
        const revision = r.next() < 0.7 ? (known?.revision ?? last) : int(r, 1, last);
        const value = `${key} ${i}`;
        const what = pick(r, ['create', 'update', 'update', 'delete'] as const);
        const result =
          what === 'create'
            ? await store.create(key, bytes(value))
            : what === 'update'
              ? await store.update(key, bytes(value), revision)
              : await store.delete(key, revision);
        const fits = what === 'create' ? known === undefined : known?.revision === revision;
        assert.equal(result.ok, fits, `${what} ${key} at ${revision}`);
        if (!result.ok) {
          assert.deepEqual(
            result.current && { value: result.current.value.toString(), revision: result.current.revision },
            known,
          );
          continue;
        }
        assert.ok(result.revision > last, 'revisions grow');
        last = result.revision;
        if (what === 'delete') model.delete(key);
        else model.set(key, { value, revision: last });
        expected.push(
          `${what === 'delete' ? 'delete' : 'put'} ${key} ${what === 'delete' ? known!.value : value} ${last}`,
        );
        past.push({ revision: last, state: new Map(model) });
      }
      assert.ok(past.length > 100);
      for (const { revision, state } of past.filter(() => r.next() < 0.3)) {
        const prefix = pick(r, ['/', '/a', '/a/', '/b/']);
        const startKey = r.next() < 0.3 ? pick(r, keys) : undefined;
        const limit = r.next() < 0.3 ? int(r, 1, 3) : undefined;
        const inside = [...state]
          .filter(
            ([k]) => k.startsWith(prefix) && (startKey === undefined || Buffer.compare(bytes(k), bytes(startKey)) >= 0),
          )
          .sort(([a], [b]) => Buffer.compare(bytes(a), bytes(b)))
          .map(([k, v]) => ({ key: k, ...v }));
        const list = await store.list(prefix, { revision, startKey, limit });
        assert.deepEqual(
          list.items.map((i) => ({ key: i.key, value: i.value.toString(), revision: i.revision })),
          inside.slice(0, limit),
        );
        assert.deepEqual([list.revision, list.more], [revision, limit !== undefined && inside.length > limit]);
        const key = pick(r, keys);
        const got = await store.get(key, revision);
        assert.deepEqual(got && { value: got.value.toString(), revision: got.revision }, state.get(key));
      }
      for (const end = Date.now() + BOUND_MS; told.length < expected.length && Date.now() < end;)
        await new Promise((resolve) => setTimeout(resolve, 10));
      watch.close();
      assert.deepEqual(told, expected);
    });

    it('pages a list at one revision', async () => {
      const keys = Array.from({ length: 25 }, (_, i) => `/pods/a/${String(i).padStart(3, '0')}`);
      for (const k of keys) written(await store.create(k, bytes(k)));
      const first = await store.list('/pods/', { limit: 10 });
      assert.equal(first.items.length, 10);
      assert.equal(first.more, true);
      assert.equal(first.remaining, 15);
      // What happens between pages isn't seen.
      written(await store.create('/pods/a/0115', bytes('new')));
      written(await store.delete('/pods/a/020', first.items[0]!.revision + 20));
      const seen = first.items.map((i) => i.key);
      for (let page = first; page.more;) {
        page = await store.list('/pods/', { revision: first.revision, startKey: seen.at(-1) + '\0', limit: 10 });
        assert.equal(page.revision, first.revision);
        seen.push(...page.items.map((i) => i.key));
      }
      assert.deepEqual(seen, keys);
    });

    it('keeps prefixes apart and orders keys by their bytes', async () => {
      const keys = ['/pods/a/1', '/pods/a/ä', '/pods/a/日本', '/pods/a/😀', '/pods/a/\uffee', '/pods/a/b c"\\%'];
      for (const k of [...keys, '/pods/ab/1', '/pods/a', '/pods/a0', '/podsx/a/1']) {
        written(await store.create(k, bytes(k)));
      }
      const sorted = keys.toSorted((a, b) => Buffer.compare(bytes(a), bytes(b)));
      assert.deepEqual(
        (await store.list('/pods/a/')).items.map((i) => i.key),
        sorted,
      );
      assert.deepEqual(
        (await store.list('/pods/a/', { startKey: sorted[2]! })).items.map((i) => i.key),
        sorted.slice(2),
      );
      for (const k of keys) assert.equal((await store.get(k))!.value.toString(), k);
    });

    it('watches from now, from the past and under a prefix only', async () => {
      const r1 = written(await store.create('/pods/a/x', bytes('1')));
      const past = new Recorder();
      const now = new Recorder();
      const w1 = store.watch('/pods/a/', r1 - 1, past.handlers);
      const w2 = store.watch('/pods/a/', r1, now.handlers);
      const r2 = written(await store.update('/pods/a/x', bytes('2'), r1));
      written(await store.create('/pods/ab/x', bytes('other')));
      const r4 = written(await store.delete('/pods/a/x', r2));
      await past.until(() => past.events.length >= 3);
      await now.until(() => now.events.length >= 2);
      const told = (r: Recorder) => r.events.map((e) => [e.type, e.key, e.value.toString(), e.revision]);
      const later = [
        ['put', '/pods/a/x', '2', r2],
        ['delete', '/pods/a/x', '2', r4],
      ];
      assert.deepEqual(told(past), [['put', '/pods/a/x', '1', r1], ...later]);
      assert.deepEqual(told(now), later);
      w1.close();
      written(await store.create('/pods/a/z', bytes('z')));
      await now.until(() => now.events.length >= 3);
      assert.equal(past.events.length, 3);
      w2.close();
    });

    it('cuts off a watch that cannot take a change, and tells all others of it', async () => {
      const from = await store.currentRevision();
      let told: Error | undefined;
      const broken = {
        events() {
          throw new Error('not this one');
        },
        error: (error: Error) => (told = error),
      };
      store.watch('/pods/', from, broken);
      const other = new Recorder();
      const w = store.watch('/pods/', from, other.handlers);
      // Both have begun when the first change comes.
      await systemClock.sleep(0);
      for (const name of ['a', 'b']) written(await store.create(`/pods/a/${name}`, bytes('1')));
      await other.until(() => other.events.length === 2 && told !== undefined);
      w.close();
    });

    it('resumes a watch without losing or repeating events', async () => {
      let last = await store.currentRevision();
      const seen: number[] = [];
      const all: number[] = [];
      for (let round = 0; round < 5; round++) {
        for (let i = 0; i < 20; i++) all.push(written(await store.create(`/pods/a/${round}-${i}`, bytes('x'))));
        const r = new Recorder();
        const w = store.watch('/', last, r.handlers);
        await r.until(() => r.events.length >= 20);
        w.close();
        seen.push(...r.events.map((e) => e.revision));
        last = seen.at(-1)!;
      }
      assert.deepEqual(seen, all);
    });

    it('tells all events of concurrent writers in order, whole revisions at a time', async () => {
      const start = await store.currentRevision();
      const r = new Recorder();
      const w = store.watch('/', start, r.handlers);
      const mine: number[] = [];
      await Promise.all(
        Array.from({ length: 20 }, async (_, n) => {
          let revision = written(await store.create(`/pods/a/${n}`, bytes('0')));
          mine.push(revision);
          for (let i = 1; i < 10; i++) {
            revision = written(await store.update(`/pods/a/${n}`, bytes(String(i)), revision));
            mine.push(revision);
          }
        }),
      );
      await r.until(() => r.events.length >= 200);
      w.close();
      const told = r.events.map((e) => e.revision);
      assert.deepEqual(
        told,
        mine.toSorted((a, b) => a - b),
      );
      for (let i = 1; i < r.batches.length; i++) {
        assert.ok(r.batches[i]![0]!.revision > r.batches[i - 1]!.at(-1)!.revision);
      }
    });

    it('shows an acknowledged write to whoever asks next', async () => {
      for (let i = 0; i < 20; i++) {
        const r = written(await store.create(`/k${i}`, bytes('x')));
        assert.ok((await store.currentRevision()) >= r);
        assert.equal((await store.get(`/k${i}`))!.revision, r);
        assert.equal((await store.list('/k')).items.length, i + 1);
      }
    });

    it('forgets history when compacted, and says so', async () => {
      const r1 = written(await store.create('/pods/a/x', bytes('1')));
      const r2 = written(await store.update('/pods/a/x', bytes('2'), r1));
      const r3 = written(await store.create('/pods/a/gone', bytes('g')));
      const r4 = written(await store.delete('/pods/a/gone', r3));
      const r5 = written(await store.update('/pods/a/x', bytes('3'), r2));
      const r6 = written(await store.delete('/pods/a/x', r5));
      await store.compact(r5);
      await store.compact(r2);
      await assert.rejects(store.get('/pods/a/x', r1), CompactedError);
      await assert.rejects(store.list('/pods/', { revision: r4 }), CompactedError);
      assert.equal((await store.get('/pods/a/x', r5))!.value.toString(), '3');
      assert.equal(await store.get('/pods/a/x'), undefined);
      const old = new Recorder();
      store.watch('/', r1, old.handlers);
      await old.until(() => old.error !== undefined);
      assert.ok(old.error instanceof CompactedError, old.error?.message);
      assert.ok(old.error.compactRevision >= r5);
      const resumed = new Recorder();
      const w = store.watch('/', r5, resumed.handlers);
      await resumed.until(() => resumed.events.length >= 1);
      assert.deepEqual([resumed.events[0]!.type, resumed.events[0]!.revision], ['delete', r6]);
      assert.equal(resumed.events[0]!.value.toString(), '3');
      w.close();
    });

    it('lets keys with a time to live vanish as ordinary deletions', async () => {
      const start = await store.currentRevision();
      const r = new Recorder();
      const w = store.watch('/events/', start, r.handlers);
      written(await store.create('/events/a', bytes('a'), { ttlSeconds: 1 }));
      written(await store.create('/events/b', bytes('b'), { ttlSeconds: 1000 }));
      const c = written(await store.create('/events/c', bytes('c'), { ttlSeconds: 1 }));
      // Writing again without a time to live makes it stay.
      written(await store.update('/events/c', bytes('c2'), c));
      await r.until(() => r.events.some((e) => e.type === 'delete'));
      assert.deepEqual(
        r.events.filter((e) => e.type === 'delete').map((e) => [e.key, e.value.toString()]),
        [['/events/a', 'a']],
      );
      assert.deepEqual(
        (await store.list('/events/')).items.map((i) => i.key),
        ['/events/b', '/events/c'],
      );
      w.close();
    });

    it('carries values of nearly 1.5 MiB and a history of more than 4 MiB', async () => {
      const value = Buffer.alloc(1536 * 1024 - 4096, 'v');
      const start = await store.currentRevision();
      let revision = written(await store.create('/big', value));
      for (let i = 0; i < 5; i++) {
        value[0] = i;
        revision = written(await store.update('/big', Buffer.from(value), revision));
      }
      written(await store.create('/big2', value));
      const r = new Recorder();
      const w = store.watch('/', start, r.handlers);
      await r.until(() => r.events.length >= 7);
      w.close();
      assert.deepEqual(
        r.events.slice(1, 6).map((e) => [e.value[0], e.value.length]),
        [0, 1, 2, 3, 4].map((i) => [i, value.length]),
      );
      assert.deepEqual(
        (await store.list('/')).items.map((i) => i.value.length),
        [value.length, value.length],
      );
    });

    it('reports its size and answers pings', async () => {
      written(await store.create('/x', bytes('x')));
      await store.ping();
      assert.ok((await store.stats()).sizeBytes > 0);
    });
  });
}
