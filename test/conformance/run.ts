/** Runs batches of specs, each in an e2e.test of its own, several at a time. */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Clock } from '../../base/clock.ts';
import { OutputReader, type SpecEnd } from './output.ts';
import type { Spec } from './specs.ts';

/** How long an interrupted spec may clean up before its program is killed. */
const GRACE_MS = 45_000;
/** How long a program may take to begin its first or next spec: it waits for nodes and system pods to be ready. */
const IDLE_MS = 180_000;

export interface RunOptions {
  clock: Clock;
  /** The e2e.test program, entered into the server's namespaces by this command line. */
  enter: readonly string[];
  program: string;
  kubeconfig: string;
  nodes: number;
  /** Put in front of the PATH: where kubectl lies. */
  path: string;
  /** Folder for raw outputs. */
  dir: string;
  /** Milliseconds a spec may take before it is interrupted and counts as failed. */
  limitMs(spec: Spec): number;
  ended(end: SpecEnd): void;
  /** Ends the run: specs under way are interrupted, those not begun are left without a result. */
  signal: AbortSignal;
}

const quote = (name: string) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const SUITE = 'Kubernetes e2e suite';

function argumentsOf(o: RunOptions, batch: readonly Spec[]): string[] {
  return [
    `--ginkgo.focus=^${SUITE} (?:${batch.map((s) => quote(s.name)).join('|')})$`,
    '--ginkgo.v',
    '--ginkgo.no-color',
    '--ginkgo.timeout=24h',
    '--ginkgo.output-interceptor-mode=none',
    '--provider=skeleton',
    `--kubeconfig=${o.kubeconfig}`,
    `--num-nodes=${o.nodes}`,
    '--report-complete-ginkgo=false',
    '--disable-log-dump=true',
    '--dump-logs-on-failure=true',
    '--delete-namespace=true',
    '--delete-namespace-on-failure=true',
  ];
}

/** Runs one program; resolves with the specs that have no result. */
function runBatch(o: RunOptions, batch: readonly Spec[], id: string): Promise<Spec[]> {
  return new Promise((resolve, reject) => {
    const left = new Map(batch.map((s) => [s.name, s]));
    const [command, ...first] = o.enter;
    const child = spawn(command!, [...first, o.program, ...argumentsOf(o, batch)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, PATH: `${o.path}:${process.env['PATH']}`, KUBECONFIG: o.kubeconfig },
      cwd: o.dir,
    });
    const raw = createWriteStream(join(o.dir, `${id}.log`));
    let since = o.clock.monotonic();
    let was: string | undefined;
    let interrupted: { at: number; why: string } | undefined;
    const reader = new OutputReader([...left.keys()], (end) => {
      if (interrupted && end.result === 'FAIL') {
        // what was cut off has no result
        if (o.signal.aborted) return;
        end = { ...end, message: `${interrupted.why}\n${end.message}` };
      }
      left.delete(end.name);
      o.ended(end);
    });
    const interrupt = (why: string) => {
      interrupted ??= { at: o.clock.monotonic(), why };
      child.kill('SIGINT');
    };
    const onAbort = () => interrupt('the run was ended');
    o.signal.addEventListener('abort', onAbort, { once: true });
    const watch = o.clock.every(500, () => {
      const now = o.clock.monotonic();
      if (reader.running !== was) {
        was = reader.running;
        since = now;
      }
      if (interrupted) {
        if (now - interrupted.at > GRACE_MS) child.kill('SIGKILL');
        return;
      }
      const spec = was === undefined ? undefined : left.get(was);
      const limit = spec ? o.limitMs(spec) : IDLE_MS;
      if (now - since > limit)
        interrupt(spec ? `took longer than ${limit / 1000} s` : `no spec began within ${limit / 1000} s`);
    });
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (l) => {
      raw.write(l + '\n');
      reader.line(l);
    });
    child.stderr.on('data', (c: Buffer) => raw.write(c));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      watch.cancel();
      o.signal.removeEventListener('abort', onAbort);
      raw.end();
      const why = interrupted?.why ?? `e2e.test ended with ${signal ?? `status ${code}`} during this spec`;
      reader.close(why, (o.clock.monotonic() - since) / 1000);
      resolve([...left.values()]);
    });
  });
}

/** Runs all batches, `procs` at a time; specs that a program never came to are tried once more. */
export async function runBatches(o: RunOptions, queue: Spec[][], procs: number): Promise<void> {
  const tried = new Map<string, number>();
  let started = 0;
  const worker = async () => {
    for (let batch = queue.shift(); batch && !o.signal.aborted; batch = queue.shift()) {
      const id = `e2e-${String(++started).padStart(3, '0')}-${process.pid}`;
      const left = await runBatch(o, batch, id);
      if (o.signal.aborted) return;
      const again: Spec[] = [];
      for (const spec of left) {
        // a program that brought others to an end was merely interrupted: this one's turn didn't come
        const count = (tried.get(spec.name) ?? 0) + (left.length === batch.length ? 1 : 0);
        tried.set(spec.name, count);
        if (count < 2) again.push(spec);
        else o.ended({ name: spec.name, result: 'FAIL', seconds: 0, message: `never begun; see ${id}.log`, log: '' });
      }
      if (again.length) queue.push(again);
    }
  };
  await Promise.all(Array.from({ length: procs }, worker));
}
