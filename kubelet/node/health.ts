/** Whether the runtime and the machine are well, looked at from time to time; the node's status is made of it. */
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly } from '../../api/types.ts';
import type { CgroupLimits } from '../cgroups/manager.ts';
import { parseDuration, type KubeletConfiguration } from '../config.ts';
import { errorText } from '../cri/client.ts';
import type { Image, Runtime, RuntimeCondition, RuntimeFeatures, RuntimeHandler } from '../cri/types.ts';
import { cpuShares } from '../pods/resources.ts';
import { milliCpu, parseQuantity } from '../quantity.ts';
import { availableMemory, fsStats, processCounts, type Machine } from './machine.ts';
import type { Observations } from '../eviction/thresholds.ts';
import { capacityOf, nodeStatus, type NodeStatus } from './status.ts';

export interface Pressure {
  memory: boolean;
  disk: boolean;
  pid: boolean;
}

export interface Health {
  start(): Promise<void>;
  stop(): void;
  status(previous: DeepReadonly<NodeStatus> | undefined): Promise<NodeStatus>;
  runtimeName(): string;
  /** What the runtime says it can do for a handler. */
  handlerFeatures(name: string): NonNullable<RuntimeHandler['features']>;
  networkProblem(): string | undefined;
  runtimeProblem(): string | undefined;
  pressure(): Pressure;
  setPressure(p: Pressure): void;
  /** What all pods together may use. */
  nodeLimits(): CgroupLimits;
}

export function createHealth(options: {
  runtime: Runtime;
  clock: Clock;
  logger: Logger;
  config: KubeletConfiguration;
  machine: Machine;
  rootDir: string;
  nodeName: string;
  hostname: string;
  nodeIPs: readonly string[];
  /** Where the kubelet's own server listens. */
  port(): number;
  /** That the node shuts down, if it does. */
  shutdown?(): string | undefined;
  /** Numbers of plugins' devices. */
  devices?(): { capacity: Record<string, number>; allocatable: Record<string, number> } | undefined;
  /** Attachable volumes that pods here use. */
  volumesInUse?(): readonly string[];
  /** Something in the node's status changed. */
  poke(): void;
}): Health {
  const { runtime, clock, config, machine } = options;
  let version = { name: 'containerd', version: 'unknown' };
  let conditions: RuntimeCondition[] = [];
  let handlers: RuntimeHandler[] = [];
  let features: RuntimeFeatures = {};
  let failure: string | undefined = 'container runtime status check may not have completed yet';
  let images: Image[] = [];
  let imagesAt = -Infinity;
  let pressure: Pressure = { memory: false, disk: false, pid: false };
  let timer: Timer | undefined;
  let stopped = false;

  const bad = (type: string): string | undefined => {
    const c = conditions.find((x) => x.type === type);
    return c && !c.status ? `${type}=false reason:${c.reason} message:${c.message}` : undefined;
  };
  const runtimeProblem = () =>
    failure ?? (bad('RuntimeReady') ? `container runtime not ready: ${bad('RuntimeReady')}` : undefined);
  const networkProblem = () =>
    bad('NetworkReady') ? `container runtime network not ready: ${bad('NetworkReady')}` : undefined;

  async function look(): Promise<void> {
    const before = `${runtimeProblem()}|${networkProblem()}`;
    try {
      const s = await runtime.status();
      if (version.version === 'unknown') {
        const v = await runtime.version();
        version = { name: v.runtime_name, version: v.runtime_version };
      }
      conditions = s.conditions;
      handlers = s.handlers;
      features = s.features ?? {};
      failure = undefined;
    } catch (error) {
      failure = `container runtime is down: ${errorText(error)}`;
    }
    if (`${runtimeProblem()}|${networkProblem()}` !== before) options.poke();
    if (!stopped)
      timer = clock.after(runtimeProblem() || networkProblem() ? 500 : 5000, () => void look(), { background: true });
  }

  return {
    start: look,
    stop() {
      stopped = true;
      timer?.cancel();
    },
    runtimeName: () => version.name,
    handlerFeatures: (name) => handlers.find((h) => h.name === name)?.features ?? {},
    networkProblem,
    runtimeProblem,
    pressure: () => pressure,
    setPressure(p) {
      const changed = p.memory !== pressure.memory || p.disk !== pressure.disk || p.pid !== pressure.pid;
      pressure = p;
      if (changed) options.poke();
    },
    async status(previous) {
      if (
        !failure &&
        config.nodeStatusMaxImages !== 0 &&
        clock.monotonic() - imagesAt > parseDuration(config.nodeStatusUpdateFrequency) * 0.9
      ) {
        images = await runtime.listImages().catch(() => images);
        imagesAt = clock.monotonic();
      }
      const problems = [runtimeProblem(), networkProblem(), options.shutdown?.()].filter((p) => p !== undefined);
      return nodeStatus({
        now: clock.now(),
        nodeName: options.nodeName,
        hostname: options.nodeName,
        ips: options.nodeIPs,
        machine,
        config,
        rootFs: fsStats(options.rootDir),
        runtime: version,
        handlers,
        features,
        images,
        problems,
        pressure,
        port: options.port(),
        devices: options.devices?.(),
        volumesInUse: options.volumesInUse?.() ?? [],
        previous,
      });
    },
    nodeLimits() {
      if (!config.enforceNodeAllocatable.includes('pods')) return {};
      const { capacity } = capacityOf({ machine, config, rootFs: fsStats(options.rootDir) });
      const cpu =
        Number(capacity['cpu']) * 1000 - milliCpu(config.kubeReserved['cpu']) - milliCpu(config.systemReserved['cpu']);
      const reserved = parseQuantity(config.kubeReserved['memory']) + parseQuantity(config.systemReserved['memory']);
      return {
        cpuShares: cpuShares(Math.max(cpu, 0)),
        memory: Math.max(0, Math.floor(machine.memoryBytes - reserved)),
      };
    },
  };
}

/** What is left of what evictions watch. */
export function observe(machine: Machine, dirs: { node: string; images: string }): Observations {
  const out: Observations = { 'memory.available': { available: availableMemory(), capacity: machine.memoryBytes } };
  for (const [prefix, dir] of [
    ['nodefs', dirs.node],
    ['imagefs', dirs.images],
  ] as const) {
    try {
      const fs = fsStats(dir);
      out[`${prefix}.available`] = { available: fs.availableBytes, capacity: fs.capacityBytes };
      if (fs.inodes > 0) out[`${prefix}.inodesFree`] = { available: fs.inodesFree, capacity: fs.inodes };
    } catch {
      // not there
    }
  }
  const pids = processCounts();
  out['pid.available'] = { available: pids.max - pids.running, capacity: pids.max };
  return out;
}
