/** The distributed engine: etcd 3.4 or newer over gRPC. Values stay the plain JSON bytes. */
import type { Clock } from '../../../base/clock.ts';
import {
  CompactedError,
  StoreUnavailableError,
  type ListResult,
  type Store,
  type StoredValue,
  type StoreEvent,
  type StoreWatch,
  type StoreWatchHandlers,
  type WriteResult,
} from '../store.ts';
import { EtcdConnection, storeError, type EtcdOptions } from './connection.ts';
import { Leases } from './leases.ts';
import { toNumber, type KeyValue, type RequestOp, type WatchRequest, type WatchResponse } from './proto.ts';

/** Lists are read in pages of about this many bytes. */
const PAGE_BYTES = 4 * 1024 * 1024;
const FIRST_PAGE = 200;
const MAX_PAGE = 5000;
const EMPTY = Buffer.alloc(0);

/** A store on an etcd cluster. Connects when first used. */
export function createEtcdStore(options: EtcdOptions & { clock: Clock }): Store {
  return new EtcdStore(options);
}

/** The first key (in bytes) after all that begin with `prefix`. */
function rangeEnd(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    if (end[i]! < 0xff) {
      end[i]!++;
      return end.subarray(0, i + 1);
    }
  }
  return Buffer.from([0]);
}

class EtcdStore implements Store {
  readonly #connection: EtcdConnection;
  readonly #leases: Leases;
  readonly #prefix: string;
  readonly #watches = new Set<StoreWatch>();
  #compacted = 0;
  #closed = false;

  constructor(options: EtcdOptions & { clock: Clock }) {
    this.#connection = new EtcdConnection(options, options.clock);
    this.#leases = new Leases(this.#connection, options.clock);
    const prefix = options.prefix ?? '/registry';
    this.#prefix = (prefix.startsWith('/') ? prefix : `/${prefix}`).replace(/\/+$/, '');
  }

  #key(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }

  #stored(kv: KeyValue): StoredValue {
    return {
      key: kv.key.toString('utf8').slice(this.#prefix.length),
      value: kv.value,
      revision: toNumber(kv.modRevision),
    };
  }

  async #call<T>(action: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new StoreUnavailableError('the store is closed');
    try {
      return await action();
    } catch (e) {
      throw storeError(e, this.#compacted);
    }
  }

  async get(key: string, revision?: number): Promise<StoredValue | undefined> {
    const { range } = this.#connection.methods;
    const r = await this.#call(() => this.#connection.read(range, { key: this.#key(key), revision: revision ?? 0 }));
    return r.kvs[0] && this.#stored(r.kvs[0]);
  }

