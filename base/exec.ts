/**
 * The one way to run an external command: never through a shell, bounded in time and output, logged.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from './clock.ts';
import type { Logger } from './log.ts';

/** A command that ended with a non-zero status, was killed, or could not be started. */
export class CommandError extends Error {
  readonly command: readonly string[];
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  constructor(command: readonly string[], exitCode: number | undefined, stdout: string, stderr: string) {
    super(`${command.join(' ')}: ${stderr.trim() || stdout.trim() || `exit code ${exitCode ?? 'unknown'}`}`);
    this.name = 'CommandError';
    this.command = command;
    this.exitCode = exitCode;
    this.stdout = stdout;
    this.stderr = stderr;
  }
}

export interface ExecOptions {
  /** Text or bytes for standard input. */
  input?: string | Buffer;
  /** Milliseconds after which the command is killed; defaults to 30,000. */
  timeoutMs?: number;
  /** Bytes of output taken at most; defaults to 16 MiB. */
  maxOutput?: number;
  env?: Record<string, string>;
  cwd?: string;
}

export interface Exec {
  /** Resolves with standard output; rejects with a CommandError. */
  (command: string, args: readonly string[], options?: ExecOptions): Promise<string>;
}

/** Makes an Exec that logs each command at debug level with its duration. */
export function createExec(deps: { clock: Clock; logger: Logger }): Exec {
  return (command, args, options = {}) =>
    new Promise((resolve, reject) => {
      const began = deps.clock.monotonic();
      const child = execFile(
        command,
        [...args],
        {
          timeout: options.timeoutMs ?? 30_000,
          killSignal: 'SIGKILL',
          maxBuffer: options.maxOutput ?? 16 * 1024 * 1024,
          env: options.env ? { ...process.env, ...options.env } : process.env,
          cwd: options.cwd,
          encoding: 'utf8',
        },
        (error, stdout, stderr) => {
          deps.logger.debug('ran', {
            command: [command, ...args].join(' '),
            ms: Math.round(deps.clock.monotonic() - began),
            failed: error !== null,
          });
          if (!error) return resolve(stdout);
          const code = typeof error.code === 'number' ? error.code : undefined;
          reject(
            new CommandError(
              [command, ...args],
              code,
              stdout,
              code === undefined ? `${error.message} ${stderr}` : stderr,
            ),
          );
        },
      );
      child.stdin?.on('error', () => {}); // the command may end without reading
      child.stdin?.end(options.input ?? '');
    });
}

/** The path of a program on the PATH or in the usual system folders; undefined when it isn't there. */
export function findProgram(name: string): string | undefined {
  const folders = [
    ...(process.env['PATH'] ?? '').split(':'),
    '/usr/local/sbin',
    '/usr/sbin',
    '/sbin',
    '/usr/lib/cni',
    '/opt/cni/bin',
  ];
  for (const folder of folders) {
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      if (folder !== '' && statSync(file).isFile()) return file;
    } catch {
      // not here
    }
  }
  return undefined;
}
