/** For versions whose conversion means asking somebody. */
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { CacheWatchHandlers, Entry } from '../storage/cache.ts';
import { CompactedError } from '../storage/store.ts';
import type { ServedResource } from './catalog.ts';

/** To be awaited before stored objects are shown in a served version. */
export async function prepared(served: ServedResource, stored: readonly DeepReadonly<KubeObject>[]): Promise<void> {
  const { convert } = served;
  if (convert?.prepare) await convert.prepare(stored);
}

/** The same for cached objects; those that have been shown already cost nothing. */
export async function preparedEntries(served: ServedResource, entries: readonly Entry[]): Promise<void> {
  const { convert } = served;
  if (convert?.prepare) await convert.prepare(entries.map((e) => e.object()));
}

/** Events that may wait for their objects; a watcher that falls further behind is cut off. */
const MAX_WAITING = 1000;

/** Holds the events of a watch back until their objects can be shown; their order stays. */
export function sequenced(served: ServedResource, handlers: CacheWatchHandlers): CacheWatchHandlers {
  if (!served.convert?.prepare) return handlers;
  let last: Promise<void> = Promise.resolve();
  let waiting = 0;
  let over = false;
  const next = (fn: () => Promise<void> | void) => {
    waiting++;
    last = last
      .then(() => (over ? undefined : fn()))
      .catch((error: unknown) => {
        over = true;
        handlers.end(error as Error);
      })
      .finally(() => void waiting--);
  };
  return {
    event(event) {
      if (over) return false;
      if (waiting > MAX_WAITING) {
        over = true;
        handlers.end(new CompactedError(event.revision));
        return false;
      }
      next(async () => {
        await preparedEntries(served, event.previous ? [event.entry, event.previous] : [event.entry]);
        if (!handlers.event(event)) over = true;
      });
      return true;
    },
    progress(revision) {
      if (waiting === 0) handlers.progress(revision);
      else next(() => handlers.progress(revision));
    },
    end(error) {
      next(() => handlers.end(error));
    },
  };
}
