/** Synchronous look-ups for admission, authorization and strategies: straight from the caches. */
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { ObjectReader } from './definition.ts';
import type { ResourceStore } from './resource-store.ts';

/** Key of a resource in an ObjectReader: `pods`, `apps/deployments`. */
export function readerKey(group: string, resource: string): string {
  return group === '' ? resource : `${group}/${resource}`;
}

/** Reads what the caches of `stores` hold; unknown resources read as empty. */
export function createReader(stores: ReadonlyMap<string, ResourceStore>): ObjectReader {
  return {
    get<T extends KubeObject>(resource: string, namespace: string, name: string) {
      const store = stores.get(resource);
      if (!store?.isOpen) return undefined;
      return store.cache.peek(store.key(namespace, name))?.object() as DeepReadonly<T> | undefined;
    },
    list<T extends KubeObject>(resource: string, namespace?: string) {
      const store = stores.get(resource);
      if (!store?.isOpen) return [];
      return store.cache.snapshot(namespace ? { namespace } : {}).entries.map((e) => e.object() as DeepReadonly<T>);
    },
  };
}
