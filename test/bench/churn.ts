/**
 * `node test/bench/churn.ts [--pods 200] [--at-once 10] [--kill]`: starts and ends so many pods on one node and counts what is
 * left of them: mounts, interfaces, addresses, cgroups, processes, file descriptors, nft elements, containers, snapshots, folders.
 * `--kill` kills kubelet, proxy and containerd in turn meanwhile. Prints a JSON line; fails when anything is left.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock, systemRand } from '../../base/clock.ts';
import { silentLogger } from '../../base/log.ts';
import { createClient, type Client } from '../../client/client.ts';
import { createInformer } from '../../client/informer.ts';
import { loadKubeconfig } from '../../client/kubeconfig.ts';
import { configMaps, namespaces, pods, services } from '../../client/resources.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { cgroupProcesses } from '../../deploy/cluster/cgroup.ts';
import { loadCluster, type Cluster } from '../../deploy/cluster/config.ts';
import { enter, machineDir, podCgroup } from '../../deploy/cluster/machine.ts';
import { runningPid, signalProcess } from '../../deploy/cluster/processes.ts';

const NAME = 'bench-churn';
const NODE = 'node1';
const NS = 'churn';
const PATIENCE_MS = 300_000;
const RUN = join(import.meta.dirname, '../../deploy/bin/run.mjs');
const { values } = parseArgs({
  options: {
    pods: { type: 'string', default: '200' },
    'at-once': { type: 'string', default: '10' },
    kill: { type: 'boolean', default: false },
  },
});
const k8ts = (...args: string[]) =>
  execFileSync(process.execPath, [RUN, ...args], { stdio: ['ignore', 'ignore', 'inherit'], timeout: 300_000 });

async function until(what: string, check: () => boolean): Promise<void> {
  const limit = systemClock.monotonic() + PATIENCE_MS;
  while (!check()) {
    if (systemClock.monotonic() > limit) throw new Error(`gave up waiting for ${what}`);
    await systemClock.sleep(50);
  }
}

/** Folders below a place, as many as there are. */
const folders = (dir: string): number => {
  try {
    return readdirSync(dir, { recursive: true, withFileTypes: true }).filter((e) => e.isDirectory()).length;
  } catch {
    return 0;
  }
};
const entries = (dir: string): number => {
  try {
    return readdirSync(dir).length;
  } catch {
    return 0;
  }
};

/** Where something is mounted on the node; machines of other clusters, which it sees too, left out. */
const mountPoints = (cluster: Cluster): string[] =>
  readFileSync(`/proc/${runningPid(machineDir(cluster, NODE), 'holder')!}/mountinfo`, 'utf8')
    .split('\n')
    .flatMap((l) => l.split(' ')[4] ?? [])
    .filter((m) => !m.startsWith('/run/netns/k8ts-'));

/** What pods leave behind when something is forgotten, by name. */
function census(cluster: Cluster): Record<string, number> {
  const machine = machineDir(cluster, NODE);
  const agent = join(machine, 'agent');
  const holder = runningPid(machine, 'holder')!;
  const inside = (command: string, ...args: string[]) => {
    const [enterCommand, ...rest] = enter(cluster, NODE);
    return execFileSync(enterCommand!, [...rest, command, ...args], { encoding: 'utf8', maxBuffer: 64 << 20 });
  };
  const lines = (text: string) => text.split('\n').filter((l) => l !== '').length;
  const ctr = (...args: string[]) =>
    lines(inside('ctr', '-a', '/run/k8ts/containerd/containerd.sock', '-n', 'k8s.io', ...args));
  const cgroup = podCgroup(cluster, NODE);
  const memory = readdirSync('/sys/fs/cgroup').includes('memory') ? '/sys/fs/cgroup/memory' : '/sys/fs/cgroup';
  return {
    mounts: mountPoints(cluster).length,
    interfaces: lines(readFileSync(`/proc/${holder}/net/dev`, 'utf8')),
    networkNamespaces: entries(`/proc/${holder}/root/run/netns`),
    // host-local keeps a file per address
    addresses: entries(join(agent, 'cni-data', 'k8ts')),
    cniResults: entries(join(machine, 'root/var/lib/cni/results')),
    cgroups: folders(join(memory, cgroup)),
    processes: cgroupProcesses(cgroup).length,
    kubeletFiles: entries(`/proc/${runningPid(agent, 'kubelet')}/fd`),
    nftLines: lines(inside('nft', 'list', 'ruleset')),
    containers: ctr('containers', 'ls', '-q'),
    snapshots: ctr('snapshots', 'ls'),
    leases: ctr('leases', 'ls', '-q'),
    podFolders: entries(join(machine, 'root/var/lib/kubelet/pods')),
    logFolders: entries(join(machine, 'root/var/log/pods')),
    logLinks: entries(join(machine, 'root/var/log/containers')),
  };
}

