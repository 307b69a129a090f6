/** metadata.managedFields for the registry, from api/apply; knows how the versions of a kind turn into each other. */
import { createFieldManagers, type FieldManagers, type OtherVersion } from '../../api/apply/index.ts';
import { encodeJson } from '../../api/codec/json.ts';
import { parseApiVersion, type DeepReadonly, type GroupVersionKind, type KubeObject } from '../../api/types.ts';
import type { Clock } from '../../base/clock.ts';
import type { Catalog, ServedResource } from './catalog.ts';
import { parseObject } from './resource-store.ts';

export function fieldManagersOf(catalog: Catalog, clock: Clock): FieldManagers {
  const byKind = (group: string, version: string, kind: string): ServedResource | undefined =>
    catalog.all().find((r) => r.kind === kind && r.group === group && r.version === version && r.store !== undefined);
  const version = (kind: GroupVersionKind, apiVersion: string): OtherVersion | undefined => {
    const mine = byKind(kind.group, kind.version, kind.kind);
    const gv = parseApiVersion(apiVersion);
    const other = byKind(gv.group, gv.version, kind.kind);
    if (!mine || !other?.type || mine.store !== other.store) return undefined;
    return {
      type: other.type,
      convert: (o) => turn(o, mine, other) as DeepReadonly<KubeObject>,
      convertBack: (o) => turn(o, other, mine),
    };
  };
  return createFieldManagers({ now: () => clock.now(), version });
}

/** An object of one served version in another, by way of the stored one. */
function turn(object: DeepReadonly<KubeObject>, from: ServedResource, to: ServedResource): KubeObject {
  // Asking a webhook takes time that isn't there: the same fields under another version will do.
  if (from.convert?.prepare || to.convert?.prepare) return { ...object, apiVersion: to.apiVersion } as KubeObject;
  const stored = from.convert ? from.convert.toStorage(parseObject(Buffer.from(encodeJson(object)))) : object;
  return to.convert ? to.convert.fromStorage(stored as DeepReadonly<KubeObject>) : (stored as KubeObject);
}
