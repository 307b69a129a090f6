/**
 * `npm run conformance -- [options]`: upstream's [Conformance] specs on a cluster of our own. Keeps everything of a
 * run below out/conformance/, the last result of each spec in docs/conformance/results.tsv, the sums in
 * docs/scoreboard.md. Ends with status 0 only when all chosen specs passed.
 */
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { systemClock } from '../../base/clock.ts';
import { createExec } from '../../base/exec.ts';
import { takeLock } from '../../base/lock.ts';
import { silentLogger } from '../../base/log.ts';
import { kubeconfigFile, type Cluster } from '../../deploy/cluster/config.ts';
import { enter, machineDir } from '../../deploy/cluster/machine.ts';
import { ROOT } from '../../deploy/paths.ts';
import { buildPrograms, conformanceCache, othersFor } from './build.ts';
import { bringUp, distribute, takeDown } from './cluster.ts';
import { testImages } from './images.ts';
import type { SpecEnd } from './output.ts';
import {
  formatJUnit,
  formatOthers,
  formatResults,
  formatScoreboard,
  intoScoreboard,
  readResults,
  type RunFacts,
  type SpecRun,
} from './results.ts';
import { runBatches } from './run.ts';
import {
  batches,
  chooseSpecs,
  DOCS,
  fastestFirst,
  NOT_FOR_ALL,
  parseSpecList,
  readSpecs,
  slowestFirst,
  type Spec,
} from './specs.ts';

interface Options {
  sig?: string;
  focus?: string;
  skip?: string;
  failed?: boolean;
  allSpecs?: boolean;
  serial?: boolean;
  parallel?: boolean;
  smoke?: number;
  procs: number;
  name: string;
  nodes: number;
  keep?: boolean;
  resume?: boolean;
  fastestFirst?: boolean;
  limit?: number;
  minutes?: number;
  record: boolean;
}

const OUT = join(ROOT, 'out', 'conformance');
const RESULTS = join(DOCS, 'results.tsv');
const OTHERS = join(DOCS, 'others.tsv');
const SCOREBOARD = join(ROOT, 'docs', 'scoreboard.md');
const clock = systemClock;
const exec = createExec({ clock, logger: silentLogger });
const began = clock.monotonic();
const say = (line: string) =>
  void process.stderr.write(`${((clock.monotonic() - began) / 1000).toFixed(1).padStart(7)}s  ${line}\n`);

const whole = (text: string) => {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError('it must be a whole number from 1 on.');
  return n;
};

function parse(): Options {
  const cli = new Command('npm run conformance --')
    .description("run upstream's [Conformance] specs; by default all of them on a fresh cluster")
    .option('--sig <sig>', 'only those of one special interest group: node, network, apps ...')
    .option('--focus <re>', 'only those whose name matches')
    .option('--skip <re>', 'not those whose name matches')
    .option('--failed', 'only those that have not passed yet')
    .option('--all-specs', `of the suite's others, those that need nothing special (not --skip ${NOT_FOR_ALL})`)
    .option('--serial', 'only those that must run alone')
    .option('--parallel', 'only those that need not')
    .option('--smoke <n>', 'only the fastest few of each sig', whole)
    .option('--procs <n>', 'how many at a time', whole, 4)
    .option('--name <cluster>', 'name of the cluster; one that is up already is taken and stays up', 'conformance')
    .option('--nodes <n>', 'nodes of a fresh cluster', whole, 2)
    .option('--keep', 'leave a fresh cluster up')
    .option('--resume', 'go on with the run that was cut off')
    .option('--fastest-first', 'for a run that will be cut off: as many results as possible')
    .option('--limit <seconds>', 'time for one spec (default: 300 and twice what upstream takes)', whole)
    .option('--minutes <n>', 'end the run after this time; what was not run stays NOTRUN', whole)
    .option('--no-record', 'leave docs/ as it is');
  return cli.parse().opts<Options>();
}

/** What `--resume` needs: kept in out/conformance/latest/run.json. */
interface RunFile {
  options: Options;
  specs: string[];
}

