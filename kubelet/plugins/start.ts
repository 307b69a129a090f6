/** Starts what takes plugins: CSI drivers by their registration sockets. */
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { PodDeps } from '../pods/deps.ts';
import { watchPlugins, type PluginHandler } from './watcher.ts';

export async function startPlugins(options: {
  rootDir: string;
  clock: Clock;
  logger: Logger;
  deps: PodDeps;
  /** Resolves when the API knows the node; undefined without an API server. */
  known(): Promise<void> | undefined;
}): Promise<{ stop(): void }> {
  const { rootDir, clock, logger, deps } = options;
  const handlers: Record<string, PluginHandler> = {};
  if (deps.csi) {
    await deps.csi.volumes.recover();
    handlers['CSIPlugin'] = deps.csi.drivers;
  }
  const watcher = watchPlugins({ dir: join(rootDir, 'plugins_registry'), clock, logger, handlers });
  // what a driver says of the node can be told when the node is known
  void options.known()?.then(async () => {
    await deps.csi?.node
      .ensure()
      .catch((error: unknown) => logger.warn('no CSINode', { error: (error as Error).message }));
    await watcher.start();
  });
  return {
    stop() {
      watcher.stop();
      deps.csi?.drivers.stop();
    },
  };
}
