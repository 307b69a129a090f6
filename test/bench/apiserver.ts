/**
 * Measures the API server against kube-apiserver, in turn, each on an etcd of its own:
 * `node test/bench/apiserver.ts [--rounds 5] [--warm 2] [--writes 1000] [--pods 10000] [--large 50000] [--watchers 100,1000]
 * [--store lmdb] [--only create,get] [--ours] [--cpu-prof DIR]`.
 * Same certificates, same client, the same protocol. The peer's program is KUBE_APISERVER or the one in
 * ~/.cache/k8ts-peer/bin; etcd is ETCD, the one there, or the one on the PATH. One JSON object a line; the last ones
 * are ratios of medians: how many times better ours is. CPU is that of the server's process alone, from /proc.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { program } from '../../deploy/paths.ts';
import { startEtcd } from '../integration/store/etcd.ts';
import { startBenchServer, type BenchServer } from './server.ts';
import { fanOut, loadPods, prepare, STEPS, type Bench, type Step } from './workloads.ts';
import { usage } from './measure.ts';
import { each, median, quantile, rawClient } from './raw-client.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    warm: { type: 'string', default: '2' },
    writes: { type: 'string', default: '1000' },
    pods: { type: 'string', default: '10000' },
    large: { type: 'string', default: '0' },
    watchers: { type: 'string', default: '100,1000' },
    updates: { type: 'string', default: '500' },
    store: { type: 'string', default: 'etcd3' },
    only: { type: 'string', default: '' },
    starts: { type: 'string', default: '3' },
    'cpu-prof': { type: 'string' },
    ours: { type: 'boolean', default: false },
    http1: { type: 'boolean', default: false },
  },
});
const number = (name: 'rounds' | 'warm' | 'writes' | 'pods' | 'large' | 'updates' | 'starts') => Number(values[name]);
const peerDir = join(process.env['PEER'] ?? join(homedir(), '.cache/k8ts-peer'), 'bin');
const only = values.only === '' ? undefined : values.only.split(',');
const wanted = (name: string) => !only || only.some((o) => name.startsWith(o));
const report = (line: object) => void process.stdout.write(`${JSON.stringify(line)}\n`);
const round = (n: number, digits = 3) => Number(n.toFixed(digits));

/** Medians of one row; higher is worse but for `perSecond`. */
interface Row {
  cpuMs?: number;
  perSecond?: number;
  p50Ms?: number;
  p99Ms?: number;
  MiB?: number;
  ms?: number;
}
type Rows = Map<string, Row>;

interface Program {
  command: string;
  args: readonly string[];
  env?: Record<string, string>;
}

/** Ours as the k8ts command starts it, with the profiler when asked for. */
function ours(): Program {
  const p = program('apiserver/main.ts');
  const profile = values['cpu-prof'];
  return profile ? { ...p, args: ['--cpu-prof', `--cpu-prof-dir=${profile}`, ...p.args] } : p;
}

