/** Follows a quantity over time. */

/** What a quantity was since the last reset. */
export interface Observed {
  readonly average: number;
  readonly deviation: number;
  readonly max: number;
}

/** The integral of a step function of time: average, deviation and maximum. */
export class Integrator {
  #value = 0;
  #since: number;
  #start: number;
  #sum = 0;
  #squares = 0;
  #max = 0;

  /** `now` in milliseconds of any steady clock, here and below. */
  constructor(now: number) {
    this.#since = this.#start = now;
  }
  set(value: number, now: number): void {
    this.#advance(now);
    this.#value = value;
    if (value > this.#max) this.#max = value;
  }
  /** What was seen since the last call. */
  reset(now: number): Observed {
    this.#advance(now);
    const span = now - this.#start;
    const average = span > 0 ? this.#sum / span : this.#value;
    const variance = span > 0 ? this.#squares / span - average * average : 0;
    const seen = { average, deviation: Math.sqrt(Math.max(0, variance)), max: this.#max };
    this.#start = now;
    this.#sum = this.#squares = 0;
    this.#max = this.#value;
    return seen;
  }
  #advance(now: number): void {
    const dt = now - this.#since;
    if (dt <= 0) return;
    this.#sum += this.#value * dt;
    this.#squares += this.#value * this.#value * dt;
    this.#since = now;
  }
}