  async list(prefix: string, o: { revision?: number; startKey?: string; limit?: number } = {}): Promise<ListResult> {
    const { range } = this.#connection.methods;
    const base = this.#key(prefix);
    const end = rangeEnd(base);
    let key = base;
    if (o.startKey !== undefined) {
      const start = this.#key(o.startKey);
      if (Buffer.compare(start, base) > 0) key = start;
    }
    let revision = o.revision ?? 0;
    let total: number | undefined;
    let page = FIRST_PAGE;
    let bytes = 0;
    const items: StoredValue[] = [];
    for (;;) {
      const limit = o.limit ? Math.min(page, o.limit - items.length) : page;
      const request = { key, rangeEnd: end, revision, limit };
      const r = await this.#call(() => this.#connection.read(range, request));
      // All pages are of the first one's revision.
      if (revision === 0) revision = toNumber(r.header.revision);
      total ??= toNumber(r.count);
      for (const kv of r.kvs) {
        bytes += kv.value.length;
        items.push(this.#stored(kv));
      }
      if (!r.more || (o.limit && items.length >= o.limit)) break;
      const last = r.kvs[r.kvs.length - 1]!.key;
      key = Buffer.concat([last, Buffer.from([0])]);
      page = Math.max(1, Math.min(MAX_PAGE, Math.floor((PAGE_BYTES * items.length) / (bytes + 1))));
    }
    const remaining = Math.max(0, total - items.length);
    return { items, revision, more: remaining > 0, remaining };
  }

  create(key: string, value: Buffer, o?: { ttlSeconds?: number }): Promise<WriteResult> {
    return this.#put(key, value, 0, o?.ttlSeconds);
  }
  update(key: string, value: Buffer, expected: number, o?: { ttlSeconds?: number }): Promise<WriteResult> {
    return this.#put(key, value, expected, o?.ttlSeconds);
  }
  delete(key: string, expected: number): Promise<WriteResult> {
    const k = this.#key(key);
    return this.#call(() => this.#txn(k, expected, { requestDeleteRange: { key: k } }));
  }

  #put(key: string, value: Buffer, expected: number, ttlSeconds: number | undefined): Promise<WriteResult> {
    const k = this.#key(key);
    return this.#call(async () => {
      if (ttlSeconds === undefined) return this.#txn(k, expected, { requestPut: { key: k, value } });
      for (let attempt = 1; ; attempt++) {
        const lease = await this.#leases.get(ttlSeconds);
        try {
          return await this.#txn(k, expected, { requestPut: { key: k, value, lease } });
        } catch (e) {
          // The lease ran out or was lost; nothing was written.
          if (attempt > 1 || !(e as Error).message.includes('lease not found')) throw e;
          this.#leases.forget(ttlSeconds);
        }
      }
    });
  }

  /** Does `op` when the key's last change is exactly `expected` (0: the key is absent). */
  async #txn(key: Buffer, expected: number, op: RequestOp): Promise<WriteResult> {
    const r = await this.#connection.write(this.#connection.methods.txn, {
      compare: [{ result: 0, target: 2, key, modRevision: expected }],
      success: [op],
      failure: [{ requestRange: { key } }],
    });
    if (r.succeeded && (expected > 0 || !op.requestDeleteRange)) {
      return { ok: true, revision: toNumber(r.header.revision) };
    }
    const kv = r.responses[0]?.responseRange?.kvs[0];
    return { ok: false, current: kv && this.#stored(kv) };
  }

  watch(
    prefix: string,
    afterRevision: number,
    handlers: StoreWatchHandlers,
    options: { previous?: boolean } = {},
  ): StoreWatch {
    let open = true;
    const watch: StoreWatch = {
      close: () => {
        open = false;
        this.#watches.delete(watch);
        call.cancel();
      },
    };
    this.#watches.add(watch);
    const fail = (error: Error): void => {
      if (!open) return;
      watch.close();
      handlers.error(error);
    };
    let fragments: StoreEvent[] = [];
    const key = this.#key(prefix);
    const request: WatchRequest = {
      createRequest: {
        key,
        rangeEnd: rangeEnd(key),
        startRevision: afterRevision + 1,
        prevKv: options.previous ?? true,
        fragment: true,
      },
    };
    const take = (r: WatchResponse) => {
      if (!open) return;
      if (r.canceled) {
        const compacted = toNumber(r.compactRevision);
        if (compacted > 0) {
          this.#compacted = Math.max(this.#compacted, compacted);
          fail(new CompactedError(compacted));
        } else fail(storeError(new Error(r.cancelReason || 'the watch was cancelled'), this.#compacted));
        return;
      }
      for (const e of r.events) fragments.push(this.#event(e));
      if (r.fragment || fragments.length === 0) return;
      const events = fragments;
      fragments = [];
      handlers.events(events);
    };
    const call = this.#connection.follow(this.#connection.methods.watch, request, take, (e) =>
      fail(storeError(e, this.#compacted)),
    );
    return watch;
  }

  #event(e: WatchResponse['events'][number]): StoreEvent {
    const { key, value, revision } = this.#stored(e.kv);
    const previous = e.prevKv ? { value: e.prevKv.value, revision: toNumber(e.prevKv.modRevision) } : undefined;
    return e.type === 1
      ? { type: 'delete', key, value: previous?.value ?? EMPTY, revision, previous }
      : { type: 'put', key, value, revision, previous };
  }

  async compact(revision: number): Promise<void> {
    try {
      await this.#call(() => this.#connection.write(this.#connection.methods.compact, { revision }));
      this.#compacted = Math.max(this.#compacted, revision);
    } catch (e) {
      if (!(e instanceof CompactedError)) throw e;
    }
  }

  async currentRevision(): Promise<number> {
    const { range } = this.#connection.methods;
    const key = this.#key('');
    const r = await this.#call(() => this.#connection.read(range, { key, countOnly: true }));
    return toNumber(r.header.revision);
  }

  async stats(): Promise<{ sizeBytes: number; compactRevision: number }> {
    const r = await this.#call(() => this.#connection.read(this.#connection.methods.status, {}));
    return { sizeBytes: toNumber(r.dbSize), compactRevision: this.#compacted };
  }

  async ping(): Promise<void> {
    await this.currentRevision();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const w of this.#watches) w.close();
    this.#connection.close();
  }
}
