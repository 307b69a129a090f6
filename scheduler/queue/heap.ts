/** A binary heap from which any member can be taken. */
export class Heap<T extends object> {
  private readonly items: T[] = [];
  private readonly at = new Map<T, number>();
  private readonly less: (a: T, b: T) => boolean;

  constructor(less: (a: T, b: T) => boolean) {
    this.less = less;
  }
  get size(): number {
    return this.items.length;
  }
  has(item: T): boolean {
    return this.at.has(item);
  }
  peek(): T | undefined {
    return this.items[0];
  }
  values(): readonly T[] {
    return this.items;
  }
  push(item: T): void {
    if (this.at.has(item)) return this.fix(item);
    this.items.push(item);
    this.at.set(item, this.items.length - 1);
    this.up(this.items.length - 1);
  }
  pop(): T | undefined {
    const top = this.items[0];
    if (top) this.delete(top);
    return top;
  }
  delete(item: T): boolean {
    const i = this.at.get(item);
    if (i === undefined) return false;
    this.at.delete(item);
    const last = this.items.pop()!;
    if (i < this.items.length) {
      this.items[i] = last;
      this.at.set(last, i);
      this.fix(last);
    }
    return true;
  }
  /** Puts an item right whose rank has changed. */
  fix(item: T): void {
    const i = this.at.get(item);
    if (i === undefined) return;
    this.up(i);
    this.down(this.at.get(item)!);
  }
  private up(start: number): void {
    const { items } = this;
    let i = start;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.less(items[i]!, items[parent]!)) return;
      this.swap(i, parent);
      i = parent;
    }
  }
  private down(start: number): void {
    const { items } = this;
    let i = start;
    for (;;) {
      const left = 2 * i + 1;
      if (left >= items.length) return;
      const right = left + 1;
      const child = right < items.length && this.less(items[right]!, items[left]!) ? right : left;
      if (!this.less(items[child]!, items[i]!)) return;
      this.swap(i, child);
      i = child;
    }
  }
  private swap(i: number, j: number): void {
    const { items } = this;
    const a = items[i]!;
    const b = items[j]!;
    items[i] = b;
    items[j] = a;
    this.at.set(b, i);
    this.at.set(a, j);
  }
}
