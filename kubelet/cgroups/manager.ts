/** The node's cgroups above the containers: kubepods, its QoS levels and one per pod. cgroup v1 and v2. */
import { existsSync, readdirSync, statfsSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { KubeletMetrics } from '../metrics/families.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { cpuQuota, cpuShares, podAmounts, qosClass, type QosClass } from '../pods/resources.ts';

/** Numbers for one cgroup; what is absent is left as it is. */
export interface CgroupLimits {
  /** v1 cpu.shares, 2 to 262144. */
  cpuShares?: number;
  /** Microseconds per period; 0 or less is no limit. */
  cpuQuota?: number;
  cpuPeriod?: number;
  /** Bytes; 0 or less is no limit. */
  memory?: number;
  pids?: number;
}

export interface CgroupManager {
  readonly version: 1 | 2;
  /** Makes kubepods and the QoS levels. */
  prepare(limits: CgroupLimits): Promise<void>;
  /** Makes the pod's cgroup and returns the parent to hand to the runtime. */
  ensurePod(pod: DeepReadonly<Pod>): Promise<string>;
  /** Writes the pod's limits again for a resize: 'grow' takes its bounds away so that containers may be changed in any order. */
  updatePod(pod: DeepReadonly<Pod>, how: 'grow' | 'exact'): Promise<void>;
  podParent(pod: DeepReadonly<Pod>): string;
  /** Bounds a cgroup of others; rejects when it isn't there or does not take it. */
  bound(path: string, limits: CgroupLimits): Promise<void>;
  removePod(uid: string): Promise<void>;
  /** UIDs of the pods that have a cgroup. */
  listPods(): Promise<string[]>;
  /** Processes and threads of a pod. */
  processes(pod: DeepReadonly<Pod>): Promise<number | undefined>;
  /** CPU nanoseconds and memory bytes of a pod or, without one, of the node's pods together. */
  usage(
    pod?: DeepReadonly<Pod>,
  ): Promise<{ cpuNanos: number; memoryBytes: number; workingSetBytes: number; rssBytes: number } | undefined>;
}

const ROOT = '/sys/fs/cgroup';
const V1_CONTROLLERS = [
  'cpu',
  'cpuacct',
  'cpuset',
  'memory',
  'devices',
  'freezer',
  'blkio',
  'pids',
  'hugetlb',
  'perf_event',
  'net_cls',
  'net_prio',
  'systemd',
];
const CGROUP2_MAGIC = 0x63677270;

/** cpu.weight (1 to 10000) for cpu.shares (2 to 262144), as runc 1.1 maps it. */
export function cpuWeight(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262_142);
}

/** The names under kubepods for a pod; systemd's driver nests by the name itself. */
export function podCgroupPath(root: string, driver: 'cgroupfs' | 'systemd', qos: QosClass, uid: string): string {
  const level = qos === 'Guaranteed' ? '' : qos.toLowerCase();
  if (driver === 'systemd') {
    const id = uid.replaceAll('-', '_');
    return `kubepods${level ? `-${level}` : ''}-pod${id}.slice`;
  }
  return join('/', root, 'kubepods', level, `pod${uid}`);
}

/** Whether a pod as a whole has a limit: its own, or one of each container. */
export const bounded = (pod: DeepReadonly<Pod>, k: 'cpu' | 'memory'): boolean =>
  pod.spec!.resources?.limits?.[k] !== undefined ||
  [...pod.spec!.containers, ...(pod.spec!.initContainers ?? [])].every((c) => c.resources?.limits?.[k] !== undefined);

/** Bytes that a pod as a whole may use; undefined where a container has no limit. */
export const memoryLimit = (pod: DeepReadonly<Pod>): number | undefined =>
  bounded(pod, 'memory') ? (podAmounts(pod, 'limits')['memory'] ?? 0) : undefined;

/** What a pod's own cgroup is bounded to. */
export function podLimits(
  pod: DeepReadonly<Pod>,
  periodMicros: number,
  enforceQuota: boolean,
  pidsLimit: number,
): CgroupLimits {
  const requests = podAmounts(pod, 'requests');
  const limits = podAmounts(pod, 'limits');
  const qos = qosClass(pod);
  const out: CgroupLimits = {
    cpuShares: qos === 'BestEffort' ? 2 : cpuShares(requests['cpu'] ?? limits['cpu'] ?? 0),
    cpuPeriod: periodMicros,
  };
  if (bounded(pod, 'cpu') && enforceQuota) out.cpuQuota = cpuQuota(limits['cpu'] ?? 0, periodMicros);
  const memory = memoryLimit(pod);
  if (memory !== undefined) out.memory = memory;
  if (pidsLimit > 0) out.pids = pidsLimit;
  return out;
}

