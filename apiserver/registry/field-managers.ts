/** metadata.managedFields for the registry, from api/apply; knows how the versions of a kind turn into each other. */
import { createFieldManagers, FieldPathError, type FieldManagers, type OtherVersion } from '../../api/apply/index.ts';
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
    if (!mine) return undefined;
    if (mine.custom) return customVersion(mine, apiVersion);
    const gv = parseApiVersion(apiVersion);
    const other = byKind(gv.group, gv.version, kind.kind);
    if (!other?.type || mine.store !== other.store) return undefined;
    return {
      type: other.type,
      convert: (o) => turn(o, mine, other) as DeepReadonly<KubeObject>,
      convertBack: (o) => turn(o, other, mine),
    };
  };
  return createFieldManagers({ now: () => clock.now(), version });
}

/** Custom resources take another version's name and keep their fields, declared there or not. */
function customVersion(mine: ServedResource, apiVersion: string): OtherVersion {
  const type = mine.convert!.typeAt?.(apiVersion);
  if (!type) throw new FieldPathError(`request to convert CR to an invalid group/version: ${apiVersion}`);
  return {
    type,
    // Asking a webhook takes time that isn't there: what it would drop is not known.
    strict: !mine.convert!.prepare,
    convert: (o) => renamed(o, apiVersion),
    convertBack: (o) => renamed(o, mine.apiVersion),
  };
}

const renamed = (object: DeepReadonly<KubeObject>, apiVersion: string) => ({ ...object, apiVersion }) as KubeObject;

/** An object of one served version in another, by way of the stored one. */
function turn(object: DeepReadonly<KubeObject>, from: ServedResource, to: ServedResource): KubeObject {
  const stored = from.convert ? from.convert.toStorage(parseObject(Buffer.from(encodeJson(object)))) : object;
  return to.convert ? to.convert.fromStorage(stored as DeepReadonly<KubeObject>) : (stored as KubeObject);
}
