/**
 * The embedded engine: a log of writes in LMDB under their revisions, and an index of it in memory.
 * Writes are decided in memory (this process owns the directory), written in groups, and acknowledged and shown to
 * watches only after the group is on disk. What compaction drops is removed from the log.
 */
import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { open, type Database, type RootDatabase } from 'lmdb';
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/log.ts';
import { Expiry } from '../expiry.ts';
import { WatchHub } from '../hub.ts';
import { RevisionIndex, type Version } from '../revisions.ts';
import {
  CompactedError,
  FutureRevisionError,
  StoreUnavailableError,
  type ListResult,
  type Store,
  type StoredValue,
  type StoreEvent,
  type StoreWatch,
  type StoreWatchHandlers,
  type WriteResult,
} from '../store.ts';
import { claim, release } from './owner.ts';
import { decodeRecord, encodeRecord, type LogRecord } from './record.ts';

/** Records removed in one go by compaction, so that writes in between needn't wait long. */
const REMOVE_CHUNK = 2000;
const COMPACTED = 'compacted';
const EMPTY = Buffer.alloc(0);

export interface LmdbStoreOptions {
  /** Where the database lies; made when missing. */
  dataDir: string;
  clock: Clock;
  logger: Logger;
}

/** Opens the store in `dataDir`; throws when another process owns it. */
export async function openLmdbStore(options: LmdbStoreOptions): Promise<Store> {
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  const root = open<Buffer, string>({
    path: options.dataDir,
    encoding: 'binary',
    maxDbs: 4,
    // A commit is then one plain LMDB transaction: data synced before the page that makes it valid is written.
    overlappingSync: false,
    eventTurnBatching: false,
    noMemInit: false,
  });
  // The files' names have to be on disk as well before anything is promised.
  const directory = openSync(options.dataDir, 'r');
  fsyncSync(directory);
  closeSync(directory);
  const meta = root.openDB<Buffer, string>({ name: 'meta', encoding: 'binary' });
  try {
    claim(meta, options.dataDir);
  } catch (e) {
    await root.close();
    throw e;
  }
  const log = root.openDB<Buffer, number>({ name: 'log', encoding: 'binary' });
  const store = new LmdbStore(options, root, meta, log);
  store.load();
  return store;
}

interface Pending {
  readonly revision: number;
  readonly record: LogRecord;
  /** The value given by the caller, the very buffer. */
  readonly value: Buffer;
}

interface Group {
  readonly writes: Pending[];
  readonly done: PromiseWithResolvers<void>;
}

function newGroup(): Group {
  const done = Promise.withResolvers<void>();
  // A group may fail with nobody waiting any more.
  done.promise.catch(() => {});
  return { writes: [], done };
}

class LmdbStore implements Store {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #root: RootDatabase<Buffer, string>;
  readonly #meta: Database<Buffer, string>;
  readonly #log: Database<Buffer, number>;
  readonly #index = new RevisionIndex();
  readonly #expiry: Expiry;
  readonly #hub: WatchHub;
  #group = newGroup();
  #flushing: Promise<void> | undefined;
  /** The group that is being written. */
  #current: Group | undefined;
  /** The newest revision that is on disk, and the newest given out. */
  #visible = 1;
  #assigned = 1;
  #compacted = 0;
  #closed = false;

