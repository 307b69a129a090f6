/**
 * The watchers of one resource, kept by the most telling part of their scope, so that an event costs only what
 * its own watchers cost.
 */
import type { CacheEvent, CacheWatchHandlers, Entry, ResourceCacheOptions, Scope } from '../cache.ts';
import type { LoggedEvent } from './history.ts';
import { fieldOf, inScope, keyOf } from './scope.ts';

/** One open watch. */
export interface Watcher {
  readonly scope: Scope;
  readonly handlers: CacheWatchHandlers;
  /** Events up to this revision are not wanted. */
  readonly after: number;
  /** The events up to this one in the order of arrival were given when the watch began. */
  readonly afterSequence: number;
  /** When the next progress call is due, in ms of the monotonic clock. */
  progressAt: number;
  open: boolean;
  bucket: Set<Watcher> | undefined;
  /** Takes an emptied bucket out of its map. */
  drop: (() => void) | undefined;
}

type Buckets = Map<string, Set<Watcher>>;

/** See the top of this file. */
export class Watchers {
  readonly #options: ResourceCacheOptions;
  readonly #all = new Set<Watcher>();
  readonly #everything = new Set<Watcher>();
  readonly #byKey: Buckets = new Map();
  readonly #byNamespace: Buckets = new Map();
  readonly #byField = new Map<string, Buckets>();
  readonly #byLabel = new Map<string, Buckets>();

  constructor(options: ResourceCacheOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#all.size;
  }

  [Symbol.iterator](): IterableIterator<Watcher> {
    return this.#all.values();
  }

  add(w: Watcher): void {
    this.#all.add(w);
    const { scope } = w;
    const key = keyOf(this.#options, scope);
    if (key !== undefined) this.#put(w, this.#byKey, key);
    else if (scope.field) this.#put(w, nested(this.#byField, scope.field.key), scope.field.value);
    else if (scope.label) this.#put(w, nested(this.#byLabel, scope.label.key), scope.label.value);
    else if (scope.namespace !== undefined) this.#put(w, this.#byNamespace, scope.namespace);
    else this.#put(w, undefined, '');
  }

  #put(w: Watcher, buckets: Buckets | undefined, value: string): void {
    let set = buckets ? buckets.get(value) : this.#everything;
    if (!set) buckets!.set(value, (set = new Set()));
    set.add(w);
    const bucket = set;
    w.bucket = bucket;
    w.drop = buckets && (() => buckets.get(value) === bucket && buckets.delete(value));
  }

  remove(w: Watcher): void {
    w.open = false;
    if (!this.#all.delete(w)) return;
    w.bucket?.delete(w);
    if (w.bucket?.size === 0) w.drop?.();
  }

  /** Calls `deliver` for each watcher whose scope holds the object before or after the change. */
  dispatch(event: LoggedEvent, deliver: (w: Watcher) => void): void {
    const { entry, previous } = event;
    const offer = (set: Set<Watcher> | undefined): void => {
      if (!set) return;
      for (const w of set) {
        if (w.afterSequence < event.sequence && w.after < event.revision && concerns(w.scope, event)) deliver(w);
      }
    };
    offer(this.#everything);
    if (this.#byKey.size > 0) offer(this.#byKey.get(entry.key));
    if (this.#byNamespace.size > 0) offer(this.#byNamespace.get(entry.namespace));
    for (const [key, buckets] of this.#byField) offerBoth(buckets, entry, previous, (e) => fieldOf(e, key), offer);
    for (const [key, buckets] of this.#byLabel) offerBoth(buckets, entry, previous, (e) => e.labels?.[key], offer);
  }
}

function offerBoth(
  buckets: Buckets,
  entry: Entry,
  previous: Entry | undefined,
  valueOf: (e: Entry) => string | undefined,
  offer: (set: Set<Watcher> | undefined) => void,
): void {
  if (buckets.size === 0) return;
  const now = valueOf(entry);
  const before = previous && valueOf(previous);
  if (now !== undefined) offer(buckets.get(now));
  if (before !== undefined && before !== now) offer(buckets.get(before));
}

function nested(map: Map<string, Buckets>, key: string): Buckets {
  let inner = map.get(key);
  if (!inner) map.set(key, (inner = new Map()));
  return inner;
}

/** Whether an event is of interest to a scope: the object is in it now, or was until now. */
export function concerns(scope: Scope, event: CacheEvent): boolean {
  return inScope(scope, event.entry) || (event.previous !== undefined && inScope(scope, event.previous));
}
