/** What pods have on the node's disk: emptyDirs, logs, the writable layers of their containers. */
import { join } from 'node:path';
import type { Exec } from '../../base/exec.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { ContainerStats } from '../cri/types.ts';
import type { PodPaths } from '../pods/identity.ts';

export interface DiskUsage {
  bytes: number;
  inodes: number;
}
export interface PodDisk extends DiskUsage {
  /** By emptyDir; those in memory count for memory, not here. */
  volumes: Map<string, DiskUsage>;
  /** By container: its layer and its logs. */
  containers: Map<string, DiskUsage>;
}

const NONE: DiskUsage = { bytes: 0, inodes: 0 };

/** Bytes and files below a folder, on its own file system; a folder that is not there has none. */
export async function diskUsage(exec: Exec, dir: string): Promise<DiskUsage> {
  const ask = async (...flags: string[]) => {
    try {
      return Number((await exec('du', [...flags, '-sx', dir], { timeoutMs: 60_000 })).split('\t')[0]);
    } catch (error) {
      // files that vanish meanwhile are no failure: the sum is printed all the same
      return Number((error as { stdout?: string }).stdout?.split('\t')[0] ?? 0) || 0;
    }
  };
  const [bytes, inodes] = await Promise.all([ask('-B1'), ask('--inodes')]);
  return { bytes, inodes };
}

/** Whether somebody has bounded what the pod may store. */
export const hasStorageLimits = (pod: DeepReadonly<Pod>): boolean =>
  (pod.spec!.volumes ?? []).some((v) => v.emptyDir?.sizeLimit) ||
  [...pod.spec!.containers, ...(pod.spec!.initContainers ?? [])].some(
    (c) => c.resources?.limits?.['ephemeral-storage'],
  );

export async function podDisk(
  exec: Exec,
  pod: DeepReadonly<Pod>,
  paths: PodPaths,
  stats: readonly ContainerStats[],
): Promise<PodDisk> {
  const out: PodDisk = { bytes: 0, inodes: 0, volumes: new Map(), containers: new Map() };
  const add = (u: DiskUsage) => {
    out.bytes += u.bytes;
    out.inodes += u.inodes;
  };
  for (const v of pod.spec!.volumes ?? []) {
    if (!v.emptyDir) continue;
    const used = await diskUsage(exec, join(paths.volumes, 'kubernetes.io~empty-dir', v.name));
    out.volumes.set(v.name, used);
    if (!v.emptyDir.medium) add(used);
  }
  for (const c of [...pod.spec!.containers, ...(pod.spec!.initContainers ?? [])]) {
    const logs = await diskUsage(exec, join(paths.logs, c.name));
    const layer = stats.find(
      (s) =>
        s.attributes.labels['io.kubernetes.pod.uid'] === pod.metadata!.uid && s.attributes.metadata.name === c.name,
    )?.writable_layer;
    const used = layer
      ? { bytes: logs.bytes + (layer.used_bytes?.value ?? 0), inodes: logs.inodes + (layer.inodes_used?.value ?? 0) }
      : logs;
    out.containers.set(c.name, used);
    add(used);
  }
  return out;
}

/** What is over its bound. */
export interface Excess {
  /** As metrics name it. */
  signal: 'emptydirfs.limit' | 'ephemeralcontainerfs.limit' | 'ephemeralpodfs.limit';
  /** As the pod's status tells it. */
  message: string;
}

/** The first thing that is over its bound; undefined when all is well. */
export function overLimit(pod: DeepReadonly<Pod>, disk: PodDisk, parse: (q: string) => number): Excess | undefined {
  for (const v of pod.spec!.volumes ?? []) {
    const limit = v.emptyDir?.sizeLimit;
    if (limit && parse(limit) > 0 && (disk.volumes.get(v.name) ?? NONE).bytes > parse(limit))
      return {
        signal: 'emptydirfs.limit',
        message: `Usage of EmptyDir volume ${JSON.stringify(v.name)} exceeds the limit ${JSON.stringify(limit)}. `,
      };
  }
  let total = 0;
  let all = true;
  for (const c of pod.spec!.containers) {
    const limit = c.resources?.limits?.['ephemeral-storage'];
    if (limit === undefined) all = false;
    else total += parse(limit);
  }
  if (all && total > 0 && disk.bytes > total)
    return {
      signal: 'ephemeralpodfs.limit',
      message: `Pod ephemeral local storage usage exceeds the total limit of containers ${formatBinary(total)}. `,
    };
  for (const c of [...pod.spec!.containers, ...(pod.spec!.initContainers ?? [])]) {
    const limit = c.resources?.limits?.['ephemeral-storage'];
    if (limit && (disk.containers.get(c.name) ?? NONE).bytes > parse(limit))
      return {
        signal: 'ephemeralcontainerfs.limit',
        message: `Container ${c.name} exceeded its local ephemeral storage limit ${JSON.stringify(limit)}. `,
      };
  }
  return undefined;
}

/** Bytes with the largest binary suffix that divides them. */
export function formatBinary(bytes: number): string {
  let n = Math.round(bytes);
  for (const suffix of ['', 'Ki', 'Mi', 'Gi', 'Ti']) {
    if (n === 0 || n % 1024 !== 0 || suffix === 'Ti') return `${n}${suffix}`;
    n /= 1024;
  }
  return String(bytes);
}
