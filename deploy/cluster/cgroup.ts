/**
 * Every process of a cluster lives below one cgroup that bears the cluster's name. So `down` finds them all,
 * also after a crash, and never takes a reused pid for one of its own.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = '/sys/fs/cgroup';

/** True when the unified (v2) hierarchy carries the controllers. */
const isCgroupV2 = () => existsSync(join(ROOT, 'cgroup.controllers'));

/** The hierarchy by which processes are tracked. */
function trackingRoot(): string {
  if (isCgroupV2()) return ROOT;
  for (const h of ['pids', 'freezer', 'systemd']) if (existsSync(join(ROOT, h, 'cgroup.procs'))) return join(ROOT, h);
  throw new Error('no cgroup hierarchy is mounted under /sys/fs/cgroup');
}

/** All hierarchies' roots: one for v2, every v1 controller for v1. */
function hierarchies(): string[] {
  if (isCgroupV2()) return [ROOT];
  return readdirSync(ROOT)
    .map((h) => join(ROOT, h))
    .filter((d) => existsSync(join(d, 'cgroup.procs')));
}

/** Makes the group `path` in every hierarchy, with cpusets filled in and v2 controllers handed down. */
export function createCgroup(path: string): void {
  for (const root of hierarchies()) {
    let dir = root;
    for (const part of path.split('/')) {
      const parent = dir;
      dir = join(dir, part);
      if (isCgroupV2()) {
        const available = readFileSync(join(parent, 'cgroup.controllers'), 'utf8').trim().split(' ').filter(Boolean);
        try {
          writeFileSync(join(parent, 'cgroup.subtree_control'), available.map((c) => `+${c}`).join(' '));
        } catch {
          // a parent with processes of its own can't hand controllers down; the kubelet says what is missing
        }
      }
      mkdirSync(dir, { recursive: true });
      if (root.endsWith('/cpuset'))
        for (const f of ['cpuset.cpus', 'cpuset.mems'])
          if (readFileSync(join(dir, f), 'utf8').trim() === '')
            writeFileSync(join(dir, f), readFileSync(join(parent, f)));
    }
  }
}

/** Runs `spawn` while this process stands in the group, so that the child is born there. */
export function bornIn<T>(path: string, spawn: () => T): T {
  const root = trackingRoot();
  const own = ownCgroup(root);
  writeFileSync(join(root, path, 'cgroup.procs'), String(process.pid));
  try {
    return spawn();
  } finally {
    writeFileSync(join(own, 'cgroup.procs'), String(process.pid));
  }
}

function ownCgroup(root: string): string {
  const controller = root === ROOT ? '' : (root.split('/').pop() ?? '');
  for (const line of readFileSync('/proc/self/cgroup', 'utf8').trim().split('\n')) {
    const [, names = '', path = '/'] = line.split(':');
    if (names.split(',').some((n) => n === controller || n === `name=${controller}`)) return join(root, path);
  }
  return root;
}

function walk(dir: string, visit: (dir: string) => void): void {
  if (!existsSync(dir)) return;
  for (const e of readdirSync(dir, { withFileTypes: true })) if (e.isDirectory()) walk(join(dir, e.name), visit);
  visit(dir);
}

/** Every process below the group. */
export function cgroupProcesses(path: string): number[] {
  const pids = new Set<number>();
  for (const root of isCgroupV2() ? [ROOT] : hierarchies())
    walk(join(root, path), (dir) => {
      try {
        for (const line of readFileSync(join(dir, 'cgroup.procs'), 'utf8').split('\n'))
          if (line) pids.add(Number(line));
      } catch {
        // gone meanwhile
      }
    });
  pids.delete(process.pid);
  return [...pids];
}

/** Removes the group in every hierarchy; false while something is left in it. */
export function removeCgroup(path: string): boolean {
  let clean = true;
  for (const root of hierarchies())
    walk(join(root, path), (dir) => {
      try {
        rmdirSync(dir);
      } catch {
        clean = false;
      }
    });
  return clean;
}
