/** managedFields seen through the scale subresource: who owns spec.replicas there owns the replicas of the parent. */
import type { DeepReadonly, ManagedFieldsEntry } from '../types.ts';
import { decodeManagedFields, encodeManagedFields, ownerKey, type Owners } from './managed.ts';
import { difference, type FieldSet, hasPath, isEmpty } from './set.ts';

const SCALE = 'autoscaling/v1';
const SCALE_FIELDS: FieldSet = { 'f:spec': { 'f:replicas': {} } };
const SCALE_PATH = ['f:spec', 'f:replicas'];
type Entries = readonly DeepReadonly<ManagedFieldsEntry>[] | undefined;
/**
 * Where the replicas are, by API version of the parent (`['spec', 'replicas']`); nowhere (`[]`) in versions that have
 * no scale. Versions that are not in it are gone.
 */
export type ReplicasPaths = Readonly<Record<string, readonly string[]>>;

const elementsOf = (path: readonly string[]): string[] => path.map((p) => `f:${p}`);
function setOf(path: readonly string[]): FieldSet {
  let set: FieldSet = {};
  for (let i = path.length - 1; i >= 0; i--) set = { [`f:${path[i]}`]: set };
  return set;
}

/** What a Scale shows: the parent's owners of the replicas. */
export function scaleEntries(parent: Entries, replicas: ReplicasPaths): ManagedFieldsEntry[] | undefined {
  const out: Owners = new Map();
  for (const owner of decodeManagedFields(parent, true).values()) {
    const path = replicas[owner.apiVersion];
    if (!path?.length || !hasPath(owner.fields, elementsOf(path))) continue;
    const shown = { ...owner, apiVersion: SCALE, fields: SCALE_FIELDS };
    out.set(ownerKey(shown), shown);
  }
  return encodeManagedFields(out);
}

/** The parent's entries after a write to its Scale, whose entries `scale` are. `apiVersion` is the parent's. */
export function parentEntries(
  parent: Entries,
  scale: Entries,
  replicas: ReplicasPaths,
  apiVersion: string,
): ManagedFieldsEntry[] | undefined {
  const out: Owners = new Map();
  const owners = decodeManagedFields(parent, true);
  const left = decodeManagedFields(scale, true);
  for (const owner of owners.values()) {
    const path = replicas[owner.apiVersion];
    if (path === undefined) continue;
    if (path.length === 0 || !hasPath(owner.fields, elementsOf(path))) {
      out.set(ownerKey(owner), owner);
      continue;
    }
    // An updater is another one at another API version: its entry is split, as upstream does.
    if (left.delete(ownerKey(owner))) {
      out.set(ownerKey(owner), owner);
      continue;
    }
    const fields = difference(owner.fields, setOf(path));
    if (!isEmpty(fields)) out.set(ownerKey(owner), { ...owner, fields });
  }
  const path = replicas[apiVersion];
  for (const owner of left.values()) {
    if (path === undefined || !hasPath(owner.fields, SCALE_PATH)) continue;
    const key = ownerKey(owner);
    // As upstream: an owner that is new to the parent has no time.
    out.set(key, { ...owner, apiVersion, fields: setOf(path), time: owners.get(key)?.time });
  }
  return encodeManagedFields(out);
}