const ran = (p: DeepReadonly<Pod> | undefined) => p?.status?.phase === 'Running' || p?.status?.phase === 'Succeeded';

/** Half of them run until they are deleted, with all sorts of volumes; half end by themselves. */
const podSpec = (i: number): NonNullable<Pod['spec']> => ({
  nodeName: NODE,
  terminationGracePeriodSeconds: 1,
  restartPolicy: i % 2 ? 'Never' : 'Always',
  containers: [
    {
      name: 'c',
      image: 'busybox',
      imagePullPolicy: 'IfNotPresent',
      command: i % 2 ? ['true'] : ['sleep', '100000'],
      ports: [{ containerPort: 80 }],
      volumeMounts: [
        { name: 'map', mountPath: '/map' },
        { name: 'memory', mountPath: '/memory' },
        { name: 'disk', mountPath: '/disk', subPath: 'below' },
      ],
    },
  ],
  volumes: [
    { name: 'map', configMap: { name: 'map' } },
    { name: 'memory', emptyDir: { medium: 'Memory' } },
    { name: 'disk', emptyDir: {} },
  ],
});

async function wave(
  client: Client,
  cluster: Cluster,
  from: number,
  count: number,
  victim: string | undefined,
): Promise<void> {
  const informer = createInformer(pods, {
    client,
    clock: systemClock,
    rand: systemRand,
    logger: silentLogger,
    namespace: NS,
  });
  informer.start();
  await informer.synced();
  const names = Array.from({ length: count }, (_, i) => `p-${from + i}`);
  await Promise.all(
    names.map((name, i) =>
      client.create(pods, { metadata: { name, namespace: NS, labels: { app: 'churn' } }, spec: podSpec(i) }),
    ),
  );
  if (victim) signalProcess(join(machineDir(cluster, NODE), 'agent'), victim, 'SIGKILL');
  await until(`pods ${from} to ${from + count - 1} to run`, () => names.every((n) => ran(informer.get(n, NS))));
  await client.deleteCollection(pods, { namespace: NS });
  await until('them to be gone', () => informer.list().length === 0);
  informer.stop();
}

async function main(): Promise<void> {
  const total = Number(values.pods);
  const atOnce = Number(values['at-once']);
  k8ts('down', '--name', NAME);
  k8ts('up', '--name', NAME, '--nodes', '1');
  try {
    const cluster = loadCluster(NAME)!;
    const agent = join(machineDir(cluster, NODE), 'agent');
    const resident = () => {
      const status = readFileSync(`/proc/${runningPid(agent, 'kubelet')}/status`, 'utf8');
      return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024);
    };
    const client = createClient({ ...loadKubeconfig(join(cluster.dir, 'kubeconfig')), userAgent: 'bench' });
    await client.create(namespaces, { metadata: { name: NS } });
    await client.create(configMaps, { metadata: { name: 'map', namespace: NS }, data: { k: 'v' } });
    await client.create(services, {
      metadata: { name: 'churn', namespace: NS },
      spec: { selector: { app: 'churn' }, ports: [{ port: 80 }] },
    });
    // the first wave makes what stays: images, bridges, informers
    await wave(client, cluster, 0, Math.min(atOnce, total), undefined);
    await systemClock.sleep(5000);
    const before = census(cluster);
    const mountedBefore = new Set(mountPoints(cluster));
    const memoryBefore = resident();
    const began = systemClock.monotonic();
    const victims = ['kubelet', 'proxy', 'containerd'];
    for (let i = atOnce, n = 0; i < total; i += atOnce, n++)
      await wave(client, cluster, i, Math.min(atOnce, total - i), values.kill ? victims[n % 3] : undefined);
    const seconds = (systemClock.monotonic() - began) / 1000;
    let left: Record<string, number> = {};
    // what goes in the background gets its time
    for (let tries = 0; tries < 80; tries++) {
      const now = census(cluster);
      const spare = (k: string) => (k === 'kubeletFiles' ? 8 : 0);
      left = Object.fromEntries(
        Object.entries(now).flatMap(([k, v]) => (v > before[k]! + spare(k) ? [[k, v - before[k]!]] : [])),
      );
      if (Object.keys(left).length === 0) break;
      await systemClock.sleep(5000);
    }
    const memory = { before: memoryBefore, after: resident() };
    const mounted = mountPoints(cluster).filter((m) => !mountedBefore.has(m));
    const result = { pods: total, atOnce, killed: values.kill, seconds: Math.round(seconds), kubeletMiB: memory };
    process.stdout.write(`${JSON.stringify({ ...result, before, left, mounted })}\n`);
    if (Object.keys(left).length > 0) process.exitCode = 1;
    client.close();
  } finally {
    k8ts('down', '--name', NAME);
  }
}
await main();
