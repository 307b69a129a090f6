/**
 * A sorted list in chunks: an update moves at most one chunk's pointers, and the flat array of everything is
 * made once per change, however many read it. Returned arrays are never changed afterwards.
 */

const CHUNK = 256;

/** Orders keys by their UTF-8 bytes, as etcd and LMDB do (JavaScript's own order differs for surrogate pairs). */
export function compareKeys(a: string, b: string): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    let x = a.charCodeAt(i);
    let y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates stand for code points above U+FFFF, so they sort above everything else.
    if (x >= 0xd800 && x <= 0xdfff) x += 0x10000;
    if (y >= 0xd800 && y <= 0xdfff) y += 0x10000;
    return x - y;
  }
  return a.length - b.length;
}

/** The smallest key after all that begin with `prefix`; '' when there is none (an empty prefix). */
export function prefixEnd(prefix: string): string {
  return prefix === '' ? '' : prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

/** Items in key order; see the top of this file. */
export class SortedList<T extends { readonly key: string }> {
  #chunks: T[][] = [];
  #size = 0;
  #flat: readonly T[] | undefined;

  get size(): number {
    return this.#size;
  }

  /** Index of the first chunk whose last key is not below `key`. */
  #chunkFor(key: string): number {
    let lo = 0;
    let hi = this.#chunks.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      const c = this.#chunks[mid]!;
      if (compareKeys(c[c.length - 1]!.key, key) < 0) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  static #within<T extends { readonly key: string }>(chunk: readonly T[], key: string): number {
    let lo = 0;
    let hi = chunk.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (compareKeys(chunk[mid]!.key, key) < 0) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  get(key: string): T | undefined {
    const chunk = this.#chunks[this.#chunkFor(key)];
    if (!chunk) return undefined;
    const item = chunk[SortedList.#within(chunk, key)];
    return item?.key === key ? item : undefined;
  }

  /** Adds or replaces. */
  set(item: T): void {
    this.#flat = undefined;
    if (this.#chunks.length === 0) {
      this.#chunks.push([item]);
      this.#size = 1;
      return;
    }
    const c = Math.min(this.#chunkFor(item.key), this.#chunks.length - 1);
    const chunk = this.#chunks[c]!;
    const i = SortedList.#within(chunk, item.key);
    if (chunk[i]?.key === item.key) {
      chunk[i] = item;
      return;
    }
    chunk.splice(i, 0, item);
    this.#size++;
    if (chunk.length > CHUNK * 2) this.#chunks.splice(c + 1, 0, chunk.splice(CHUNK));
  }

  delete(key: string): boolean {
    const c = this.#chunkFor(key);
    const chunk = this.#chunks[c];
    if (!chunk) return false;
    const i = SortedList.#within(chunk, key);
    if (chunk[i]?.key !== key) return false;
    this.#flat = undefined;
    chunk.splice(i, 1);
    this.#size--;
    if (chunk.length === 0) this.#chunks.splice(c, 1);
    return true;
  }

  /** Replaces everything by items that are already in order. */
  load(items: readonly T[]): void {
    this.#chunks = [];
    for (let i = 0; i < items.length; i += CHUNK) this.#chunks.push(items.slice(i, i + CHUNK));
    this.#size = items.length;
    this.#flat = undefined;
  }

  /** Everything, in order; the same array until the next change. */
  all(): readonly T[] {
    return (this.#flat ??= ([] as T[]).concat(...this.#chunks));
  }

  /** How many items `range` would give; costs next to nothing. */
  count(from: string, to: string): number {
    const first = this.#chunkFor(from);
    if (first >= this.#chunks.length) return 0;
    let n = -SortedList.#within(this.#chunks[first]!, from);
    for (let c = first; c < this.#chunks.length; c++) {
      const chunk = this.#chunks[c]!;
      if (to === '' || compareKeys(chunk[chunk.length - 1]!.key, to) < 0) n += chunk.length;
      else return n + SortedList.#within(chunk, to);
    }
    return n;
  }

  /** Items with `from` <= key < `to` ('' for no end). */
  range(from: string, to: string): T[] {
    const out: T[] = [];
    let c = this.#chunkFor(from);
    if (c >= this.#chunks.length) return out;
    let i = SortedList.#within(this.#chunks[c]!, from);
    for (; c < this.#chunks.length; c++, i = 0) {
      const chunk = this.#chunks[c]!;
      const whole = to === '' || compareKeys(chunk[chunk.length - 1]!.key, to) < 0;
      const end = whole ? chunk.length : SortedList.#within(chunk, to);
      for (; i < end; i++) out.push(chunk[i]!);
      if (!whole) break;
    }
    return out;
  }
}

/** The part of an ordered array whose keys begin with `prefix`. */
export function sliceByPrefix<T extends { readonly key: string }>(items: readonly T[], prefix: string): readonly T[] {
  const lower = (key: string): number => {
    let lo = 0;
    let hi = items.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (compareKeys(items[mid]!.key, key) < 0) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  };
  return items.slice(lower(prefix), prefix === '' ? items.length : lower(prefixEnd(prefix)));
}
