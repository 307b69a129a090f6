/** Long-running child processes that outlive the one that started them; found again by pid and start time. */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface ProcessSpec {
  name: string;
  command: string;
  args: string[];
  env?: Record<string, string>;
}

/** The kernel's start time of a process, in clock ticks since boot: with the pid it names a process for good. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

const pidFile = (dir: string, name: string) => join(dir, 'run', `${name}.pid`);
export const logFile = (dir: string, name: string) => join(dir, 'log', `${name}.log`);

/** The pid of the process that `launch` started under this name, if that very process still runs. */
export function runningPid(dir: string, name: string): number | undefined {
  const file = pidFile(dir, name);
  if (!existsSync(file)) return undefined;
  const [pid, started] = readFileSync(file, 'utf8').trim().split(' ');
  return pid && started && startTimeOf(Number(pid)) === started ? Number(pid) : undefined;
}

/** Starts a detached process whose output goes to its log file, and remembers it. */
export function launch(dir: string, spec: ProcessSpec): number {
  mkdirSync(join(dir, 'run'), { recursive: true });
  const log = logFile(dir, spec.name);
  mkdirSync(dirname(log), { recursive: true });
  const out = openSync(log, 'a');
  try {
    const child = spawn(spec.command, spec.args, {
      detached: true,
      stdio: ['ignore', out, out],
      env: { ...process.env, ...spec.env },
      cwd: '/',
    });
    child.on('error', () => {}); // seen as "not running"
    child.unref();
    if (child.pid === undefined) throw new Error(`${spec.command} could not be started`);
    writeFileSync(pidFile(dir, spec.name), `${child.pid} ${startTimeOf(child.pid) ?? ''}\n`);
    return child.pid;
  } finally {
    closeSync(out);
  }
}

/** Sends a signal to the remembered process; false when it no longer runs. */
export function signalProcess(dir: string, name: string, signal: NodeJS.Signals): boolean {
  const pid = runningPid(dir, name);
  if (pid === undefined) return false;
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}
