/**
 * Which revisions of which keys there are: the index that the engines in this process (memory, lmdb) share.
 * It knows no durability; a version may carry its value, or the engine finds it by the revision.
 */
import { compareKeys, prefixEnd, SortedList } from './sorted.ts';

/** One write of one key. */
export interface Version {
  readonly revision: number;
  readonly deleted: boolean;
  /** The value while it is held in memory. */
  value: Buffer | undefined;
}

interface KeyRecord {
  readonly key: string;
  /** In revision order. */
  readonly versions: Version[];
}

/** See the top of this file. */
export class RevisionIndex {
  readonly #records = new Map<string, KeyRecord>();
  readonly #sorted = new SortedList<KeyRecord>();
  /** Keys with something that compaction may drop. */
  readonly #stale = new Set<KeyRecord>();

  /** The newest version of a key, a deletion included. */
  latest(key: string): Version | undefined {
    const versions = this.#records.get(key)?.versions;
    return versions?.[versions.length - 1];
  }

  /** The version that counted at `revision`; undefined when the key was absent then. */
  at(key: string, revision: number): Version | undefined {
    const record = this.#records.get(key);
    return record && versionAt(record, revision);
  }

  /** Keys under `prefix` from `startKey` on that were there at `revision`, in byte order. */
  range(prefix: string, startKey: string | undefined, revision: number): { key: string; version: Version }[] {
    const from = startKey !== undefined && compareKeys(startKey, prefix) > 0 ? startKey : prefix;
    const out: { key: string; version: Version }[] = [];
    for (const record of this.#sorted.range(from, prefixEnd(prefix))) {
      const version = versionAt(record, revision);
      if (version) out.push({ key: record.key, version });
    }
    return out;
  }

  /** Adds the newest version of a key. */
  add(key: string, version: Version): void {
    let record = this.#records.get(key);
    if (!record) {
      record = { key, versions: [] };
      this.#records.set(key, record);
      this.#sorted.set(record);
    }
    record.versions.push(version);
    if (record.versions.length > 1 || version.deleted) this.#stale.add(record);
  }

  /** Forgets what no read at `revision` or later can see; returns those versions, oldest first. */
  compact(revision: number): Version[] {
    const dropped: Version[] = [];
    for (const record of this.#stale) {
      const { versions } = record;
      // Of the versions up to `revision` only the last counts, and not even that when it is a deletion.
      let keep = versions.findLastIndex((v) => v.revision <= revision);
      if (keep >= 0 && versions[keep]!.deleted) keep++;
      if (keep > 0) dropped.push(...versions.splice(0, keep));
      if (versions.length === 0) {
        this.#records.delete(record.key);
        this.#sorted.delete(record.key);
        this.#stale.delete(record);
      } else if (versions.length === 1 && !versions[0]!.deleted) this.#stale.delete(record);
    }
    return dropped.sort((a, b) => a.revision - b.revision);
  }

  clear(): void {
    this.#records.clear();
    this.#stale.clear();
    this.#sorted.load([]);
  }
}

function versionAt(record: KeyRecord, revision: number): Version | undefined {
  for (let i = record.versions.length - 1; i >= 0; i--) {
    const v = record.versions[i]!;
    if (v.revision <= revision) return v.deleted ? undefined : v;
  }
  return undefined;
}
