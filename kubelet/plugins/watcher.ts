/**
 * Finds plugins by the sockets they put into ROOT/plugins_registry and keeps them registered while the sockets are there.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/ and the pluginregistration API
 */
import { watch, type FSWatcher } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { errorText } from '../cri/client.ts';
import { connect, loadService } from '../grpc.ts';

/** What a plugin says of itself. */
export interface PluginInfo {
  type: string;
  name: string;
  /** The socket of its service. */
  endpoint: string;
  supported_versions: string[];
}

/** Takes plugins of one type ("CSIPlugin", "DRAPlugin"). */
export interface PluginHandler {
  /** Rejects when the plugin can't be used; it is asked again later. */
  register(info: PluginInfo): Promise<void>;
  /** The plugin's socket is gone. */
  deregister(info: PluginInfo): void;
}

interface Known {
  /** Tells a socket from another at the same path. */
  identity: string;
  info: PluginInfo | undefined;
  failures: number;
  timer?: Timer;
}

const CALL_MS = 10_000;
const RESCAN_MS = 10_000;

export function watchPlugins(options: {
  dir: string;
  clock: Clock;
  logger: Logger;
  handlers: Record<string, PluginHandler>;
}): { start(): Promise<void>; stop(): void } {
  const { dir, clock, logger, handlers } = options;
  const service = loadService('kubelet-pluginregistration-v1', 'pluginregistration.Registration');
  const known = new Map<string, Known>();
  let watcher: FSWatcher | undefined;
  let timer: Timer | undefined;
  let stopped = false;
  let scanning = false;
  let again = false;

  async function sockets(): Promise<Map<string, string>> {
    const out = new Map<string, string>();
    const entries = await readdir(dir, { withFileTypes: true, recursive: true }).catch(() => []);
    for (const e of entries) {
      if (!e.isSocket() || e.name.startsWith('.')) continue;
      const path = join(e.parentPath, e.name);
      const s = await stat(path).catch(() => undefined);
      if (s) out.set(path, `${s.ino}/${s.ctimeMs}`);
    }
    return out;
  }

  async function register(path: string, entry: Known): Promise<void> {
    const caller = connect(service, path, clock);
    let info: PluginInfo | undefined;
    try {
      info = await caller.call<PluginInfo>('GetInfo', {}, CALL_MS);
      info.endpoint ||= path;
      const handler = handlers[info.type];
      if (!handler) throw new Error(`no handler registered for plugin type: ${info.type} at socket ${path}`);
      await handler.register(info);
      if (known.get(path) !== entry || stopped) return handler.deregister(info);
      entry.info = info;
      entry.failures = 0;
      logger.info('plugin registered', { type: info.type, name: info.name });
      await caller.call('NotifyRegistrationStatus', { plugin_registered: true }, CALL_MS).catch((error: unknown) => {
        logger.debug('the plugin was not told of its registration', { plugin: info!.name, error });
      });
    } catch (error) {
      if (info)
        await caller
          .call('NotifyRegistrationStatus', { plugin_registered: false, error: errorText(error) }, CALL_MS)
          .catch(() => {});
      if (known.get(path) !== entry || stopped) return;
      const ms = Math.min(500 * 2 ** entry.failures++, 120_000);
      logger.warn('plugin not registered', { socket: path, error: errorText(error), retryMs: ms });
      entry.timer = clock.after(ms, () => void register(path, entry), { background: true });
    } finally {
      caller.close();
    }
  }

  function forget(path: string): void {
    const entry = known.get(path)!;
    known.delete(path);
    entry.timer?.cancel();
    if (entry.info) {
      logger.info('plugin is gone', { type: entry.info.type, name: entry.info.name });
      handlers[entry.info.type]?.deregister(entry.info);
    }
  }

  async function scan(): Promise<void> {
    if (scanning || stopped) return void (again = true);
    scanning = true;
    try {
      const there = await sockets();
      for (const [path, entry] of known) if (there.get(path) !== entry.identity) forget(path);
      for (const [path, identity] of there) {
        if (known.has(path)) continue;
        const entry: Known = { identity, info: undefined, failures: 0 };
        known.set(path, entry);
        void register(path, entry);
      }
    } finally {
      scanning = false;
      if (again && !stopped) {
        again = false;
        void scan();
      }
    }
  }

  return {
    async start() {
      await mkdir(dir, { recursive: true, mode: 0o750 });
      watcher = watch(dir, () => void scan());
      watcher.on('error', (error) => logger.warn('plugin folder not watched', { error: error.message }));
      timer = clock.every(RESCAN_MS, () => void scan(), { background: true });
      await scan();
    },
    stop() {
      stopped = true;
      watcher?.close();
      timer?.cancel();
      for (const e of known.values()) e.timer?.cancel();
    },
  };
}
