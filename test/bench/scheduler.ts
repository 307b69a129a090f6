/**
 * Measures the scheduler:
 * `node test/bench/scheduler.ts [--nodes 500] [--pods 1000] [plain] [spread] [anti-affinity] [preemption]`.
 * Each row starts an API server with nodes that exist on paper only, then k8ts' scheduler and kube-scheduler (where its
 * program is found: KUBE_SCHEDULER, or ~/.cache/k8ts-peer/bin) in turn, and prints one JSON object a line: pods a second,
 * CPU of the scheduler's process per pod, its memory at the end. For preemption every node is full of pods that matter
 * less, and each new pod must end one.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Container, Pod, PodSpec } from '../../api/types.ts';
import { systemClock, systemRand } from '../../base/clock.ts';
import { silentLogger } from '../../base/log.ts';
import type { Client } from '../../client/client.ts';
import { createInformer } from '../../client/informer.ts';
import { namespaces, nodes, pods, priorityClasses, serviceAccounts } from '../../client/resources.ts';
import { program } from '../../deploy/paths.ts';
import { inParallel, usage } from './measure.ts';
import { startBenchServer } from './server.ts';

const ROWS: Record<string, (app: string) => Partial<PodSpec>> = {
  plain: () => ({}),
  spread: (app) => ({
    topologySpreadConstraints: ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map((topologyKey) => ({
      maxSkew: 1,
      topologyKey,
      whenUnsatisfiable: 'DoNotSchedule',
      labelSelector: { matchLabels: { app } },
    })),
  }),
  'anti-affinity': (app) => ({
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app } } },
        ],
      },
    },
  }),
  preemption: () => ({ priorityClassName: 'high' }),
};
/** Nodes in the preemption row hold so many pods. */
const FULL = 4;

const args = process.argv.slice(2);
const option = (name: string, fallback: number) => {
  const i = args.indexOf(`--${name}`);
  return i < 0 ? fallback : Number(args.splice(i, 2)[1]);
};
const nodeCount = option('nodes', 500);
const podCount = option('pods', 1000);
const peer = process.env['KUBE_SCHEDULER'] ?? join(homedir(), '.cache/k8ts-peer/bin/kube-scheduler');
const only = args.includes('--ours') ? 'ours' : args.includes('--peer') ? 'peer' : undefined;
const chosen = args.filter((a) => !a.startsWith('--'));
const rows = chosen.length > 0 ? chosen : Object.keys(ROWS);

async function prepare(client: Client, row: string): Promise<void> {
  await client.create(namespaces, { metadata: { name: 'bench' } });
  await client.create(serviceAccounts, { metadata: { name: 'default', namespace: 'bench' } });
  await client.create(priorityClasses, { metadata: { name: 'high' }, value: 1000 });
  const crowded = row === 'preemption';
  const amounts = { cpu: crowded ? String(FULL) : '32', memory: '128Gi', pods: '110' };
  await inParallel(
    Array.from({ length: nodeCount }, (_, i) => `node-${i}`),
    16,
    async (name) => {
      const zone = `zone-${Number(name.slice(5)) % 3}`;
      const labels = { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': zone };
      await client.create(nodes, { metadata: { name, labels }, status: { capacity: amounts, allocatable: amounts } });
      await client.patch(nodes, name, 'merge', { spec: { taints: null } });
      for (let i = 0; crowded && i < FULL; i++)
        await client.create(pods, {
          metadata: { name: `${name}-${i}`, namespace: 'bench', labels: { app: 'filler' } },
          spec: { nodeName: name, terminationGracePeriodSeconds: 0, containers: [container('1')] },
        });
    },
  );
}

function container(cpu: string): Container {
  return { name: 'c', image: 'registry.example.com/app:1', resources: { requests: { cpu, memory: '64Mi' } } };
}

function pod(i: number, row: string): Pod {
  const app = `app-${i % 20}`;
  return {
    metadata: { name: `pod-${i}`, namespace: 'bench', labels: { app } },
    spec: { ...ROWS[row]!(app), containers: [container(row === 'preemption' ? '1' : '100m')] },
  };
}

async function measure(row: string, which: 'ours' | 'peer'): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'k8ts-bench-'));
  const server = await startBenchServer(dir);
  const { client } = server;
  const kubeconfig = server.kubeconfig('system:kube-scheduler');
  const flags = [`--kubeconfig=${kubeconfig}`, '--leader-elect=false', '--secure-port=0'];
  const log = createWriteStream(join(dir, 'scheduler.log'));
  const informer = createInformer(pods, {
    client,
    clock: systemClock,
    rand: systemRand,
    logger: silentLogger,
    namespace: 'bench',
    fieldSelector: 'spec.nodeName!=',
    labelSelector: 'app!=filler',
  });
  let child: ReturnType<typeof spawn> | undefined;
  try {
    await prepare(client, row);
    const own = program('scheduler/main.ts');
    child =
      which === 'ours'
        ? spawn(own.command, [...own.args, ...flags], {
            env: { ...process.env, ...own.env },
            stdio: ['ignore', 'pipe', 'pipe'],
          })
        : spawn(
            peer,
            [
              ...flags.filter((f) => f !== '--secure-port=0'),
              '--secure-port=18259',
              '--bind-address=127.0.0.1',
              '--kube-api-qps=5000',
              '--kube-api-burst=5000',
            ],
            { stdio: ['ignore', 'pipe', 'pipe'] },
          );
    child.stdout!.pipe(log);
    child.stderr!.pipe(log);
    informer.start();
    await informer.synced();
    const bound = (n: number) =>
      new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`only ${informer.size} of ${n} pods were bound`)), 300_000);
        const check = () => {
          if (informer.size < n) return;
          clearTimeout(timer);
          informer.off(handlers);
          resolve();
        };
        const handlers = { added: check };
        informer.on(handlers);
        check();
      });
    // A few pods first: start-up, first lists and compilation of the code aren't counted.
    const warm = 100;
    await inParallel(
      Array.from({ length: warm }, (_, i) => i),
      8,
      (i) => client.create(pods, pod(i, row)),
    );
    await bound(warm);
    const before = usage(child.pid!);
    const began = performance.now();
    await inParallel(
      Array.from({ length: podCount }, (_, i) => warm + i),
      16,
      (i) => client.create(pods, pod(i, row)),
    );
    await bound(warm + podCount);
    const seconds = (performance.now() - began) / 1000;
    // Events and confirmations belong to the work.
    await systemClock.sleep(1500);
    const after = usage(child.pid!);
    const cpu = (after.cpuMs - before.cpuMs) / podCount;
    process.stdout.write(
      `${JSON.stringify({
        row,
        scheduler: which === 'ours' ? 'k8ts' : 'kube-scheduler',
        nodes: nodeCount,
        pods: podCount,
        podsPerSecond: Math.round(podCount / seconds),
        cpuMsPerPod: Number(cpu.toFixed(2)),
        rssMiB: Math.round(after.rssMiB),
        pssMiB: Math.round(after.pssMiB),
      })}\n`,
    );
  } finally {
    informer.stop();
    if (child) {
      const ended = new Promise((resolve) => child!.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    }
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

for (const row of rows) {
  if (!ROWS[row]) throw new Error(`unknown row ${JSON.stringify(row)}`);
  if (only !== 'peer') await measure(row, 'ours');
  if (only !== 'ours' && existsSync(peer)) await measure(row, 'peer');
}
