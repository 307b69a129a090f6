/** metadata.managedFields, read and written. */
import type { DeepReadonly, ManagedFieldsEntry } from '../types.ts';
import { compareText } from './path-element.ts';
import { type FieldSet, isEmpty, LEAF, parseFieldSet } from './set.ts';

/** Who wrote: one entry of managedFields is kept for each. */
export interface ManagerIdentity {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  /** Part of the identity for updates only; applying at another version is the same manager. */
  readonly apiVersion: string;
  readonly subresource: string;
}

/** A manager and what it owns. */
export interface Owner extends ManagerIdentity {
  readonly fields: FieldSet;
  /** RFC 3339, UTC, whole seconds. */
  readonly time: string | undefined;
}

/** All owners of an object by the key of their identity. */
export type Owners = Map<string, Owner>;

export const ownerKey = (o: ManagerIdentity): string =>
  `${o.operation}\n${o.manager}\n${o.subresource}\n${o.operation === 'Apply' ? '' : o.apiVersion}`;

type Entries = readonly DeepReadonly<ManagedFieldsEntry>[];

/**
 * Reads entries. Throws on malformed ones. `trusted` entries were written by ourselves, so that their sets need no
 * second look.
 */
export function decodeManagedFields(entries: Entries | undefined, trusted: boolean): Owners {
  const owners: Owners = new Map();
  entries?.forEach((e, i) => {
    const { operation } = e;
    if (operation !== 'Apply' && operation !== 'Update') throw new Error('operation must be `Apply` or `Update`');
    if (!e.apiVersion) throw new Error('apiVersion must not be empty');
    if (!e.fieldsType) throw new Error(`missing fieldsType in managed fields entry ${i}`);
    if (e.fieldsType !== 'FieldsV1') {
      throw new Error(`invalid fieldsType ${JSON.stringify(e.fieldsType)} in managed fields entry ${i}`);
    }
    const fields = (e.fieldsV1 ?? LEAF) as FieldSet;
    const owner: Owner = {
      manager: e.manager ?? '',
      operation,
      apiVersion: e.apiVersion,
      subresource: e.subresource ?? '',
      fields: trusted ? fields : parseFieldSet(fields),
      time: e.time ?? undefined,
    };
    owners.set(ownerKey(owner), owner);
  });
  return owners;
}

/** Entries in their order: applied ones first, then by time. undefined when nobody owns anything. */
export function encodeManagedFields(owners: Owners): ManagedFieldsEntry[] | undefined {
  if (owners.size === 0) return undefined;
  const sorted = [...owners.values()];
  if (sorted.length > 1) sorted.sort(compareOwners);
  return sorted.map((o) => ({
    ...(o.manager === '' ? {} : { manager: o.manager }),
    operation: o.operation,
    apiVersion: o.apiVersion,
    ...(o.time === undefined ? {} : { time: o.time }),
    fieldsType: 'FieldsV1',
    fieldsV1: o.fields as object,
    ...(o.subresource === '' ? {} : { subresource: o.subresource }),
  }));
}

const compareOwners = (a: Owner, b: Owner): number =>
  compareText(a.operation, b.operation) ||
  compareText(a.time ?? '', b.time ?? '') ||
  compareText(a.manager, b.manager) ||
  compareText(a.apiVersion, b.apiVersion) ||
  compareText(a.subresource, b.subresource);

/** Replaces an owner's set; an owner without fields goes. */
export function setFields(owners: Owners, key: string, owner: Owner, fields: FieldSet): void {
  if (isEmpty(fields)) owners.delete(key);
  else if (owners.get(key) !== owner || owner.fields !== fields) owners.set(key, { ...owner, fields });
}

/** Updaters that get an entry of their own; the oldest ones beyond that share `ancient-changes`. */
const MAX_UPDATE_MANAGERS = 10;
const ANCIENT = 'ancient-changes';

/** Merges the oldest updaters of each API version until few enough are left. */
export function capUpdaters(owners: Owners, union: (a: FieldSet, b: FieldSet) => FieldSet): void {
  let count = 0;
  for (const o of owners.values()) if (o.operation === 'Update') count++;
  if (count <= MAX_UPDATE_MANAGERS) return;
  const updaters = [...owners].filter(([, o]) => o.operation === 'Update');
  updaters.sort(([ka, a], [kb, b]) => compareText(a.time ?? '', b.time ?? '') || compareText(ka, kb));
  const first = new Map<string, string>();
  for (const [key, owner] of updaters) {
    if (count <= MAX_UPDATE_MANAGERS) break;
    const { apiVersion, time } = owner;
    const oldest = first.get(apiVersion);
    if (oldest === undefined) {
      first.set(apiVersion, key);
      continue;
    }
    const bucket: ManagerIdentity = { manager: ANCIENT, operation: 'Update', apiVersion, subresource: '' };
    const bucketKey = ownerKey(bucket);
    const before = owners.get(bucketKey) ?? owners.get(oldest)!;
    if (!owners.has(bucketKey)) owners.delete(oldest);
    owners.set(bucketKey, { ...bucket, time, fields: union(owner.fields, before.fields) });
    if (key !== bucketKey) owners.delete(key);
    count--;
  }
}
