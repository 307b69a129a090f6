/**
 * What the registry reads from: one watch on the whole store feeds a cache per resource.
 * Reads are served from buffers; nothing is parsed unless somebody asks for the object.
 * The implementation is createWatchCache in watch-cache.ts.
 */
import type { DeepReadonly, KubeObject } from '../../api/types.ts';

/** One cached object at one revision; immutable. */
export interface Entry {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  /** The object's JSON (no trailing newline) as stored, with metadata.resourceVersion spliced in. */
  readonly json: Buffer;
  readonly labels: Readonly<Record<string, string>> | undefined;
  /** The resource's selectable fields (metadata.name, spec.nodeName ...), as its definition names them. */
  readonly fields: Readonly<Record<string, string>>;
  /** The parsed object; parsed when first asked for and kept only while in use. */
  object(): DeepReadonly<KubeObject>;
  /** Encodings of this entry by view (protobuf, another version, table row ...); filled by whoever makes them. Emptied when the entry is replaced. */
  readonly views: Map<string, Buffer>;
}

/** A change as the cache saw it; `previous` is undefined for a first put. */
export interface CacheEvent {
  readonly type: 'put' | 'delete';
  readonly revision: number;
  /** The object after the change; for a delete its last state with the delete's revision. */
  readonly entry: Entry;
  readonly previous: Entry | undefined;
  /** Watch frames of this event by view, so that each is made once for all watchers; emptied when all were called. */
  readonly frames: Map<string, Buffer>;
}

export interface CacheList {
  /** In key order. */
  readonly entries: readonly Entry[];
  readonly revision: number;
}

/** Narrows a list or watch before selectors are applied; everything here is answered by an index. */
export interface Scope {
  namespace?: string;
  name?: string;
  /** One required label value (from an equality or single-value In requirement). */
  label?: { key: string; value: string };
  /** One required value of an indexed field. */
  field?: { key: string; value: string };
}

export interface CacheWatcher {
  close(): void;
}

export interface CacheWatchHandlers {
  /** Called synchronously in revision order; return false when the watcher can't take more (it is then dropped). */
  event(event: CacheEvent): boolean;
  /** Progress: nothing up to this revision is outstanding. Called about every `bookmarkMs`, and once after the initial events. */
  progress(revision: number): void;
  /** The watch can't go on (history gone, cache restarted). */
  end(error: Error): void;
}

/** Plain numbers that only grow; whoever does the thing counts it. */
export interface CacheCounts {
  /** Changes taken in. */
  received: number;
  /** Times that everything was read. */
  loads: number;
  /** Consistent reads. */
  consistent: number;
  /** Lists, the objects that were looked at for them, and those that were in them. */
  lists: number;
  fetched: number;
  returned: number;
}

/** The cache of one resource. */
export interface ResourceCache {
  /** The cached state as it is, without waiting. */
  peek(key: string): Entry | undefined;
  snapshot(scope?: Scope): CacheList;
  /** At least as new as every write acknowledged before the call (a consistent read). */
  get(key: string): Promise<Entry | undefined>;
  list(scope?: Scope): Promise<CacheList>;
  /** Waits until the cache has reached `revision`; rejects with a 504 StatusError ("Too large resource version") after 3 s. */
  waitFor(revision: number): Promise<void>;
  /** The state at exactly this revision, from the cache's history or the store; CompactedError when gone. */
  listAt(revision: number, scope?: Scope): Promise<CacheList>;
  /**
   * Events after `afterRevision`; CompactedError is thrown when the window has passed. Events of the past, and then
   * one progress call, are delivered before this returns.
   */
  watch(afterRevision: number, scope: Scope, handlers: CacheWatchHandlers): CacheWatcher;
  /** The revision this cache has reached. */
  readonly revision: number;
  /** Objects held. */
  readonly size: number;
  /** How it was used so far. */
  readonly counts: CacheCounts;
  /** Objects held of one namespace; costs next to nothing. */
  sizeOf(namespace: string): number;
}

/** How objects of a resource are indexed. */
export interface ResourceCacheOptions {
  /** The key prefix with slashes at both ends: `/pods/`. */
  prefix: string;
  namespaced: boolean;
  /** The selectable fields of an object; computed once per revision. */
  fields?(object: DeepReadonly<KubeObject>): Record<string, string>;
  /** How stored bytes become an object; defaults to parseEncoded. */
  parse?(json: Buffer): DeepReadonly<KubeObject>;
  /** Which of `fields` have an index. */
  indexedFields?: readonly string[];
}

/** The outcome of one of this server's own writes. */
export interface OwnWrite {
  readonly type: 'put' | 'delete';
  readonly key: string;
  /** What was written, without resourceVersion; empty for a delete. */
  readonly value: Buffer;
  readonly revision: number;
  /** `value` parsed, when at hand; must not change afterwards. */
  readonly object?: DeepReadonly<KubeObject>;
}

export interface WatchCache {
  /** Adds a resource; safe at any time (custom resources come and go). */
  resource(options: ResourceCacheOptions): Promise<ResourceCache>;
  removeResource(prefix: string): void;
  /**
   * Before a write: `value` is `object` as JSON, so that its event needs no parse when it comes before the write's
   * answer. The object must not change afterwards. To be followed by `settled`.
   */
  hint(key: string, value: Buffer, object: DeepReadonly<KubeObject>): void;
  /** The write that was hinted at has its answer, or failed. */
  settled(key: string, value: Buffer): void;
  /** After a write: what this server itself wrote, so that reads needn't wait for the store's watch to bring it. */
  wrote(write: OwnWrite): void;
  /** The first load is done and the watch is live. */
  readonly ready: boolean;
  close(): Promise<void>;
}
