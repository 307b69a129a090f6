/** Node-pressure eviction: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/ */
import { formatTime, type Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { parseDuration, type KubeletConfiguration } from '../config.ts';
import type { ContainerStats, Runtime } from '../cri/types.ts';
import { observe, type Health } from '../node/health.ts';
import type { Machine } from '../node/machine.ts';
import type { PodDeps } from '../pods/deps.ts';
import type { PodManager } from '../pods/manager.ts';
import { gracePeriod } from '../pods/termination.ts';
import type { PodWorker } from '../pods/worker.ts';
import { parseQuantity } from '../quantity.ts';
import { rank, RESOURCE, usageOf, type Candidate } from './rank.ts';
import { CONDITION, trackThresholds, type Met, type Observations } from './thresholds.ts';
import { formatBinary, hasStorageLimits, overLimit, podDisk } from './usage.ts';

export interface Evictor {
  /** Looks at the signals; evicts at most one pod for the node's sake, and all that are over their own limits. */
  look(): Promise<void>;
}

/** A pod that is killed for its own or the node's sake gets this long, in seconds. */
const AT_ONCE = 1;

export function createEvictor(options: {
  config: KubeletConfiguration;
  clock: Clock;
  logger: Logger;
  runtime: Runtime;
  manager: PodManager;
  deps: PodDeps;
  health: Health;
  machine: Machine;
  nodeEvent(type: 'Normal' | 'Warning', reason: string, message: string): void;
  freeImages(): Promise<number>;
  /** In place of what the machine says. */
  observe?(): Observations;
}): Evictor {
  const { config, clock, manager, deps, health, runtime, machine } = options;
  const lastSeen = { memory: -Infinity, disk: -Infinity, pid: -Infinity };
  const tracker = trackThresholds(config);
  const rootDir = deps
    .paths({ metadata: { uid: 'x', name: 'x', namespace: 'x' } } as Pod)
    .root.replace(/\/pods\/x$/, '');
  let imageDir: string | undefined;
  const statsNow = () => runtime.containerStats().catch((): ContainerStats[] => []);
  const live = () => manager.workers().filter((w) => w.phase === 'syncing');

  function evict(pod: DeepReadonly<Pod>, signal: string, message: string, graceSeconds: number): void {
    deps.metrics?.evictions.add([signal]);
    manager.evict(pod.metadata!.uid!, {
      phase: 'Failed',
      reason: 'Evicted',
      message,
      graceSeconds,
      condition: {
        type: 'DisruptionTarget',
        status: 'True',
        reason: 'TerminationByKubelet',
        message,
        lastTransitionTime: formatTime(clock.now()),
      },
    });
  }

  /** Pods that store more than they or their containers may. */
  async function evictOverLimit(): Promise<number> {
    const bounded = live().filter((w) => hasStorageLimits(w.pod));
    if (bounded.length === 0) return 0;
    const stats = await statsNow();
    let n = 0;
    for (const w of bounded) {
      const over = overLimit(w.pod, await podDisk(deps.exec, w.pod, deps.paths(w.pod), stats), parseQuantity);
      if (!over) continue;
      evict(w.pod, over.signal, over.message, AT_ONCE);
      n++;
    }
    return n;
  }

  async function candidate(w: PodWorker, met: Met, stats: readonly ContainerStats[]): Promise<Candidate> {
    const disk =
      CONDITION[met.signal] === 'disk' ? await podDisk(deps.exec, w.pod, deps.paths(w.pod), stats) : undefined;
    const usage = CONDITION[met.signal] === 'memory' ? await deps.cgroups?.usage(w.pod) : undefined;
    return {
      pod: w.pod,
      memory: usage?.workingSetBytes ?? 0,
      disk: disk?.bytes ?? 0,
      inodes: disk?.inodes ?? 0,
      processes: CONDITION[met.signal] === 'pid' ? ((await deps.cgroups?.processes(w.pod)) ?? 0) : 0,
    };
  }

  function describe(c: Candidate, met: Met): string {
    const resource = RESOURCE[met.signal];
    const request = c.pod.spec!.containers.reduce(
      (n, x) => n + parseQuantity(x.resources?.requests?.[resource] ?? '0'),
      0,
    );
    const amount = (n: number) => (resource === 'inodes' || resource === 'pids' ? String(n) : formatBinary(n));
    const name = c.pod.spec!.containers[0]!.name;
    const used = usageOf(c, met.signal);
    const own =
      c.pod.spec!.containers.length === 1 && used > request
        ? `Container ${name} was using ${amount(used)}, request is ${amount(request)}, has larger consumption of ${resource}. `
        : '';
    return `The node was low on resource: ${resource}. Threshold quantity: ${amount(met.limit)}, available: ${amount(met.available)}. ${own}`;
  }

  return {
    async look() {
      imageDir ??= (await runtime.imageFsInfo().catch(() => []))[0]?.fs_id?.mountpoint ?? rootDir;
      const at = clock.monotonic();
      const now = options.observe?.() ?? observe(machine, { node: rootDir, images: imageDir });
      const { crossed, due } = tracker.observe(now, at);
      const hold = parseDuration(config.evictionPressureTransitionPeriod);
      for (const met of crossed) lastSeen[CONDITION[met.signal]] = at;
      health.setPressure({
        memory: at - lastSeen.memory < hold,
        disk: at - lastSeen.disk < hold,
        pid: at - lastSeen.pid < hold,
      });
      if ((await evictOverLimit()) > 0) return;
      const met = due[0];
      if (!met) return;
      options.nodeEvent('Warning', 'EvictionThresholdMet', `Attempting to reclaim ${RESOURCE[met.signal]}`);
      if (CONDITION[met.signal] === 'disk' && (await options.freeImages()) > 0) return;
      const stats = CONDITION[met.signal] === 'disk' ? await statsNow() : [];
      const candidates = await Promise.all(live().map((w) => candidate(w, met, stats)));
      const victim = rank(candidates, met.signal)[0];
      if (!victim) return;
      const grace =
        met.graceSeconds === undefined ? AT_ONCE : Math.min(met.graceSeconds || Infinity, gracePeriod(victim.pod));
      evict(victim.pod, met.signal, describe(victim, met), grace);
    },
  };
}
