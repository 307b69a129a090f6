/** What bounds the histories of all resources together: the oldest events go first, whichever resource they are of. */
import type { History, LoggedEvent } from './history.ts';

export interface EventLogOptions {
  /** Events kept over all resources; defaults to 100,000. */
  historyEvents?: number;
  /** Bytes of events kept over all resources; defaults to 128 MiB. */
  historyBytes?: number;
  /** Of these, how many may be older than 75 s; defaults to 32 MiB. */
  oldHistoryBytes?: number;
}

/** For so long clients can expect to resume a watch, as with kube-apiserver; older events are kept where they cost little. */
const FRESH_MS = 75_000;

/** How long events are kept for watches that resume. */
const MAX_AGE_MS = 300_000;

interface Logged {
  readonly history: History;
  readonly event: LoggedEvent;
}

export class EventLog {
  readonly #maxEvents: number;
  readonly #maxBytes: number;
  readonly #maxOldBytes: number;
  #events: Logged[] = [];
  /** Where the oldest of the events stands. */
  #head = 0;
  #bytes = 0;

  constructor(options: EventLogOptions) {
    this.#maxEvents = options.historyEvents ?? 100_000;
    this.#maxBytes = options.historyBytes ?? 128 * 1024 * 1024;
    this.#maxOldBytes = options.oldHistoryBytes ?? 32 * 1024 * 1024;
  }

  /** The newest event, which `history` has taken. */
  add(history: History, event: LoggedEvent): void {
    this.#events.push({ history, event });
    this.#bytes += event.entry.size;
    this.forget(event.at);
  }

  /** Takes what is too old, or too much, out of the histories. `now` is the clock's monotonic time. */
  forget(now: number): void {
    for (;;) {
      const oldest = this.#events[this.#head];
      if (!oldest) break;
      const count = this.#events.length - this.#head;
      const age = now - oldest.event.at;
      const bytes = age > FRESH_MS ? Math.min(this.#maxOldBytes, this.#maxBytes) : this.#maxBytes;
      const keep = count <= this.#maxEvents && this.#bytes <= bytes && age <= MAX_AGE_MS;
      if (keep) break;
      this.#events[this.#head++] = undefined as unknown as Logged;
      this.#bytes -= oldest.event.entry.size;
      // A resource that was read anew has dropped its events already.
      if (oldest.history.oldest === oldest.event) oldest.history.shift();
    }
    if (this.#head > 1024 && this.#head * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#head);
      this.#head = 0;
    }
  }
}
