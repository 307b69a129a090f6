/**
 * The storage seam: a revisioned key-value log. Engines: etcd/, lmdb/, memory/; all pass one contract suite
 * (test/integration/store). Nothing above this file knows which engine runs.
 */

/** One stored value. `value` is the object's JSON without a resourceVersion. */
export interface StoredValue {
  readonly key: string;
  readonly value: Buffer;
  /** The revision of the write that made this value. */
  readonly revision: number;
  /** Why `value` isn't what was written: it is encrypted, and no key fits. */
  readonly unreadable?: Error;
}

export interface StoreEvent {
  readonly type: 'put' | 'delete';
  readonly key: string;
  /** The new value; for a delete the last value before it (empty when the watch was asked not to look for it). */
  readonly value: Buffer;
  /** The revision of this change. */
  readonly revision: number;
  /** The value before a put, when the engine has it at hand. */
  readonly previous?: { readonly value: Buffer; readonly revision: number };
  /** As in StoredValue. */
  readonly unreadable?: Error;
}

export interface ListResult {
  readonly items: StoredValue[];
  /** The revision the list was read at. */
  readonly revision: number;
  /** More keys follow the last item. */
  readonly more: boolean;
  /** Keys under the prefix from the start key on that are not in `items`; exact when asked for with a limit. */
  readonly remaining: number;
}

/** A write whose expectation about the present value failed; `current` is undefined when the key is absent. */
export interface WriteConflict {
  readonly ok: false;
  readonly current: StoredValue | undefined;
}
export type WriteResult = { readonly ok: true; readonly revision: number } | WriteConflict;

/** Reading at, or watching from, a revision that is compacted away. */
export class CompactedError extends Error {
  readonly compactRevision: number;
  constructor(compactRevision: number) {
    super(`required revision has been compacted (compacted at ${compactRevision})`);
    this.compactRevision = compactRevision;
  }
}
/** Reading at a revision that is not there yet. */
export class FutureRevisionError extends Error {}
/** The engine takes no value as large as this. */
export class RequestTooLargeError extends Error {}
/** The engine can't be reached or refuses; whether a write took effect is unknown. */
export class StoreUnavailableError extends Error {}

export interface StoreWatch {
  /** Ends the watch; no handler is called afterwards. */
  close(): void;
}

export interface StoreWatchHandlers {
  /** Events of one or more whole revisions, in order; never splits a revision. */
  events(events: readonly StoreEvent[]): void;
  /** The watch is over (compacted, or the engine was lost); the owner re-reads and starts again. */
  error(error: Error): void;
}

/** Keys are paths below the store's own prefix: `/pods/ns/name`. Revisions are positive safe integers. */
export interface Store {
  get(key: string, revision?: number): Promise<StoredValue | undefined>;
  /** Keys under `prefix` in byte order, from `startKey` on (inclusive), at `revision` (default: now). */
  list(prefix: string, options?: { revision?: number; startKey?: string; limit?: number }): Promise<ListResult>;
  /** Writes when the key is absent. `ttlSeconds` makes the key vanish by itself (an ordinary delete event). */
  create(key: string, value: Buffer, options?: { ttlSeconds?: number }): Promise<WriteResult>;
  /** Writes when the present value has exactly this revision. */
  update(key: string, value: Buffer, expectedRevision: number, options?: { ttlSeconds?: number }): Promise<WriteResult>;
  /** Deletes when the present value has exactly this revision. */
  delete(key: string, expectedRevision: number): Promise<WriteResult>;
  /**
   * Every change under `prefix` with a revision greater than `afterRevision`. With `previous: false` the engine may
   * leave out values from before a change, where they cost something.
   */
  watch(
    prefix: string,
    afterRevision: number,
    handlers: StoreWatchHandlers,
    options?: { previous?: boolean },
  ): StoreWatch;
  /** The present value is encrypted under an older key; absent where nothing is encrypted. */
  stale?(key: string): Promise<boolean>;
  /** Forgets history before `revision`; nothing happens when that is done already. */
  compact(revision: number): Promise<void>;
  /** The newest revision whose effects are visible; a linearizable read. */
  currentRevision(): Promise<number>;
  /** Bytes in use, for metrics and readiness. */
  stats(): Promise<{ sizeBytes: number; compactRevision: number }>;
  /** Rejects with StoreUnavailableError when the engine can't serve. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
