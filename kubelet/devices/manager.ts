/**
 * Device plugins: they register, say which devices there are, and are asked when a container gets some.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/
 */
import { chmodSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, isAbsolute, join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import { errorText } from '../cri/client.ts';
import { connect, loadService, type Caller } from '../grpc.ts';
import { serve } from '../grpc-server.ts';
import type { PluginHandler } from '../plugins/watcher.ts';
import { amountsOf, isSidecar } from '../pods/resources.ts';
import { nodeSets, preferFewest, type Hint, type Nodes } from '../topology/hints.ts';
import type { HintProvider } from '../topology/manager.ts';
import type { ResourceStatus } from '../dra/manager.ts';
import { createDeviceLedger, type AllocateAnswer, type Grant } from './ledger.ts';

type ReadPod = DeepReadonly<Pod>;
type ReadContainer = DeepReadonly<Container>;

interface Device {
  ID: string;
  health: string;
  topology?: { nodes: { ID: number }[] } | null;
}
interface PluginOptions {
  pre_start_required?: boolean;
  get_preferred_allocation_available?: boolean;
}
interface Resource {
  devices: Map<string, Device>;
  plugin: { caller: Caller; options: PluginOptions; stream: { cancel(): void } } | undefined;
}

export interface DeviceManager extends PluginHandler, HintProvider {
  start(): Promise<void>;
  stop(): void;
  /** Numbers of devices by resource: all, and those that are healthy. */
  capacity(): { capacity: Record<string, number>; allocatable: Record<string, number> };
  /** Whether any of the pod's containers asks for devices. */
  wanted(pod: ReadPod): boolean;
  /** What the plugins want changed in a container. */
  grants(uid: string, container: string): Grant[];
  /** Tells plugins that asked for it that a container is about to start. */
  beforeStart(uid: string, container: string): Promise<void>;
  /** How the devices are that a container has. */
  health(uid: string, container: string): ResourceStatus[];
  keep(living: ReadonlySet<string>): void;
  devices(): { resource: string; ids: string[]; nodes: number[] }[];
}

const healthOf = (devices: ReadonlyMap<string, Device>): string =>
  [...devices.values()]
    .map((d) => `${d.ID}=${d.health}`)
    .sort()
    .join();

const VERSION = 'v1beta1';
const CALL_MS = 10_000;
const SOCKET = 'kubelet.sock';

export function createDeviceManager(options: {
  /** ROOT/device-plugins */
  dir: string;
  clock: Clock;
  logger: Logger;
  /** Numbers or health changed. */
  changed(): void;
  /** Devices that these pods use have another health. */
  healthChanged(uids: readonly string[]): void;
  /** UIDs of the pods whose devices are still theirs. */
  living(): ReadonlySet<string>;
}): DeviceManager {
  const { dir, clock, logger } = options;
  const service = loadService('kubelet-deviceplugin-v1beta1', 'v1beta1.DevicePlugin');
  const resources = new Map<string, Resource>();
  const ledger = createDeviceLedger(join(dir, 'kubelet_internal_checkpoint'));
  let server: { stop(): void } | undefined;
  let stopped = false;

  function resource(name: string): Resource {
    let r = resources.get(name);
    if (!r) resources.set(name, (r = { devices: new Map(), plugin: undefined }));
    return r;
  }

  function lose(name: string, r: Resource, plugin: Resource['plugin']): void {
    if (r.plugin !== plugin) return;
    r.plugin = undefined;
    plugin?.caller.close();
    for (const d of r.devices.values()) d.health = 'Unhealthy';
    if (stopped) return;
    options.healthChanged(ledger.users(name));
    logger.info('device plugin is gone', { resource: name });
    options.changed();
  }

  async function register(name: string, endpoint: string, given?: PluginOptions): Promise<void> {
    if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(name))
      throw new Error(`the ResourceName ${JSON.stringify(name)} is invalid`);
    const caller = connect(service, isAbsolute(endpoint) ? endpoint : join(dir, basename(endpoint)), clock);
    try {
      const asked = given ?? (await caller.call<PluginOptions>('GetDevicePluginOptions', {}, CALL_MS));
      const r = resource(name);
      const before = r.plugin;
      const stream = caller.stream<{ devices: Device[] }>(
        'ListAndWatch',
        {},
        {
          message(answer) {
            if (r.plugin !== plugin) return;
            const known = r.devices;
            r.devices = new Map(answer.devices.map((d) => [d.ID, d]));
            if (healthOf(r.devices) !== healthOf(known)) options.healthChanged(ledger.users(name));
            ledger.setResources(Object.fromEntries([...resources].map(([n, x]) => [n, [...x.devices.keys()]])));
            options.changed();
          },
          end(error) {
            logger.debug('ListAndWatch ended', { resource: name, error: errorText(error) });
            lose(name, r, plugin);
          },
        },
      );
      const plugin = { caller, options: asked, stream };
      r.plugin = plugin;
      before?.stream.cancel();
      before?.caller.close();
      logger.info('device plugin registered', { resource: name });
    } catch (error) {
      caller.close();
      throw error;
    }
  }

  /** Devices of a resource that no living pod has. */
  function free(name: string): string[] {
    const used = ledger.used(name, options.living());
    return [...(resources.get(name)?.devices.values() ?? [])]
      .filter((d) => d.health === 'Healthy' && !used.has(d.ID))
      .map((d) => d.ID);
  }

  /** What of the ids lies at these NUMA nodes, then the others. */
  function nearFirst(
    name: string,
    ids: readonly string[],
    nodes: Nodes | undefined,
  ): { near: string[]; all: string[] } {
    const near = nodes ? ids.filter((id) => nodesOf(name, id).some((n) => nodes.includes(n))) : [];
    return { near, all: [...near, ...ids.filter((id) => !near.includes(id))] };
  }
  const nodesOf = (name: string, id: string): number[] =>
    (resources.get(name)?.devices.get(id)?.topology?.nodes ?? []).map((n) => n.ID);

  async function pick(
    name: string,
    count: number,
    reusable: ReadonlySet<string>,
    nodes: Nodes | undefined,
  ): Promise<string[]> {
    const { near, all } = nearFirst(name, free(name), nodes);
    const available = [...reusable, ...all];
    if (available.length < count)
      throw new Error(
        `requested number of devices unavailable for ${name}. Requested: ${count}, Available: ${available.length}`,
      );
    const must = [...reusable].slice(0, count);
    if (must.length === count) return must;
    // those at the wanted nodes suffice, or are all taken
    const enough = must.length + near.length >= count;
    const offered = near.length > 0 && enough ? [...must, ...near] : available;
    if (near.length > 0 && !enough) must.push(...near);
    const plugin = resources.get(name)?.plugin;
    if (plugin?.options.get_preferred_allocation_available) {
      const answer = await plugin.caller
        .call<{ container_responses: { deviceIDs: string[] }[] }>(
          'GetPreferredAllocation',
          {
            container_requests: [
              { available_deviceIDs: offered, must_include_deviceIDs: must, allocation_size: count },
            ],
          },
          CALL_MS,
        )
        .catch((error: unknown) =>
          logger.debug('no preferred allocation', { resource: name, error: errorText(error) }),
        );
      const preferred = (answer?.container_responses[0]?.deviceIDs ?? []).filter((id) => offered.includes(id));
      return [...new Set([...must, ...preferred, ...offered])].slice(0, count);
    }
    return offered.slice(0, count);
  }

  const inits = (pod: ReadPod) => (pod.spec!.initContainers ?? []).filter((c) => !isSidecar(c)).map((c) => c.name);
  /** Devices of init containers that have ended before this one begins, and are nobody else's in the pod. */
  function reusable(pod: ReadPod, container: string, name: string): Set<string> {
    const ending = inits(pod);
    const out = new Set<string>();
    for (const c of [...(pod.spec!.initContainers ?? []), ...pod.spec!.containers]) {
      if (c.name === container) break;
      for (const id of ledger.get(pod.metadata!.uid!, c.name, name)?.ids ?? [])
        if (ending.includes(c.name)) out.add(id);
        else out.delete(id);
    }
    return out;
  }

  async function allocate(pod: ReadPod, c: ReadContainer, nodes: Nodes | undefined): Promise<void> {
    const uid = pod.metadata!.uid!;
    for (const [name, count] of wants(c)) {
      if (ledger.get(uid, c.name, name)) continue;
      const ids = await pick(name, count, reusable(pod, c.name, name), nodes);
      const plugin = resources.get(name)?.plugin;
      if (!plugin) throw new Error(`no device plugin is registered for ${name}`);
      const answer = await plugin.caller.call<{ container_responses: AllocateAnswer[] }>(
        'Allocate',
        { container_requests: [{ devices_ids: ids }] },
        CALL_MS,
      );
      const response = answer.container_responses[0];
      if (!response) throw new Error(`no containers in the device allocation response of ${name}`);
      ledger.set({ uid, container: c.name, resource: name, ids, answer: response });
    }
  }
  /** Devices that a container asks for, by resource. */
  const wants = (c: ReadContainer): [string, number][] =>
    Object.entries(amountsOf(c.resources?.limits)).filter(([name, count]) => resources.has(name) && count > 0);

  /** Nodes that a number of a resource's devices could come from; undefined where devices name none. */
  function hintsFor(name: string, count: number, again: ReadonlySet<string>): Hint[] | undefined {
    const all = [...(resources.get(name)?.devices.keys() ?? [])];
    const known = [...new Set(all.flatMap((id) => nodesOf(name, id)))].sort((a, b) => a - b);
    if (known.length === 0) return undefined;
    const available = free(name);
    if (available.length + again.size < count) return [];
    let fewest = known.length;
    const sets = nodeSets(known).filter((nodes) => {
      const inside = (id: string) => nodesOf(name, id).some((n) => nodes.includes(n));
      if (all.filter(inside).length >= count) fewest = Math.min(fewest, nodes.length);
      const bound = [...again].filter((id) => nodesOf(name, id).length > 0);
      return bound.every(inside) && bound.length + available.filter(inside).length >= count;
    });
    return preferFewest(sets, fewest);
  }

  return {
    async start() {
      mkdirSync(dir, { recursive: true, mode: 0o750 });
      // plugins watch for the socket to come anew, and register again
      for (const e of readdirSync(dir, { withFileTypes: true })) if (e.isSocket()) rmSync(join(dir, e.name));
      for (const [name, ids] of Object.entries(ledger.resources()))
        resource(name).devices = new Map(ids.map((ID) => [ID, { ID, health: 'Unhealthy' }]));
      server = await serve(join(dir, SOCKET), [
        [
          loadService('kubelet-deviceplugin-v1beta1', 'v1beta1.Registration'),
          {
            async Register(r: { version: string; endpoint: string; resource_name: string; options?: PluginOptions }) {
              if (r.version !== VERSION)
                throw new Error(
                  `requested API version ${JSON.stringify(r.version)} is not supported by kubelet. Supported version is ${VERSION}`,
                );
              await register(r.resource_name, r.endpoint, r.options ?? {});
              return {};
            },
          },
        ],
      ]);
      chmodSync(join(dir, SOCKET), 0o600);
    },
    stop() {
      stopped = true;
      server?.stop();
      for (const r of resources.values()) {
        r.plugin?.stream.cancel();
        r.plugin?.caller.close();
      }
    },
    register: (info) => {
      if (!info.supported_versions.includes(VERSION))
        return Promise.reject(new Error(`device plugin ${info.name} does not speak ${VERSION}`));
      return register(info.name, info.endpoint);
    },
    deregister(info) {
      const r = resources.get(info.name);
      if (r?.plugin) {
        r.plugin.stream.cancel();
        lose(info.name, r, r.plugin);
      }
    },
    capacity() {
      const capacity: Record<string, number> = {};
      const allocatable: Record<string, number> = {};
      for (const [name, r] of resources) {
        capacity[name] = r.devices.size;
        allocatable[name] = [...r.devices.values()].filter((d) => d.health === 'Healthy').length;
      }
      return { capacity, allocatable };
    },
    has: (uid) => ledger.has(uid),
    wanted: (pod) => [...(pod.spec!.initContainers ?? []), ...pod.spec!.containers].some((c) => wants(c).length > 0),
    hints(pod, containers) {
      const ending = inits(pod);
      const counts = new Map<string, number>();
      const peaks = new Map<string, number>();
      for (const c of containers)
        for (const [name, count] of wants(c))
          if (containers.length > 1 && ending.includes(c.name))
            peaks.set(name, Math.max(peaks.get(name) ?? 0, count + (counts.get(name) ?? 0)));
          else counts.set(name, (counts.get(name) ?? 0) + count);
      for (const [name, count] of peaks) counts.set(name, Math.max(count, counts.get(name) ?? 0));
      const again = (name: string) =>
        containers.length === 1 ? reusable(pod, containers[0]!.name, name) : new Set<string>();
      return new Map([...counts].map(([name, count]) => [name, hintsFor(name, count, again(name))]));
    },
    allocate,
    grants: (uid, container) => ledger.of(uid, container),
    async beforeStart(uid, container) {
      for (const g of ledger.of(uid, container)) {
        const plugin = resources.get(g.resource)?.plugin;
        if (!plugin?.options.pre_start_required) continue;
        await plugin.caller.call('PreStartContainer', { devices_ids: g.ids }, 30_000);
      }
    },
    health: (uid, container) =>
      ledger.of(uid, container).map(({ resource: name, ids }) => ({
        name,
        resources: ids.map((resourceID) => {
          const known = resources.get(name)?.devices.get(resourceID)?.health;
          return { resourceID, health: known === undefined || known === 'Healthy' ? 'Healthy' : 'Unhealthy' };
        }),
      })),
    release: (uid) => ledger.release((g) => g.uid === uid),
    keep: (living) => ledger.release((g) => !living.has(g.uid)),
    devices: () =>
      [...resources].flatMap(([name, r]) =>
        [...r.devices.values()].map((d) => ({
          resource: name,
          ids: [d.ID],
          nodes: (d.topology?.nodes ?? []).map((n) => n.ID),
        })),
      ),
  };
}
