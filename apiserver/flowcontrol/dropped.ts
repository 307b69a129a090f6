/** After how many seconds refused clients should come again: longer while a level goes on refusing. */

/** The longest that anybody is asked to wait. */
const MOST_SECONDS = 32;

/**
 * What one priority level refused lately, counted by second. In each second that has a refusal, the advice doubles when
 * three times as many were refused in the last `seconds` seconds as those are, and falls by one when fewer were than that.
 */
class Refusals {
  seconds = 1;
  #now = 0;
  #count = 0;
  #raisedAt = 0;
  #past: { second: number; count: number }[] = [];

  note(second: number): void {
    if (second === this.#now) {
      this.#count++;
      return;
    }
    if (this.#count > 0) this.#past.push({ second: this.#now, count: this.#count });
    const keep = Math.min(2 * this.seconds, MOST_SECONDS);
    this.#past = this.#past.filter((p) => second - p.second <= keep);
    this.#now = second;
    this.#count = 1;
    let lately = 0;
    for (const p of this.#past) if (second - p.second <= this.seconds) lately += p.count;
    if (lately >= 3 * this.seconds && second - this.#raisedAt >= this.seconds) {
      this.seconds = Math.min(2 * this.seconds, MOST_SECONDS);
      this.#raisedAt = second;
    } else if (lately < this.seconds && this.seconds > 1) this.seconds--;
  }
}

/** The same for all levels, by name. */
export class DroppedRequests {
  readonly #levels = new Map<string, Refusals>();

  /** Counts a request that `level` refused at `now` (milliseconds) and gives the seconds for its Retry-After. */
  note(level: string, now: number): number {
    let refusals = this.#levels.get(level);
    if (!refusals) this.#levels.set(level, (refusals = new Refusals()));
    refusals.note(Math.floor(now / 1000));
    return refusals.seconds;
  }

  /** Forgets levels that are configured no more. */
  keepOnly(names: { has(name: string): boolean }): void {
    for (const name of this.#levels.keys()) if (!names.has(name)) this.#levels.delete(name);
  }
}
