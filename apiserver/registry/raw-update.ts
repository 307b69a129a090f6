/** Writes past a kind's strategy: for handlers that bring rules of their own (bindings, evictions, repairs). */
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import { encodeStored, parseObject, withRevision, type Current, type ResourceStore } from './resource-store.ts';

/** Stores what `change` makes of the newest object, again on conflict; rejects with 404 when it isn't there. */
export async function rawUpdate<T extends KubeObject>(
  store: ResourceStore,
  namespace: string,
  name: string,
  change: (current: DeepReadonly<T>) => T | undefined,
  options: { dryRun?: boolean } = {},
): Promise<T> {
  let current: Current | undefined = await store.get(namespace, name);
  for (;;) {
    if (!current) throw store.notFound(name);
    const object = change(parseObject(current.json) as DeepReadonly<T>);
    if (object === undefined) return parseObject<T>(current.json);
    const value = encodeStored(object);
    if (options.dryRun || withRevision(value, current.revision).equals(current.json)) return object;
    const written = await store.update(namespace, name, object, value, current.revision);
    if (!('conflict' in written)) return parseObject<T>(written.json);
    current = written.conflict;
  }
}
