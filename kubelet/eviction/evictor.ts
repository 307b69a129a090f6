/** Node-pressure eviction: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/ */
import { formatTime, type Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { parseDuration, type KubeletConfiguration } from '../config.ts';
import type { Runtime } from '../cri/types.ts';
import { measurePressure, type Health } from '../node/health.ts';
import type { Machine } from '../node/machine.ts';
import type { PodDeps } from '../pods/deps.ts';
import type { PodManager } from '../pods/manager.ts';
import { isCritical, podAmounts } from '../pods/resources.ts';

export interface Evictor {
  /** Looks at the signals; evicts at most one pod. */
  look(): Promise<void>;
}

export interface Candidate {
  pod: DeepReadonly<Pod>;
  /** Bytes in use. */
  usage: number;
}

/** Who goes first: those over their request, then low priority, then who is furthest over. */
export function rank(candidates: Candidate[]): Candidate[] {
  const over = (c: Candidate) => c.usage - (podAmounts(c.pod, 'requests')['memory'] ?? 0);
  return candidates
    .filter((c) => !isCritical(c.pod))
    .sort(
      (a, b) =>
        Number(over(b) > 0) - Number(over(a) > 0) ||
        (a.pod.spec!.priority ?? 0) - (b.pod.spec!.priority ?? 0) ||
        over(b) - over(a),
    );
}

const RESOURCE: Record<string, string> = {
  'memory.available': 'memory',
  'nodefs.available': 'ephemeral-storage',
  'imagefs.available': 'ephemeral-storage',
  'nodefs.inodesFree': 'inodes',
  'imagefs.inodesFree': 'inodes',
  'pid.available': 'pids',
};

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
}): Evictor {
  const { config, clock, manager, deps, health } = options;
  const lastSeen = { memory: -Infinity, disk: -Infinity, pid: -Infinity };
  const rootDir = deps
    .paths({ metadata: { uid: 'x', name: 'x', namespace: 'x' } } as Pod)
    .root.replace(/\/pods\/x$/, '');
  let imageDir: string | undefined;

  return {
    async look() {
      imageDir ??= (await options.runtime.imageFsInfo().catch(() => []))[0]?.fs_id?.mountpoint ?? rootDir;
      const now = measurePressure(config, options.machine, { node: rootDir, images: imageDir });
      const at = clock.monotonic();
      const hold = parseDuration(config.evictionPressureTransitionPeriod);
      for (const k of ['memory', 'disk', 'pid'] as const) if (now[k]) lastSeen[k] = at;
      health.setPressure({
        memory: at - lastSeen.memory < hold,
        disk: at - lastSeen.disk < hold,
        pid: at - lastSeen.pid < hold,
      });
      const signal = now.signals[0];
      if (!signal) return;
      const resource = RESOURCE[signal] ?? signal;
      options.nodeEvent('Warning', 'EvictionThresholdMet', `Attempting to reclaim ${resource}`);
      if (now.disk && (await options.freeImages()) > 0) return;
      const live = manager.workers().filter((w) => w.phase === 'syncing');
      const candidates: Candidate[] = await Promise.all(
        live.map(async (w) => ({ pod: w.pod, usage: (await deps.cgroups?.usage(w.pod))?.workingSetBytes ?? 0 })),
      );
      const victim = rank(candidates)[0];
      if (!victim) return;
      const message = `The node was low on resource: ${resource}. `;
      manager.evict(victim.pod.metadata!.uid!, {
        phase: 'Failed',
        reason: 'Evicted',
        message,
        graceSeconds: 1,
        condition: {
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'TerminationByKubelet',
          message,
          lastTransitionTime: formatTime(clock.now()),
        },
      });
    },
  };
}
