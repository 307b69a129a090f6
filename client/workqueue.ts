/**
 * A queue of keys with the guarantees controllers rely on: a key is worked on by one worker at a time,
 * a key added while it is worked on is worked on again afterwards, failures come back later and later.
 */
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { hasCode } from '../api/status.ts';

/** The longest pause before another attempt. */
const MAX_DELAY_MS = 1_000_000;

export interface WorkQueueOptions {
  clock: Clock;
  logger: Logger;
  name: string;
  /** Keys worked on at once; defaults to 5. */
  workers?: number;
  /** First delay after a failure in milliseconds, doubled each time; defaults to 5. */
  baseDelayMs?: number;
  /** Does the work for one key. A rejection or `retry` puts the key back with a growing delay. */
  process(key: string): Promise<{ requeueAfterMs?: number; retry?: boolean } | void>;
}

export interface WorkQueue {
  add(key: string): void;
  addAfter(key: string, ms: number): void;
  start(): void;
  /** Takes no more keys; resolves when those being worked on are done. */
  stop(): Promise<void>;
  /** Keys that wait (not those delayed). */
  readonly length: number;
  /** Resolves when nothing waits and nothing is worked on (delayed keys don't count). */
  idle(): Promise<void>;
}

export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  const { clock, logger } = options;
  const workers = options.workers ?? 5;
  const base = options.baseDelayMs ?? 5;
  const waiting = new Set<string>();
  const working = new Map<string, boolean>(); // value: added again meanwhile
  const delayed = new Map<string, { at: number; timer: Timer }>();
  const failures = new Map<string, number>();
  const idlers: (() => void)[] = [];
  let running = false;
  let stopped: (() => void) | undefined;

  function add(key: string): void {
    if (working.has(key)) working.set(key, true);
    else waiting.add(key);
    pump();
  }
  function addAfter(key: string, ms: number): void {
    if (ms <= 0) return add(key);
    const at = clock.monotonic() + ms;
    const have = delayed.get(key);
    if (have) {
      if (have.at <= at) return;
      have.timer.cancel();
    }
    const timer = clock.after(
      ms,
      () => {
        delayed.delete(key);
        add(key);
      },
      { background: true },
    );
    delayed.set(key, { at, timer });
  }
  function pump(): void {
    while (running && working.size < workers && waiting.size > 0) {
      const key = waiting.values().next().value!;
      waiting.delete(key);
      working.set(key, false);
      void work(key);
    }
    if (working.size === 0) {
      stopped?.();
      if (waiting.size === 0) for (const f of idlers.splice(0)) f();
    }
  }
  async function work(key: string): Promise<void> {
    // Never inside the caller of add: an informer's other handlers come first.
    await Promise.resolve();
    let again: number | undefined;
    try {
      const result = await options.process(key);
      if (result?.retry) again = backoff(key);
      else {
        failures.delete(key);
        again = result?.requeueAfterMs;
      }
    } catch (error) {
      again = backoff(key);
      // Conflict and not found only say that the cache is behind, and a first failure often mends itself:
      // what lasts longer is worth a line.
      const behind = hasCode(error, 409, 404);
      const level = behind || again < 1000 ? 'debug' : 'warn';
      // The stack only where it tells of a fault in the program.
      const faulty = error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError;
      const said = faulty || !(error instanceof Error) ? error : error.message;
      logger[faulty ? 'error' : level]('work failed', { queue: options.name, key, error: said, retryMs: again });
    }
    const readded = working.get(key);
    working.delete(key);
    if (readded) waiting.add(key);
    if (again !== undefined && running) addAfter(key, again);
    pump();
  }
  function backoff(key: string): number {
    const n = failures.get(key) ?? 0;
    failures.set(key, n + 1);
    return Math.min(base * 2 ** Math.min(n, 40), MAX_DELAY_MS);
  }

  return {
    add,
    addAfter,
    start() {
      running = true;
      pump();
    },
    async stop() {
      running = false;
      for (const d of delayed.values()) d.timer.cancel();
      delayed.clear();
      if (working.size > 0) await new Promise<void>((resolve) => (stopped = resolve));
    },
    get length() {
      return waiting.size;
    },
    idle() {
      if (waiting.size === 0 && working.size === 0) return Promise.resolve();
      return new Promise((resolve) => idlers.push(resolve));
    },
  };
}
