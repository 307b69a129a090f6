/** What the kubelet says of its node: a pure function of machine, configuration and health. */
import { KUBERNETES_VERSION } from '../../api/version.ts';
import { formatTime } from '../../base/clock.ts';
import type { DeepReadonly, Node } from '../../api/types.ts';
import type { KubeletConfiguration } from '../config.ts';
import type { Image, RuntimeFeatures, RuntimeHandler } from '../cri/types.ts';
import { formatBytes, formatMilli, milliCpu, parseQuantity } from '../quantity.ts';
import type { FsStats, Machine } from './machine.ts';

export type NodeStatus = NonNullable<Node['status']>;
type Condition = NonNullable<NodeStatus['conditions']>[number];

/** What pods may need of a kubelet, and this one has (KEP-5328); sorted. */
const DECLARED_FEATURES = [
  'InPlacePodLevelResourcesVerticalScaling',
  'InPlacePodVerticalScalingInitContainers',
  'RestartAllContainersOnContainerExits',
];

export interface NodeFacts {
  now: number;
  nodeName: string;
  hostname: string;
  ips: readonly string[];
  machine: Machine;
  config: KubeletConfiguration;
  rootFs: FsStats;
  runtime: { name: string; version: string };
  handlers: readonly RuntimeHandler[];
  features: RuntimeFeatures;
  images: readonly Image[];
  /** What keeps the node from being ready. */
  problems: readonly string[];
  pressure: { memory: boolean; disk: boolean; pid: boolean };
  port: number;
  volumesInUse: readonly string[];
  previous: DeepReadonly<NodeStatus> | undefined;
  /** Numbers of plugins' devices. */
  devices?: { capacity: Record<string, number>; allocatable: Record<string, number> };
}

/** A threshold in bytes, absolute or a share of the capacity. */
export function threshold(value: string | undefined, capacity: number): number {
  if (!value) return 0;
  return value.endsWith('%') ? (Number(value.slice(0, -1)) / 100) * capacity : parseQuantity(value);
}

export function capacityOf(f: Pick<NodeFacts, 'machine' | 'config' | 'rootFs'>): {
  capacity: Record<string, string>;
  allocatable: Record<string, string>;
} {
  const { machine, config, rootFs } = f;
  const pods = config.podsPerCore > 0 ? Math.min(config.maxPods, config.podsPerCore * machine.cpus) : config.maxPods;
  const capacity: Record<string, string> = {
    cpu: String(machine.cpus),
    memory: formatBytes(machine.memoryBytes),
    'ephemeral-storage': formatBytes(Math.floor(rootFs.capacityBytes / 1024) * 1024),
    pods: String(pods),
  };
  for (const [k, v] of Object.entries(machine.hugePages)) capacity[k] = formatBytes(v);
  const reserved = (name: string) =>
    parseQuantity(config.kubeReserved[name]) + parseQuantity(config.systemReserved[name]);
  const cpu = Math.max(
    0,
    machine.cpus * 1000 - milliCpu(config.kubeReserved['cpu']) - milliCpu(config.systemReserved['cpu']),
  );
  const huge = Object.values(machine.hugePages).reduce((a, b) => a + b, 0);
  const memory = Math.max(
    0,
    machine.memoryBytes -
      reserved('memory') -
      threshold(config.evictionHard['memory.available'], machine.memoryBytes) -
      huge,
  );
  const disk = Math.max(
    0,
    rootFs.capacityBytes -
      reserved('ephemeral-storage') -
      threshold(config.evictionHard['nodefs.available'], rootFs.capacityBytes),
  );
  return {
    capacity,
    allocatable: {
      ...capacity,
      cpu: formatMilli(cpu),
      memory: formatBytes(Math.floor(memory / 1024) * 1024),
      'ephemeral-storage': String(Math.floor(disk)),
    },
  };
}

const isExtended = (name: string) => name.includes('/') && !/(^|\.)kubernetes\.io\//.test(name);

/** Extended resources that others had added to the capacity and have taken away again: they are still allocatable. */
export const leftOver = (current: DeepReadonly<NodeStatus> | undefined, own: NodeStatus): string[] =>
  Object.keys(current?.allocatable ?? {}).filter(
    (k) => isExtended(k) && current!.capacity?.[k] === undefined && own.allocatable?.[k] === undefined,
  );

