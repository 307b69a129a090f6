/** What pod workers need from the rest of the kubelet. */
import type { Clock, Ids, Rand } from '../../base/clock.ts';
import type { Exec } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, Pod, Service } from '../../api/types.ts';
import type { CgroupManager } from '../cgroups/manager.ts';
import type { Runtime, RuntimeHandler } from '../cri/types.ts';
import type { ImageManager } from '../images/manager.ts';
import type { KubeletMetrics } from '../metrics/families.ts';
import type { ObjectCache } from '../objects.ts';
import type { ProbeManager } from '../probes/manager.ts';
import type { StatusManager } from '../status/manager.ts';
import type { VolumeManager } from '../volumes/manager.ts';
import type { Csi } from '../volumes/wire.ts';
import type { Backoff } from './backoff.ts';
import type { MemoryQos } from './memory-qos.ts';
import type { DnsSettings } from './network.ts';
import type { NodeResources } from './node-resources.ts';
import type { PodPaths } from './identity.ts';
import type { SwapSettings } from './swap.ts';
import type { UserNamespaces } from './user-namespaces.ts';

export interface PodDeps {
  clock: Clock;
  ids: Ids;
  rand: Rand;
  logger: Logger;
  exec: Exec;
  runtime: Runtime;
  /** "containerd" */
  runtimeName(): string;
  cgroups: CgroupManager | undefined;
  volumes: VolumeManager;
  /** Undefined without an API server and on hollow nodes. */
  csi: Csi | undefined;
  /** Undefined on hollow nodes. */
  resources: NodeResources | undefined;
  images: ImageManager;
  probes: ProbeManager;
  status: StatusManager;
  objects: ObjectCache;
  crashBackoff: Backoff;
  /** Undefined where nobody can read them: on hollow nodes without a server. */
  metrics: KubeletMetrics | undefined;
  nodeName: string;
  hostIPs(): readonly string[];
  allocatable(): DeepReadonly<Record<string, string>>;
  /** What the node's other pods ask for: thousandths of CPU or whole units. */
  requestedByOthers(uid: string, resource: string): number;
  /** Whether Guaranteed containers have CPUs or memory of their own: what they have can't change then. */
  exclusive(resource: 'cpu' | 'memory'): boolean;
  /** A pod takes less than before: others may have waited for it. */
  roomMade(): void;
  /** Bytes. */
  memoryCapacity: number;
  services(namespace: string): DeepReadonly<Service>[];
  /** Resolves when services are known, so that no container misses its variables. */
  servicesSynced(): Promise<void>;
  /** What the runtime can do for a handler ("" is its default). */
  handlerFeatures(handler: string): NonNullable<RuntimeHandler['features']>;
  /** Undefined on hollow nodes. */
  userNamespaces: UserNamespaces | undefined;
  /** The runtime's name of a RuntimeClass; rejects when there is none. */
  runtimeHandler(name: string): Promise<string>;
  /** Why pods with a network of their own can't start now; undefined when they can. */
  networkProblem(): string | undefined;
  dns(): DnsSettings;
  paths(pod: DeepReadonly<Pod>): PodPaths;
  containerLogsDir: string;
  /** Nothing is written to disk. */
  hollow: boolean;
  seccompDefault: boolean;
  seccompRoot: string;
  /** Undefined where swap can't be bounded: cgroup v1, or a machine without any. */
  swap: SwapSettings | undefined;
  /** Whoever uses too much memory dies with all processes of the container (cgroup v2). */
  oomGroups: boolean;
  /** Undefined where memory is not throttled: by default, and on cgroup v1. */
  memoryQos?: MemoryQos;
  quotaPeriodMicros: number;
  enforceQuota: boolean;
  /** Milliseconds between two looks at a pod when nothing happens. */
  syncMs: number;
  event(
    pod: DeepReadonly<Pod>,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    container?: { name: string; field: 'containers' | 'initContainers' | 'ephemeralContainers' },
  ): void;
}
