/** A bounded cache of values that are good for some time. */
import type { Clock } from '../../base/clock.ts';

/** Values that are good for some time; the oldest goes when there are too many. */
export class TtlCache<V> {
  readonly #clock: Clock;
  readonly #max: number;
  readonly #entries = new Map<string, { readonly value: V; readonly until: number }>();

  constructor(clock: Clock, max: number) {
    this.#clock = clock;
    this.#max = max;
  }
  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    if (entry.until > this.#clock.monotonic()) return entry.value;
    this.#entries.delete(key);
    return undefined;
  }
  /** `ttl` is in milliseconds; nothing is kept for 0. */
  set(key: string, value: V, ttl: number): void {
    if (!(ttl > 0)) return;
    this.#entries.delete(key);
    if (this.#entries.size >= this.#max) this.#entries.delete(this.#entries.keys().next().value!);
    this.#entries.set(key, { value, until: this.#clock.monotonic() + ttl });
  }
}
