import assert from 'node:assert/strict';
import { follow } from '../../../apiserver/authorization/follow.ts';
import type { ServedResource } from '../../../apiserver/registry/catalog.ts';
import { sequenced } from '../../../apiserver/registry/prepared.ts';
import type { CacheEvent } from '../../../apiserver/storage/cache.ts';
import { createMemoryStore } from '../../../apiserver/storage/memory/store.ts';
import { createWatchCache } from '../../../apiserver/storage/watch-cache.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { eventually } from '../../support/wait.ts';

describe('who follows a cache', () => {
  it('hears of all other objects, before and after one that it could not take', async () => {
    const store = createMemoryStore({ clock: systemClock });
    const cache = createWatchCache({ store, clock: systemClock, logger: silentLogger });
    const things = await cache.resource({ prefix: '/things/', namespaced: false });
    const seen = new Set<string>();
    const follower = follow(things, {
      put(entry) {
        if (entry.name === 'odd') throw new Error('what is this?');
        seen.add(entry.name);
      },
      delete: (key) => void seen.delete(key.slice('/things/'.length)),
    });
    const value = (name: string) => Buffer.from(JSON.stringify({ metadata: { name } }));
    for (const name of ['a', 'odd', 'b']) await store.create(`/things/${name}`, value(name));
    await eventually(() => assert.deepEqual([...seen], ['a', 'b']));
    await store.create('/things/c', value('c'));
    await eventually(() => assert.deepEqual([...seen], ['a', 'b', 'c']));
    follower.close();
    await cache.close();
    await store.close();
  });

  it('is told when its watch is given up because conversions take too long', () => {
    const served = { convert: { prepare: () => new Promise(() => {}) } } as unknown as ServedResource;
    const ends: Error[] = [];
    const handlers = sequenced(served, { event: () => true, progress() {}, end: (error) => void ends.push(error) });
    const event = { revision: 7, entry: { object: () => ({}) } } as unknown as CacheEvent;
    let taken = 0;
    while (handlers.event(event)) assert.ok(++taken < 10_000);
    assert.equal(ends.length, 1);
  });
});
