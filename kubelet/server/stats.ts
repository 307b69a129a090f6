/** /stats/summary, /metrics/resource and /metrics/cadvisor: what the node and its pods use. */
import { readFile } from 'node:fs/promises';
import { formatTime, type Clock } from '../../base/clock.ts';
import type { CgroupManager } from '../cgroups/manager.ts';
import type { ContainerStats, Runtime } from '../cri/types.ts';
import { availableMemory, fsStats, processCounts, type Machine } from '../node/machine.ts';
import type { PodManager } from '../pods/manager.ts';
import type { PodWorker } from '../pods/worker.ts';
import { createSystemContainers, interfacesOf, machineStats } from './node-stats.ts';
import type { VolumeStatsReader } from './volume-stats.ts';

export interface StatsOptions {
  clock: Clock;
  runtime: Runtime;
  manager: PodManager;
  cgroups: CgroupManager | undefined;
  machine: Machine;
  nodeName: string;
  rootDir: string;
  volumes: VolumeStatsReader;
  /** The path of the socket that the runtime listens on. */
  runtimeSocket: string;
}

interface PodUsage {
  worker: PodWorker;
  containers: { name: string; id: string; image: string; startedAt: number; stats: ContainerStats }[];
  cpuNanos: number;
  workingSet: number;
  usage: number;
  rss: number;
}
interface NodeUsage {
  cpuNanos: number;
  memoryUsed: number;
}

/** CPU time of the whole machine in nanoseconds. */
async function nodeCpu(): Promise<number> {
  const line = (await readFile('/proc/stat', 'utf8')).split('\n')[0]!.trim().split(/\s+/).slice(1).map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line;
  return (user + nice + system + irq + softirq) * 1e7; // hundredths of a second
}

export interface Stats {
  summary(onlyCpuAndMemory: boolean): Promise<object>;
  resourceMetrics(): Promise<string>;
  cadvisorMetrics(): Promise<string>;
}

