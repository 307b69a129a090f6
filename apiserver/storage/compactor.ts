/**
 * Forgets history by time, for every engine. Several API servers on one etcd share the work by a key: whoever
 * changes it first in an interval compacts, to a revision that is at least one interval old.
 */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Store } from './store.ts';

/** The key by which servers agree. */
export const COMPACTION_KEY = '/k8ts.io/compaction';

/** The revision that the key's value says everything before is dropped. */
export function compactedTo(value: Buffer): number | undefined {
  const said = /^\{"compacted":([0-9]+)\}$/.exec(value.toString());
  return said ? Number(said[1]) : undefined;
}

export interface Compactor {
  stop(): Promise<void>;
}

/** Compacts each `intervalMs` (default 300,000; 0 for never) what is older than that. */
export function startCompactor(options: {
  store: Store;
  clock: Clock;
  logger: Logger;
  intervalMs?: number;
}): Compactor {
  const { store, clock, logger } = options;
  const intervalMs = options.intervalMs ?? 300_000;
  /** The key's revision as last seen, and the store's revision then. */
  let seen: { keyRevision: number | undefined; storeRevision: number } | undefined;
  let running: Promise<void> | undefined;

  const note = async (keyRevision: number | undefined) => {
    seen = { keyRevision, storeRevision: await store.currentRevision() };
  };
  const tick = async () => {
    if (!seen) return note((await store.get(COMPACTION_KEY))?.revision);
    const value = Buffer.from(JSON.stringify({ compacted: seen.storeRevision }));
    const write =
      seen.keyRevision === undefined
        ? await store.create(COMPACTION_KEY, value)
        : await store.update(COMPACTION_KEY, value, seen.keyRevision);
    // Another server was first in this interval.
    if (!write.ok) return note(write.current?.revision);
    const target = seen.storeRevision;
    seen = { keyRevision: write.revision, storeRevision: write.revision };
    await store.compact(target);
    logger.debug('compacted the store', { revision: target });
  };
  const run = () => {
    running ??= tick()
      .catch((error: unknown) => logger.warn('compaction failed; it is tried again in the next interval', { error }))
      .finally(() => (running = undefined));
  };
  if (intervalMs <= 0) return { stop: async () => {} };
  run();
  const timer = clock.every(intervalMs, run, { background: true });
  return {
    async stop() {
      timer.cancel();
      await running;
    },
  };
}
