/**
 * Feeds the caches of all resources from one watch on the whole store. Since that watch sees every write, the
 * cache's revision follows the store's, and a consistent read needs only the store's revision and a short wait.
 */
import { StatusError } from '../../api/status.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { OwnWrite, ResourceCache, ResourceCacheOptions, WatchCache } from './cache.ts';
import { EventLog, type EventLogOptions } from './cache/event-log.ts';
import { Freshness, RevisionWaits } from './cache/freshness.ts';
import type { History, LoggedEvent } from './cache/history.ts';
import { CachedResource, type Feed } from './cache/resource.ts';
import { COMPACTION_KEY, compactedTo } from './compactor.ts';
import {
  CompactedError,
  type Store,
  type StoreEvent,
  type StoreWatch,
  type StoreWatchHandlers,
  StoreUnavailableError,
} from './store.ts';

export interface WatchCacheOptions extends EventLogOptions {
  store: Store;
  clock: Clock;
  logger: Logger;
  /** Between progress calls to one watcher; defaults to 60,000 ms. */
  bookmarkMs?: number;
  /** How long a consistent read waits before the cache writes a key of its own to move on; defaults to 100 ms. */
  patienceMs?: number;
}

/** The key that is written to move the watch on; its value says nothing. */
export const PROGRESS_KEY = '/k8ts.io/progress';

/** A watch cache that starts at once and follows `store` until closed. */
export function createWatchCache(options: WatchCacheOptions): WatchCache {
  return new StoreWatchCache(options);
}

/** What was encoded of an object is forgotten when nobody asked for it from one such time to the next. */
const SWEEP_MS = 75_000;

/** Changes from before the start that watches may resume from, at most. */
const PAST_EVENTS = 5000;
/** For so long after the start, resources that are opened (custom ones) still get their past. */
const PAST_MS = 60_000;

interface Hint {
  readonly value: Buffer;
  readonly object: DeepReadonly<KubeObject>;
}

class StoreWatchCache implements WatchCache, Feed {
  readonly store: Store;
  readonly bookmarkMs: number;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #log: EventLog;
  readonly #resources = new Map<string, CachedResource>();
  readonly #loads = new Map<string, Promise<ResourceCache>>();
  readonly #waits: RevisionWaits;
  readonly #freshness: Freshness;
  /** What is being written, by key; of two writers of one key the later one. */
  readonly #hints = new Map<string, Hint>();
  /** Own writes ahead of the watch, by revision. */
  readonly #ahead = new Map<number, OwnWrite>();
  readonly #closing = new AbortController();
  /** The watch goes on from where the cache begins. */
  readonly #positioned: Promise<void>;
  readonly #started: Promise<void>;
  readonly #ticker: Timer;
  /** What the cache begins with: the state some time before the start, so that clients can resume their watches. */
  #past: { readonly revision: number; readonly unclaimed: StoreEvent[] } | undefined;
  #sequence = 0;
  #sweptAt = 0;
  #revision = 0;
  #compacted = 0;
  #watch: StoreWatch | undefined;
  #ready = false;

