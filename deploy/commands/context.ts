/** What every command is handed: clock, log, a way to run programs, a way to talk to the person. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock, systemIds, systemRand, type Clock, type Ids, type Rand } from '../../base/clock.ts';
import { createExec, type Exec } from '../../base/exec.ts';
import { takeLock } from '../../base/lock.ts';
import { createLogger, type Logger } from '../../base/log.ts';
import { homeDir } from '../cluster/config.ts';

export interface Context {
  clock: Clock;
  ids: Ids;
  rand: Rand;
  logger: Logger;
  exec: Exec;
  /** A line for the person on stdout. */
  say(line: string): void;
  /** A line about what is going on, on stderr. */
  progress(line: string): void;
}

/** A mistake of the person or the machine: printed as one sentence, exit code 1, no stack. */
export class UserError extends Error {}

/** `verbose` logs every command that is run. */
export function createContext(options: { verbose: boolean }): Context {
  const clock = systemClock;
  const began = clock.monotonic();
  const logger = createLogger({ clock, component: 'k8ts', level: options.verbose ? 'debug' : 'warn' });
  return {
    clock,
    ids: systemIds,
    rand: systemRand,
    logger,
    exec: createExec({ clock, logger }),
    say: (line) => void process.stdout.write(line + '\n'),
    progress: (line) =>
      void process.stderr.write(`${((clock.monotonic() - began) / 1000).toFixed(1).padStart(6)}s  ${line}\n`),
  };
}

/** Throws a UserError for anybody else. */
export function requireRoot(what: string): void {
  if (process.getuid?.() !== 0)
    throw new UserError(`${what} makes network namespaces and mounts, which needs root: run it with sudo`);
}

/** Runs `work` while no other command changes the same cluster. */
export async function withLock<T>(name: string, work: () => Promise<T>): Promise<T> {
  mkdirSync(homeDir(), { recursive: true });
  const lock = await takeLock(join(homeDir(), name));
  if (!lock) throw new UserError(`another k8ts command is at work on cluster ${name}; wait for it, then try again`);
  try {
    return await work();
  } finally {
    await lock.release();
  }
}
