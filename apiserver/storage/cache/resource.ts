/** The cache of one resource: its entries, indexes, recent history and watchers. */
import type { DeepReadonly, KubeObject } from '../../../api/types.ts';
import type {
  CacheCounts,
  CacheList,
  CacheWatcher,
  CacheWatchHandlers,
  Entry,
  ResourceCache,
  ResourceCacheOptions,
  Scope,
} from '../cache.ts';
import { prefixEnd, sliceByPrefix, SortedList } from '../sorted.ts';
import { CompactedError, type Store, type StoredValue, type StoreEvent } from '../store.ts';
import { CachedEntry } from './entry.ts';
import { History, LoggedEvent } from './history.ts';
import { Postings } from './postings.ts';
import { fieldOf, inScope, isEverything, keyOf } from './scope.ts';
import { concerns, type Watcher, Watchers } from './watchers.ts';

/** Label keys that have an index at a time; the least recently asked for goes. */
const MAX_LABEL_INDEXES = 32;
/** Reconstructed past states kept for the following pages of a list. */
const MAX_PAST = 4;

/** What a resource needs of the cache as a whole. */
export interface Feed {
  readonly store: Store;
  readonly revision: number;
  readonly bookmarkMs: number;
  /** The revision to which the store was compacted last. */
  readonly compacted: number;
  now(): number;
  nextSequence(): number;
  /** Takes an event into the common budget of history. */
  logged(history: History, event: LoggedEvent): void;
  /** Resolves when everything acknowledged before the call has arrived. */
  freshen(): Promise<void>;
  waitFor(revision: number): Promise<void>;
  handlerFailed(error: unknown): void;
  unreadable(key: string, revision: number, error: unknown): void;
}

/** See ResourceCache. */
export class CachedResource implements ResourceCache {
  readonly options: ResourceCacheOptions;
  readonly history = new History(0);
  readonly watchers: Watchers;
  readonly counts: CacheCounts = { received: 0, loads: 0, consistent: 0, lists: 0, fetched: 0, returned: 0 };
  readonly #feed: Feed;
  readonly #byKey = new Map<string, CachedEntry>();
  readonly #sorted = new SortedList<CachedEntry>();
  readonly #fields = new Map<string, Postings>();
  readonly #labels = new Map<string, Postings>();
  readonly #past = new Map<number, readonly CachedEntry[]>();
  /** Keys whose newest value can't be read (encrypted, and no key fits): reads that concern them fail. */
  readonly #unreadable = new Map<string, Error>();
  /** Events that came while a load was under way. */
  #pending: StoreEvent[] | undefined;
  #loading: PromiseWithResolvers<void> | undefined;
  #loadedAt = 0;
  #removed = false;

  constructor(options: ResourceCacheOptions, feed: Feed) {
    this.options = options;
    this.#feed = feed;
    this.watchers = new Watchers(options);
  }

