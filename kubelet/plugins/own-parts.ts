/** Puts together what gives containers parts of the node for themselves: CPUs, memory, and both from the same NUMA nodes. */
import { join } from 'node:path';
import { formatCpus, parseCpus } from '../cpus/cpuset.ts';
import { createCpuManager, type CpuManager } from '../cpus/manager.ts';
import { cpuOptions } from '../cpus/options.ts';
import { readCpus } from '../cpus/topology.ts';
import { checkReserved, createMemoryManager, type MemoryManager } from '../memory/manager.ts';
import { threshold } from '../node/status.ts';
import type { PodManager } from '../pods/manager.ts';
import { milliCpu, wholeValue } from '../quantity.ts';
import { createTopologyManager, type HintProvider, type TopologyManager } from '../topology/manager.ts';
import { readNumaNodes, type NumaNode } from '../topology/numa.ts';
import type { PluginInput } from './start.ts';

/** Pods that have not ended, by UID. */
export const living = (manager: PodManager | undefined) =>
  (manager?.workers() ?? []).filter((w) => w.phase === 'syncing' || w.phase === 'terminating');

/** Undefined unless containers are to have CPUs of their own. */
export function createCpus(input: PluginInput, numa: readonly NumaNode[]): CpuManager | undefined {
  const { config, runtime, logger } = input;
  const options = cpuOptions(config);
  if (config.cpuManagerPolicy !== 'static') return undefined;
  const cpus = readCpus(numa);
  const milli = milliCpu(config.kubeReserved['cpu']) + milliCpu(config.systemReserved['cpu']);
  const reserved = config.reservedSystemCPUs
    ? parseCpus(config.reservedSystemCPUs)
    : cpus.slice(0, Math.ceil(milli / 1000)).map((c) => c.id);
  if (reserved.length === 0)
    throw new Error('the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero');
  logger.info('CPUs are given to containers', { reserved: formatCpus(reserved) });
  const manager: CpuManager = createCpuManager({
    file: join(input.rootDir, 'cpu_manager_state'),
    cpus,
    numa,
    reserved,
    options,
    sharedChanged() {
      for (const w of living(input.manager()))
        for (const c of w.state.containers)
          if (c.state === 'CONTAINER_RUNNING' && manager.exclusive(w.uid, c.name).length === 0)
            runtime
              .updateContainerResources(c.id, { cpuset_cpus: manager.cpuset(w.uid, c.name) })
              .catch((error: unknown) => logger.warn('cpuset not changed', { container: c.id, error: String(error) }));
    },
  });
  const { metrics } = input;
  metrics?.parts.cpus(
    () => ({
      shared: parseCpus(manager.cpuset('', '')),
      exclusive: [
        ...new Set(
          living(input.manager()).flatMap((w) =>
            [...(w.pod.spec!.initContainers ?? []), ...w.pod.spec!.containers].flatMap((c) =>
              manager.exclusive(w.uid, c.name),
            ),
          ),
        ),
      ],
    }),
    numa,
  );
  const serves = (uid: string, name: string) => manager.exclusive(uid, name).length > 0;
  return metrics ? metrics.parts.provider('cpu', manager, serves) : manager;
}

/** The machine's NUMA nodes; one for all where the kernel knows of none. */
export function numaNodes(input: Pick<PluginInput, 'memoryBytes'>): NumaNode[] {
  const found = readNumaNodes();
  if (found.length > 0) return found;
  const cpus = readCpus().map((c) => c.id);
  return [{ id: 0, cpus, memory: input.memoryBytes, hugePages: [], distances: [10] }];
}

/** Undefined unless containers are to have their memory from named nodes. */
export function createMemory(input: PluginInput, numa: readonly NumaNode[]): MemoryManager | undefined {
  const { config } = input;
  if (config.memoryManagerPolicy !== 'Static') return undefined;
  const kept: Record<string, number> = {};
  for (const list of [config.systemReserved, config.kubeReserved])
    for (const [k, v] of Object.entries(list))
      if (k === 'memory' || k.startsWith('hugepages-')) kept[k] = (kept[k] ?? 0) + wholeValue(v);
  const hard = threshold(config.evictionHard['memory.available'], input.memoryBytes);
  if (hard > 0) kept['memory'] = (kept['memory'] ?? 0) + hard;
  checkReserved(
    config.reservedMemory,
    numa.map((n) => n.id),
    kept,
  );
  const manager = createMemoryManager({
    file: join(input.rootDir, 'memory_manager_state'),
    numa,
    reserved: config.reservedMemory,
  });
  const serves = (uid: string, name: string) => manager.blocks(uid, name).length > 0;
  return input.metrics ? input.metrics.parts.provider('memory', manager, serves) : manager;
}

/** Upstream's bound: the sets of nodes that are tried double with each. */
const MAX_NODES = 8;

export function createTopology(
  { config, metrics }: Pick<PluginInput, 'config' | 'metrics'>,
  numa: readonly NumaNode[],
  from: readonly (HintProvider | undefined)[],
): TopologyManager {
  const { topologyManagerPolicy: policy, topologyManagerPolicyOptions: given } = config;
  const most = Number(given['max-allowable-numa-nodes'] ?? MAX_NODES);
  if (policy !== 'none' && numa.length > most)
    throw new Error(`unsupported on machines with more than ${most} NUMA Nodes`);
  const providers = from.filter((p) => p !== undefined);
  const manager = createTopologyManager({
    merger: { policy, numa, closest: given['prefer-closest-numa-nodes'] === 'true' },
    scope: config.topologyManagerScope,
    providers,
  });
  return metrics ? metrics.parts.topology(manager, providers) : manager;
}
