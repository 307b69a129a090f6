/** A controllers process: real, apart, and killed without warning. */
import { spawn, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { program, ROOT } from '../../../../deploy/paths.ts';
import type { TestServer } from '../../apiserver/harness.ts';

export interface Program {
  readonly pid: number;
  /** Resolves when the controllers act (for the first time). */
  readonly acting: Promise<void>;
  /** What it wrote to its log, without lines below warnings. */
  readonly complaints: readonly string[];
  /** Resolves when it has ended, for whatever reason. */
  readonly ended: Promise<void>;
  /** Ends it as a crash would; resolves when it is gone. */
  kill(): Promise<void>;
  /** Sends a signal, if it still runs. */
  signal(name: NodeJS.Signals): void;
  /** Asks it to end. */
  stop(): Promise<void>;
}

/** Lines that are no complaints; that lists take long is the machine's fault, which others use as well. */
const QUIET = ['"level":"info"', '"level":"debug"', '"msg":"the controller still waits for its first lists"'];

/** Starts one with a kubeconfig and more flags. */
export function startControllers(kubeconfig: string, ...flags: string[]): Program {
  const { command, args, env } = program('controllers/main.ts');
  const child: ChildProcess = spawn(command, [...args, `--kubeconfig=${kubeconfig}`, '--secure-port=0', ...flags], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const complaints: string[] = [];
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let asked = false;
  let act!: () => void;
  const acting = new Promise<void>((resolve) => (act = resolve));
  let rest = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      if (line.includes('"msg":"controllers started"')) act();
      if (!QUIET.some((q) => line.includes(q))) complaints.push(line);
    }
  });
  child.once('exit', (code, signal) => {
    if (!asked) complaints.push(`ended by itself: ${signal ?? code}; ${rest}`);
    act();
  });
  const end = (signal: NodeJS.Signals) => {
    asked = true;
    child.kill(signal);
    return gone;
  };
  return {
    pid: child.pid!,
    acting,
    complaints,
    ended: gone,
    signal: (name) => void child.kill(name),
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  };
}

/** Writes a kubeconfig for a member of system:masters. */
export function writeKubeconfig(server: TestServer, dir: string, user: string): string {
  const id = server.identity(user, 'system:masters');
  const data = (text: string) => Buffer.from(text).toString('base64');
  const path = join(dir, `${user}.conf`);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'x',
    contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
    clusters: [{ name: 'x', cluster: { server: server.url, 'certificate-authority-data': data(server.ca) } }],
    users: [{ name: 'x', user: { 'client-certificate-data': data(id.cert), 'client-key-data': data(id.key) } }],
  };
  writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}