export function nodeStatus(f: NodeFacts): NodeStatus {
  const { capacity, allocatable } = capacityOf(f);
  // What others have added to the capacity is theirs; all of it may be used.
  for (const [k, amount] of Object.entries(f.previous?.capacity ?? {})) if (isExtended(k)) allocatable[k] = amount;
  for (const [k, n] of Object.entries(f.devices?.capacity ?? {})) capacity[k] = String(n);
  for (const [k, n] of Object.entries(f.devices?.allocatable ?? {})) allocatable[k] = String(n);
  const time = formatTime(f.now);
  const condition = (
    type: string,
    bad: boolean,
    good: 'True' | 'False',
    reasons: [string, string],
    texts: [string, string],
  ): Condition => {
    const status = bad ? (good === 'True' ? 'False' : 'True') : good;
    const before = f.previous?.conditions?.find((c) => c.type === type);
    const i = bad ? 1 : 0;
    return {
      type,
      status,
      lastHeartbeatTime: time,
      lastTransitionTime: before?.status === status ? before.lastTransitionTime! : time,
      reason: reasons[i],
      message: texts[i],
    };
  };
  const notReady = f.problems.length > 0;
  return {
    capacity,
    allocatable,
    addresses: [
      ...f.ips.map((address) => ({ type: 'InternalIP', address })),
      { type: 'Hostname', address: f.hostname },
    ],
    conditions: [
      condition(
        'MemoryPressure',
        f.pressure.memory,
        'False',
        ['KubeletHasSufficientMemory', 'KubeletHasInsufficientMemory'],
        ['kubelet has sufficient memory available', 'kubelet has insufficient memory available'],
      ),
      condition(
        'DiskPressure',
        f.pressure.disk,
        'False',
        ['KubeletHasNoDiskPressure', 'KubeletHasDiskPressure'],
        ['kubelet has no disk pressure', 'kubelet has disk pressure'],
      ),
      condition(
        'PIDPressure',
        f.pressure.pid,
        'False',
        ['KubeletHasSufficientPID', 'KubeletHasInsufficientPID'],
        ['kubelet has sufficient PID available', 'kubelet has insufficient PID available'],
      ),
      condition(
        'Ready',
        notReady,
        'True',
        ['KubeletReady', 'KubeletNotReady'],
        [
          'kubelet is posting ready status',
          f.problems.length > 1 ? `[${f.problems.join(', ')}]` : (f.problems[0] ?? ''),
        ],
      ),
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: f.port } },
    nodeInfo: {
      machineID: f.machine.machineID,
      systemUUID: f.machine.systemUUID,
      bootID: f.machine.bootID,
      kernelVersion: f.machine.kernelVersion,
      osImage: f.machine.osImage,
      containerRuntimeVersion: `${f.runtime.name}://${f.runtime.version}`,
      kubeletVersion: KUBERNETES_VERSION,
      kubeProxyVersion: '',
      operatingSystem: 'linux',
      architecture: f.machine.architecture,
    },
    images: [...f.images]
      .sort((a, b) => b.size - a.size)
      .slice(0, f.config.nodeStatusMaxImages < 0 ? undefined : f.config.nodeStatusMaxImages)
      .map((i) => ({ names: [...i.repo_digests, ...i.repo_tags].slice(0, 5), sizeBytes: i.size })),
    ...(f.volumesInUse.length || f.previous?.volumesInUse?.length ? { volumesInUse: [...f.volumesInUse] } : {}),
    ...(f.handlers.length
      ? {
          runtimeHandlers: f.handlers.map((h) => ({
            name: h.name,
            features: {
              recursiveReadOnlyMounts: h.features?.recursive_read_only_mounts ?? false,
              userNamespaces: h.features?.user_namespaces ?? false,
            },
          })),
        }
      : {}),
    features: { supplementalGroupsPolicy: f.features.supplemental_groups_policy ?? false },
    declaredFeatures: [...DECLARED_FEATURES],
  };
}

/** Whether an object of the API says all that we would say; what is zero may be absent there, and others add keys. */
function holds(have: unknown, want: unknown): boolean {
  if (Array.isArray(want)) {
    const list = Array.isArray(have) ? (have as unknown[]) : [];
    return list.length === want.length && want.every((w, i) => holds(list[i], w));
  }
  if (typeof want === 'object' && want !== null)
    return Object.entries(want).every(([k, w]) => holds((have as Record<string, unknown> | undefined)?.[k], w));
  return have === undefined || have === null ? !want : have === want;
}

/**
 * Whether the node's status lacks some of what shall stand there, heartbeats aside. The API server orders keys anew,
 * and conditions and resources of others are none of our business.
 */
export function differs(have: DeepReadonly<NodeStatus> | undefined, want: NodeStatus): boolean {
  const { conditions, ...rest } = want;
  if (!have || !holds(have, rest)) return true;
  return (conditions ?? []).some(({ type, status, reason, message }) => {
    const found = have.conditions?.find((c) => c.type === type);
    return !found || !holds(found, { status, reason, message });
  });
}
