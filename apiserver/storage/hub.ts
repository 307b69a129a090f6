/**
 * Delivers committed changes to the watches of an engine that lives in this process (memory, lmdb).
 * A watch that has caught up is fed what is published; one that hasn't reads the engine's log first.
 */
import type { StoreEvent, StoreWatch, StoreWatchHandlers } from './store.ts';

interface Watch {
  readonly prefix: string;
  readonly handlers: StoreWatchHandlers;
  /** Nothing up to this revision is wanted. */
  readonly from: number;
  /** Everything up to this revision was delivered. */
  position: number;
  closed: boolean;
}

/** Reads up to about `limit` events after a revision from the engine's log: whole revisions; throws CompactedError. */
export type LogReader = (afterRevision: number, limit: number) => { events: StoreEvent[]; upTo: number };

/** See the top of this file. */
export class WatchHub {
  readonly #watches = new Set<Watch>();
  readonly #readLog: LogReader;
  #revision: number;
  #queue: StoreEvent[][] = [];
  #draining = false;

  constructor(revision: number, readLog: LogReader) {
    this.#revision = revision;
    this.#readLog = readLog;
  }

  /** Everything up to this revision is in the log already. */
  startAt(revision: number): void {
    this.#revision = revision;
  }

  /** Hands committed events (whole revisions, in order) to all watches, before it returns unless called by a handler. */
  publish(events: StoreEvent[]): void {
    if (events.length === 0) return;
    this.#queue.push(events);
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let batch = this.#queue.shift(); batch; batch = this.#queue.shift()) {
        const from = this.#revision;
        this.#revision = batch[batch.length - 1]!.revision;
        for (const w of this.#watches) {
          if (w.position !== from) continue;
          w.position = this.#revision;
          this.#deliver(w, batch);
        }
      }
    } finally {
      this.#draining = false;
    }
  }

  #deliver(w: Watch, events: readonly StoreEvent[]): void {
    const all = (w.prefix === '' || w.prefix === '/') && events.length > 0 && events[0]!.revision > w.from;
    const mine = all ? events : events.filter((e) => e.revision > w.from && e.key.startsWith(w.prefix));
    if (mine.length === 0 || w.closed) return;
    try {
      w.handlers.events(mine);
    } catch (error) {
      // The others must hear of it, and whoever wrote it is not to blame.
      w.closed = true;
      this.#watches.delete(w);
      w.handlers.error(error as Error);
    }
  }

  watch(prefix: string, afterRevision: number, handlers: StoreWatchHandlers): StoreWatch {
    const w: Watch = { prefix, handlers, from: afterRevision, position: afterRevision, closed: false };
    queueMicrotask(() => this.#catchUp(w));
    return {
      close: () => {
        w.closed = true;
        this.#watches.delete(w);
      },
    };
  }

  #catchUp(w: Watch): void {
    try {
      while (!w.closed && w.position < this.#revision) {
        const { events, upTo } = this.#readLog(w.position, 1000);
        // The log may be ahead of what was published; the rest comes by publish.
        const end = Math.min(upTo, this.#revision);
        w.position = end;
        this.#deliver(w, upTo > end ? events.filter((e) => e.revision <= end) : events);
      }
    } catch (e) {
      if (!w.closed) w.handlers.error(e as Error);
      w.closed = true;
    }
    if (w.closed) return;
    // A watch from a revision still to come takes part from now on; `from` keeps what is before it away.
    w.position = this.#revision;
    this.#watches.add(w);
  }

  /** Ends every watch with an error. */
  fail(error: Error): void {
    for (const w of this.#watches) {
      this.#watches.delete(w);
      if (!w.closed) w.handlers.error(error);
    }
  }

  /** Ends every watch silently. */
  close(): void {
    for (const w of this.#watches) w.closed = true;
    this.#watches.clear();
  }
}
