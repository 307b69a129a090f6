/**
 * Keeps a list of programs running: starts what is missing, takes over what an earlier supervisor started,
 * starts again what died. Killing the supervisor leaves the programs alone.
 */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { launch, runningPid, signalProcess, startTimeOf, type ProcessSpec } from './processes.ts';

export interface Program extends ProcessSpec {
  /** Resolves when the program may be started (a socket is there, a file is written); polled before each start. */
  ready?(): boolean;
}

export interface Supervisor {
  /** Stops the programs in reverse order, each with SIGTERM, then SIGKILL after `graceMs`. */
  stop(graceMs: number): Promise<void>;
  /** Ends the supervision only; the programs go on. */
  detach(): void;
}

const CHECK_MS = 250;
const MAX_BACKOFF_MS = 10_000;

export function supervise(options: {
  dir: string;
  programs: readonly Program[];
  clock: Clock;
  logger: Logger;
}): Supervisor {
  const { dir, programs, clock, logger } = options;
  const state = new Map<string, { failures: number; nextStart: number; startedAt: number }>();

  function check(): void {
    const now = clock.monotonic();
    for (const p of programs) {
      if (runningPid(dir, p.name) !== undefined) continue;
      const s = state.get(p.name) ?? { failures: 0, nextStart: 0, startedAt: 0 };
      state.set(p.name, s);
      if (s.startedAt > 0 && s.nextStart === 0) {
        // it ran under us and died
        s.failures = now - s.startedAt > 30_000 ? 1 : s.failures + 1;
        const wait = s.failures <= 1 ? 0 : Math.min(200 * 2 ** s.failures, MAX_BACKOFF_MS);
        s.nextStart = now + wait;
        logger.warn('program ended', { program: p.name, restartMs: wait });
      }
      if (now < s.nextStart || (p.ready && !p.ready())) continue;
      s.nextStart = 0;
      s.startedAt = now;
      const pid = launch(dir, p);
      logger.info('program started', { program: p.name, pid });
    }
  }
  check();
  const timer = clock.every(CHECK_MS, check);

  return {
    async stop(graceMs) {
      timer.cancel();
      for (const p of [...programs].reverse()) {
        const pid = runningPid(dir, p.name);
        if (pid === undefined) continue;
        const started = startTimeOf(pid);
        signalProcess(dir, p.name, 'SIGTERM');
        const until = clock.monotonic() + graceMs;
        while (startTimeOf(pid) === started && clock.monotonic() < until) await clock.sleep(50);
        signalProcess(dir, p.name, 'SIGKILL');
      }
    },
    detach: () => timer.cancel(),
  };
}
