/** The objects of one resource: keys, bytes, reads through the cache, writes to the store. */
import { encodeJson, parseEncoded } from '../../api/codec/json.ts';
import { StatusError, alreadyExists, notFound, serviceUnavailable } from '../../api/status.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { Entry, ResourceCache, WatchCache } from '../storage/cache.ts';
import { spliceRevision } from '../storage/cache/splice.ts';
import { StoreUnavailableError, type Store, type StoredValue, type WriteResult } from '../storage/store.ts';
import type { ResourceDefinition } from './definition.ts';

/** One object as the write paths use it: its bytes with the resource version, parsed on demand. */
export interface Current {
  readonly revision: number;
  /** With metadata.resourceVersion. */
  readonly json: Buffer;
}

/** What a write made. */
export interface Written {
  readonly revision: number;
  /** The stored form with metadata.resourceVersion. */
  readonly json: Buffer;
}

/** Key prefix of a definition, with slashes at both ends. */
export function keyPrefix(d: ResourceDefinition): string {
  return d.keyPrefix ?? (d.group === '' ? `/${d.resource}/` : `/${d.group}/${d.resource}/`);
}

export class ResourceStore {
  readonly definition: ResourceDefinition;
  readonly prefix: string;
  readonly #store: Store;
  readonly #watchCache: WatchCache;
  #cache: ResourceCache | undefined;

  constructor(definition: ResourceDefinition, store: Store, watchCache: WatchCache) {
    this.definition = definition;
    this.prefix = keyPrefix(definition);
    this.#store = store;
    this.#watchCache = watchCache;
  }

  /** The cache, once the server has opened it. */
  get cache(): ResourceCache {
    if (!this.#cache) throw serviceUnavailable('the server is starting');
    return this.#cache;
  }
  open(cache: ResourceCache): void {
    this.#cache = cache;
  }
  get isOpen(): boolean {
    return this.#cache !== undefined;
  }

  key(namespace: string, name: string): string {
    return this.definition.namespaced ? `${this.prefix}${namespace}/${name}` : this.prefix + name;
  }

  /** The object as the cache has it now; may lag behind the newest write. */
  peek(namespace: string, name: string): Current | undefined {
    return this.cache.peek(this.key(namespace, name));
  }
  /** The object after every write acknowledged before the call. */
  get(namespace: string, name: string): Promise<Entry | undefined> {
    return this.cache.get(this.key(namespace, name));
  }

  async create(namespace: string, name: string, object: KubeObject): Promise<Written> {
    const key = this.key(namespace, name);
    const value = encodeStored(object);
    const result = await this.#put(key, value, object, (options) => this.#store.create(key, value, options));
    if (!result.ok) throw alreadyExists(this.definition, name);
    return this.#written(key, value, result.revision);
  }

  /** Writes a value and tells the cache of it. */
  async #put(
    key: string,
    value: Buffer,
    object: KubeObject,
    write: (options: { ttlSeconds: number } | undefined) => Promise<WriteResult>,
  ): Promise<WriteResult> {
    const ttlSeconds = this.definition.ttlSeconds?.(object as DeepReadonly<KubeObject>);
    const kept = withoutRevision(object);
    this.#watchCache.hint(key, value, kept);
    try {
      const result = await this.#write(() => write(ttlSeconds === undefined ? undefined : { ttlSeconds }));
      if (result.ok) this.#watchCache.wrote({ type: 'put', key, value, revision: result.revision, object: kept });
      return result;
    } finally {
      this.#watchCache.settled(key, value);
    }
  }

  /** What was written, with its version: the cache's own bytes where they are there already. */
  #written(key: string, value: Buffer, revision: number): Written {
    const entry = this.#cache?.peek(key);
    return { revision, json: entry?.revision === revision ? entry.json : withRevision(value, revision) };
  }

  /** Writes over `expected`; the current value is returned when somebody else was faster. */
  async update(
    namespace: string,
    name: string,
    object: KubeObject,
    value: Buffer,
    expected: number,
  ): Promise<Written | Conflict> {
    const key = this.key(namespace, name);
    const result = await this.#put(key, value, object, (options) => this.#store.update(key, value, expected, options));
    return result.ok ? this.#written(key, value, result.revision) : conflictOf(result.current);
  }

  async delete(namespace: string, name: string, expected: number): Promise<{ revision: number } | Conflict> {
    const key = this.key(namespace, name);
    const result = await this.#write(() => this.#store.delete(key, expected));
    if (result.ok) this.#watchCache.wrote({ type: 'delete', key, value: EMPTY, revision: result.revision });
    return result.ok ? { revision: result.revision } : conflictOf(result.current);
  }

  /** Writing the same bytes again would encrypt them anew under the present key. */
  async isStale(namespace: string, name: string): Promise<boolean> {
    return (await this.#store.stale?.(this.key(namespace, name))) ?? false;
  }
  /** False where values are never stale, so that nobody need ask. */
  get mayBeStale(): boolean {
    return this.#store.stale !== undefined;
  }

  notFound(name: string): StatusError {
    return notFound(this.definition, name);
  }

  async #write(fn: () => Promise<WriteResult>): Promise<WriteResult> {
    try {
      return await fn();
    } catch (error) {
      if (error instanceof StoreUnavailableError) throw serviceUnavailable('the store is not available');
      throw error;
    }
  }
}

export interface Conflict {
  /** What is there instead; undefined when it is gone. */
  readonly conflict: Current | undefined;
}
function conflictOf(current: StoredValue | undefined): Conflict {
  return { conflict: current && { revision: current.revision, json: withRevision(current.value, current.revision) } };
}

const EMPTY = Buffer.alloc(0);

/** The object as it is stored; the given one when it has no resourceVersion. */
function withoutRevision(object: KubeObject): DeepReadonly<KubeObject> {
  if (object.metadata?.resourceVersion === undefined) return object as DeepReadonly<KubeObject>;
  const { resourceVersion: _, ...rest } = object.metadata;
  return { ...object, metadata: rest } as DeepReadonly<KubeObject>;
}

/** The bytes to store: without a resourceVersion. Leaves the object's own as it was. */
export function encodeStored(object: KubeObject): Buffer {
  const meta = object.metadata;
  if (meta?.resourceVersion === undefined) return Buffer.from(encodeJson(object));
  const { resourceVersion: _, ...rest } = meta;
  return Buffer.from(encodeJson({ ...object, metadata: rest }));
}

/** Stored bytes with metadata.resourceVersion, as the cache has them. */
export const withRevision = spliceRevision;

/** A fresh, mutable copy of an object from its bytes. */
export function parseObject<T extends KubeObject = KubeObject>(json: Buffer): T {
  return parseEncoded(json) as T;
}
