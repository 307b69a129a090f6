/** Starts what takes plugins: CSI, DRA and device drivers; and what tells others of their devices. */
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Client } from '../../client/client.ts';
import { resourceClaims } from '../../client/resources.ts';
import type { KubeletConfiguration } from '../config.ts';
import { readCpus } from '../cpus/topology.ts';
import type { Runtime } from '../cri/types.ts';
import { createDeviceManager, type DeviceManager } from '../devices/manager.ts';
import { servePodResources } from '../devices/pod-resources.ts';
import { createDraManager, type DraManager } from '../dra/manager.ts';
import type { KubeletMetrics } from '../metrics/families.ts';
import type { PodManager } from '../pods/manager.ts';
import { createNodeResources, type NodeResources } from '../pods/node-resources.ts';
import { orNone, type Csi } from '../volumes/wire.ts';
import { createCpus, createMemory, createTopology, living, numaNodes } from './own-parts.ts';
import { watchPlugins, type PluginHandler } from './watcher.ts';

export interface PluginInput {
  config: KubeletConfiguration;
  client: Client | undefined;
  clock: Clock;
  logger: Logger;
  runtime: Runtime;
  metrics: KubeletMetrics | undefined;
  rootDir: string;
  nodeName: string;
  /** Of the machine. */
  memoryBytes: number;
  /** The node's status is to be sent anew. */
  poke(): void;
  manager(): PodManager | undefined;
}

export interface Plugins {
  readonly resources: NodeResources;
  readonly devices: DeviceManager;
  start(csi: Csi | undefined, known: Promise<void> | undefined): Promise<void>;
  stop(): void;
}

const SLICES = '/apis/resource.k8s.io/v1/resourceslices';

function createDra(input: PluginInput, client: Client): DraManager {
  return createDraManager({
    file: join(input.rootDir, 'dra_claims.json'),
    clock: input.clock,
    logger: input.logger,
    claim: (namespace, name) => orNone(client.get(resourceClaims, name, namespace)),
    healthChanged: (uids) => input.manager()?.wake(uids),
    wipe: (driver) =>
      client.request({
        method: 'DELETE',
        path: SLICES,
        query: { fieldSelector: `spec.nodeName=${input.nodeName},spec.driver=${driver}` },
      }),
  });
}

export function createPlugins(input: PluginInput): Plugins {
  const { clock, logger, rootDir, runtime, client } = input;
  const dra = client ? createDra(input, client) : undefined;
  const numa = numaNodes(input);
  const cpus = createCpus(input, numa);
  const memory = createMemory(input, numa);
  const devices = createDeviceManager({
    dir: join(rootDir, 'device-plugins'),
    clock,
    logger,
    changed: input.poke,
    healthChanged: (uids) => input.manager()?.wake(uids),
    living: () => new Set(living(input.manager()).map((w) => w.uid)),
  });
  let knowsCdi: Promise<boolean> | undefined;
  const resources = createNodeResources({
    devices,
    dra,
    cpus,
    memory,
    topology: createTopology(input, numa, [devices, cpus, memory]),
    runtimeKnowsCdi: () =>
      (knowsCdi ??= runtime
        .version()
        .then((v) => v.runtime_name !== 'containerd' || !/^v?[01]\./.test(v.runtime_version))),
  });
  const handlers: Record<string, PluginHandler> = { DevicePlugin: devices };
  if (dra) handlers['DRAPlugin'] = dra;
  const watcher = watchPlugins({ dir: join(rootDir, 'plugins_registry'), clock, logger, handlers });
  let served: { stop(): void } | undefined;
  let drivers: Csi['drivers'] | undefined;
  return {
    resources,
    devices,
    async start(csi, known) {
      drivers = csi?.drivers;
      if (csi) handlers['CSIPlugin'] = csi.drivers;
      await devices.start();
      served = await servePodResources({
        dir: join(rootDir, 'pod-resources'),
        devices,
        dra,
        asked: input.metrics?.podResources,
        pods: () => living(input.manager()).map((w) => w.pod),
        cpus: (uid, container) => cpus?.exclusive(uid, container) ?? [],
        memory: (uid, container) => memory?.blocks(uid, container) ?? [],
        allocatableMemory: () => memory?.allocatable() ?? [],
        allocatableCpus: () => cpus?.allocatable() ?? readCpus().map((c) => c.id),
      });
      // what a driver says of the node can be told when the node is known
      void known?.then(async () => {
        await csi?.node
          .ensure()
          .catch((error: unknown) => logger.warn('no CSINode', { error: (error as Error).message }));
        await watcher.start();
      });
    },
    stop() {
      watcher.stop();
      drivers?.stop();
      devices.stop();
      dra?.stop();
      served?.stop();
    },
  };
}
