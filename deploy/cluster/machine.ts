/**
 * A "machine" of a cluster on one computer: a network namespace plus a mount and UTS namespace of its own, kept by a
 * holder process. To the agent that runs inside, it looks like a small VM.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Exec } from '../../base/exec.ts';
import { bornIn, createCgroup } from './cgroup.ts';
import { cgroupOf, listClusters, netnsOf, saveCluster, type Cluster } from './config.ts';
import { ensureHost, nameServers, netnsPath } from './network.ts';
import { launch, runningPid } from './processes.ts';

/** Folders that a node must not share with the machine or its fellow nodes. */
const OWN_FOLDERS = ['/var/lib/kubelet', '/var/lib/cni', '/var/log/pods', '/var/log/containers'];
const OWN_TMPFS = ['/run/netns', '/run/k8ts'];
const WHOLE_PROC = '/run/k8ts/proc';

export const machineDir = (cluster: Cluster, host: string) => join(cluster.dir, host);
/** Where a machine's pods go; its own programs live in `system` below, since v2 groups with children hold no processes. */
export const podCgroup = (cluster: Cluster, host: string) => `${cgroupOf(cluster)}/${host}`;
export const systemCgroup = (cluster: Cluster, host: string) => `${podCgroup(cluster, host)}/system`;

/** Command and arguments that enter a machine's namespaces. */
export function enter(cluster: Cluster, host: string): string[] {
  const holder = runningPid(machineDir(cluster, host), 'holder');
  if (holder === undefined) throw new Error(`machine ${host} of cluster ${cluster.name} is not there`);
  return ['nsenter', '-t', String(holder), '-m', '-n', '-u'];
}

/** Makes the folders that mounts need and notes which were not there before. */
function ensureMountPoints(cluster: Cluster): void {
  for (const folder of [...OWN_FOLDERS, ...OWN_TMPFS]) {
    for (let f = folder, missing: string[] = []; ; f = dirname(f)) {
      if (existsSync(f)) {
        for (const m of missing) if (!cluster.createdFolders.includes(m)) cluster.createdFolders.push(m);
        break;
      }
      missing = [...missing, f];
    }
    mkdirSync(folder, { recursive: true });
  }
}

/**
 * Removes the mount points that this cluster has made. Those on which another cluster has mounts stay, since removing
 * the folder would unmount them; that cluster takes them over.
 */
export function removeMountPoints(cluster: Cluster): void {
  const heir = listClusters().find((c) => c.name !== cluster.name);
  const mounted = mountsElsewhere();
  const kept: string[] = [];
  for (const folder of cluster.createdFolders.toSorted((a, b) => b.length - a.length)) {
    try {
      if (mounted.has(folder)) kept.push(folder);
      else rmdirSync(folder);
    } catch {
      // not empty: somebody else uses it by now
    }
  }
  if (heir && kept.length > 0)
    saveCluster({ ...heir, createdFolders: [...new Set([...heir.createdFolders, ...kept])] });
}

/** Where something is mounted in any mount namespace of this machine. */
function mountsElsewhere(): Set<string> {
  const points = new Set<string>();
  const seen = new Set<string>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (seen.has(namespace)) continue;
      for (const line of readFileSync(`/proc/${pid}/mountinfo`, 'utf8').split('\n'))
        points.add(line.split(' ')[4] ?? '');
      seen.add(namespace);
    } catch {
      // the process has ended
    }
  }
  return points;
}

/** Makes a machine with this address; keeps one that is there. */
export async function ensureMachine(
  deps: { exec: Exec; clock: Clock },
  cluster: Cluster,
  host: string,
  address: string,
): Promise<void> {
  const { exec } = deps;
  await ensureHost(exec, cluster, host, address);
  const dir = machineDir(cluster, host);
  if (runningPid(dir, 'holder') !== undefined) return;
  ensureMountPoints(cluster);
  const cgroup = systemCgroup(cluster, host);
  createCgroup(cgroup);
  const args = [
    `--net=${netnsPath(netnsOf(cluster, host))}`,
    'unshare',
    '-m',
    '-u',
    '--propagation',
    'slave',
    'sleep',
    'infinity',
  ];
  const pid = bornIn(cgroup, () => launch(dir, { name: 'holder', command: 'nsenter', args }));
  // unshare replaces itself by sleep when the namespaces are made
  while ((await exec('readlink', [`/proc/${pid}/exe`])).includes('sleep') === false) await deps.clock.sleep(5);

  const inside = (command: string, ...rest: string[]) =>
    exec('nsenter', ['-t', String(pid), '-m', '-n', '-u', command, ...rest]);
  await inside('hostname', host);
  await inside('mount', '--make-rshared', '/');
  for (const folder of OWN_FOLDERS) {
    const own = join(dir, 'root', folder);
    mkdirSync(own, { recursive: true });
    await inside('mount', '--bind', own, folder);
  }
  for (const folder of OWN_TMPFS) {
    await inside('mount', '-t', 'tmpfs', 'tmpfs', folder);
    await inside('mount', '--make-rshared', folder);
  }
  await inside('mount', '--make-rshared', '/var/lib/kubelet');
  // pods that enter their node do so by its process 1; this computer's own one is not theirs
  await inside('mount', '--bind', `/proc/${pid}`, '/proc/1');
  // the kernel gives a user namespace a /proc only where one without anything on top is mounted already
  await inside('mkdir', WHOLE_PROC);
  await inside('mount', '-t', 'proc', 'proc', WHOLE_PROC);
  for (const [file, text] of [
    [
      'resolv.conf',
      nameServers(cluster, address)
        .map((a) => `nameserver ${a}\n`)
        .join(''),
    ],
    ['hosts', `127.0.0.1 localhost\n::1 localhost\n${address} ${host}\n`],
    ['hostname', `${host}\n`],
  ] as const) {
    const own = join(dir, 'root', 'etc', file);
    mkdirSync(dirname(own), { recursive: true });
    writeFileSync(own, text);
    if (existsSync(join('/etc', file))) await inside('mount', '--bind', own, join('/etc', file));
  }
}