async function measure(name: string, run: Program): Promise<Rows> {
  const dir = await mkdtemp(join(tmpdir(), 'k8ts-bench-'));
  const rows: Rows = new Map();
  const note = (step: string, row: Row) => {
    rows.set(step, row);
    report({ name, step, ...row });
  };
  const lmdb = name === 'k8ts' && values.store === 'lmdb';
  const peerEtcd = join(peerDir, 'etcd');
  const etcd = lmdb
    ? undefined
    : await startEtcd({ binary: process.env['ETCD'] ?? (existsSync(peerEtcd) ? peerEtcd : undefined) });
  const flags = etcd
    ? ['--storage-backend=etcd3', `--etcd-servers=${etcd.options.servers.join(',')}`]
    : ['--storage-backend=lmdb', `--data-dir=${join(dir, 'data')}`];
  let server: BenchServer | undefined;
  try {
    const starts: { ms: number; cpuMs: number }[] = [];
    for (let i = 0; i < Math.max(1, number('starts')); i++) {
      await server?.stop();
      server = await startBenchServer(dir, flags, run);
      starts.push({ ms: server.readyMs, cpuMs: server.readyCpuMs });
    }
    const start = (key: 'ms' | 'cpuMs') => round(median(starts.map((s) => s[key])), 0);
    note('start to ready', { ms: start('ms'), cpuMs: start('cpuMs') });
    const bench: Bench = {
      client: server!.client,
      raw: rawClient(server!, !values.http1),
      writes: number('writes'),
      kept: new Map(),
    };
    await prepare(bench);
    note('memory after the start', { MiB: round(usage(server!.pid).rssMiB, 0) });
    await loadPods(bench, 0, number('pods'));
    note(`memory after ${number('pods')} pods`, { MiB: round(usage(server!.pid).rssMiB, 0) });
    for (const row of await rounds(server!.pid, bench, number('warm'), number('rounds'))) note(...row);
    for (const n of values.watchers
      .split(',')
      .filter((w) => w !== '' && wanted('fan-out'))
      .map(Number)) {
      const seen: Row[] = [];
      for (let i = 0; i <= number('rounds'); i++) {
        const before = usage(server!.pid).cpuMs;
        const { seconds, delays } = await fanOut(server!, bench, n, number('updates'));
        const cpu = (usage(server!.pid).cpuMs - before) / number('updates');
        const events = n * number('updates');
        seen.push({
          cpuMs: cpu,
          perSecond: events / seconds,
          p50Ms: quantile(delays, 0.5),
          p99Ms: quantile(delays, 0.99),
        });
      }
      note(`fan-out to ${n}`, medians(seen.slice(1)));
    }
    note('memory at the end', { MiB: round(usage(server!.pid).rssMiB, 0) });
    if (number('large') > number('pods')) {
      await loadPods(bench, number('pods'), number('large'));
      note(`memory after ${number('large')} pods`, { MiB: round(usage(server!.pid).rssMiB, 0) });
    }
    bench.raw.close();
    await server!.stop();
    server = await startBenchServer(dir, flags, run);
    note('start to ready, with what is there', { ms: round(server.readyMs, 0), cpuMs: server.readyCpuMs });
    return rows;
  } finally {
    await server?.stop();
    await etcd?.close();
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

function medians(rows: readonly Row[]): Row {
  const of = (key: keyof Row) => round(median(rows.map((r) => r[key]!)));
  return { cpuMs: of('cpuMs'), perSecond: round(of('perSecond'), 1), p50Ms: of('p50Ms'), p99Ms: of('p99Ms') };
}

/** The steps of all rounds; the first rounds, in which code is compiled, are rows of their own. */
async function rounds(pid: number, bench: Bench, warm: number, count: number): Promise<[string, Row][]> {
  const seen = new Map<string, Row[]>();
  for (let r = 0; r < warm + count; r++)
    for (const step of STEPS) {
      if (!wanted(step.name) && !step.needed) continue;
      seen.set(step.name, [...(seen.get(step.name) ?? []), await run(pid, bench, step, r)]);
    }
  const out: [string, Row][] = [];
  for (const [name, rows] of seen) {
    if (!wanted(name)) continue;
    if (warm > 0) report({ name: 'first round', step: name, cpuMs: round(rows[0]!.cpuMs!) });
    out.push([name, medians(rows.slice(warm))]);
  }
  return out;
}

async function run(pid: number, bench: Bench, step: Step, r: number): Promise<Row> {
  const n = step.count(bench.writes);
  const times: number[] = [];
  const cpu = usage(pid).cpuMs;
  const began = performance.now();
  await each(step.clients ?? 32, n, async (i) => {
    const t = performance.now();
    await step.one(bench, i, r);
    times.push(performance.now() - t);
  });
  const seconds = (performance.now() - began) / 1000;
  return {
    cpuMs: (usage(pid).cpuMs - cpu) / n,
    perSecond: n / seconds,
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
  };
}

const first = await measure('k8ts', ours());
if (values.ours) process.exit(0);
const peer = process.env['KUBE_APISERVER'] ?? join(peerDir, 'kube-apiserver');
if (!existsSync(peer)) {
  process.stdout.write(`# no ratios: ${peer} is not there\n`);
  process.exit(0);
}
const theirs = await measure('kube-apiserver', { command: peer, args: [] });
for (const [step, a] of first) {
  const b = theirs.get(step);
  if (!b) continue;
  const ratio = (key: keyof Row) => {
    const [x, y] = key === 'perSecond' ? [b[key], a[key]] : [a[key], b[key]];
    return x && y ? round(y / x, 2) : undefined;
  };
  const {
    cpuMs: cpu,
    perSecond: rate,
    p50Ms: p50,
    p99Ms: p99,
    MiB: memory,
    ms: time,
  } = {
    cpuMs: ratio('cpuMs'),
    perSecond: ratio('perSecond'),
    p50Ms: ratio('p50Ms'),
    p99Ms: ratio('p99Ms'),
    MiB: ratio('MiB'),
    ms: ratio('ms'),
  };
  report({ step, better: { cpu, rate, p50, p99, memory, time } });
}
process.exit(0);
