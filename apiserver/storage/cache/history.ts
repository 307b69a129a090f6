/** The last few minutes of a resource's events, for resuming watches and for lists at an exact revision. */
import type { CachedEntry } from './entry.ts';
import type { CacheEvent } from '../cache.ts';
import { CompactedError } from '../store.ts';

/** An event with the concrete entries. */
export class LoggedEvent implements CacheEvent {
  readonly type: 'put' | 'delete';
  readonly revision: number;
  readonly entry: CachedEntry;
  readonly previous: CachedEntry | undefined;
  /** When it came, in ms of the monotonic clock. */
  readonly at: number;
  /** Counts the events of all resources. */
  readonly sequence: number;
  #frames: Map<string, Buffer> | undefined;

  constructor(
    type: 'put' | 'delete',
    entry: CachedEntry,
    previous: CachedEntry | undefined,
    at: number,
    sequence: number,
  ) {
    this.type = type;
    this.revision = entry.revision;
    this.entry = entry;
    this.previous = previous;
    this.at = at;
    this.sequence = sequence;
  }

  get frames(): Map<string, Buffer> {
    return (this.#frames ??= new Map());
  }

  /** The event has been handed round: few will ask for it again, so nothing made for it is kept. */
  release(): void {
    this.#frames = undefined;
    this.entry.release();
    this.previous?.dropViews();
  }
}

/** Events in revision order; the oldest are forgotten by the owner's budget. */
export class History {
  #events: LoggedEvent[] = [];
  #head = 0;
  #horizon: number;

  constructor(horizon: number) {
    this.#horizon = horizon;
  }

  /** Everything after this revision is here. */
  get horizon(): number {
    return this.#horizon;
  }

  get oldest(): LoggedEvent | undefined {
    return this.#events[this.#head];
  }

  push(event: LoggedEvent): void {
    this.#events.push(event);
  }

  /** Forgets the oldest event. */
  shift(): void {
    const gone = this.oldest;
    if (!gone) return;
    this.#horizon = gone.revision;
    this.#events[this.#head++] = undefined as unknown as LoggedEvent;
    if (this.#head > 1024 && this.#head * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Forgets everything; nothing before `horizon` can be resumed. */
  reset(horizon: number): void {
    this.#events = [];
    this.#head = 0;
    this.#horizon = horizon;
  }

  /** The events after a revision, oldest first; throws CompactedError when some of them are forgotten. */
  after(revision: number): readonly LoggedEvent[] {
    if (revision < this.#horizon) throw new CompactedError(this.#horizon);
    let lo = this.#head;
    let hi = this.#events.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.#events[mid]!.revision <= revision) lo = mid + 1;
      else hi = mid;
    }
    return this.#events.slice(lo);
  }
}
