/**
 * A queue of keys with the guarantees controllers rely on: a key is worked on by one worker at a time,
 * a key added while it is worked on is worked on again afterwards, failures come back later and later.
 */
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { hasCode } from '../api/status.ts';
import type { WorkQueueMetrics } from './metrics.ts';

export interface WorkQueueOptions {
  clock: Clock;
  logger: Logger;
  name: string;
  /** Keys worked on at once; defaults to 5. */
  workers?: number;
  /** First delay after a failure in milliseconds, doubled each time; defaults to 5. */
  baseDelayMs?: number;
  /** The longest pause before another attempt in milliseconds; defaults to 1,000,000. */
  maxDelayMs?: number;
  metrics?: WorkQueueMetrics;
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
  const longest = options.maxDelayMs ?? 1_000_000;
  /** Since when each waits. */
  const waiting = new Map<string, number>();
  /** Since when each is worked on, and since when it waits again, if it was added meanwhile. */
  const working = new Map<string, { since: number; again?: number }>();
  const delayed = new Map<string, { at: number; timer: Timer }>();
  const failures = new Map<string, number>();
  const idlers: (() => void)[] = [];
  let running = false;
  let stopped: (() => void) | undefined;

  const counts = options.metrics?.follow(options.name, {
    get length() {
      return waiting.size;
    },
    *working() {
      for (const { since } of working.values()) yield (clock.monotonic() - since) / 1000;
    },
  });

  function add(key: string): void {
    const now = clock.monotonic();
    const current = working.get(key);
    if (current ? current.again === undefined : !waiting.has(key)) {
      if (counts) counts.adds.value++;
      if (current) current.again = now;
      else waiting.set(key, now);
    }
    pump();
  }
  function addAfter(key: string, ms: number): void {
    if (ms <= 0) return add(key);
    if (counts) counts.retries.value++;
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
      const [key, since] = waiting.entries().next().value!;
      const now = clock.monotonic();
      counts?.waited.observe((now - since) / 1000);
      waiting.delete(key);
      working.set(key, { since: now });
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
    const { since, again: readded } = working.get(key)!;
    counts?.worked.observe((clock.monotonic() - since) / 1000);
    working.delete(key);
    if (readded !== undefined) waiting.set(key, readded);
    if (again !== undefined && running) addAfter(key, again);
    pump();
  }
  function backoff(key: string): number {
    const n = failures.get(key) ?? 0;
    failures.set(key, n + 1);
    return Math.min(base * 2 ** Math.min(n, 40), longest);
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
