/** The engine for tests and simulation: everything in this process' memory, gone when it ends. */
import type { Clock } from '../../../base/clock.ts';
import { Expiry } from '../expiry.ts';
import { WatchHub } from '../hub.ts';
import { RevisionIndex, type Version } from '../revisions.ts';
import {
  CompactedError,
  FutureRevisionError,
  StoreUnavailableError,
  type Store,
  type StoredValue,
  type StoreEvent,
  type WriteResult,
} from '../store.ts';

/** A store in memory. The first write gets revision 2, as with a fresh etcd. */
export function createMemoryStore(options: { clock: Clock }): Store {
  const index = new RevisionIndex();
  let log: StoreEvent[] = [];
  let revision = 1;
  let compactRevision = 0;
  let bytes = 0;
  let closed = false;

  const indexAfter = (after: number): number => {
    let lo = 0;
    let hi = log.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (log[mid]!.revision <= after) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  };

  const hub = new WatchHub(revision, (after, limit) => {
    if (after < compactRevision) throw new CompactedError(compactRevision);
    const from = indexAfter(after);
    const events = log.slice(from, from + limit);
    const upTo = from + limit >= log.length ? revision : events[events.length - 1]!.revision;
    return { events, upTo };
  });

  const stored = (key: string, v: Version | undefined): StoredValue | undefined =>
    v && { key, value: v.value!, revision: v.revision };

  const checkOpen = (): void => {
    if (closed) throw new StoreUnavailableError('the store is closed');
  };
  const checkRevision = (rev: number | undefined): number => {
    checkOpen();
    if (rev === undefined) return revision;
    if (rev < compactRevision) throw new CompactedError(compactRevision);
    if (rev > revision) throw new FutureRevisionError(`required revision ${rev} is a future revision`);
    return rev;
  };

  const expiry = new Expiry(options.clock, (key, rev) => void write(key, undefined, rev, undefined));

  const write = (
    key: string,
    value: Buffer | undefined,
    expected: number | undefined,
    ttlSeconds: number | undefined,
  ): WriteResult => {
    checkOpen();
    const current = stored(key, index.at(key, revision));
    if (current?.revision !== expected) return { ok: false, current };
    const rev = ++revision;
    index.add(key, { revision: rev, deleted: value === undefined, value });
    bytes += value?.length ?? 0;
    const event: StoreEvent = value
      ? { type: 'put', key, value, revision: rev, previous: current }
      : { type: 'delete', key, value: current!.value, revision: rev, previous: current };
    log.push(event);
    if (ttlSeconds !== undefined) expiry.add(key, rev, options.clock.now() + ttlSeconds * 1000);
    hub.publish([event]);
    return { ok: true, revision: rev };
  };

  return {
    async get(key, rev) {
      return stored(key, index.at(key, checkRevision(rev)));
    },
    async list(prefix, o = {}) {
      const rev = checkRevision(o.revision);
      const found = index.range(prefix, o.startKey, rev);
      const items = (o.limit ? found.slice(0, o.limit) : found).map((f) => stored(f.key, f.version)!);
      const remaining = found.length - items.length;
      return { items, revision: rev, more: remaining > 0, remaining };
    },
    create: async (key, value, o) => write(key, value, undefined, o?.ttlSeconds),
    update: async (key, value, expected, o) => write(key, value, expected, o?.ttlSeconds),
    delete: async (key, expected) => write(key, undefined, expected, undefined),
    watch: (prefix, after, handlers) => hub.watch(prefix, after, handlers),
    async compact(rev) {
      if (rev <= compactRevision) return;
      checkRevision(rev);
      compactRevision = rev;
      log = log.slice(indexAfter(rev));
      for (const v of index.compact(rev)) bytes -= v.value?.length ?? 0;
    },
    async currentRevision() {
      checkOpen();
      return revision;
    },
    stats: async () => ({ sizeBytes: bytes, compactRevision }),
    ping: async () => checkOpen(),
    async close() {
      closed = true;
      expiry.close();
      hub.close();
    },
  };
}
