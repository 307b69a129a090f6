/** Runs one piece of work after changes: never twice at once, not more often than a period, again after a failure. */
import type { Clock, Timer } from '../base/clock.ts';

export interface LoopOptions {
  clock: Clock;
  /** Least milliseconds from the start of one run to the next. */
  minPeriodMs: number;
  /** Milliseconds until a failed run is tried again; defaults to 1,000. */
  retryMs?: number;
  run(): Promise<void>;
  /** Told of failures. */
  failed(error: unknown): void;
}

export interface Loop {
  /** Asks for a run soon. */
  trigger(): void;
  stop(): void;
  /** Wall time of the end of the last good run, 0 before the first. */
  readonly lastRun: number;
  /** A change is waiting since this wall time, 0 when none is. */
  readonly waitingSince: number;
}

/** A loop that rests until it is woken. */
export function createLoop(options: LoopOptions): Loop {
  const { clock } = options;
  let timer: Timer | undefined;
  let running = false;
  let stopped = false;
  let last = -Infinity;
  let lastRun = 0;
  let waitingSince = 0;

  function plan(delayMs: number): void {
    if (running || stopped || timer) return;
    timer = clock.after(Math.max(0, delayMs), () => {
      timer = undefined;
      void once();
    });
  }
  const planSoon = () => plan(last + options.minPeriodMs - clock.monotonic());

  async function once(): Promise<void> {
    running = true;
    last = clock.monotonic();
    const since = waitingSince;
    waitingSince = 0;
    let again = 0;
    try {
      await options.run();
      lastRun = clock.now();
    } catch (error) {
      options.failed(error);
      waitingSince = since || clock.now();
      again = options.retryMs ?? 1_000;
    }
    running = false;
    if (again) plan(again);
    else if (waitingSince !== 0) planSoon();
  }

  return {
    trigger() {
      if (waitingSince === 0) waitingSince = clock.now();
      planSoon();
    },
    stop() {
      stopped = true;
      timer?.cancel();
    },
    get lastRun() {
      return lastRun;
    },
    get waitingSince() {
      return waitingSince;
    },
  };
}