  get revision(): number {
    return Math.max(this.#feed.revision, this.#loadedAt);
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** From now on events are kept until `load` has read the state they build on. */
  beginLoad(): void {
    if (this.#loading) return;
    this.#pending = [];
    this.#loading = Promise.withResolvers();
    this.#loading.promise.catch(() => {});
  }

  /**
   * Reads everything from the store; history and indexes begin anew. May be tried again when it fails. With `past` the
   * history begins at that revision; its events are those up to the call of beginLoad.
   */
  async load(past?: { revision: number; events: readonly StoreEvent[] }): Promise<void> {
    this.beginLoad();
    const list = await this.#feed.store.list(this.options.prefix, past && { revision: past.revision });
    this.counts.loads++;
    this.#byKey.clear();
    this.#unreadable.clear();
    this.#fields.clear();
    this.#labels.clear();
    this.#past.clear();
    for (const i of list.items) if (i.unreadable) this.#unreadable.set(i.key, i.unreadable);
    const entries = this.#entries(list.items);
    for (const e of entries) this.#byKey.set(e.key, e);
    this.#sorted.load(entries);
    this.#loadedAt = list.revision;
    this.history.reset(list.revision);
    const pending = this.#pending ?? [];
    this.#pending = undefined;
    for (const e of past ? [...past.events, ...pending] : pending) {
      try {
        this.apply(e, undefined);
      } catch (error) {
        this.#feed.unreadable(e.key, e.revision, error);
      }
    }
    this.#loading?.resolve();
    this.#loading = undefined;
  }

  /** Entries of stored values; what isn't JSON (somebody else's data) is left out rather than hiding all the rest. */
  #entries(items: readonly StoredValue[]): CachedEntry[] {
    const entries: CachedEntry[] = [];
    for (const i of items) {
      try {
        if (i.unreadable) throw i.unreadable;
        entries.push(CachedEntry.of(this.options, i.key, i.value, i.revision));
      } catch (error) {
        this.#feed.unreadable(i.key, i.revision, error);
      }
    }
    return entries;
  }

  /** Takes one change into the cache and hands it to the watchers. */
  apply(event: StoreEvent, object: DeepReadonly<KubeObject> | undefined): void {
    if (this.#pending) {
      this.#pending.push(event);
      return;
    }
    if (event.revision <= this.#loadedAt) return;
    if (event.unreadable) {
      this.#unreadable.set(event.key, event.unreadable);
      throw event.unreadable;
    }
    if (this.#unreadable.size > 0) this.#unreadable.delete(event.key);
    this.counts.received++;
    const previous = this.#byKey.get(event.key);
    let entry: CachedEntry;
    if (event.type === 'put') {
      entry = CachedEntry.of(this.options, event.key, event.value, event.revision);
      this.#byKey.set(event.key, entry);
      this.#sorted.set(entry);
    } else {
      if (!previous) return;
      entry = previous.deletedAt(event.revision);
      this.#byKey.delete(event.key);
      this.#sorted.delete(event.key);
    }
    entry.hold();
    if (object) entry.adopt(object);
    const kept = event.type === 'put' ? entry : undefined;
    for (const p of this.#fields.values()) p.replace(previous, kept);
    for (const p of this.#labels.values()) p.replace(previous, kept);
    const logged = new LoggedEvent(event.type, entry, previous, this.#feed.now(), this.#feed.nextSequence());
    this.history.push(logged);
    this.#feed.logged(this.history, logged);
    this.watchers.dispatch(logged, (w) => this.#deliver(w, logged));
    logged.release();
  }

  #deliver(w: Watcher, event: LoggedEvent): void {
    try {
      if (w.open && !w.handlers.event(event)) this.watchers.remove(w);
    } catch (e) {
      this.#failed(w, e);
    }
  }

  /** A watcher that fails is told that its watch is over, so that it can begin anew; the others don't notice. */
  #guard(w: Watcher, call: () => void): void {
    try {
      call();
    } catch (e) {
      this.#failed(w, e);
    }
  }

  #failed(w: Watcher, error: unknown): void {
    this.#feed.handlerFailed(error);
    const { open } = w;
    this.watchers.remove(w);
    if (open) this.#guard(w, () => w.handlers.end(error as Error));
  }

  peek(key: string): Entry | undefined {
    return this.#byKey.get(key);
  }

  snapshot(scope?: Scope): CacheList {
    const { revision } = this;
    if (!scope || isEverything(scope)) return { entries: this.#sorted.all(), revision };
    const key = keyOf(this.options, scope);
    if (key !== undefined) {
      const e = this.#byKey.get(key);
      return { entries: e && inScope(scope, e) ? [e] : [], revision };
    }
    const { entries, rest } = this.#candidates(scope);
    return { entries: rest ? entries.filter((e) => inScope(rest, e)) : entries, revision };
  }

  /** What the most telling index has for a scope, and what is still to be looked at. */
  #candidates(scope: Scope): { entries: readonly CachedEntry[]; rest: Scope | undefined } {
    const { field, label, namespace, ...others } = scope;
    const left = (s: Scope) => (isEverything(s) ? undefined : s);
    const byField = field && this.#fieldIndex(field.key);
    if (byField) return { entries: byField.get(field.value), rest: left({ label, namespace, ...others }) };
    if (label) {
      const postings = this.#labelIndex(label.key);
      if (namespace === undefined || postings.count(label.value) <= this.sizeOf(namespace))
        return { entries: postings.get(label.value), rest: left({ field, namespace, ...others }) };
    }
    if (namespace === undefined || !this.options.namespaced) return { entries: this.#sorted.all(), rest: scope };
    return { entries: this.#inNamespace(namespace), rest: left({ field, label, ...others }) };
  }

  sizeOf(namespace: string): number {
    if (!this.options.namespaced) return this.size;
    const prefix = `${this.options.prefix}${namespace}/`;
    return this.#sorted.count(prefix, prefixEnd(prefix));
  }

  #inNamespace(namespace: string): CachedEntry[] {
    const prefix = `${this.options.prefix}${namespace}/`;
    return this.#sorted.range(prefix, prefixEnd(prefix));
  }

  #fieldIndex(key: string): Postings | undefined {
    if (!this.options.indexedFields?.includes(key)) return undefined;
    let p = this.#fields.get(key);
    if (!p) this.#fields.set(key, (p = new Postings((e) => fieldOf(e, key), this.#sorted.all())));
    return p;
  }

  #labelIndex(key: string): Postings {
    const known = this.#labels.get(key);
    const p = known ?? new Postings((e) => e.labels?.[key], this.#sorted.all());
    this.#labels.delete(key);
    this.#labels.set(key, p);
    if (this.#labels.size > MAX_LABEL_INDEXES) this.#labels.delete(this.#labels.keys().next().value!);
    return p;
  }

  async get(key: string): Promise<Entry | undefined> {
    this.counts.consistent++;
    await this.#fresh();
    if (this.#unreadable.size > 0) await this.#readAgain(key);
    return this.#byKey.get(key);
  }

  async list(scope?: Scope): Promise<CacheList> {
    this.counts.consistent++;
    await this.#fresh();
    if (this.#unreadable.size > 0) await this.#readAgain(this.#concerned(scope));
    return this.snapshot(scope);
  }

  /** What a key that can't be read must begin with to matter to a scope. */
  #concerned(scope: Scope | undefined): string {
    return scope?.namespace !== undefined && this.options.namespaced
      ? `${this.options.prefix}${scope.namespace}/`
      : this.options.prefix;
  }

  /**
   * Tries the unreadable keys under a prefix once more: a key may have been given to the server meanwhile. Rejects when
   * one still can't be read. Watches begin anew, for they have missed what was there.
   */
  async #readAgain(prefix: string): Promise<void> {
    const waiting = [...this.#unreadable.keys()].filter(
      (k) => k === prefix || (prefix.endsWith('/') && k.startsWith(prefix)),
    );
    if (waiting.length === 0) return;
    for (const key of waiting) {
      const value = await this.#feed.store.get(key);
      // An event may have been faster.
      if (!this.#unreadable.delete(key) || !value) continue;
      const entry = CachedEntry.of(this.options, key, value.value, value.revision);
      this.#byKey.set(key, entry);
      this.#sorted.set(entry);
    }
    this.#fields.clear();
    this.#labels.clear();
    this.#past.clear();
    this.history.reset(this.revision);
    this.endWatches(new CompactedError(this.revision), false);
  }

  async #fresh(): Promise<void> {
    await this.#feed.freshen();
    if (this.#loading) await this.#loading.promise;
  }

  async waitFor(revision: number): Promise<void> {
    if (revision > this.revision) await this.#feed.waitFor(revision);
    if (this.#loading) await this.#loading.promise;
  }

  async listAt(revision: number, scope?: Scope): Promise<CacheList> {
    await this.waitFor(revision);
    // Also where nothing has changed since: lists end alike for all resources.
    if (revision < this.#feed.compacted) throw new CompactedError(this.#feed.compacted);
    if (this.#unreadable.size > 0) await this.#readAgain(this.#concerned(scope));
    if (revision >= this.history.horizon) {
      if (this.history.after(revision).length === 0) return { entries: this.snapshot(scope).entries, revision };
      return { entries: this.#narrow(this.#stateAt(revision), scope), revision };
    }
    const list = await this.#feed.store.list(this.options.prefix, { revision });
    for (const i of list.items) if (i.unreadable) throw i.unreadable;
    const entries = this.#entries(list.items);
    return { entries: this.#narrow(entries, scope), revision };
  }

  #narrow(entries: readonly CachedEntry[], scope: Scope | undefined): readonly CachedEntry[] {
    if (!scope || isEverything(scope)) return entries;
    const within =
      scope.namespace === undefined || !this.options.namespaced
        ? entries
        : sliceByPrefix(entries, `${this.options.prefix}${scope.namespace}/`);
    return within.filter((e) => inScope(scope, e));
  }

  /** The state at a revision within the history, by undoing what came later. */
  #stateAt(revision: number): readonly CachedEntry[] {
    const known = this.#past.get(revision);
    if (known) return known;
    const changed = new Map<string, CachedEntry | undefined>();
    for (const e of [...this.history.after(revision)].reverse()) changed.set(e.entry.key, e.previous);
    const old = new SortedList<CachedEntry>();
    old.load(this.#sorted.all());
    for (const [key, entry] of changed) {
      if (entry) old.set(entry);
      else old.delete(key);
    }
    const state = old.all();
    this.#past.set(revision, state);
    if (this.#past.size > MAX_PAST) this.#past.delete(this.#past.keys().next().value!);
    return state;
  }

  watch(afterRevision: number, scope: Scope, handlers: CacheWatchHandlers): CacheWatcher {
    if (this.#removed) throw new CompactedError(this.revision);
    const w: Watcher = {
      scope,
      handlers,
      after: afterRevision,
      afterSequence: this.#feed.nextSequence(),
      progressAt: this.#feed.now() + this.#feed.bookmarkMs,
      open: true,
      bucket: undefined,
      drop: undefined,
    };
    const past = this.history.after(afterRevision);
    this.watchers.add(w);
    for (const event of past) {
      if (!w.open) break;
      if (concerns(scope, event)) this.#deliver(w, event);
    }
    if (w.open) this.#guard(w, () => handlers.progress(this.revision));
    return { close: () => this.watchers.remove(w) };
  }

  /** Tells the watchers whose turn it is how far the cache has come. */
  progress(now: number): void {
    if (this.#pending) return;
    const { revision } = this;
    for (const w of this.watchers) {
      if (w.progressAt > now) continue;
      w.progressAt = now + this.#feed.bookmarkMs;
      this.#guard(w, () => w.handlers.progress(revision));
    }
    // Past states are for the pages of one list, which follow each other quickly.
    this.#past.clear();
  }

  /** Forgets what was encoded of objects and not asked for since the last call. */
  sweepViews(): void {
    for (const e of this.#byKey.values()) e.sweepViews();
  }

  /** Ends all watches: history is lost, or the resource is no more. */
  endWatches(error: Error, forGood: boolean): void {
    this.#removed ||= forGood;
    if (forGood) this.#loading?.reject(error);
    for (const w of this.watchers) {
      this.watchers.remove(w);
      this.#guard(w, () => w.handlers.end(error));
    }
  }
}
