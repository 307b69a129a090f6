/** Single objects from the caches, for credentials that are bound to them. */
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { CacheLookup } from '../authorization/follow.ts';

export interface ObjectFinder {
  /** From the cache as it is; when it isn't there, after every write acknowledged before the call. */
  find<T extends KubeObject>(resource: string, namespace: string, name: string): Promise<DeepReadonly<T> | undefined>;
}

export function createObjectFinder(caches: CacheLookup): ObjectFinder {
  return {
    async find<T extends KubeObject>(resource: string, namespace: string, name: string) {
      const cache = caches(resource);
      if (!cache || name === '') return undefined;
      const scope = namespace === '' ? { name } : { namespace, name };
      const entry = cache.snapshot(scope).entries[0] ?? (await cache.list(scope)).entries[0];
      return entry?.object() as DeepReadonly<T> | undefined;
    },
  };
}
