/**
 * A process that writes to an lmdb store and tells on stdout what was acknowledged, until it is killed.
 * Arguments: directory, round, concurrent writers, writes per writer (0: without end).
 */
import { writeSync } from 'node:fs';
import { openLmdbStore } from '../../../apiserver/storage/lmdb/store.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';

const [dataDir, round, writers, count] = process.argv.slice(2) as [string, string, string, string];
const store = await openLmdbStore({ dataDir, clock: systemClock, logger: silentLogger });
writeSync(1, 'open\n');
const tell = (what: string, key: string, revision: number) => writeSync(1, `${what} ${key} ${revision}\n`);
await Promise.all(
  Array.from({ length: Number(writers) }, async (_, w) => {
    for (let i = 0; count === '0' || i < Number(count); i++) {
      const key = `/round${round}/${w}/${i}`;
      const created = await store.create(key, Buffer.from(key.repeat(1 + (i % 50))));
      if (!created.ok) throw new Error(`${key} is there already`);
      tell('put', key, created.revision);
      if (i % 3 === 0) {
        const deleted = await store.delete(key, created.revision);
        if (deleted.ok) tell('delete', key, deleted.revision);
      }
      // Compaction goes on meanwhile.
      if (w === 0 && i % 20 === 19) await store.compact(created.revision);
    }
  }),
);
await store.close();