/** A run's folder: where it is kept, what was chosen, what has a result. */
interface Run {
  dir: string;
  options: Options;
  chosen: Spec[];
  done: Map<string, SpecRun>;
}

const latest = join(OUT, 'latest');
const readJson = <T>(file: string) => JSON.parse(readFileSync(file, 'utf8')) as T;

function beginRun(options: Options, all: readonly Spec[]): Run {
  if (options.resume && existsSync(join(latest, 'run.json'))) {
    const file = readJson<RunFile>(join(latest, 'run.json'));
    const done = new Map<string, SpecRun>();
    const lines = existsSync(join(latest, 'results.jsonl')) ? readFileSync(join(latest, 'results.jsonl'), 'utf8') : '';
    for (const l of lines.split('\n').filter((t) => t.endsWith('}'))) {
      const r = JSON.parse(l) as SpecRun;
      done.set(r.name, r);
    }
    const names = new Set(file.specs);
    return { dir: latest, options: file.options, chosen: all.filter((s) => names.has(s.name)), done };
  }
  const chosen = chooseSpecs(
    all,
    {
      ...options,
      skip: options.skip ?? (options.allSpecs ? NOT_FOR_ALL : undefined),
      only: options.serial ? 'serial' : options.parallel ? 'parallel' : undefined,
    },
    readResults(options.allSpecs ? OTHERS : RESULTS),
  );
  const id = new Date(clock.now()).toISOString().replace(/[-:]|\..*/g, '');
  const dir = join(OUT, id);
  mkdirSync(join(dir, 'failed'), { recursive: true });
  rmSync(latest, { force: true });
  symlinkSync(id, latest);
  const file: RunFile = { options, specs: chosen.map((s) => s.name) };
  writeFileSync(join(dir, 'run.json'), JSON.stringify(file, undefined, 2));
  return { dir, options, chosen, done: new Map() };
}

function keepResult(run: Run, end: SpecEnd, total: number): void {
  const { log, ...result } = end;
  run.done.set(end.name, result);
  appendFileSync(join(run.dir, 'results.jsonl'), JSON.stringify(result) + '\n');
  if (end.result === 'FAIL') {
    const name = end.name.replace(/[^A-Za-z0-9]+/g, '_').slice(0, 180);
    writeFileSync(join(run.dir, 'failed', `${name}.log`), `${log}\n\n${end.message ?? ''}\n`);
  }
  say(`${end.result} ${run.done.size}/${total} ${end.seconds.toFixed(1)} s ${end.name}`);
}

/** The logs of the cluster's programs, for the failures. */
function dumpCluster(run: Run, cluster: Cluster): void {
  for (const [host, dir] of [
    ['server', machineDir(cluster, 'server')],
    ...cluster.nodes.map((n) => [n, join(machineDir(cluster, n), 'agent')]),
  ] as [string, string][]) {
    if (existsSync(join(dir, 'log'))) cpSync(join(dir, 'log'), join(run.dir, 'cluster', host), { recursive: true });
  }
}

async function runSpecs(run: Run, cluster: Cluster, signal: AbortSignal): Promise<void> {
  const { options } = run;
  const programs = await buildPrograms(exec, say, othersFor(run.chosen));
  await distribute(exec, cluster, conformanceCache(), testImages(programs), say);
  const left = run.chosen.filter((s) => !run.done.has(s.name));
  // what is not measured and calls itself slow may take ten minutes
  const expected = (s: Spec) => s.upstreamSeconds ?? (s.name.includes('[Slow]') ? 600 : 60);
  const limitMs = (s: Spec) => 1000 * (options.limit ?? 300 + 2 * expected(s));
  const common = {
    clock,
    enter: enter(cluster, 'server'),
    program: programs.file['e2e.test'],
    kubeconfig: kubeconfigFile(cluster),
    nodes: cluster.nodes.length,
    path: dirname(programs.file.kubectl),
    dir: run.dir,
    limitMs,
    ended: (end: SpecEnd) => keepResult(run, end, run.chosen.length),
    signal,
  };
  const order = options.fastestFirst ? fastestFirst : slowestFirst;
  const parallel = left.filter((s) => !s.serial).sort(order);
  const serial = left.filter((s) => s.serial).sort(order);
  const specs = Math.max(1, Math.min(12, Math.ceil(parallel.length / options.procs)));
  const limit = { specs, seconds: options.allSpecs ? Infinity : 60 };
  await runBatches(common, batches(parallel, limit), options.procs);
  if (!signal.aborted) await runBatches(common, batches(serial, { specs: 12, seconds: 600 }), 1);
}

