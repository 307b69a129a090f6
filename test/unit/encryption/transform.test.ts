import assert from 'node:assert/strict';
import { createMemoryStore } from '../../../apiserver/storage/memory/store.ts';
import type { Store, StoreEvent } from '../../../apiserver/storage/store.ts';
import { transformValues, ValueTransformError, type ValueTransformer } from '../../../apiserver/storage/transform.ts';
import { systemClock } from '../../../base/clock.ts';

/** Reverses bytes; values that begin with `!` can't be read, those with `?` can't be written. */
const transformer: ValueTransformer = {
  toStorage(_key, value) {
    if (value.toString().startsWith('?')) throw new Error('no key to write with');
    return Buffer.from(value).reverse();
  },
  fromStorage(_key, stored) {
    if (stored.toString().startsWith('!')) throw new Error('no key fits');
    return Buffer.from(stored).reverse();
  },
  stale: (_key, stored) => stored.toString().startsWith('old'),
};

describe('transformed values', () => {
  let raw: Store;
  let store: Store;
  beforeEach(() => {
    raw = createMemoryStore({ clock: systemClock });
    store = transformValues(raw, transformer);
  });
  afterEach(() => store.close());

  it('writes nothing when a value can not be encrypted', async () => {
    await assert.rejects(store.create('/a/1', Buffer.from('?')), (e: Error) => {
      assert.ok(e instanceof ValueTransformError);
      assert.match(e.message, /unable to transform key "\/a\/1": no key to write with/);
      return true;
    });
    assert.equal(await raw.get('/a/1'), undefined);
  });

  it('tells which of many values can not be read', async () => {
    await store.create('/a/1', Buffer.from('one'));
    await raw.create('/a/2', Buffer.from('!'));
    const { items } = await store.list('/a/');
    assert.deepEqual(
      items.map((i) => [i.key, i.unreadable instanceof ValueTransformError]),
      [
        ['/a/1', false],
        ['/a/2', true],
      ],
    );
    assert.equal(items[0]!.value.toString(), 'one');
    await assert.rejects(store.get('/a/2'), /no key fits/);
    assert.deepEqual(await store.create('/a/2', Buffer.from('x')), { ok: false, current: undefined });
  });

  it('goes on watching past a value that can not be read, and sees it deleted', async () => {
    const seen: StoreEvent[] = [];
    const two = Promise.withResolvers<void>();
    const watch = store.watch('/a/', 1, {
      events(events) {
        seen.push(...events);
        if (seen.length >= 3) two.resolve();
      },
      error: two.reject,
    });
    const made = await raw.create('/a/1', Buffer.from('!'));
    assert.ok(made.ok);
    await store.create('/a/2', Buffer.from('two'));
    await raw.delete('/a/1', made.revision);
    await two.promise;
    watch.close();
    assert.deepEqual(
      seen.map((e) => [e.type, e.key, e.unreadable !== undefined]),
      [
        ['put', '/a/1', true],
        ['put', '/a/2', false],
        ['delete', '/a/1', false],
      ],
    );
  });

  it('says which values are stale', async () => {
    await raw.create('/a/1', Buffer.from('old'));
    await raw.create('/a/2', Buffer.from('new'));
    assert.deepEqual(
      [await store.stale!('/a/1'), await store.stale!('/a/2'), await store.stale!('/a/3')],
      [true, false, false],
    );
  });
});
