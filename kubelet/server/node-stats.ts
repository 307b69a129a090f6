/** What the Summary API tells of the node as a whole and of the programs that make it one (its system containers). */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { formatTime } from '../../base/clock.ts';
import type { CgroupManager } from '../cgroups/manager.ts';
import type { Machine } from '../node/machine.ts';

const text = (file: string) => readFile(file, 'utf8').catch(() => '');
const numbersOf = (table: string): Record<string, number> =>
  Object.fromEntries([...table.matchAll(/^(\w+(?:\(\w+\))?):?\s+(\d+)/gm)].map((m) => [m[1]!, Number(m[2])]));

/** Bytes and packets of the network namespace's interfaces, but the loopback; the first stands for all. Undefined without any. */
export function interfacesOf(table: string, time: string): object | undefined {
  const interfaces = table
    .split('\n')
    .slice(2)
    .flatMap((l) => {
      const [name, rest] = l.split(':');
      const n = rest?.trim().split(/\s+/).map(Number);
      return n && name!.trim() !== 'lo'
        ? [{ name: name!.trim(), rxBytes: n[0], rxErrors: n[2], txBytes: n[8], txErrors: n[10] }]
        : [];
    });
  const main = interfaces.find((i) => i.name === 'eth0') ?? interfaces[0];
  return main && { time, ...main, interfaces };
}

/** Memory, swap and network of the machine. */
export async function machineStats(time: string, used: number, available: number) {
  const info = numbersOf(await text('/proc/meminfo'));
  const faults = numbersOf(await text('/proc/vmstat'));
  const bytes = (name: string) => (info[name] ?? 0) * 1024;
  return {
    memory: {
      time,
      availableBytes: available,
      usageBytes: used,
      workingSetBytes: used,
      rssBytes: bytes('AnonPages'),
      pageFaults: faults['pgfault'] ?? 0,
      majorPageFaults: faults['pgmajfault'] ?? 0,
    },
    swap: {
      time,
      swapAvailableBytes: bytes('SwapFree'),
      swapUsageBytes: bytes('SwapTotal') - bytes('SwapFree'),
    },
    network: interfacesOf(await text('/proc/net/dev'), time),
  };
}

/** What one process has used so far. */
interface ProcessUsage {
  startTime: string;
  cpuNanos: number;
  rssBytes: number;
  pageFaults: number;
  majorPageFaults: number;
}

const TICKS = 100;

/** Undefined when there is no such process. */
async function processUsage(pid: number): Promise<ProcessUsage | undefined> {
  const stat = await text(`/proc/${pid}/stat`);
  // the name, in parentheses, may hold anything
  const f = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (f.length < 22) return undefined;
  const boot = Number(/^btime (\d+)/m.exec(await text('/proc/stat'))?.[1] ?? 0);
  const rss = Number(/^VmRSS:\s+(\d+)/m.exec(await text(`/proc/${pid}/status`))?.[1] ?? 0);
  return {
    startTime: formatTime((boot + Number(f[19]) / TICKS) * 1000),
    cpuNanos: (Number(f[11]) + Number(f[12])) * (1e9 / TICKS),
    rssBytes: rss * 1024,
    pageFaults: Number(f[7]),
    majorPageFaults: Number(f[9]),
  };
}

/** The process that listens on a Unix socket; undefined when none does that can be seen. */
export async function listenerOf(socket: string): Promise<number | undefined> {
  // the flag in the fourth column says that connections are accepted
  const line = (await text('/proc/net/unix')).split('\n').find((l) => {
    const f = l.trim().split(/\s+/);
    return f[7] === socket && f[3] === '00010000';
  });
  const inode = line?.trim().split(/\s+/)[6];
  if (!inode) return undefined;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const dir = `/proc/${pid}/fd`;
    for (const fd of await readdir(dir).catch(() => []))
      if ((await readlink(`${dir}/${fd}`).catch(() => '')) === `socket:[${inode}]`) return Number(pid);
  }
  return undefined;
}

/** Reads what the kubelet, the runtime and all pods together use. `rate` makes nanoseconds per second of a reading. */
export function createSystemContainers(options: {
  cgroups: Pick<CgroupManager, 'usage'> | undefined;
  machine: Pick<Machine, 'memoryBytes'>;
  runtimeSocket: string;
  /** When the kubelet began; milliseconds since the epoch. */
  began: number;
}) {
  let runtime: { pid: number; startTime: string } | undefined;

  /** It may have been started again meanwhile, and its id be another's. */
  async function runtimeUsage(): Promise<ProcessUsage | undefined> {
    const known = runtime && (await processUsage(runtime.pid));
    if (known && known.startTime === runtime?.startTime) return known;
    const pid = await listenerOf(options.runtimeSocket);
    const usage = pid === undefined ? undefined : await processUsage(pid);
    runtime = usage && { pid: pid!, startTime: usage.startTime };
    return usage;
  }

  return async (time: string, rate: (key: string, nanos: number) => number): Promise<object[]> => {
    const one = (name: string, startTime: string, nanos: number, memory: object) => ({
      name,
      startTime,
      cpu: { time, usageNanoCores: rate(`system ${name}`, nanos), usageCoreNanoSeconds: nanos },
      memory: { time, ...memory },
    });
    const program = (name: string, u: ProcessUsage | undefined) => {
      if (!u) return [];
      const { rssBytes, pageFaults, majorPageFaults } = u;
      const memory = { usageBytes: rssBytes, workingSetBytes: rssBytes, rssBytes, pageFaults, majorPageFaults };
      return [one(name, u.startTime, u.cpuNanos, memory)];
    };
    const all = await options.cgroups?.usage();
    const pods = all && {
      availableBytes: Math.max(0, options.machine.memoryBytes - all.workingSetBytes),
      usageBytes: all.memoryBytes,
      workingSetBytes: all.workingSetBytes,
      rssBytes: all.rssBytes,
      pageFaults: 0,
      majorPageFaults: 0,
    };
    return [
      ...program('kubelet', await processUsage(process.pid)),
      ...program('runtime', await runtimeUsage()),
      ...(pods ? [one('pods', formatTime(options.began), all.cpuNanos, pods)] : []),
    ];
  };
}
