/** Sets of completion indexes, written as `0,2-5,9`. Pure. */

export class IndexSet {
  /** Sorted, disjoint, not touching. */
  readonly #ranges: readonly (readonly [number, number])[];
  readonly total: number;

  private constructor(ranges: readonly (readonly [number, number])[]) {
    this.#ranges = ranges;
    this.total = ranges.reduce((n, [a, b]) => n + b - a + 1, 0);
  }

  static readonly empty = new IndexSet([]);

  /** Reads a text; indexes of `completions` and more, and what is not a number, are left out. */
  static parse(text: string | undefined, completions = Infinity): IndexSet {
    const numbers: [number, number][] = [];
    for (const part of (text ?? '').split(',')) {
      const m = /^([0-9]+)(?:-([0-9]+))?$/.exec(part.trim());
      if (!m) continue;
      const first = Number(m[1]);
      const last = Math.min(Number(m[2] ?? m[1]), completions - 1);
      if (first <= last) numbers.push([first, last]);
    }
    return IndexSet.#merge(numbers);
  }

  static of(indexes: Iterable<number>): IndexSet {
    return IndexSet.#merge([...indexes].map((i) => [i, i]));
  }

  static #merge(ranges: [number, number][]): IndexSet {
    const out: [number, number][] = [];
    for (const [a, b] of ranges.toSorted((x, y) => x[0] - y[0])) {
      const last = out.at(-1);
      if (last && a <= last[1] + 1) last[1] = Math.max(last[1], b);
      else out.push([a, b]);
    }
    return out.length ? new IndexSet(out) : IndexSet.empty;
  }

  has(index: number): boolean {
    let low = 0;
    let high = this.#ranges.length - 1;
    while (low <= high) {
      const mid = (low + high) >> 1;
      const [a, b] = this.#ranges[mid]!;
      if (index < a) high = mid - 1;
      else if (index > b) low = mid + 1;
      else return true;
    }
    return false;
  }

  with(indexes: readonly number[]): IndexSet {
    return indexes.length
      ? IndexSet.#merge([
          ...this.#ranges.map(([a, b]) => [a, b] as [number, number]),
          ...indexes.map((i) => [i, i] as [number, number]),
        ])
      : this;
  }

  without(other: IndexSet): IndexSet {
    return IndexSet.of([...this].filter((i) => !other.has(i)));
  }

  /** How many are in both. */
  overlap(other: IndexSet): number {
    let n = 0;
    for (const i of this) if (other.has(i)) n++;
    return n;
  }

  *[Symbol.iterator](): Generator<number> {
    for (const [a, b] of this.#ranges) for (let i = a; i <= b; i++) yield i;
  }

  /** Two neighbours are written `1,2`, longer runs `1-3`. */
  toString(): string {
    return this.#ranges.map(([a, b]) => (a === b ? `${a}` : b === a + 1 ? `${a},${b}` : `${a}-${b}`)).join(',');
  }
}
