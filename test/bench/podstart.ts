/**
 * `node test/bench/podstart.ts [--sizes 1,10,30] [--rounds 3] [--upstream PATH] [--keep]`: how long pods take from their creation
 * to Running and to Ready behind a Service, our kubelet and (where there is one) upstream's in turn on one node, with the same
 * containerd, API server and configuration. Prints a JSON line per kubelet and size; times in milliseconds, the kubelet's CPU
 * per pod (start and end) with them.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock, systemRand } from '../../base/clock.ts';
import { silentLogger } from '../../base/log.ts';
import { createClient, type Client } from '../../client/client.ts';
import { createInformer } from '../../client/informer.ts';
import { loadKubeconfig } from '../../client/kubeconfig.ts';
import { endpointSlices, namespaces, nodes, pods, services } from '../../client/resources.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { loadCluster, type Cluster } from '../../deploy/cluster/config.ts';
import { enter, machineDir } from '../../deploy/cluster/machine.ts';
import { launch, runningPid, signalProcess } from '../../deploy/cluster/processes.ts';
import { usage } from './measure.ts';

const NAME = 'bench-podstart';
const NODE = 'node1';
const NS = 'podstart';
const PATIENCE_MS = 300_000;
const RUN = join(import.meta.dirname, '../../deploy/bin/run.mjs');
const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1,10,30' },
    rounds: { type: 'string', default: '3' },
    upstream: { type: 'string', default: join(os.homedir(), '.cache/k8ts-peer/bin/kubelet') },
    keep: { type: 'boolean', default: false },
  },
});
const k8ts = (...args: string[]) =>
  execFileSync(process.execPath, [RUN, ...args], { stdio: ['ignore', 'ignore', 'inherit'], timeout: 300_000 });

async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const limit = systemClock.monotonic() + PATIENCE_MS;
  while (!(await check())) {
    if (systemClock.monotonic() > limit) throw new Error(`gave up waiting for ${what}`);
    await systemClock.sleep(20);
  }
}

/** The kubelets of the node, one at a time, in place of the one that its agent keeps. */
function kubelets(cluster: Cluster) {
  const machine = machineDir(cluster, NODE);
  const agent = join(machine, 'agent');
  const about = (what: string) =>
    readFileSync(`/proc/${runningPid(agent, 'kubelet')}/${what}`, 'utf8')
      .split('\0')
      .filter(Boolean);
  const own = about('cmdline');
  const env = Object.fromEntries(
    about('environ').map((e) => [e.slice(0, e.indexOf('=')), e.slice(e.indexOf('=') + 1)] as const),
  );
  const flags = own.filter((a) => /^--(config|kubeconfig|cert-dir|hostname-override|node-ip)=/.test(a));
  // the agent would start its kubelet again
  signalProcess(machine, 'agent', 'SIGKILL');
  return {
    async stop() {
      for (const name of ['kubelet', 'upstream']) {
        signalProcess(agent, name, 'SIGTERM');
        await until(`${name} to end`, () => runningPid(agent, name) === undefined);
      }
    },
    start(which: 'k8ts' | 'upstream'): number {
      const [command, ...args] = enter(cluster, NODE);
      return which === 'k8ts'
        ? launch(agent, { name: 'kubelet', command: command!, args: [...args, ...own], env })
        : launch(agent, { name: 'upstream', command: command!, args: [...args, values.upstream, ...flags] });
    },
  };
}

interface Sample {
  running: number;
  ready: number;
}

const ready = (p: DeepReadonly<Pod> | undefined) =>
  p?.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;

