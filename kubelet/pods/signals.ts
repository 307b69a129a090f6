/**
 * Whether a process that has just begun gets the signal to stop. The first process of a PID namespace gets only what it
 * has a handler for: sent before it has set one up, SIGTERM is lost, and the container lives to the end of its grace
 * period.
 */
import { readFile } from 'node:fs/promises';
import type { Clock } from '../../base/clock.ts';

const SIGTERM = 15;
/** How long a container is given to set up its handlers, from its start. */
const SETTLE_MS = 1000;
const LOOK_MS = 20;

/** Reads /proc/PID/status: whether SIGTERM has an effect on the process (or never will have). */
export function heedsTerm(status: string): boolean {
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
  const isFirst = field('NSpid').split(/\s+/).at(-1) === '1';
  if (!isFirst) return true;
  // The runtime's own helper, which becomes the container's process.
  if (field('Name').startsWith('runc:')) return false;
  const sets = (name: string) => ((BigInt(`0x${field(name) || '0'}`) >> BigInt(SIGTERM - 1)) & 1n) === 1n;
  return sets('SigCgt') || sets('SigIgn');
}

/**
 * Waits until a container that was started a moment ago can be told to stop; no longer than a second after its start.
 * `startedMs` is since the epoch; `pidOf` may not know.
 */
export async function untilStoppable(
  startedMs: number,
  pidOf: () => Promise<number | undefined>,
  clock: Clock,
): Promise<void> {
  const fresh = () => {
    const age = clock.now() - startedMs;
    return age >= 0 && age < SETTLE_MS;
  };
  if (!fresh()) return;
  const pid = await pidOf().catch(() => undefined);
  if (!pid) return;
  while (fresh()) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => undefined);
    if (status === undefined || heedsTerm(status)) return;
    await clock.sleep(LOOK_MS);
  }
}
