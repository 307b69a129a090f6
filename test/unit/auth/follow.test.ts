import assert from 'node:assert/strict';
import { follow } from '../../../apiserver/authorization/follow.ts';
import { createMemoryStore } from '../../../apiserver/storage/memory/store.ts';
import { createWatchCache } from '../../../apiserver/storage/watch-cache.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';

describe('following a cache', () => {
  const object = (name: string, value: string) =>
    Buffer.from(JSON.stringify({ metadata: { name, uid: name }, data: { value } }));

  it('tells of what is there, of changes, and of all objects going with their resource', async () => {
    const store = createMemoryStore({ clock: systemClock });
    const cache = createWatchCache({ store, clock: systemClock, logger: silentLogger });
    await store.create('/things/a', object('a', '1'));
    const things = await cache.resource({ prefix: '/things/', namespaced: false });
    const log: string[] = [];
    const present = new Set<string>();
    const follower = follow(things, {
      put(e, previous) {
        log.push(`put ${e.name} ${previous ? 'after' : 'first'}`);
        present.add(e.key);
      },
      delete: (key) => present.delete(key),
    });
    const b = await store.create('/things/b', object('b', '1'));
    assert.ok(b.ok);
    await store.update('/things/b', object('b', '2'), b.revision);
    await things.list();
    assert.deepEqual(log, ['put a first', 'put b first', 'put b after']);
    assert.deepEqual([...present], ['/things/a', '/things/b']);
    cache.removeResource('/things/');
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(present.size, 0);
    follower.close();
    await cache.close();
    await store.close();
  });
});
