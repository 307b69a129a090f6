/**
 * A store whose keys and values lie in another form than ours: kube-apiserver's, on etcd. Keys and foreign values are
 * translated on their way in and out; what we write ourselves passes as it is.
 */
import type { Store, StoreEvent, StoredValue, WriteResult } from './store.ts';

/** How the form below differs from ours. All of it is pure. */
export interface Translation {
  /** A key, or a prefix that ends in a slash, as the engine has it. */
  toStored(key: string): string;
  /** The opposite of `toStored`. */
  toOwn(key: string): string;
  /** A value in our form; the very same buffer when it is that already. Throws when it can't be read. */
  value(ownKey: string, stored: Buffer): Buffer;
}

/** `store` seen through `t`. */
export function translated(store: Store, t: Translation): Store {
  const read = (v: StoredValue): StoredValue => {
    const key = t.toOwn(v.key);
    return { ...v, key, value: v.unreadable ? v.value : t.value(key, v.value) };
  };
  /** One value that can't be read doesn't hide the others: it says so itself. */
  const readItem = (v: StoredValue): StoredValue => {
    try {
      return read(v);
    } catch (error) {
      return { ...v, key: t.toOwn(v.key), unreadable: error as Error };
    }
  };
  const readEvent = (e: StoreEvent): StoreEvent => {
    const key = t.toOwn(e.key);
    try {
      const value = e.value.length === 0 || e.unreadable ? e.value : t.value(key, e.value);
      const previous = e.previous && { ...e.previous, value: t.value(key, e.previous.value) };
      if (key === e.key && value === e.value && previous?.value === e.previous?.value) return e;
      return { ...e, key, value, previous };
    } catch (error) {
      // A deletion needs no value; neither does a change need what was before it.
      return e.type === 'delete'
        ? { ...e, key, value: Buffer.alloc(0), previous: undefined }
        : { ...e, key, previous: undefined, unreadable: error as Error };
    }
  };
  const result = (r: WriteResult): WriteResult => (r.ok || !r.current ? r : { ok: false, current: read(r.current) });
  return {
    async get(key, revision) {
      const v = await store.get(t.toStored(key), revision);
      return v && read(v);
    },
    async list(prefix, o = {}) {
      const startKey = o.startKey === undefined ? undefined : t.toStored(o.startKey);
      const list = await store.list(t.toStored(prefix), { ...o, startKey });
      return { ...list, items: list.items.map(readItem) };
    },
    create: async (key, value, o) => result(await store.create(t.toStored(key), value, o)),
    update: async (key, value, expected, o) => result(await store.update(t.toStored(key), value, expected, o)),
    delete: async (key, expected) => result(await store.delete(t.toStored(key), expected)),
    watch: (prefix, after, handlers, options) =>
      store.watch(
        t.toStored(prefix),
        after,
        { events: (events) => handlers.events(events.map(readEvent)), error: (error) => handlers.error(error) },
        options,
      ),
    stale: store.stale && ((key) => store.stale!(t.toStored(key))),
    compact: (revision) => store.compact(revision),
    currentRevision: () => store.currentRevision(),
    stats: () => store.stats(),
    ping: () => store.ping(),
    close: () => store.close(),
  };
}
