/**
 * Read-your-writes for controllers: after a reconcile has created or deleted objects, the next one for the same
 * key waits until the cache shows them. Nothing is counted: a creation is seen when the informer has reached its
 * resource version, a deletion when the object is gone, being deleted, or another one of the same name.
 */
import type { Informer } from '../client/informer.ts';
import { isDeleting, meta, type AnyObject } from './lib/meta.ts';

interface Pending {
  writes: { informer: Informer<object>; revision: number }[];
  deletions: { informer: Informer<object>; namespace: string; name: string; uid: string }[];
}

export interface Expectations {
  /** A write (creation or update) that the server has answered with `object`. */
  wrote(key: string, informer: Informer<object>, object: AnyObject): void;
  /** A deletion that the server has accepted. */
  deleted(key: string, informer: Informer<object>, object: AnyObject): void;
  /** Whether the caches show all that was done for the key. Its next event will put it back into the queue. */
  satisfied(key: string): boolean;
  forget(key: string): void;
}

export function createExpectations(): Expectations {
  const pending = new Map<string, Pending>();
  const of = (key: string): Pending => {
    let p = pending.get(key);
    if (!p) pending.set(key, (p = { writes: [], deletions: [] }));
    return p;
  };
  return {
    wrote(key, informer, object) {
      const revision = Number(meta(object).resourceVersion);
      if (Number.isNaN(revision)) return;
      const { writes } = of(key);
      const have = writes.find((w) => w.informer === informer);
      if (have) have.revision = Math.max(have.revision, revision);
      else writes.push({ informer, revision });
    },
    deleted(key, informer, object) {
      const { namespace, name, uid } = meta(object);
      of(key).deletions.push({ informer, namespace, name, uid });
    },
    satisfied(key) {
      const p = pending.get(key);
      if (!p) return true;
      for (const w of p.writes) if (Number(w.informer.resourceVersion) < w.revision) return false;
      for (const d of p.deletions) {
        const object = d.informer.get(d.name, d.namespace) as AnyObject | undefined;
        if (object && meta(object).uid === d.uid && !isDeleting(object)) return false;
      }
      pending.delete(key);
      return true;
    },
    forget: (key) => void pending.delete(key),
  };
}
