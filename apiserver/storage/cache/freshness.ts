/** Waiting until the cache has caught up with the store. */
import { timeout, StatusError } from '../../../api/status.ts';
import type { Clock, Timer } from '../../../base/clock.ts';
import type { Store } from '../store.ts';

/** How long a reader waits for a revision, in ms. */
const WAIT_MS = 3000;

/** The answer when a revision hasn't come within the time a reader waits. */
function tooLargeResourceVersion(asked: number, current: number): StatusError {
  const e = timeout(`Too large resource version: ${asked}, current: ${current}`, 1);
  e.status.details = {
    ...e.status.details,
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
  };
  return e;
}

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
  readonly reject: (e: Error) => void;
  readonly timer: Timer;
}

/** Those who wait for the cache to reach a revision. */
export class RevisionWaits {
  readonly #clock: Clock;
  readonly #current: () => number;
  readonly #waiters = new Set<Waiter>();
  #lowest = Infinity;

  constructor(clock: Clock, current: () => number) {
    this.#clock = clock;
    this.#current = current;
  }

  /** Rejects with a 504 StatusError when the revision doesn't come in time. */
  wait(revision: number): Promise<void> {
    if (revision <= this.#current()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(WAIT_MS, () => {
        this.#waiters.delete(waiter);
        reject(tooLargeResourceVersion(revision, this.#current()));
      });
      const waiter: Waiter = { revision, resolve, reject, timer };
      this.#waiters.add(waiter);
      if (revision < this.#lowest) this.#lowest = revision;
    });
  }

  /** The cache has moved. */
  reached(revision: number): void {
    if (revision < this.#lowest) return;
    let lowest = Infinity;
    for (const w of this.#waiters) {
      if (w.revision <= revision) {
        this.#waiters.delete(w);
        w.timer.cancel();
        w.resolve();
      } else if (w.revision < lowest) lowest = w.revision;
    }
    this.#lowest = lowest;
  }

  close(error: Error): void {
    for (const w of this.#waiters) {
      w.timer.cancel();
      w.reject(error);
    }
    this.#waiters.clear();
  }
}

/** Makes reads consistent: asks the store how far it is, and waits for the cache to get there. */
export class Freshness {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #waits: RevisionWaits;
  readonly #current: () => number;
  readonly #patienceMs: number;
  readonly #nudge: () => Promise<void>;
  #inFlight: Promise<number> | undefined;
  #next: Promise<number> | undefined;
  #behind: { target: number; done: Promise<void> } | undefined;

  constructor(options: {
    store: Store;
    clock: Clock;
    waits: RevisionWaits;
    current: () => number;
    /** How long the cache may stay behind before it is nudged, in ms. */
    patienceMs: number;
    /** Writes a key of our own, whose event shows that everything before it has arrived. */
    nudge: () => Promise<void>;
  }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#waits = options.waits;
    this.#current = options.current;
    this.#patienceMs = options.patienceMs;
    this.#nudge = options.nudge;
  }

  /** Resolves once every write acknowledged before the call is in the cache. */
  async freshen(): Promise<void> {
    const revision = await this.#storeRevision();
    if (revision <= this.#current()) return;
    // One wait serves all who wait for the same or less.
    if (this.#behind && this.#behind.target >= revision) return this.#behind.done;
    const behind = { target: revision, done: this.#catchUp(revision) };
    this.#behind = behind;
    try {
      await behind.done;
    } finally {
      if (this.#behind === behind) this.#behind = undefined;
    }
  }

  async #catchUp(revision: number): Promise<void> {
    const timer = this.#clock.after(this.#patienceMs, () => {
      void this.#nudge().catch(() => {});
    });
    try {
      await this.#waits.wait(revision);
    } finally {
      timer.cancel();
    }
  }

  /** The store's revision by a request that started after this call; shared by all who come before it starts. */
  #storeRevision(): Promise<number> {
    if (!this.#inFlight) return (this.#inFlight = this.#ask());
    return (this.#next ??= this.#inFlight
      .catch(() => 0)
      .then(() => {
        this.#next = undefined;
        return (this.#inFlight = this.#ask());
      }));
  }

  #ask(): Promise<number> {
    const request: Promise<number> = this.#store.currentRevision().finally(() => {
      if (this.#inFlight === request) this.#inFlight = undefined;
    });
    return request;
  }
}
