/** Graceful node shutdown: holds up the machine's shutdown until pods have ended in their order. */
import { spawn, type ChildProcess } from 'node:child_process';
import { formatTime, type Clock } from '../../base/clock.ts';
import { findProgram } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import type { KubeletConfiguration } from '../config.ts';
import type { KubeletMetrics } from '../metrics/families.ts';
import { gracePeriod } from '../pods/termination.ts';
import type { PodManager } from '../pods/manager.ts';
import { shutdownGroups, shutdownOrder } from './order.ts';

export interface ShutdownManager {
  /** Watches for the machine's shutdown. */
  start(): void;
  stop(): void;
  /** What keeps the node from being ready, once it has begun. */
  problem(): string | undefined;
  /** The machine is about to go down: ends all pods; resolves when that is done or the time is over. */
  begin(): Promise<void>;
}

const MESSAGE = 'Pod was terminated in response to imminent node shutdown.';
const SIGNAL = "type='signal',interface='org.freedesktop.login1.Manager',member='PrepareForShutdown'";

export function createShutdownManager(options: {
  config: KubeletConfiguration;
  clock: Clock;
  logger: Logger;
  manager(): PodManager | undefined;
  /** The node's status is to be sent anew. */
  poke(): void;
  metrics?: KubeletMetrics;
}): ShutdownManager {
  const { config, clock, logger } = options;
  const groups = shutdownGroups(config);
  let began = false;
  let stopped = false;
  let inhibitor: ChildProcess | undefined;
  let monitor: ChildProcess | undefined;

  async function begin(): Promise<void> {
    if (began) return;
    began = true;
    options.metrics?.shuttingDown();
    logger.info('the node shuts down', { groups: groups.length });
    options.poke();
    const workers = options.manager()?.workers() ?? [];
    const byUid = new Map(workers.map((w) => [w.uid, w]));
    const live = workers.filter((w) => w.phase === 'syncing').map((w) => w.pod);
    for (const group of shutdownOrder(live, groups)) {
      const ending = group.pods.flatMap((p) => byUid.get(p.metadata!.uid!) ?? []);
      for (const w of ending)
        w.end({
          phase: 'Failed',
          reason: 'Terminated',
          message: MESSAGE,
          graceSeconds: Math.min(gracePeriod(w.pod), group.seconds),
          condition: {
            type: 'DisruptionTarget',
            status: 'True',
            reason: 'TerminationByKubelet',
            message: MESSAGE,
            lastTransitionTime: formatTime(clock.now()),
          },
        });
      const until = clock.monotonic() + group.seconds * 1000;
      while (ending.some((w) => w.phase === 'syncing' || w.phase === 'terminating') && clock.monotonic() < until)
        await clock.sleep(100);
    }
    options.metrics?.shutDown();
  }

  /** Holds a delay lock of logind and listens for its signal. */
  function watch(): void {
    const inhibit = findProgram('systemd-inhibit');
    const busctl = findProgram('busctl');
    if (!inhibit || !busctl) {
      logger.info('no graceful node shutdown: there is no systemd-logind here');
      return;
    }
    const hold = [
      '--what=shutdown',
      '--mode=delay',
      '--who=kubelet',
      '--why=Kubelet needs time to handle node shutdown',
    ];
    inhibitor = spawn(inhibit, [...hold, 'sleep', 'infinity'], { stdio: 'ignore' });
    inhibitor.on('error', (error) => logger.warn('no shutdown lock', { error: error.message }));
    monitor = spawn(busctl, ['--system', '--json=short', 'monitor', '--match', SIGNAL], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    monitor.on('error', (error) => logger.warn('shutdown is not seen', { error: error.message }));
    monitor.stdout!.on('data', (text: Buffer) => {
      if (!/"PrepareForShutdown".*"data":\[true\]/s.test(text.toString('utf8'))) return;
      // letting the lock go lets the machine go down
      void begin().finally(() => inhibitor?.kill());
    });
    monitor.on('exit', () => {
      if (!stopped) clock.after(5000, () => !stopped && !began && (inhibitor?.kill(), watch()), { background: true });
    });
  }

  return {
    start() {
      if (groups.length > 0) watch();
    },
    stop() {
      stopped = true;
      inhibitor?.kill();
      monitor?.kill();
    },
    problem: () => (began ? 'node is shutting down' : undefined),
    begin,
  };
}
