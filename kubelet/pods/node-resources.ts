/** What containers get of the node for themselves: plugins' devices, prepared claims, CPUs, memory of NUMA nodes. */
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { CpuManager } from '../cpus/manager.ts';
import type { ContainerConfig } from '../cri/types.ts';
import { resolveCdi } from '../devices/cdi.ts';
import type { DeviceManager } from '../devices/manager.ts';
import type { DraManager, ResourceStatus } from '../dra/manager.ts';
import type { MemoryManager } from '../memory/manager.ts';
import type { TopologyManager } from '../topology/manager.ts';
import { formatCpus } from '../cpus/cpuset.ts';
import { ConfigError } from './env.ts';

type ReadPod = DeepReadonly<Pod>;

export interface NodeResources {
  /** Gives a new pod what it was promised; rejects when it is not there. */
  allocate(pod: ReadPod): Promise<void>;
  /** Has the pod's claims prepared by their drivers. */
  prepare(pod: ReadPod): Promise<void>;
  /** Adds to a container's configuration what it was given. */
  inject(pod: ReadPod, container: string, config: ContainerConfig): Promise<void>;
  /** Whether Guaranteed containers have CPUs or memory for themselves. */
  exclusive(resource: 'cpu' | 'memory'): boolean;
  beforeStart(uid: string, container: string): Promise<void>;
  /** How the devices are that a container has; undefined where it has none. */
  health(pod: ReadPod, container: string): ResourceStatus[] | undefined;
  release(uid: string): Promise<void>;
  /** Gives back what pods had that are no more. */
  keep(living: ReadonlySet<string>): void;
}

export function createNodeResources(options: {
  devices: DeviceManager;
  dra: DraManager | undefined;
  cpus: CpuManager | undefined;
  memory: MemoryManager | undefined;
  /** Gives out of all of them. */
  topology: TopologyManager;
  /** Whether the runtime itself knows CDI devices. */
  runtimeKnowsCdi(): Promise<boolean>;
}): NodeResources {
  const { devices, dra, cpus, memory } = options;
  return {
    async allocate(pod) {
      // who wants nothing need not wait for a plugin that is slow with another's
      if (cpus || memory || devices.wanted(pod)) await options.topology.allocate(pod);
    },
    prepare: async (pod) => dra?.prepare(pod),
    async inject(pod, container, config) {
      const uid = pod.metadata!.uid!;
      const cdi = new Set(dra?.cdiDevices(pod, container));
      const add = (
        envs: { key: string; value: string }[],
        mounts: { container_path: string; host_path: string; readonly: boolean }[],
        nodes: ContainerConfig['devices'],
      ) => {
        const have = new Set(config.envs.map((e) => e.key));
        // the pod's own word counts more
        for (const e of envs) if (!have.has(e.key)) config.envs.push({ key: e.key, value: Buffer.from(e.value) });
        for (const m of mounts) config.mounts.push({ ...m, propagation: 'PROPAGATION_PRIVATE' });
        config.devices.push(...nodes);
      };
      for (const { answer } of devices.grants(uid, container)) {
        add(
          Object.entries(answer.envs).map(([key, value]) => ({ key, value })),
          answer.mounts.map((m) => ({ ...m, readonly: m.read_only })),
          answer.devices,
        );
        Object.assign(config.annotations, answer.annotations);
        for (const d of answer.cdi_devices) cdi.add(d.name);
      }
      if (cdi.size > 0) {
        if (await options.runtimeKnowsCdi()) config.CDI_devices = [...cdi].map((name) => ({ name }));
        else {
          const edits = await resolveCdi([...cdi]).catch((error: unknown) => {
            throw new ConfigError((error as Error).message);
          });
          add(edits.envs, edits.mounts, edits.devices);
          config.linux.security_context.supplemental_groups.push(...edits.gids);
        }
      }
      if (cpus) config.linux.resources.cpuset_cpus = cpus.cpuset(uid, container);
      const mems = memory?.mems(uid, container);
      if (mems) config.linux.resources.cpuset_mems = formatCpus(mems);
    },
    health(pod, container) {
      const list = [...devices.health(pod.metadata!.uid!, container), ...(dra?.health(pod, container) ?? [])];
      return list.length > 0 ? list : undefined;
    },
    exclusive: (resource) => (resource === 'cpu' ? cpus : memory) !== undefined,
    beforeStart: (uid, container) => devices.beforeStart(uid, container),
    async release(uid) {
      await dra?.unprepare(uid);
      devices.release(uid);
      cpus?.release(uid);
      memory?.release(uid);
    },
    keep(living) {
      cpus?.keep(living);
      memory?.keep(living);
      devices.keep(living);
    },
  };
}
