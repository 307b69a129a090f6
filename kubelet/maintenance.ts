/** What runs beside the pods: log rotation, garbage collection of images and of what a killed runtime left, eviction. */
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { parseDuration, type KubeletConfiguration } from './config.ts';
import type { Runtime } from './cri/types.ts';
import { createLeftovers } from './network/leftovers.ts';
import { rotateLogs } from './logs/rotate.ts';
import type { Health } from './node/health.ts';
import type { Machine } from './node/machine.ts';
import type { PodDeps } from './pods/deps.ts';
import type { PodManager } from './pods/manager.ts';
import { parseQuantity } from './quantity.ts';
import { createImageGc } from './images/gc.ts';
import { createEvictor } from './eviction/evictor.ts';

export interface MaintenanceOptions {
  config: KubeletConfiguration;
  clock: Clock;
  logger: Logger;
  runtime: Runtime;
  manager: PodManager;
  deps: PodDeps;
  health: Health;
  machine: Machine;
  /** Milliseconds between two looks for pods to evict; defaults to 10,000. */
  evictionMs?: number;
  nodeEvent(type: 'Normal' | 'Warning', reason: string, message: string): void;
}

/** How long something must have been nobody's before it is taken away. */
const LEFTOVER_AGE_MS = 60_000;

export function startMaintenance(options: MaintenanceOptions): { stop(): void } {
  const { config, clock, logger } = options;
  const timers: Timer[] = [];
  const each = (ms: number, name: string, fn: () => Promise<void>) => {
    let busy = false;
    timers.push(
      clock.every(
        ms,
        () => {
          if (busy) return;
          busy = true;
          fn()
            .catch((error: unknown) => logger.debug('maintenance failed', { name, error }))
            .finally(() => (busy = false));
        },
        { background: true },
      ),
    );
  };
  each(parseDuration(config.containerLogMonitorInterval), 'logs', () =>
    rotateLogs({
      workers: options.manager.workers(),
      runtime: options.runtime,
      clock,
      maxSize: parseQuantity(config.containerLogMaxSize),
      maxFiles: config.containerLogMaxFiles,
      logger,
    }),
  );
  const gc = createImageGc({
    ...options,
    forget(id, why) {
      options.deps.images.forget(id);
      options.deps.metrics?.imagesCollected.add([why]);
    },
  });
  each(5 * 60_000, 'images', () => gc.collect());
  const leftovers = createLeftovers({ ...options, exec: options.deps.exec, ageMs: LEFTOVER_AGE_MS });
  each(LEFTOVER_AGE_MS / 3, 'leftovers', async () => {
    await leftovers.look();
    const leases = await options.runtime.dropStaleLeases();
    if (leases.length > 0) logger.info("ended leases of the runtime's earlier process", { leases });
  });
  const evictor = createEvictor({ ...options, freeImages: () => gc.collectAll() });
  each(options.evictionMs ?? 10_000, 'eviction', () => evictor.look());
  return {
    stop() {
      for (const t of timers) t.cancel();
    },
  };
}