  constructor(options: WatchCacheOptions) {
    this.store = options.store;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.bookmarkMs = options.bookmarkMs ?? 60_000;
    this.#log = new EventLog(options);
    const current = () => this.#revision;
    this.#waits = new RevisionWaits(this.#clock, current);
    this.#freshness = new Freshness({
      store: this.store,
      clock: this.#clock,
      waits: this.#waits,
      current,
      patienceMs: options.patienceMs ?? 100,
      nudge: () => this.#nudge(),
    });
    this.#ticker = this.#clock.every(Math.max(100, this.bookmarkMs / 10), () => this.#tick(), { background: true });
    this.#positioned = this.#begin();
    this.#started = this.#positioned.then(() => this.#caughtUp()).then(() => void (this.#ready = true));
    this.#positioned.catch(() => {});
    this.#started.catch(() => {});
  }

  get revision(): number {
    return this.#revision;
  }
  get compacted(): number {
    return this.#compacted;
  }
  get ready(): boolean {
    return this.#ready;
  }
  now(): number {
    return this.#clock.monotonic();
  }
  nextSequence(): number {
    return ++this.#sequence;
  }
  freshen(): Promise<void> {
    return this.#freshness.freshen();
  }
  waitFor(revision: number): Promise<void> {
    return this.#waits.wait(revision);
  }
  handlerFailed(error: unknown): void {
    this.#logger.error('a watch handler failed; its watch is dropped', { error });
  }

  unreadable(key: string, revision: number, error: unknown): void {
    this.#logger.error("a stored object can't be read and is left out", { key, revision, error });
  }

  async #begin(): Promise<void> {
    const now = await this.#retry('read the revision', () => this.store.currentRevision());
    const mark = await this.#retry('read the last compaction', () => this.store.get(COMPACTION_KEY));
    this.#compacted = mark ? (compactedTo(mark.value) ?? mark.revision) : 0;
    this.#revision = Math.min(now, Math.max(1, this.#compacted, now - PAST_EVENTS));
    this.#past = { revision: this.#revision, unclaimed: [] };
    this.#clock.after(PAST_MS, () => (this.#past = undefined), { background: true });
    this.#follow();
  }

  /** Resolves when all that was in the store at the time of the call is in the cache. */
  async #caughtUp(): Promise<void> {
    for (;;) {
      this.#closing.signal.throwIfAborted();
      try {
        return await this.#freshness.freshen();
      } catch (error) {
        // A long past takes longer than any reader would wait.
        if (!(error instanceof StatusError)) await this.#retry('be reached', () => this.store.ping());
      }
    }
  }

  /** Repeats something until it succeeds, with growing pauses: the store may be away, or have too much to do. */
  async #retry<T>(what: string, action: () => Promise<T>): Promise<T> {
    for (let pause = 50; ; pause = Math.min(pause * 2, 5000)) {
      this.#closing.signal.throwIfAborted();
      try {
        return await action();
      } catch (error) {
        this.#logger.warn(`the store can't ${what}, trying again`, { error, pause });
        await this.#clock.sleep(pause, this.#closing.signal);
      }
    }
  }

  #follow(): void {
    const handlers: StoreWatchHandlers = {
      events: (events) => this.#take(events),
      error: (error) => {
        this.#watch = undefined;
        void this.#recover(error).catch((e: unknown) => {
          if (!this.#closing.signal.aborted) this.#logger.error("the cache can't follow the store", { error: e });
        });
      },
    };
    // What was there before a change, the cache knows itself.
    this.#watch = this.store.watch('/', this.#revision, handlers, { previous: false });
  }

  async #recover(error: Error): Promise<void> {
    if (this.#closing.signal.aborted) return;
    if (!(error instanceof CompactedError)) {
      this.#logger.warn('the watch on the store broke; it goes on where it was', { error, revision: this.#revision });
      await this.#clock.sleep(100, this.#closing.signal);
      await this.#retry('resume the watch', () => this.store.ping());
      if (!this.#closing.signal.aborted) this.#follow();
      return;
    }
    // What happened meanwhile can't be told any more: clients read anew, and so do we.
    this.#logger.warn('the store has forgotten what the cache missed; reading everything anew', { error });
    this.#ready = false;
    this.#past = undefined;
    const resources = [...this.#resources.values()];
    for (const r of resources) r.beginLoad();
    this.#ahead.clear();
    this.#revision = await this.#retry('read the revision', () => this.store.currentRevision());
    this.#follow();
    for (const r of resources) await this.#retry('read ' + r.options.prefix, () => r.load());
    for (const r of resources) r.endWatches(error, false);
    this.#waits.reached(this.#revision);
    this.#ready = true;
  }

  #take(events: readonly StoreEvent[]): void {
    for (let i = 0; i < events.length; i++) {
      const e = events[i]!;
      if (e.revision <= this.#revision) continue;
      const own = this.#ahead.size > 0 ? this.#ahead.get(e.revision) : undefined;
      this.#apply(e, own?.object ?? this.#hinted(e));
      // The revision counts only when its last event is in.
      if (events[i + 1]?.revision !== e.revision) this.#advance(e.revision);
    }
    this.#takeAhead();
  }

  #apply(e: StoreEvent, object: DeepReadonly<KubeObject> | undefined): void {
    const resource = this.#resourceOf(e.key);
    if (!resource) {
      if (e.key === COMPACTION_KEY) this.#compacted = compactedTo(e.value) ?? this.#compacted;
      else this.#keepUnclaimed(e);
      return;
    }
    try {
      resource.apply(e, object);
    } catch (error) {
      this.unreadable(e.key, e.revision, error);
    }
  }

  #keepUnclaimed(e: StoreEvent): void {
    if (!this.#past) return;
    this.#past.unclaimed.push(e);
    if (this.#past.unclaimed.length > PAST_EVENTS) this.#past = undefined;
  }

  #advance(revision: number): void {
    if (this.#ahead.size > 0) this.#ahead.delete(revision);
    this.#revision = revision;
    this.#waits.reached(revision);
  }

  #resourceOf(key: string): CachedResource | undefined {
    for (let i = key.indexOf('/', 1); i > 0; i = key.indexOf('/', i + 1)) {
      const r = this.#resources.get(key.slice(0, i + 1));
      if (r) return r;
    }
    return undefined;
  }

  hint(key: string, value: Buffer, object: DeepReadonly<KubeObject>): void {
    this.#hints.set(key, { value, object });
  }

  settled(key: string, value: Buffer): void {
    if (this.#hints.get(key)?.value === value) this.#hints.delete(key);
  }

  #hinted(e: StoreEvent): DeepReadonly<KubeObject> | undefined {
    const known = this.#hints.get(e.key);
    return known && (known.value === e.value || known.value.equals(e.value)) ? known.object : undefined;
  }

  wrote(write: OwnWrite): void {
    if (write.revision <= this.#revision || !this.#ready) return;
    this.#ahead.set(write.revision, write);
    this.#takeAhead();
  }

  /** An own write is the only change of its revision, so it may go in as soon as the one before it is in. */
  #takeAhead(): void {
    while (this.#ahead.size > 0) {
      const w = this.#ahead.get(this.#revision + 1);
      if (!w) {
        // What the watch has passed meanwhile is of no use.
        for (const r of this.#ahead.keys()) if (r <= this.#revision) this.#ahead.delete(r);
        return;
      }
      this.#apply(w, w.object);
      this.#advance(w.revision);
    }
  }

  async #nudge(): Promise<void> {
    const value = Buffer.from('{}');
    const current = await this.store.get(PROGRESS_KEY);
    // Losing to another server is as good: its write moves the watch on as well.
    if (current) await this.store.update(PROGRESS_KEY, value, current.revision);
    else await this.store.create(PROGRESS_KEY, value);
  }

  resource(options: ResourceCacheOptions): Promise<ResourceCache> {
    const known = this.#loads.get(options.prefix);
    if (known) return known;
    const resource = new CachedResource(options, this);
    resource.beginLoad();
    this.#resources.set(options.prefix, resource);
    const load = this.#loadFirst(resource).then(() => resource);
    this.#loads.set(options.prefix, load);
    load.catch(() => {
      if (this.#loads.get(options.prefix) === load) this.removeResource(options.prefix);
    });
    return load;
  }

  async #loadFirst(resource: CachedResource): Promise<void> {
    const { prefix } = resource.options;
    // Loading begins with the watch, not when that has caught up: what comes meanwhile waits for the load.
    await this.#positioned;
    const past = this.#past;
    const own = past && {
      revision: past.revision,
      events: past.unclaimed.filter((e) => e.key.startsWith(prefix)),
    };
    await this.#retry('read ' + prefix, () =>
      resource.load(own).catch((error: unknown) => {
        if (!own || !(error instanceof CompactedError)) throw error;
        return resource.load();
      }),
    );
    await this.#started;
  }

  removeResource(prefix: string): void {
    const resource = this.#resources.get(prefix);
    // What it was told nobody else can be told of.
    if (resource) this.#past = undefined;
    this.#resources.delete(prefix);
    this.#loads.delete(prefix);
    resource?.endWatches(new CompactedError(this.#revision), true);
  }

  logged(history: History, event: LoggedEvent): void {
    this.#log.add(history, event);
  }

  #tick(): void {
    const now = this.now();
    this.#log.forget(now);
    if (now - this.#sweptAt >= SWEEP_MS) {
      this.#sweptAt = now;
      for (const r of this.#resources.values()) r.sweepViews();
    }
    if (!this.#ready || !this.#watch) return;
    for (const r of this.#resources.values()) r.progress(now);
  }

  async close(): Promise<void> {
    this.#ready = false;
    const error = new StoreUnavailableError('the cache is closed');
    this.#closing.abort(error);
    this.#ticker.cancel();
    this.#watch?.close();
    this.#waits.close(error);
    for (const r of this.#resources.values()) r.endWatches(error, true);
    this.#resources.clear();
    await this.#started.catch(() => {});
  }
}
