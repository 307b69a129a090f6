/**
 * Device plugins: they register, say which devices there are, and are asked when a container gets some.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/
 */
import { chmodSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, isAbsolute, join } from 'node:path';
import type { ClientReadableStream } from '@grpc/grpc-js';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { errorText } from '../cri/client.ts';
import { connect, loadService, serve, type Caller } from '../grpc.ts';
import type { PluginHandler } from '../plugins/watcher.ts';
import { amountsOf, isSidecar } from '../pods/resources.ts';
import { createDeviceLedger, type AllocateAnswer, type Grant } from './ledger.ts';

type ReadPod = DeepReadonly<Pod>;

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
  plugin: { caller: Caller; options: PluginOptions; stream: ClientReadableStream<unknown> } | undefined;
}

export interface DeviceManager extends PluginHandler {
  start(): Promise<void>;
  stop(): void;
  /** Numbers of devices by resource: all, and those that are healthy. */
  capacity(): { capacity: Record<string, number>; allocatable: Record<string, number> };
  /** Gives the pod's containers their devices, once; rejects with what is missing. */
  allocate(pod: ReadPod): Promise<void>;
  /** What the plugins want changed in a container. */
  grants(uid: string, container: string): Grant[];
  /** Tells plugins that asked for it that a container is about to start. */
  beforeStart(uid: string, container: string): Promise<void>;
  release(uid: string): void;
  keep(living: ReadonlySet<string>): void;
  devices(): { resource: string; ids: string[]; nodes: number[] }[];
}

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
  /** UIDs of the pods whose devices are still theirs. */
  living(): ReadonlySet<string>;
}): DeviceManager {
  const { dir, clock, logger } = options;
  const service = loadService('kubelet-deviceplugin-v1beta1', 'v1beta1.DevicePlugin');
  const resources = new Map<string, Resource>();
  const ledger = createDeviceLedger(join(dir, 'kubelet_internal_checkpoint'));
  let server: { stop(): void } | undefined;
  let stopped = false;
  /** One allocation after the other: two pods must not see the same device free. */
  let last: Promise<unknown> = Promise.resolve();

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
      const stream = caller.stream<{ devices: Device[] }>('ListAndWatch', {});
      const plugin = { caller, options: asked, stream };
      r.plugin = plugin;
      before?.stream.cancel();
      before?.caller.close();
      stream.on('data', (answer: { devices: Device[] }) => {
        if (r.plugin !== plugin) return;
        r.devices = new Map(answer.devices.map((d) => [d.ID, d]));
        ledger.setResources(Object.fromEntries([...resources].map(([n, x]) => [n, [...x.devices.keys()]])));
        options.changed();
      });
      stream.on('error', (error) => {
        logger.debug('ListAndWatch ended', { resource: name, error: errorText(error) });
        lose(name, r, plugin);
      });
      stream.on('end', () => lose(name, r, plugin));
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

  async function pick(name: string, count: number, reusable: ReadonlySet<string>): Promise<string[]> {
    const available = [...reusable, ...free(name)];
    if (available.length < count)
      throw new Error(
        `requested number of devices unavailable for ${name}. Requested: ${count}, Available: ${available.length}`,
      );
    const must = [...reusable].slice(0, count);
    if (must.length === count) return must;
    const plugin = resources.get(name)?.plugin;
    if (plugin?.options.get_preferred_allocation_available) {
      const answer = await plugin.caller
        .call<{ container_responses: { deviceIDs: string[] }[] }>(
          'GetPreferredAllocation',
          {
            container_requests: [
              { available_deviceIDs: available, must_include_deviceIDs: must, allocation_size: count },
            ],
          },
          CALL_MS,
        )
        .catch((error: unknown) =>
          logger.debug('no preferred allocation', { resource: name, error: errorText(error) }),
        );
      const preferred = (answer?.container_responses[0]?.deviceIDs ?? []).filter((id) => available.includes(id));
      const all = new Set([...must, ...preferred, ...available]);
      return [...all].slice(0, count);
    }
    return available.slice(0, count);
  }

  async function allocate(pod: ReadPod): Promise<void> {
    const uid = pod.metadata!.uid!;
    const spec = pod.spec!;
    const reusable = new Map<string, Set<string>>();
    for (const [c, init] of [
      ...(spec.initContainers ?? []).map((x) => [x, true] as const),
      ...spec.containers.map((x) => [x, false] as const),
    ]) {
      for (const [name, count] of Object.entries(amountsOf(c.resources?.limits))) {
        if (!resources.has(name) || count === 0) continue;
        const reuse = reusable.get(name) ?? new Set<string>();
        reusable.set(name, reuse);
        let ids = ledger.get(uid, c.name, name)?.ids;
        if (!ids) {
          ids = await pick(name, count, reuse);
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
        // what an init container had is free again when the others run
        for (const id of ids)
          if (init && !isSidecar(c)) reuse.add(id);
          else reuse.delete(id);
      }
    }
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
    allocate(pod) {
      // who wants no device need not wait for a plugin that is slow with another's
      const all = [...(pod.spec!.initContainers ?? []), ...pod.spec!.containers];
      if (!all.some((c) => Object.keys(c.resources?.limits ?? {}).some((k) => resources.has(k))))
        return Promise.resolve();
      const next = last.then(() => allocate(pod));
      last = next.catch(() => {});
      return next;
    },
    grants: (uid, container) => ledger.of(uid, container),
    async beforeStart(uid, container) {
      for (const g of ledger.of(uid, container)) {
        const plugin = resources.get(g.resource)?.plugin;
        if (!plugin?.options.pre_start_required) continue;
        await plugin.caller.call('PreStartContainer', { devices_ids: g.ids }, 30_000);
      }
    },
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
