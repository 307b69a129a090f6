/** The seam for encryption at rest: a store that changes value bytes on their way in and out. */
import type { Store, StoredValue, StoreEvent } from './store.ts';

/** Changes bytes; `key` is there to be authenticated along with them, so that values can't be swapped. */
export interface ValueTransformer {
  toStorage(key: string, value: Buffer): Buffer | Promise<Buffer>;
  fromStorage(key: string, stored: Buffer): Buffer | Promise<Buffer>;
  /** The value would be written in another way now (an older key), so a write that changes nothing is worth it. */
  stale?(key: string, stored: Buffer): boolean | Promise<boolean>;
}

/** A value can't be read (no key fits, or it was changed) or can't be encrypted. */
export class ValueTransformError extends Error {
  constructor(key: string, cause: unknown) {
    super(`unable to transform key ${JSON.stringify(key)}: ${(cause as Error).message}`);
  }
}

/** `store` with every value passed through `transformer`. */
export function transformValues(store: Store, transformer: ValueTransformer): Store {
  const plain = async (key: string, stored: Buffer): Promise<Buffer> => {
    try {
      return await transformer.fromStorage(key, stored);
    } catch (error) {
      throw new ValueTransformError(key, error);
    }
  };
  const sealed = async (key: string, value: Buffer): Promise<Buffer> => {
    try {
      return await transformer.toStorage(key, value);
    } catch (error) {
      throw new ValueTransformError(key, error);
    }
  };
  const read = async (v: StoredValue): Promise<StoredValue> => ({ ...v, value: await plain(v.key, v.value) });
  /** One value that can't be read doesn't hide the others: it says so itself. */
  const readItem = (v: StoredValue): Promise<StoredValue> =>
    read(v).catch((error: Error) => ({ ...v, unreadable: error }));
  const readEvent = async (e: StoreEvent): Promise<StoreEvent> => {
    try {
      return {
        ...e,
        value: e.value.length === 0 ? e.value : await plain(e.key, e.value),
        previous: e.previous && { ...e.previous, value: await plain(e.key, e.previous.value) },
      };
    } catch (error) {
      // A deletion needs no value; neither does a change need what was before it.
      return e.type === 'delete'
        ? { ...e, value: Buffer.alloc(0), previous: undefined }
        : { ...e, previous: undefined, unreadable: error as Error };
    }
  };
  const result = async <T extends { ok: boolean; current?: StoredValue }>(r: T): Promise<T> =>
    r.current ? { ...r, current: await read(r.current) } : r;
  return {
    async get(key, revision) {
      const v = await store.get(key, revision);
      return v && read(v);
    },
    async list(prefix, options) {
      const list = await store.list(prefix, options);
      return { ...list, items: await Promise.all(list.items.map(readItem)) };
    },
    async create(key, value, o) {
      const made = await store.create(key, await sealed(key, value), o);
      // That the key is taken is the answer, whether its value can be read or not.
      return result(made).catch(() => ({ ok: false, current: undefined }) as const);
    },
    update: async (key, value, expected, o) => result(await store.update(key, await sealed(key, value), expected, o)),
    delete: async (key, expected) => result(await store.delete(key, expected)),
    watch(prefix, after, handlers, options) {
      let order = Promise.resolve();
      let open = true;
      const fail = (e: unknown) => {
        if (!open) return;
        open = false;
        watch.close();
        handlers.error(e as Error);
      };
      const watch = store.watch(
        prefix,
        after,
        {
          events(events) {
            const changed = Promise.all(events.map(readEvent));
            changed.catch(() => {});
            order = order
              .then(() => changed)
              .then((all) => open && handlers.events(all))
              .then(() => {}, fail);
          },
          error(e) {
            order = order.then(() => fail(e));
          },
        },
        options,
      );
      return {
        close() {
          open = false;
          watch.close();
        },
      };
    },
    stale:
      transformer.stale &&
      (async (key) => {
        const v = await store.get(key);
        return v !== undefined && transformer.stale!(key, v.value);
      }),
    compact: (revision) => store.compact(revision),
    currentRevision: () => store.currentRevision(),
    stats: () => store.stats(),
    ping: () => store.ping(),
    close: () => store.close(),
  };
}
