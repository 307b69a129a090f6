/** The CSI drivers of the node: registered through their sockets, asked over gRPC. https://github.com/container-storage-interface/spec */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { connect, loadService, type Caller, type GrpcService } from '../grpc.ts';
import type { PluginHandler } from '../plugins/watcher.ts';
import type { CsiNodeWriter, DriverNodeInfo } from './node.ts';

/** A call to a driver may take this long (milliseconds). */
export const CALL_MS = 120_000;

export interface CsiDriver {
  readonly name: string;
  call<R = object>(method: string, request: object): Promise<R>;
  /** Node capabilities by name ("STAGE_UNSTAGE_VOLUME"). */
  capabilities(): Promise<ReadonlySet<string>>;
}

export interface CsiDrivers extends PluginHandler {
  get(name: string): CsiDriver | undefined;
  stop(): void;
}

interface Entry extends CsiDriver {
  endpoint: string;
  caller: Caller;
}

export function createCsiDrivers(options: {
  clock: Clock;
  logger: Logger;
  node: CsiNodeWriter | undefined;
  /** A driver has come: pods may wait for it. */
  changed(): void;
}): CsiDrivers {
  const { clock, logger, node } = options;
  const drivers = new Map<string, Entry>();
  let service: GrpcService | undefined;

  function open(name: string, endpoint: string): Entry {
    // most nodes have no driver: the descriptors are read for the first
    service ??= loadService('csi', 'csi.v1.Node');
    const caller = connect(service, endpoint, clock);
    let known: Promise<ReadonlySet<string>> | undefined;
    const call = <R>(method: string, request: object) => caller.call<R>(method, request, CALL_MS);
    return {
      name,
      endpoint,
      caller,
      call,
      capabilities: () =>
        (known ??= call<{ capabilities: { rpc?: { type: string } | null }[] }>('NodeGetCapabilities', {}).then(
          (a) => new Set(a.capabilities.flatMap((c) => (c.rpc ? [c.rpc.type] : []))),
          (error: unknown) => {
            known = undefined;
            throw error;
          },
        )),
    };
  }

  return {
    get: (name) => drivers.get(name),
    async register(info) {
      if (!info.supported_versions.some((v) => /^v?1(\.|$)/.test(v)))
        throw new Error(
          `versions [${info.supported_versions.join(', ')}] of driver ${info.name} are not supported: 1.x is needed`,
        );
      const entry = open(info.name, info.endpoint);
      try {
        const about = await entry.call<DriverNodeInfo>('NodeGetInfo', {});
        await node?.set(info.name, about);
      } catch (error) {
        entry.caller.close();
        throw error;
      }
      drivers.get(info.name)?.caller.close();
      drivers.set(info.name, entry);
      options.changed();
    },
    deregister(info) {
      const have = drivers.get(info.name);
      // a newer instance of the driver may have taken over
      if (!have || have.endpoint !== info.endpoint) return;
      have.caller.close();
      drivers.delete(info.name);
      node
        ?.remove(info.name)
        .catch((error: unknown) => logger.warn('CSINode not updated', { driver: info.name, error: String(error) }));
    },
    stop() {
      for (const d of drivers.values()) d.caller.close();
    },
  };
}