export function createStats(options: StatsOptions): Stats {
  const { clock, runtime, manager, cgroups } = options;
  const began = clock.now();
  const systemContainers = createSystemContainers({ ...options, began });
  /** The last reading per thing, for rates. */
  const last = new Map<string, { at: number; nanos: number; rate: number }>();

  function rate(key: string, nanos: number): number {
    const at = clock.monotonic();
    const before = last.get(key);
    // readings close together say nothing: keep the rate of before
    if (before && at - before.at < 1000) return before.rate;
    const r = before && nanos >= before.nanos ? Math.round(((nanos - before.nanos) / (at - before.at)) * 1000) : 0;
    last.set(key, { at, nanos, rate: r });
    if (last.size > 10_000) last.clear();
    return r;
  }

  async function pods(): Promise<PodUsage[]> {
    const all = await runtime.containerStats();
    const byId = new Map(all.map((s) => [s.attributes.id, s]));
    return Promise.all(
      manager.workers().map(async (worker) => {
        const containers = worker.state.containers.flatMap((c) => {
          const stats = byId.get(c.id);
          return c.state === 'CONTAINER_RUNNING' && stats
            ? [{ name: c.name, id: c.id, image: c.image.image, startedAt: c.started_at, stats }]
            : [];
        });
        const own = await cgroups?.usage(worker.pod);
        const sum = (f: (s: ContainerStats) => number | undefined) =>
          containers.reduce((n, c) => n + (f(c.stats) ?? 0), 0);
        return {
          worker,
          containers,
          cpuNanos: own?.cpuNanos ?? sum((s) => s.cpu?.usage_core_nano_seconds?.value),
          workingSet: own?.workingSetBytes ?? sum((s) => s.memory?.working_set_bytes?.value),
          usage: own?.memoryBytes ?? sum((s) => s.memory?.usage_bytes?.value),
          rss: own?.rssBytes ?? sum((s) => s.memory?.rss_bytes?.value),
        };
      }),
    );
  }
  async function node(): Promise<NodeUsage> {
    return { cpuNanos: await nodeCpu(), memoryUsed: Math.max(0, options.machine.memoryBytes - availableMemory()) };
  }

  /** Bytes of the pod's interface, seen from one of its processes. */
  async function network(p: PodUsage): Promise<object | undefined> {
    if (p.worker.pod.spec!.hostNetwork || !cgroups) return undefined;
    try {
      const path = `/sys/fs/cgroup${cgroups.version === 1 ? '/memory' : ''}${cgroups.podParent(p.worker.pod)}/${p.containers[0]?.id}/cgroup.procs`;
      const pid = (await readFile(path, 'utf8')).split('\n')[0];
      return interfacesOf(await readFile(`/proc/${pid}/net/dev`, 'utf8'), formatTime(clock.now()));
    } catch {
      return undefined;
    }
  }

  return {
    async summary(only) {
      const time = formatTime(clock.now());
      const [list, n, imageFs] = await Promise.all([pods(), node(), runtime.imageFsInfo().catch(() => [])]);
      const root = fsStats(options.rootDir);
      const fs = {
        time,
        availableBytes: root.availableBytes,
        capacityBytes: root.capacityBytes,
        usedBytes: root.usedBytes,
        inodesFree: root.inodesFree,
        inodes: root.inodes,
        inodesUsed: root.inodes - root.inodesFree,
      };
      const machine = await machineStats(time, n.memoryUsed, availableMemory());
      const counts = processCounts();
      return {
        node: {
          nodeName: options.nodeName,
          systemContainers: await systemContainers(time, rate),
          startTime: formatTime(began),
          cpu: { time, usageNanoCores: rate('node', n.cpuNanos), usageCoreNanoSeconds: n.cpuNanos },
          memory: machine.memory,
          ...(only
            ? {}
            : {
                network: machine.network,
                swap: machine.swap,
                fs,
                runtime: { imageFs: { ...fs, usedBytes: imageFs[0]?.used_bytes?.value ?? 0 }, containerFs: fs },
                rlimit: { time, maxpid: counts.max, curproc: counts.running },
              }),
        },
        pods: await Promise.all(
          list
            .filter((p) => p.containers.length > 0)
            .map(async (p) => {
              const m = p.worker.pod.metadata!;
              const uid = m.uid!;
              const volume = only ? [] : await options.volumes.of(p.worker);
              const local = volume.filter((v) =>
                p.worker.pod.spec!.volumes?.some((x) => x.name === v.name && x.emptyDir && !x.emptyDir.medium),
              );
              return {
                podRef: { name: m.name, namespace: m.namespace, uid },
                startTime: p.worker.pod.status?.startTime ?? m.creationTimestamp,
                containers: p.containers.map((c) => ({
                  name: c.name,
                  startTime: formatTime(c.startedAt / 1e6),
                  cpu: {
                    time,
                    usageNanoCores: rate(c.id, c.stats.cpu?.usage_core_nano_seconds?.value ?? 0),
                    usageCoreNanoSeconds: c.stats.cpu?.usage_core_nano_seconds?.value ?? 0,
                  },
                  memory: {
                    time,
                    usageBytes: c.stats.memory?.usage_bytes?.value || undefined,
                    workingSetBytes: c.stats.memory?.working_set_bytes?.value ?? 0,
                    rssBytes: c.stats.memory?.rss_bytes?.value ?? 0,
                    pageFaults: c.stats.memory?.page_faults?.value ?? 0,
                    majorPageFaults: c.stats.memory?.major_page_faults?.value ?? 0,
                  },
                  ...(only
                    ? {}
                    : {
                        rootfs: {
                          ...fs,
                          usedBytes: c.stats.writable_layer?.used_bytes?.value ?? 0,
                          inodesUsed: c.stats.writable_layer?.inodes_used?.value ?? 0,
                        },
                        logs: { ...fs, usedBytes: 0 },
                      }),
                })),
                cpu: { time, usageNanoCores: rate(uid, p.cpuNanos), usageCoreNanoSeconds: p.cpuNanos },
                memory: { time, usageBytes: p.usage, workingSetBytes: p.workingSet, rssBytes: p.rss },
                ...(only
                  ? {}
                  : {
                      network: await network(p),
                      'ephemeral-storage': {
                        ...fs,
                        usedBytes: p.containers.reduce(
                          (s, c) => s + (c.stats.writable_layer?.used_bytes?.value ?? 0),
                          local.reduce((s, v) => s + (v.usedBytes ?? 0), 0),
                        ),
                      },
                      ...(volume.length ? { volume } : {}),
                      process_stats: { process_count: p.containers.length },
                    }),
              };
            }),
        ),
      };
    },

    async resourceMetrics() {
      const [list, n] = await Promise.all([pods(), node()]);
      const out = new Metrics(clock.now());
      for (const p of list)
        for (const c of p.containers) {
          const labels = {
            container: c.name,
            namespace: p.worker.pod.metadata!.namespace!,
            pod: p.worker.pod.metadata!.name!,
          };
          out.add(
            'container_cpu_usage_seconds_total',
            'counter',
            'Cumulative cpu time consumed by the container in core-seconds',
            labels,
            (c.stats.cpu?.usage_core_nano_seconds?.value ?? 0) / 1e9,
            true,
          );
          out.add(
            'container_memory_working_set_bytes',
            'gauge',
            'Current working set of the container in bytes',
            labels,
            c.stats.memory?.working_set_bytes?.value ?? 0,
            true,
          );
          out.add(
            'container_start_time_seconds',
            'gauge',
            'Start time of the container since unix epoch in seconds',
            labels,
            c.startedAt / 1e9,
          );
        }
      for (const p of list) {
        if (p.containers.length === 0) continue;
        const labels = { namespace: p.worker.pod.metadata!.namespace!, pod: p.worker.pod.metadata!.name! };
        out.add(
          'pod_cpu_usage_seconds_total',
          'counter',
          'Cumulative cpu time consumed by the pod in core-seconds',
          labels,
          p.cpuNanos / 1e9,
          true,
        );
        out.add(
          'pod_memory_working_set_bytes',
          'gauge',
          'Current working set of the pod in bytes',
          labels,
          p.workingSet,
          true,
        );
      }
      out.add(
        'node_cpu_usage_seconds_total',
        'counter',
        'Cumulative cpu time consumed by the node in core-seconds',
        {},
        n.cpuNanos / 1e9,
        true,
      );
      out.add(
        'node_memory_working_set_bytes',
        'gauge',
        'Current working set of the node in bytes',
        {},
        n.memoryUsed,
        true,
      );
      out.add(
        'resource_scrape_error',
        'gauge',
        '1 if there was an error while getting container metrics, 0 otherwise',
        {},
        0,
      );
      return out.text();
    },

    async cadvisorMetrics() {
      const list = await pods();
      const out = new Metrics(clock.now());
      out.add('machine_cpu_cores', 'gauge', 'Number of logical CPU cores.', {}, options.machine.cpus);
      out.add(
        'machine_memory_bytes',
        'gauge',
        'Amount of memory installed on the machine.',
        {},
        options.machine.memoryBytes,
      );
      for (const p of list)
        for (const c of p.containers) {
          const labels = {
            container: c.name,
            id: c.id,
            image: c.image,
            name: c.id,
            namespace: p.worker.pod.metadata!.namespace!,
            pod: p.worker.pod.metadata!.name!,
          };
          out.add(
            'container_cpu_usage_seconds_total',
            'counter',
            'Cumulative cpu time consumed in seconds.',
            { ...labels, cpu: 'total' },
            (c.stats.cpu?.usage_core_nano_seconds?.value ?? 0) / 1e9,
            true,
          );
          out.add(
            'container_memory_usage_bytes',
            'gauge',
            'Current memory usage in bytes, including all memory regardless of when it was accessed',
            labels,
            c.stats.memory?.usage_bytes?.value ?? 0,
            true,
          );
          out.add(
            'container_memory_working_set_bytes',
            'gauge',
            'Current working set in bytes.',
            labels,
            c.stats.memory?.working_set_bytes?.value ?? 0,
            true,
          );
          out.add(
            'container_memory_rss',
            'gauge',
            'Size of RSS in bytes.',
            labels,
            c.stats.memory?.rss_bytes?.value ?? 0,
            true,
          );
          out.add(
            'container_start_time_seconds',
            'gauge',
            'Start time of the container since unix epoch in seconds.',
            labels,
            Math.floor(c.startedAt / 1e9),
          );
        }
      return out.text();
    },
  };
}

/** Metrics in Prometheus' text form, grouped by name. */
export class Metrics {
  readonly #families = new Map<string, string[]>();
  readonly #now: number;
  constructor(now: number) {
    this.#now = now;
  }
  add(
    name: string,
    type: 'counter' | 'gauge',
    help: string,
    labels: Record<string, string>,
    value: number,
    timed = false,
  ): void {
    let lines = this.#families.get(name);
    if (!lines) this.#families.set(name, (lines = [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]));
    const pairs = Object.entries(labels).map(
      ([k, v]) => `${k}="${v.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
    );
    lines.push(
      `${name}${pairs.length ? `{${pairs.join(',')}}` : ''} ${value}${timed ? ` ${Math.floor(this.#now)}` : ''}`,
    );
  }
  text(): string {
    return [...this.#families.values()].flat().join('\n') + '\n';
  }
}