export function createCgroupManager(options: {
  cgroupRoot: string;
  driver: 'cgroupfs' | 'systemd';
  quotaPeriodMicros: number;
  enforceQuota: boolean;
  pidsLimit: number;
  metrics?: KubeletMetrics;
  clock: Clock;
  logger: Logger;
}): CgroupManager {
  const { cgroupRoot, driver, logger, clock, metrics } = options;
  let version: 1 | 2 = 1;
  try {
    if (statfsSync(ROOT).type === CGROUP2_MAGIC) version = 2;
  } catch {
    logger.warn('no cgroups here');
  }
  const controllers = version === 2 ? [''] : V1_CONTROLLERS.filter((c) => existsSync(join(ROOT, c)));
  const base = driver === 'systemd' ? '/kubepods.slice' : join('/', cgroupRoot, 'kubepods');
  const LEVELS: QosClass[] = ['Burstable', 'BestEffort'];

  async function writeOrLog(file: string, value: string | number): Promise<void> {
    try {
      await writeFile(file, String(value));
    } catch (error) {
      logger.debug('cgroup value not taken', { file, value, error });
    }
  }

  async function make(path: string): Promise<void> {
    if (version === 2) {
      let at = ROOT;
      for (const part of path.split('/').filter(Boolean)) {
        await writeOrLog(join(at, 'cgroup.subtree_control'), '+cpu +memory +pids +io +cpuset');
        at = join(at, part);
        await mkdir(at, { recursive: true });
      }
      await writeOrLog(join(at, 'cgroup.subtree_control'), '+cpu +memory +pids +io +cpuset');
      return;
    }
    await Promise.all(
      controllers.map(async (c) => {
        await mkdir(join(ROOT, c, path), { recursive: true });
        if (c === 'cpuset') await inheritCpuset(path);
      }),
    );
  }

  /** A new v1 cpuset has no CPUs and takes no process before it is given some. */
  async function inheritCpuset(path: string): Promise<void> {
    let parent = join(ROOT, 'cpuset');
    for (const part of path.split('/').filter(Boolean)) {
      const own = join(parent, part);
      for (const f of ['cpuset.cpus', 'cpuset.mems']) {
        const have = (await readFile(join(own, f), 'utf8').catch(() => 'x')).trim();
        if (have === '') await writeOrLog(join(own, f), (await readFile(join(parent, f), 'utf8')).trim());
      }
      parent = own;
    }
  }

  /** Rejects when a value is refused, if that matters. */
  async function limit(path: string, l: CgroupLimits, strict = false): Promise<void> {
    const write = strict ? (file: string, value: string | number) => writeFile(file, String(value)) : writeOrLog;
    if (version === 2) {
      const d = join(ROOT, path);
      if (l.cpuShares !== undefined) await write(join(d, 'cpu.weight'), cpuWeight(l.cpuShares));
      if (l.cpuQuota !== undefined)
        await write(join(d, 'cpu.max'), `${l.cpuQuota > 0 ? l.cpuQuota : 'max'} ${l.cpuPeriod ?? 100_000}`);
      if (l.memory !== undefined) await write(join(d, 'memory.max'), l.memory > 0 ? l.memory : 'max');
      if (l.pids !== undefined) await write(join(d, 'pids.max'), l.pids > 0 ? l.pids : 'max');
      return;
    }
    if (l.cpuShares !== undefined) await write(join(ROOT, 'cpu', path, 'cpu.shares'), l.cpuShares);
    if (l.cpuQuota !== undefined) {
      if (l.cpuPeriod) await write(join(ROOT, 'cpu', path, 'cpu.cfs_period_us'), l.cpuPeriod);
      await write(join(ROOT, 'cpu', path, 'cpu.cfs_quota_us'), l.cpuQuota > 0 ? l.cpuQuota : -1);
    }
    if (l.memory !== undefined)
      await write(join(ROOT, 'memory', path, 'memory.limit_in_bytes'), l.memory > 0 ? l.memory : -1);
    if (l.pids !== undefined) await write(join(ROOT, 'pids', path, 'pids.max'), l.pids > 0 ? l.pids : 'max');
  }

  const fsPath = (pod: DeepReadonly<Pod>): string => {
    const p = podCgroupPath(cgroupRoot, driver, qosClass(pod), pod.metadata!.uid!);
    if (driver === 'cgroupfs') return p;
    const qos = qosClass(pod);
    return join('/kubepods.slice', qos === 'Guaranteed' ? '' : `kubepods-${qos.toLowerCase()}.slice`, p);
  };

  /** Kills what is left and removes a cgroup with all below it. */
  async function remove(path: string): Promise<void> {
    const walk = async (dir: string, kill: boolean): Promise<void> => {
      const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
      for (const e of entries) if (e.isDirectory()) await walk(join(dir, e.name), kill);
      if (kill) {
        for (const pid of (await readFile(join(dir, 'cgroup.procs'), 'utf8').catch(() => '')).split('\n'))
          if (pid) {
            try {
              process.kill(Number(pid), 'SIGKILL');
            } catch {
              // gone already
            }
          }
      }
      await rmdir(dir).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
    };
    for (let attempt = 0; ; attempt++) {
      try {
        for (const c of controllers) await walk(join(ROOT, c, path), attempt > 0);
        return;
      } catch (error) {
        if (attempt >= 5) throw error;
        await clock.sleep(20 * 2 ** attempt);
      }
    }
  }

  const levelDirs = () =>
    ['', ...LEVELS.map((l) => (driver === 'systemd' ? `kubepods-${l.toLowerCase()}.slice` : l.toLowerCase()))].map(
      (l) => join(base, l),
    );
  const lookIn = version === 2 ? '' : controllers.includes('memory') ? 'memory' : (controllers[0] ?? '');

  return {
    version,
    async prepare(limits) {
      await make(base);
      await limit(base, limits);
      for (const d of levelDirs().slice(1)) await make(d);
      for (const d of levelDirs().slice(1)) if (d.includes('besteffort')) await limit(d, { cpuShares: 2 });
    },
    async bound(path, limits) {
      if (!existsSync(join(ROOT, lookIn, path))) throw new Error(`there is no cgroup ${path}`);
      await limit(path, limits, true);
    },
    podParent: (pod) => podCgroupPath(cgroupRoot, driver, qosClass(pod), pod.metadata!.uid!),
    async ensurePod(pod) {
      const path = fsPath(pod);
      if (driver === 'cgroupfs' && !existsSync(join(ROOT, lookIn, path))) {
        const began = clock.monotonic();
        await make(path);
        await limit(path, podLimits(pod, options.quotaPeriodMicros, options.enforceQuota, options.pidsLimit));
        metrics?.cgroup('create', began);
      }
      return podCgroupPath(cgroupRoot, driver, qosClass(pod), pod.metadata!.uid!);
    },
    async updatePod(pod, how) {
      const path = fsPath(pod);
      if (!existsSync(join(ROOT, lookIn, path))) return;
      const began = clock.monotonic();
      const exact = podLimits(pod, options.quotaPeriodMicros, options.enforceQuota, options.pidsLimit);
      // bounds that no longer apply are taken away as well
      await limit(path, how === 'grow' ? { cpuQuota: -1, memory: -1 } : { cpuQuota: -1, memory: -1, ...exact }, true);
      metrics?.cgroup('update', began);
    },
    async removePod(uid) {
      if (driver === 'systemd') return; // systemd removes an empty slice itself
      const name = `pod${uid}`;
      for (const d of levelDirs())
        if (controllers.some((c) => existsSync(join(ROOT, c, d, name)))) {
          const began = clock.monotonic();
          await remove(join(d, name));
          metrics?.cgroup('destroy', began);
        }
    },
    listPods() {
      const out: string[] = [];
      if (driver === 'systemd') return Promise.resolve(out);
      for (const d of levelDirs()) {
        try {
          for (const e of readdirSync(join(ROOT, lookIn, d)))
            if (e.startsWith('pod') && e.length === 39) out.push(e.slice(3));
        } catch {
          // not made yet
        }
      }
      return Promise.resolve(out);
    },
    async processes(pod) {
      const file = join(ROOT, version === 2 ? '' : 'pids', fsPath(pod), 'pids.current');
      const text = await readFile(file, 'utf8').catch(() => undefined);
      return text === undefined ? undefined : Number(text);
    },
    usage: (pod) => readUsage(pod ? fsPath(pod) : base),
  };

  async function readUsage(path: string) {
    const num = async (file: string) => Number((await readFile(file, 'utf8')).trim());
    const stats = (text: string) =>
      Object.fromEntries(text.split('\n').map((l) => l.split(' ') as [string, string])) as Record<string, string>;
    try {
      if (version === 2) {
        const d = join(ROOT, path);
        const cpu = stats(await readFile(join(d, 'cpu.stat'), 'utf8'));
        const mem = stats(await readFile(join(d, 'memory.stat'), 'utf8'));
        const used = await num(join(d, 'memory.current'));
        return {
          cpuNanos: Number(cpu['usage_usec'] ?? 0) * 1000,
          memoryBytes: used,
          workingSetBytes: Math.max(0, used - Number(mem['inactive_file'] ?? 0)),
          rssBytes: Number(mem['anon'] ?? 0),
        };
      }
      const mem = stats(await readFile(join(ROOT, 'memory', path, 'memory.stat'), 'utf8'));
      const used = await num(join(ROOT, 'memory', path, 'memory.usage_in_bytes'));
      return {
        cpuNanos: await num(join(ROOT, 'cpuacct', path, 'cpuacct.usage')),
        memoryBytes: used,
        workingSetBytes: Math.max(0, used - Number(mem['total_inactive_file'] ?? 0)),
        rssBytes: Number(mem['total_rss'] ?? 0),
      };
    } catch {
      return undefined;
    }
  }
}
