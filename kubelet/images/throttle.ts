/** A token bucket: so many per second on average, `burst` of them at once. */
import type { Clock } from '../../base/clock.ts';

/** Answers whether one more may go now. A rate of 0 or less is no bound. */
export function createThrottle(clock: Clock, perSecond: number, burst: number): () => boolean {
  let tokens = burst;
  let at = clock.monotonic();
  return () => {
    if (perSecond <= 0) return true;
    const now = clock.monotonic();
    tokens = Math.min(burst, tokens + ((now - at) / 1000) * perSecond);
    at = now;
    if (tokens < 1) return false;
    tokens--;
    return true;
  };
}
