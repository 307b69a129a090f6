/** Follows one resource's cache: what is there first, then every change, across restarts of the watch. */
import type { Entry, ResourceCache } from '../storage/cache.ts';

export interface FollowHandlers {
  /** The object is new or changed; `previous` is what it was right before, when that is known. */
  put(entry: Entry, previous?: Entry): void;
  /** The object is gone. */
  delete(key: string): void;
}

/** Calls the handlers synchronously for all that is cached now and then for each change; `close` ends it. */
export function follow(cache: ResourceCache, handlers: FollowHandlers): { close(): void } {
  const known = new Set<string>();
  let watcher: { close(): void } | undefined;
  let closed = false;

  function forget(keys: Iterable<string>): void {
    for (const key of keys) {
      known.delete(key);
      handlers.delete(key);
    }
  }

  function start(again = false): void {
    if (closed) return;
    const { entries, revision } = cache.snapshot();
    const gone = new Set(known);
    for (const entry of entries) {
      gone.delete(entry.key);
      known.add(entry.key);
      try {
        handlers.put(entry);
      } catch (error) {
        // One that can't be taken has ended the watch when it came; it must not hide all the others as well.
        if (!again) throw error;
      }
    }
    forget(gone);
    try {
      watcher = cache.watch(
        revision,
        {},
        {
          event(event) {
            const { key } = event.entry;
            if (event.type === 'delete') forget([key]);
            else {
              known.add(key);
              handlers.put(event.entry, event.previous);
            }
            return true;
          },
          progress() {},
          // The history was lost: list again. Not at once, because the cache is still busy with its other watchers.
          end: () => queueMicrotask(() => start(true)),
        },
      );
    } catch {
      // The resource is served no more, and with it go its objects.
      forget([...known]);
    }
  }

  start();
  return {
    close() {
      closed = true;
      watcher?.close();
    },
  };
}

/** Finds the cache of a resource by its key: 'pods', 'rbac.authorization.k8s.io/roles'. */
export type CacheLookup = (resource: string) => ResourceCache | undefined;
