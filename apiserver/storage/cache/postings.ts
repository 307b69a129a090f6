/** Value -> entries, for one label key or one field. Built when first asked for, kept up to date afterwards. */
import { compareKeys } from '../sorted.ts';
import type { CachedEntry } from './entry.ts';

/** Most values of a unique label have one entry, so a posting with a map is made only for the second. */
interface Many {
  readonly byKey: Map<string, CachedEntry>;
  /** In key order; made anew after a change, so that arrays once given stay as they are. */
  sorted: readonly CachedEntry[] | undefined;
}
type Posting = CachedEntry | Many;

const isMany = (p: Posting): p is Many => 'byKey' in p;

/** See the top of this file. */
export class Postings {
  readonly #valueOf: (entry: CachedEntry) => string | undefined;
  readonly #byValue = new Map<string, Posting>();

  constructor(valueOf: (entry: CachedEntry) => string | undefined, entries: readonly CachedEntry[]) {
    this.#valueOf = valueOf;
    for (const e of entries) this.#add(e);
  }

  replace(previous: CachedEntry | undefined, next: CachedEntry | undefined): void {
    if (previous) {
      const value = this.#valueOf(previous);
      // Setting the new entry in place keeps the map's order, which is close to key order.
      if (value !== undefined && !(next && this.#valueOf(next) === value)) this.#remove(previous, value);
    }
    if (next) this.#add(next);
  }

  #add(entry: CachedEntry): void {
    const value = this.#valueOf(entry);
    if (value === undefined) return;
    const posting = this.#byValue.get(value);
    if (!posting || (!isMany(posting) && posting.key === entry.key)) this.#byValue.set(value, entry);
    else if (isMany(posting)) {
      posting.byKey.set(entry.key, entry);
      posting.sorted = undefined;
    } else {
      const byKey = new Map([
        [posting.key, posting],
        [entry.key, entry],
      ]);
      this.#byValue.set(value, { byKey, sorted: undefined });
    }
  }

  #remove(entry: CachedEntry, value: string): void {
    const posting = this.#byValue.get(value);
    if (!posting) return;
    if (isMany(posting)) {
      posting.byKey.delete(entry.key);
      posting.sorted = undefined;
      if (posting.byKey.size === 0) this.#byValue.delete(value);
    } else if (posting.key === entry.key) this.#byValue.delete(value);
  }

  count(value: string): number {
    const posting = this.#byValue.get(value);
    return !posting ? 0 : isMany(posting) ? posting.byKey.size : 1;
  }

  /** The entries with this value in key order. */
  get(value: string): readonly CachedEntry[] {
    const posting = this.#byValue.get(value);
    if (!posting) return [];
    if (!isMany(posting)) return [posting];
    return (posting.sorted ??= [...posting.byKey.values()].sort((a, b) => compareKeys(a.key, b.key)));
  }
}
