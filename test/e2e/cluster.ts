/** What e2e tests use: kubectl, the k8ts command, waiting for conditions, HTTP load. */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import http from 'node:http';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cgroupProcesses } from '../../deploy/cluster/cgroup.ts';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const CLUSTER = process.env['K8TS_E2E_CLUSTER'] ?? 'e2e';
export const HOME = process.env['K8TS_HOME'] ?? '/var/lib/k8ts';
export const DIR = join(HOME, CLUSTER);
export const KUBECONFIG = join(DIR, 'kubeconfig');

export interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

function run(
  command: string,
  args: readonly string[],
  options: { input?: string; timeoutMs?: number } = {},
): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(
      command,
      [...args],
      { timeout: options.timeoutMs ?? 200_000, maxBuffer: 64 << 20, env: { ...process.env, KUBECONFIG } },
      (error, stdout, stderr) =>
        resolve({ code: error ? (typeof error.code === 'number' ? error.code : -1) : 0, stdout, stderr }),
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}

/** Runs the k8ts command; throws when it fails. */
export function k8ts(...args: string[]): string {
  return execFileSync(process.execPath, [join(ROOT, 'deploy/bin/run.mjs'), ...args], {
    encoding: 'utf8',
    timeout: 300_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
/** The same, without throwing. */
export const tryK8ts = (...args: string[]) =>
  run(process.execPath, [join(ROOT, 'deploy/bin/run.mjs'), ...args], { timeoutMs: 120_000 });

/** kubectl, in the version under test. */
export class Kubectl {
  readonly binary: string;
  readonly namespace: string;
  constructor(namespace: string, binary = process.env['K8TS_KUBECTL'] ?? 'kubectl') {
    this.namespace = namespace;
    this.binary = binary;
  }
  /** Runs it, whatever comes out. */
  try(args: readonly string[], options?: { input?: string; timeoutMs?: number }): Promise<Result> {
    return run(this.binary, ['-n', this.namespace, ...args], options);
  }
  /** Runs it and resolves with what it printed; rejects when it fails. */
  async run(...args: string[]): Promise<string> {
    const r = await this.try(args);
    if (r.code !== 0) throw new Error(`kubectl ${args.join(' ')}: exit code ${r.code}: ${r.stderr || r.stdout}`);
    return r.stdout;
  }
  async apply(manifest: string): Promise<string> {
    const r = await this.try(['apply', '-f', '-'], { input: manifest });
    if (r.code !== 0) throw new Error(`kubectl apply: ${r.stderr}`);
    return r.stdout;
  }
  async json<T = Record<string, unknown>>(...args: string[]): Promise<T> {
    return JSON.parse(await this.run(...args, '-o', 'json')) as T;
  }
  /** One value by JSONPath. */
  path(resource: string, jsonPath: string): Promise<string> {
    return this.run('get', ...resource.split(' '), '-o', `jsonpath=${jsonPath}`);
  }
  /** Waits for the end of a pod (`kubectl wait` of 1.20 knows conditions only). */
  async succeeded(pod: string): Promise<void> {
    await eventually(async () => {
      const phase = await this.path(`pod ${pod}`, '{.status.phase}');
      return phase === 'Succeeded' ? undefined : `pod ${pod} is ${phase}`;
    });
  }
  spawn(...args: string[]): ChildProcess {
    return spawn(this.binary, ['-n', this.namespace, ...args], {
      env: { ...process.env, KUBECONFIG },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }
}

/** A namespace of its own for one test file. */
export async function inNamespace(name: string): Promise<Kubectl> {
  const cluster = new Kubectl('default');
  await cluster.try(['delete', 'namespace', name, '--ignore-not-found', '--wait=true']);
  await cluster.run('create', 'namespace', name);
  const k = new Kubectl(name);
  await eventually(async () =>
    (await k.try(['get', 'serviceaccount', 'default'])).code === 0 ? undefined : 'no default service account',
  );
  return k;
}

/** Waits until `check` resolves with undefined; what it resolves with else says what is missing. */
export async function eventually(
  check: () => Promise<string | undefined>,
  limitMs = 120_000,
  everyMs = 200,
): Promise<void> {
  const until = performance.now() + limitMs;
  for (;;) {
    const missing = await check().catch((error: unknown) => String((error as Error).message));
    if (missing === undefined) return;
    if (performance.now() > until) throw new Error(`after ${limitMs / 1000} s: ${missing}`);
    await new Promise((r) => setTimeout(r, everyMs));
  }
}

/** Requests at a steady pace until stopped; what failed is kept. */
export class Load {
  readonly failures: string[] = [];
  answered = 0;
  readonly answers = new Map<string, number>();
  #timer: NodeJS.Timeout;
  #open = 0;
  constructor(urls: readonly string[], everyMs = 20) {
    if (urls.length === 0) throw new Error('no URL to load');
    let i = 0;
    this.#timer = setInterval(() => this.#one(urls[i++ % urls.length]!), everyMs);
  }
  #one(url: string): void {
    this.#open++;
    const fail = (why: string) => {
      this.#open--;
      this.failures.push(`${new Date().toISOString()} ${url}: ${why}`);
    };
    // a connection each, so that every request is balanced anew
    const req = http.get(url, { agent: false, timeout: 30_000 }, (res) => {
      let text = '';
      res.on('data', (c) => (text += String(c)));
      res.on('end', () => {
        if (res.statusCode !== 200) return fail(`HTTP ${res.statusCode}`);
        this.#open--;
        this.answered++;
        const key = text.trim().slice(0, 100);
        this.answers.set(key, (this.answers.get(key) ?? 0) + 1);
      });
      res.on('error', (e) => fail(e.message));
    });
    req.on('timeout', () => req.destroy(new Error('no answer within 30 s')));
    req.on('error', (e) => fail(e.message));
  }
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await eventually(async () => (this.#open === 0 ? undefined : `${this.#open} requests open`));
  }
}

/** The address of a node made by `up`. */
export async function nodeAddress(name: string): Promise<string> {
  return new Kubectl('default').path(`node ${name}`, '{.status.addresses[?(@.type=="InternalIP")].address}');
}

/** The pid of a program of the cluster, by its folder below the cluster's (server, node1/agent ...). */
export function pidOf(where: string, program: string): number {
  return Number(readFileSync(join(DIR, where, 'run', `${program}.pid`), 'utf8').split(' ')[0]);
}

/** The pids of the cluster's processes (containers included) that run this program. */
export function programPids(program: string): number[] {
  return cgroupProcesses(`k8ts-${CLUSTER}`).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(program);
    } catch {
      return false; // ended meanwhile
    }
  });
}

/** A folder that is gone after `use`. */
export async function withFolder<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'k8ts-e2e-'));
  try {
    return await use(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The kubectl versions that this machine has: the one on the PATH, others by K8TS_KUBECTLS (colon separated). */
export function kubectls(): string[] {
  return ['kubectl', ...(process.env['K8TS_KUBECTLS'] ?? '').split(':')].filter(
    (k) => k === 'kubectl' || (k !== '' && existsSync(k)),
  );
}

/** Programs that take the place of ours in the cluster under test: K8TS_E2E_REPLACE is `name=file,name=file`. */
export const replacements = (): [name: string, file: string][] =>
  (process.env['K8TS_E2E_REPLACE'] ?? '')
    .split(',')
    .filter(Boolean)
    .map((pair) => pair.split('=') as [string, string]);
