/** Waiting longer after each failure, per key. */
import type { Clock } from '../../base/clock.ts';

export interface Backoff {
  /** Notes a failure that happened at `event` (now when absent): the next wait doubles. */
  next(key: string, event?: number): void;
  /** Milliseconds to wait after an event (the last failure noted when absent); 0 when a try is due. */
  remaining(key: string, event?: number): number;
  reset(key: string): void;
  /** Forgets the keys that begin so. */
  forget(prefix: string): void;
}

/** A key that had no failure for twice `maxMs` begins again at `initialMs`. */
export function createBackoff(options: { clock: Clock; initialMs: number; maxMs: number }): Backoff {
  const entries = new Map<string, { delay: number; at: number }>();
  const { clock, initialMs, maxMs } = options;
  return {
    next(key, event = clock.now()) {
      const have = entries.get(key);
      const delay = have && event - have.at <= 2 * maxMs ? Math.min(have.delay * 2, maxMs) : initialMs;
      entries.set(key, { delay, at: clock.now() });
      if (entries.size > 10_000) for (const [k, e] of entries) if (clock.now() - e.at > 2 * maxMs) entries.delete(k);
    },
    remaining(key, event) {
      const have = entries.get(key);
      if (!have) return 0;
      const from = event ?? have.at;
      if (from - have.at > 2 * maxMs) return 0;
      return Math.max(0, from + have.delay - clock.now());
    },
    reset: (key) => void entries.delete(key),
    forget(prefix) {
      for (const k of entries.keys()) if (k.startsWith(prefix)) entries.delete(k);
    },
  };
}
