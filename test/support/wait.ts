/** Waiting for what shall come: conditions under a bound that a slow machine keeps. */
import { systemClock } from '../../base/clock.ts';

/** Below the time that a test has, so that it ends with what is missing. */
export const BOUND_MS = 50_000;
const EVERY_MS = 20;

/** Calls until nothing is thrown, and gives that answer; rejects with the last failure after its bound. */
export async function eventually<T>(action: () => T | Promise<T>, boundMs = BOUND_MS): Promise<T> {
  for (const end = systemClock.monotonic() + boundMs; ; await systemClock.sleep(EVERY_MS))
    try {
      return await action();
    } catch (error) {
      if (systemClock.monotonic() > end) throw error;
    }
}

/** Asks until the answer is neither undefined nor false, and gives it; rejects, with what was last seen, after its bound. */
export function until<T>(ask: () => T | Promise<T>, boundMs = BOUND_MS): Promise<Exclude<T, undefined | false | null>> {
  return eventually(async () => {
    const answer = await ask();
    if (answer === undefined || answer === null || answer === false) throw new Error(`not yet: ${String(ask)}`);
    return answer as Exclude<T, undefined | false | null>;
  }, boundMs);
}