async function report(run: Run, all: readonly Spec[], wallSeconds: number): Promise<void> {
  writeFileSync(join(run.dir, 'results.json'), JSON.stringify([...run.done.values()], undefined, 2));
  writeFileSync(join(run.dir, 'junit.xml'), formatJUnit(run.chosen, run.done));
  const passed = run.chosen.filter((s) => run.done.get(s.name)?.result === 'PASS').length;
  const skipped = [...run.done.values()].filter((r) => r.skipped).length;
  const failed = [...run.done.values()].filter((r) => r.result === 'FAIL').length - skipped;
  process.stdout.write(
    `\n${passed} passed, ${failed} failed, ${skipped} skipped themselves, ${run.chosen.length - run.done.size} not run of ${run.chosen.length}; see ${run.dir}\n`,
  );
  if (passed < run.chosen.length) process.exitCode = 1;
  if (!run.options.record || run.done.size === 0) return;
  if (run.options.allSpecs) {
    const others = readResults(OTHERS);
    for (const r of run.done.values())
      others.set(r.name, { result: r.skipped ? 'SKIP' : r.result, seconds: r.seconds });
    writeFileSync(OTHERS, formatOthers(others));
    return;
  }
  const results = readResults(RESULTS);
  for (const r of run.done.values()) results.set(r.name, { result: r.result, seconds: r.seconds });
  writeFileSync(RESULTS, formatResults(all, results));
  const commit = await exec('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD']).catch(() => 'unknown');
  const facts: RunFacts = {
    commit: commit.trim(),
    date: new Date(clock.now()).toISOString().slice(0, 10),
    specs: run.done.size,
    wallSeconds,
    procs: run.options.procs,
  };
  writeFileSync(SCOREBOARD, intoScoreboard(readFileSync(SCOREBOARD, 'utf8'), formatScoreboard(all, results, facts)));
}

/** The specs to choose from: the [Conformance] ones, or all that the program has. */
async function specsToChooseFrom(options: Options): Promise<Spec[]> {
  const cut = options.resume && existsSync(join(latest, 'run.json'));
  const { allSpecs } = cut ? readJson<RunFile>(join(latest, 'run.json')).options : options;
  if (!allSpecs) return readSpecs();
  const { file } = await buildPrograms(exec, say);
  return parseSpecList(await exec(file['e2e.test'], ['--list-tests', '--provider=skeleton'], { timeoutMs: 120_000 }));
}

const given = parse();
const all = await specsToChooseFrom(given);
const run = beginRun(given, all);
const { options } = run;
const stop = new AbortController();
const onSignal = () => stop.abort();
process.on('SIGINT', onSignal);
process.on('SIGTERM', onSignal);
try {
  if (run.chosen.length === 0) throw new Error('no spec was chosen');
  if (!(await takeLock(join(tmpdir(), `k8ts-conformance-${options.name}`))))
    throw new Error(`another run is on the cluster ${options.name}: choose one with --name`);
  say(`${run.chosen.length} specs, ${run.done.size} of them done`);
  await buildPrograms(exec, say, othersFor(run.chosen)); // before a cluster waits for it
  const { cluster, fresh } = bringUp(options.name, options.nodes);
  const started = clock.monotonic();
  const timer = options.minutes ? clock.after(options.minutes * 60_000, onSignal) : undefined;
  try {
    await runSpecs(run, cluster, stop.signal);
  } finally {
    timer?.cancel();
    await report(run, all, (clock.monotonic() - started) / 1000);
    dumpCluster(run, cluster);
    if (fresh && !options.keep) takeDown(options.name);
  }
} catch (error) {
  process.exitCode = 1;
  process.stderr.write(`conformance: ${error instanceof Error ? error.message : String(error)}\n`);
}
