/** Time that passes when a test says so. */
import type { Clock, Timer } from '../../base/clock.ts';

/** Turns of the microtask queue in which what a timer began may get to its next wait. */
const TURNS = 20;

export interface ManualClock extends Clock {
  advance(ms: number): void;
  /** Lets promises go on after each timer. */
  advanceAsync(ms: number): Promise<void>;
  /** Sets the wall clock back; nothing else notices. */
  setBack(ms: number): void;
  /** How many timers are set. */
  timers(): number;
}

/** A clock that stands still until it is moved; `advance` runs what has come due, in order, and what that leads to. */
export function manualClock(start = 1_700_000_000_000): ManualClock {
  let now = start;
  let back = 0;
  const timers = new Set<{ at: number; every: number | undefined; fn: () => void }>();
  const add = (ms: number, every: number | undefined, fn: () => void): Timer => {
    const timer = { at: now + ms, every, fn };
    timers.add(timer);
    return { cancel: () => void timers.delete(timer) };
  };
  /** Runs the first timer that is due by then; false when none is. */
  function next(end: number): boolean {
    const due = [...timers].filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
    if (!due) return false;
    now = Math.max(now, due.at);
    if (due.every === undefined) timers.delete(due);
    else due.at += due.every;
    due.fn();
    return true;
  }
  return {
    now: () => now - back,
    monotonic: () => now - start,
    after: (ms, fn) => add(ms, undefined, fn),
    every: (ms, fn) => add(ms, ms, fn),
    sleep: (ms) => new Promise((resolve) => void add(ms, undefined, resolve)),
    advance(ms) {
      const end = now + ms;
      while (next(end));
      now = end;
    },
    async advanceAsync(ms) {
      const end = now + ms;
      while (next(end)) for (let i = 0; i < TURNS; i++) await Promise.resolve();
      now = end;
    },
    setBack: (ms) => void (back += ms),
    timers: () => timers.size,
  };
}
