/**
 * A local, indexed copy of a resource kept up to date by list + watch.
 * Objects handed out are shared: read only (frozen when `freeze` is set, as tests do).
 */
import type { Clock, Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { deepFreeze } from '../api/meta.ts';
import { hasCode, isNotFound } from '../api/status.ts';
import type { DeepReadonly, KubeObject } from '../api/types.ts';
import type { Client } from './client.ts';
import type { ResourceRef } from './resources.ts';

export interface Handlers<T> {
  added?(object: DeepReadonly<T>): void;
  updated?(object: DeepReadonly<T>, old: DeepReadonly<T>): void;
  deleted?(object: DeepReadonly<T>): void;
}

export interface InformerOptions<T> {
  client: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
  /** All namespaces when absent. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /** Named functions from an object to the index values it stands under; see also `Informer.lookup`. */
  indexers?: Record<string, (object: DeepReadonly<T>) => readonly string[]>;
  /** Makes smaller what is kept (it may change the fresh object in place); `managedFields` always go. */
  transform?(object: T): T;
  /** The Accept headers of watches and lists, to fetch metadata alone. */
  accept?: string;
  listAccept?: string;
  /** Deep-freezes what is handed out; for tests. */
  freeze?: boolean;
}

/** A way to look objects up by values worked out from them; made once, known to an informer by its identity. */
export interface Index<T> {
  readonly values: (object: DeepReadonly<T>) => readonly string[];
}

export interface Informer<T> {
  /** Begins list + watch; idempotent. */
  start(): void;
  stop(): void;
  /** Resolves when the first list is in and its handlers were called. */
  synced(signal?: AbortSignal): Promise<void>;
  readonly hasSynced: boolean;
  /** `namespace` is left out for cluster-scoped resources. */
  get(name: string, namespace?: string): DeepReadonly<T> | undefined;
  list(namespace?: string): DeepReadonly<T>[];
  byIndex(index: string, value: string): DeepReadonly<T>[];
  /** Objects that stand under `value`; the index is built when first used and kept up to date from then on. */
  lookup(index: Index<T>, value: string): DeepReadonly<T>[];
  /** Handlers are called in order of the events, synchronously; late ones get `added` for all that is there. */
  on(handlers: Handlers<T>): void;
  /** No longer calls these handlers. */
  off(handlers: Handlers<T>): void;
  /** The resource version the cache has reached: handlers already see that of their event. */
  readonly resourceVersion: string;
  /** Objects in the cache. */
  readonly size: number;
}

/** `namespace/name`, or the name alone for cluster-scoped objects. */
export function keyOf(object: { readonly metadata?: { readonly name?: string; readonly namespace?: string } }): string {
  const m = object.metadata;
  return m?.namespace ? `${m.namespace}/${m.name}` : (m?.name ?? '');
}

/** The two halves of a key made by keyOf. */
export function splitKey(key: string): { namespace?: string; name: string } {
  const i = key.indexOf('/');
  return i < 0 ? { name: key } : { namespace: key.slice(0, i), name: key.slice(i + 1) };
}

const PAGE = 5000;

/** An informer that does nothing until it is started. */
export function createInformer<T extends object>(resource: ResourceRef<T>, options: InformerOptions<T>): Informer<T> {
  const { client, clock, rand, logger } = options;
  type Obj = DeepReadonly<T>;
  const objects = new Map<string, Obj>();
  const byNamespace = new Map<string, Set<string>>();
  interface Built {
    readonly values: Index<T>['values'];
    readonly keys: Map<string, Set<string>>;
  }
  const named = new Map<string, Built>();
  const lookups = new Map<Index<T>, Built>();
  const built: Built[] = [];
  const addIndex = (values: Index<T>['values']): Built => {
    const index: Built = { values, keys: new Map() };
    for (const [key, o] of objects) for (const v of values(o)) put(index.keys, v, key);
    built.push(index);
    return index;
  };
  const handlers: Handlers<T>[] = [];
  const waiting: (() => void)[] = [];
  let hasSynced = false;
  let resourceVersion = '';
  let abort: AbortController | undefined;

  const metaOf = (o: Obj | T) => (o as KubeObject).metadata ?? {};
  const put = (index: Map<string, Set<string>>, value: string, key: string) => {
    let set = index.get(value);
    if (!set) index.set(value, (set = new Set()));
    set.add(key);
  };
  const drop = (index: Map<string, Set<string>>, value: string, key: string) => {
    const set = index.get(value);
    if (set?.delete(key) && set.size === 0) index.delete(value);
  };
  const link = (key: string, o: Obj) => {
    put(byNamespace, metaOf(o).namespace ?? '', key);
    for (const index of built) for (const v of index.values(o)) put(index.keys, v, key);
  };
  const unlink = (key: string, o: Obj) => {
    drop(byNamespace, metaOf(o).namespace ?? '', key);
    for (const index of built) for (const v of index.values(o)) drop(index.keys, v, key);
  };
  for (const [name, values] of Object.entries(options.indexers ?? {})) named.set(name, addIndex(values));
  const call = (fn: () => void) => {
    try {
      fn();
    } catch (error) {
      logger.error('informer handler failed', { resource: resource.resource, error });
    }
  };

  function trim(raw: T): T {
    const m = (raw as KubeObject).metadata;
    if (m?.managedFields) delete m.managedFields;
    return options.transform ? options.transform(raw) : raw;
  }
  function store(raw: T): void {
    const trimmed = trim(raw);
    const o = (options.freeze ? deepFreeze(trimmed) : trimmed) as Obj;
    const key = keyOf(o as KubeObject);
    const old = objects.get(key);
    if (old) unlink(key, old);
    objects.set(key, o);
    link(key, o);
    const replaced = old && metaOf(old).uid !== metaOf(o).uid;
    for (const h of handlers) {
      if (replaced) call(() => h.deleted?.(old));
      if (!old || replaced) call(() => h.added?.(o));
      else call(() => h.updated?.(o, old));
    }
  }
  function remove(key: string, last?: T): void {
    const old = objects.get(key);
    if (!old) return;
    objects.delete(key);
    unlink(key, old);
    const final = (last ?? old) as Obj;
    for (const h of handlers) call(() => h.deleted?.(final));
  }

  async function relist(signal: AbortSignal): Promise<void> {
    // All pages first: handlers must never see a cache that is half of the old and half of the new list.
    const items: T[] = [];
    let token: string | undefined;
    let rv = '';
    do {
      signal.throwIfAborted();
      const page = await client.list(resource, {
        namespace: options.namespace,
        labelSelector: options.labelSelector,
        fieldSelector: options.fieldSelector,
        limit: PAGE,
        continue: token,
        accept: options.listAccept,
        signal,
      });
      for (const item of page.items) items.push(item);
      rv = page.metadata?.resourceVersion ?? '';
      token = page.metadata?.continue;
    } while (token);
    if (signal.aborted) return;
    resourceVersion = rv;
    const seen = new Set<string>();
    for (const item of items) {
      const key = keyOf(item as KubeObject);
      seen.add(key);
      const have = objects.get(key);
      if (have && metaOf(have).resourceVersion === metaOf(item).resourceVersion) continue;
      store(item);
    }
    for (const key of objects.keys()) if (!seen.has(key)) remove(key);
    if (!hasSynced) {
      hasSynced = true;
      for (const w of waiting.splice(0)) w();
    }
  }

  /** Follows one watch to its end; true when a new list is needed. */
  async function follow(signal: AbortSignal): Promise<boolean> {
    const watch = {
      namespace: options.namespace,
      labelSelector: options.labelSelector,
      fieldSelector: options.fieldSelector,
      resourceVersion,
      allowWatchBookmarks: true,
      timeoutSeconds: Math.floor(300 + rand.next() * 300),
      accept: options.accept,
      signal,
    };
    let lost = false;
    await client.follow(resource, watch, (event) => {
      if (event.type !== 'ERROR') resourceVersion = metaOf(event.object).resourceVersion ?? resourceVersion;
      switch (event.type) {
        case 'ADDED':
        case 'MODIFIED':
          store(event.object);
          break;
        case 'DELETED':
          remove(keyOf(event.object as KubeObject), event.object);
          break;
        case 'BOOKMARK':
          break;
        case 'ERROR':
          logger.debug('watch ended by the server', { resource: resource.resource, status: event.object });
          lost = true;
      }
      return lost;
    });
    return lost;
  }

  async function run(signal: AbortSignal): Promise<void> {
    let delay = 0;
    let needList = true;
    while (!signal.aborted) {
      try {
        if (needList) await relist(signal);
        needList = false;
        const began = clock.monotonic();
        needList = await follow(signal);
        delay = clock.monotonic() - began > 1000 ? 0 : Math.min(Math.max(delay * 2, 100), 5_000);
      } catch (error) {
        if (signal.aborted) return;
        if (hasCode(error, 410, 504)) needList = true;
        // The resource itself is gone (its definition was deleted): so are its objects.
        if (isNotFound(error)) {
          needList = true;
          for (const key of objects.keys()) remove(key);
        }
        delay = Math.min(Math.max(delay * 2, 100), 5_000);
        logger.debug('list or watch failed', { resource: resource.resource, error, retryMs: delay });
      }
      if (delay > 0) await clock.sleep(delay * (0.75 + rand.next() / 2), signal).catch(() => {});
    }
  }

  const pick = (index: Built, value: string): Obj[] => {
    const out: Obj[] = [];
    const keys = index.keys.get(value);
    if (keys) for (const k of keys) out.push(objects.get(k)!);
    return out;
  };

  return {
    start() {
      if (abort) return;
      abort = new AbortController();
      void run(abort.signal);
    },
    stop() {
      abort?.abort(new Error('informer stopped'));
    },
    synced(signal) {
      if (hasSynced) return Promise.resolve();
      return new Promise((resolve, reject) => {
        waiting.push(resolve);
        signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    },
    get hasSynced() {
      return hasSynced;
    },
    get: (name, namespace) => objects.get(namespace ? `${namespace}/${name}` : name),
    list(namespace) {
      if (namespace === undefined) return [...objects.values()];
      return [...(byNamespace.get(namespace) ?? [])].map((k) => objects.get(k)!);
    },
    byIndex(index, value) {
      const found = named.get(index);
      if (!found) throw new Error(`no index ${index} on ${resource.resource}`);
      return pick(found, value);
    },
    lookup(index, value) {
      let found = lookups.get(index);
      if (!found) lookups.set(index, (found = addIndex(index.values)));
      return pick(found, value);
    },
    on(h) {
      handlers.push(h);
      if (objects.size) for (const o of objects.values()) call(() => h.added?.(o));
    },
    off(h) {
      const i = handlers.indexOf(h);
      if (i >= 0) handlers.splice(i, 1);
    },
    get resourceVersion() {
      return resourceVersion;
    },
    get size() {
      return objects.size;
    },
  };
}
