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

const isSeen = (w: Pending['writes'][number]): boolean => Number(w.informer.resourceVersion) >= w.revision;
function isGone(d: Pending['deletions'][number]): boolean {
  const object = d.informer.get(d.name, d.namespace) as AnyObject | undefined;
  return !object || meta(object).uid !== d.uid || isDeleting(object);
}

export interface Expectations {
  /** A write (creation or update) that the server has answered with `object`. */
  wrote(key: string, informer: Informer<object>, object: AnyObject): void;
  /** A deletion that the server has accepted. */
  deleted(key: string, informer: Informer<object>, object: AnyObject): void;
  /**
   * Whether the caches show all that was done for the key. If not, its next event puts it back into the queue, or time
   * does: a cache that was read anew shows the outcome without any event (what was made may be gone already).
   */
  satisfied(key: string): boolean;
  forget(key: string): void;
}

/** `later` puts a key back into the queue after a while. */
export function createExpectations(later: (key: string) => void): Expectations {
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
      if (p.writes.every(isSeen) && p.deletions.every(isGone)) return pending.delete(key);
      later(key);
      return false;
    },
    forget: (key) => void pending.delete(key),
  };
}
