/** Time to live for engines without leases of their own: one timer for the earliest second that holds something. */
import type { Clock, Timer } from '../../base/clock.ts';

interface Due {
  readonly key: string;
  readonly revision: number;
}

/** Calls `expire` for each key about a second after it is due at the latest. */
export class Expiry {
  readonly #clock: Clock;
  readonly #expire: (key: string, revision: number) => void;
  readonly #buckets = new Map<number, Due[]>();
  #timer: Timer | undefined;
  #timerSecond = Infinity;

  constructor(clock: Clock, expire: (key: string, revision: number) => void) {
    this.#clock = clock;
    this.#expire = expire;
  }

  /** Expires what `revision` wrote at `key` once the wall clock (ms) has reached `at`. */
  add(key: string, revision: number, at: number): void {
    const second = Math.ceil(at / 1000);
    const bucket = this.#buckets.get(second);
    if (bucket) bucket.push({ key, revision });
    else this.#buckets.set(second, [{ key, revision }]);
    if (second < this.#timerSecond) this.#arm(second);
  }

  #arm(second: number): void {
    this.#timer?.cancel();
    this.#timerSecond = second;
    const wait = Math.max(0, second * 1000 - this.#clock.now());
    // Timers longer than 2^31 ms fire at once; wake up now and then instead.
    this.#timer = this.#clock.after(Math.min(wait, 86_400_000), () => this.#run(), { background: true });
  }

  #run(): void {
    this.#timer = undefined;
    this.#timerSecond = Infinity;
    const now = this.#clock.now();
    let next = Infinity;
    for (const [second, due] of this.#buckets) {
      if (second * 1000 <= now) {
        this.#buckets.delete(second);
        for (const d of due) this.#expire(d.key, d.revision);
      } else if (second < next) next = second;
    }
    if (next < this.#timerSecond) this.#arm(next);
  }

  close(): void {
    this.#timer?.cancel();
    this.#buckets.clear();
    this.#timerSecond = -Infinity;
  }
}