  constructor(
    options: LmdbStoreOptions,
    root: RootDatabase<Buffer, string>,
    meta: Database<Buffer, string>,
    log: Database<Buffer, number>,
  ) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#root = root;
    this.#meta = meta;
    this.#log = log;
    this.#hub = new WatchHub(1, (after, limit) => this.#readLog(after, limit));
    this.#expiry = new Expiry(this.#clock, (key, revision) => {
      this.#write(key, undefined, revision).catch((error: unknown) => {
        if (!this.#closed) this.#logger.error("an expired key couldn't be deleted", { key, error });
      });
    });
  }

  /** Builds the index from the log. */
  load(): void {
    this.#index.clear();
    this.#compacted = Number(this.#meta.get(COMPACTED)?.toString() ?? 0);
    let last = Math.max(1, this.#compacted);
    for (const { key: revision, value } of this.#log.getRange()) {
      const record = decodeRecord(value);
      this.#index.add(record.key, { revision, deleted: record.deleted, value: undefined });
      if (record.expiresAt > 0) this.#expiry.add(record.key, revision, record.expiresAt);
      last = Math.max(last, revision);
    }
    this.#visible = last;
    this.#assigned = Math.max(this.#assigned, last);
    this.#hub.startAt(last);
    // A compaction may have been cut off half way.
    const left = this.#index.compact(this.#compacted);
    if (left.length > 0)
      this.#remove(left).catch((error: unknown) => this.#logger.warn('removing old history failed', { error }));
  }

  #checkRevision(revision: number | undefined): number {
    this.#checkOpen();
    if (revision === undefined) return this.#visible;
    if (revision < this.#compacted) throw new CompactedError(this.#compacted);
    if (revision > this.#visible) throw new FutureRevisionError(`required revision ${revision} is a future revision`);
    return revision;
  }

  #checkOpen(): void {
    if (this.#closed) throw new StoreUnavailableError('the store is closed');
  }

  #stored(key: string, v: Version | undefined): StoredValue | undefined {
    return v && { key, value: this.#value(v), revision: v.revision };
  }

  #value(v: Version): Buffer {
    if (v.value) return v.value;
    const bytes = this.#log.get(v.revision);
    if (!bytes) throw new StoreUnavailableError(`the log has no revision ${v.revision}`);
    return decodeRecord(bytes).value;
  }

  async get(key: string, revision?: number): Promise<StoredValue | undefined> {
    return this.#stored(key, this.#index.at(key, this.#checkRevision(revision)));
  }

  async list(prefix: string, o: { revision?: number; startKey?: string; limit?: number } = {}): Promise<ListResult> {
    const revision = this.#checkRevision(o.revision);
    const found = this.#index.range(prefix, o.startKey, revision);
    const items = (o.limit ? found.slice(0, o.limit) : found).map((f) => this.#stored(f.key, f.version)!);
    const remaining = found.length - items.length;
    return { items, revision, more: remaining > 0, remaining };
  }

  create(key: string, value: Buffer, o?: { ttlSeconds?: number }): Promise<WriteResult> {
    return this.#write(key, value, undefined, o?.ttlSeconds);
  }
  update(key: string, value: Buffer, expected: number, o?: { ttlSeconds?: number }): Promise<WriteResult> {
    return this.#write(key, value, expected, o?.ttlSeconds);
  }
  delete(key: string, expected: number): Promise<WriteResult> {
    return this.#write(key, undefined, expected);
  }

  async #write(
    key: string,
    value: Buffer | undefined,
    expected: number | undefined,
    ttlSeconds?: number,
  ): Promise<WriteResult> {
    this.#checkOpen();
    const latest = this.#index.latest(key);
    const present = latest?.deleted ? undefined : latest;
    if (present?.revision !== expected) {
      // Nobody may be told of a write that isn't on disk yet.
      if (latest && latest.revision > this.#visible) await this.#groupOf(latest.revision).done.promise;
      return { ok: false, current: this.#stored(key, this.#index.at(key, this.#visible)) };
    }
    const revision = ++this.#assigned;
    const deleted = value === undefined;
    const record: LogRecord = {
      key,
      deleted,
      previous: present?.revision ?? 0,
      expiresAt: ttlSeconds === undefined ? 0 : this.#clock.now() + ttlSeconds * 1000,
      value: value ?? EMPTY,
    };
    // A deletion's event tells the last value.
    const told = value ?? this.#value(present!);
    this.#index.add(key, { revision, deleted, value });
    const group = this.#group;
    group.writes.push({ revision, record, value: told });
    this.#flushing ??= this.#flush();
    await group.done.promise;
    return { ok: true, revision };
  }

  #groupOf(revision: number): Group {
    const current = this.#current;
    return current && revision <= current.writes[current.writes.length - 1]!.revision ? current : this.#group;
  }

  /** Writes group after group until nothing waits. */
  async #flush(): Promise<void> {
    // Writes that come in the same turn share the first group.
    await Promise.resolve();
    while (this.#group.writes.length > 0) {
      const group = this.#group;
      this.#current = group;
      this.#group = newGroup();
      try {
        await this.#written(() => {
          for (const w of group.writes) void this.#log.put(w.revision, encodeRecord(w.record));
        });
      } catch (error) {
        this.#fail(group, error);
        continue;
      }
      this.#commit(group);
    }
    this.#current = undefined;
    this.#flushing = undefined;
  }

  /** Does writes as one transaction and waits until it is on disk; rejects with the reason when it failed. */
  async #written(writes: () => void): Promise<void> {
    try {
      await this.#root.batch(writes);
      await this.#root.flushed;
    } catch (e) {
      // The reason comes as a promise beside the error, which must not go unheard.
      const { commitError } = e as { commitError?: Promise<unknown> };
      throw (await commitError?.catch((cause: unknown) => cause)) ?? e;
    }
  }

  #commit(group: Group): void {
    // Reads in this turn must not go on with a snapshot from before the commit.
    this.#root.resetReadTxn();
    const events: StoreEvent[] = [];
    for (const { revision, record, value } of group.writes) {
      const { key, deleted, expiresAt } = record;
      const version = this.#index.at(key, revision);
      if (version?.revision === revision) version.value = undefined;
      if (expiresAt > 0) this.#expiry.add(key, revision, expiresAt);
      events.push({ type: deleted ? 'delete' : 'put', key, value, revision });
    }
    this.#visible = events[events.length - 1]!.revision;
    this.#hub.publish(events);
    group.done.resolve();
  }

  /** A group couldn't be written (a full disk, say): what it built on is read from disk again. */
  #fail(group: Group, error: unknown): void {
    this.#logger.error('writing to the data directory failed', { error });
    const reason = new StoreUnavailableError(`the write failed: ${(error as Error).message}`);
    const later = this.#group;
    this.#group = newGroup();
    const before = this.#visible;
    this.load();
    // Part of the group may have reached the disk after all; nobody was told, so its watches begin anew.
    if (this.#visible !== before) this.#hub.fail(reason);
    group.done.reject(reason);
    later.done.reject(reason);
  }

  #readLog(after: number, limit: number): { events: StoreEvent[]; upTo: number } {
    if (after < this.#compacted) throw new CompactedError(this.#compacted);
    const events: StoreEvent[] = [];
    for (const { key: revision, value } of this.#log.getRange({ start: after + 1, end: this.#visible + 1, limit })) {
      const r = decodeRecord(value);
      const before = r.previous === 0 ? undefined : this.#log.get(r.previous);
      events.push({
        type: r.deleted ? 'delete' : 'put',
        key: r.key,
        value: r.deleted && before ? decodeRecord(before).value : r.value,
        revision,
      });
    }
    return { events, upTo: events.length < limit ? this.#visible : events[events.length - 1]!.revision };
  }

  watch(prefix: string, afterRevision: number, handlers: StoreWatchHandlers): StoreWatch {
    return this.#hub.watch(prefix, afterRevision, handlers);
  }

  async compact(revision: number): Promise<void> {
    if (revision <= this.#compacted) return;
    this.#checkRevision(revision);
    this.#compacted = revision;
    const dropped = this.#index.compact(revision);
    // The mark goes first: whoever opens a directory that was compacted half way finishes the work.
    try {
      await this.#written(() => void this.#meta.put(COMPACTED, Buffer.from(String(revision))));
      await this.#remove(dropped);
    } catch (error) {
      throw new StoreUnavailableError(`compaction failed: ${(error as Error).message}`);
    }
  }

  async #remove(versions: readonly Version[]): Promise<void> {
    for (let i = 0; i < versions.length && !this.#closed; i += REMOVE_CHUNK) {
      const chunk = versions.slice(i, i + REMOVE_CHUNK);
      await this.#written(() => {
        for (const v of chunk) void this.#log.remove(v.revision);
      });
    }
  }

  async currentRevision(): Promise<number> {
    this.#checkOpen();
    return this.#visible;
  }

  async stats(): Promise<{ sizeBytes: number; compactRevision: number }> {
    this.#checkOpen();
    const s = this.#root.getStats() as { pageSize: number; lastPageNumber?: number };
    return { sizeBytes: s.pageSize * ((s.lastPageNumber ?? 0) + 1), compactRevision: this.#compacted };
  }

  async ping(): Promise<void> {
    this.#checkOpen();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#expiry.close();
    this.#hub.close();
    await this.#flushing;
    await release(this.#meta);
    await this.#root.flushed;
    await this.#root.close();
  }
}