/** Creates `count` pods at once; resolves when all are ready behind the Service, and again when all are gone. */
async function batch(client: Client, prefix: string, count: number): Promise<Sample[]> {
  const began = new Map<string, number>();
  const ran = new Map<string, number>();
  const served = new Map<string, number>();
  const own = { client, clock: systemClock, rand: systemRand, logger: silentLogger, namespace: NS };
  const podInformer = createInformer(pods, own);
  const slices = createInformer(endpointSlices, own);
  const look = (p: DeepReadonly<Pod>) => {
    if (p.status?.phase === 'Running' && !ran.has(p.metadata!.name!))
      ran.set(p.metadata!.name!, systemClock.monotonic());
  };
  podInformer.on({ added: look, updated: look });
  const note = () => {
    for (const s of slices.list())
      for (const e of s.endpoints ?? [])
        if (e.conditions?.ready && e.targetRef?.name && !served.has(e.targetRef.name))
          served.set(e.targetRef.name, systemClock.monotonic());
  };
  slices.on({ added: note, updated: note });
  podInformer.start();
  slices.start();
  await Promise.all([podInformer.synced(), slices.synced()]);
  const names = Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
  await Promise.all(
    names.map((name) => {
      began.set(name, systemClock.monotonic());
      return client.create(pods, {
        metadata: { name, namespace: NS, labels: { app: 'bench' } },
        spec: {
          nodeName: NODE,
          terminationGracePeriodSeconds: 0,
          automountServiceAccountToken: false,
          containers: [{ name: 'c', image: 'busybox', imagePullPolicy: 'IfNotPresent', command: ['sleep', '100000'] }],
        },
      });
    }),
  );
  await until(`${count} pods to be served`, () => names.every((n) => served.has(n) && ready(podInformer.get(n, NS))));
  await client.deleteCollection(pods, { namespace: NS, gracePeriodSeconds: 0 });
  await until('pods to be gone', () => podInformer.list().length === 0);
  podInformer.stop();
  slices.stop();
  return names.map((n) => ({ running: ran.get(n)! - began.get(n)!, ready: served.get(n)! - began.get(n)! }));
}

const percentile = (list: number[], p: number): number => {
  const sorted = list.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.ceil((p / 100) * sorted.length) - 1)]!);
};
const residentMiB = (pid: number): number =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024);

async function main(): Promise<void> {
  const sizes = values.sizes.split(',').map(Number);
  const names = existsSync(values.upstream) ? (['k8ts', 'upstream'] as const) : (['k8ts'] as const);
  k8ts('down', '--name', NAME);
  k8ts('up', '--name', NAME, '--nodes', '1');
  try {
    const cluster = loadCluster(NAME)!;
    const client = createClient({ ...loadKubeconfig(join(cluster.dir, 'kubeconfig')), userAgent: 'bench' });
    await client.create(namespaces, { metadata: { name: NS } });
    await client.create(services, {
      metadata: { name: 'bench', namespace: NS },
      spec: { selector: { app: 'bench' }, ports: [{ port: 80 }] },
    });
    const node = kubelets(cluster);
    const results = new Map<string, Sample[]>();
    const memory = new Map<string, number>();
    const cpu = new Map<string, number>();
    for (let round = 0; round < Number(values.rounds); round++) {
      // who begins changes, since the machine grows slower or faster meanwhile
      for (const which of round % 2 ? names.toReversed() : names) {
        await node.stop();
        const since = systemClock.now();
        const pid = node.start(which);
        await until('the node to be ready', async () => {
          const c = (await client.get(nodes, NODE)).status?.conditions?.find((x) => x.type === 'Ready');
          return c?.status === 'True' && Date.parse(c.lastHeartbeatTime!) >= since - 1000;
        });
        // the first pod finds cold caches
        await batch(client, `${which}-warm-${round}`, 1);
        for (const size of sizes) {
          const key = `${which}/${size}`;
          const again = size === 1 ? 5 : 1;
          const before = usage(pid).cpuMs;
          for (let i = 0; i < again; i++)
            results.set(key, [
              ...(results.get(key) ?? []),
              ...(await batch(client, `${which}-${round}-${size}-${i}`, size)),
            ]);
          cpu.set(key, (cpu.get(key) ?? 0) + usage(pid).cpuMs - before);
        }
        memory.set(which, Math.max(memory.get(which) ?? 0, residentMiB(pid)));
      }
    }
    for (const size of sizes)
      for (const which of names) {
        const list = results.get(`${which}/${size}`)!;
        const of = (f: (s: Sample) => number) => ({
          p50: percentile(list.map(f), 50),
          p99: percentile(list.map(f), 99),
        });
        process.stdout.write(
          `${JSON.stringify({ kubelet: which, atOnce: size, pods: list.length, running: of((s) => s.running), ready: of((s) => s.ready), cpuMsPerPod: Math.round(cpu.get(`${which}/${size}`)! / list.length), memoryMiB: memory.get(which) })}\n`,
        );
      }
    await node.stop();
    client.close();
  } finally {
    if (!values.keep) k8ts('down', '--name', NAME);
  }
}
await main();
