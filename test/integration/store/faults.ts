/** Real parts with switches: a store whose watches can be held up or cut. */
import type { Store, StoreEvent, StoreWatch, StoreWatchHandlers } from '../../../apiserver/storage/store.ts';

/** A store behind a line that can be bad. */
export interface FaultyStore extends Store {
  /** Holds events back until `resume`. */
  pause(): void;
  resume(): void;
  /** Ends all watches with an error; what was held back is lost. */
  cut(error: Error): void;
  /** How often the revision was asked for. */
  revisionRequests: number;
  watches: number;
}

export function faultyStore(store: Store): FaultyStore {
  let paused = false;
  const lines = new Set<{ handlers: StoreWatchHandlers; held: StoreEvent[]; watch?: StoreWatch }>();
  return {
    get: (key, revision) => store.get(key, revision),
    list: (prefix, options) => store.list(prefix, options),
    create: (key, value, options) => store.create(key, value, options),
    update: (key, value, expected, options) => store.update(key, value, expected, options),
    delete: (key, expected) => store.delete(key, expected),
    compact: (revision) => store.compact(revision),
    stats: () => store.stats(),
    ping: () => store.ping(),
    close: () => store.close(),
    revisionRequests: 0,
    watches: 0,
    currentRevision() {
      this.revisionRequests++;
      return store.currentRevision();
    },
    watch(prefix, after, handlers) {
      this.watches++;
      const line: { handlers: StoreWatchHandlers; held: StoreEvent[]; watch?: StoreWatch } = { handlers, held: [] };
      lines.add(line);
      line.watch = store.watch(prefix, after, {
        events: (events) => (paused ? void line.held.push(...events) : handlers.events(events)),
        error: (e) => handlers.error(e),
      });
      return {
        close() {
          lines.delete(line);
          line.watch?.close();
        },
      };
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
      for (const l of lines) if (l.held.length > 0) l.handlers.events(l.held.splice(0));
    },
    cut(error) {
      for (const l of lines) {
        lines.delete(l);
        l.watch?.close();
        l.handlers.error(error);
      }
    },
  };
}
