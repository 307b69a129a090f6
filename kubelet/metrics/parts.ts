/** What the managers of CPUs, memory and NUMA nodes gave to pods, and could not give. */
import type { Clock } from '../../base/clock.ts';
import { exponential, type Counter, type MetricsRegistry } from '../../base/metrics.ts';
import type { HintProvider, TopologyManager } from '../topology/manager.ts';

/** Milliseconds. */
const ALIGN_BOUNDS = exponential(0.05, 2, 15);

/** CPUs by their numbers. */
export interface CpuFigures {
  shared: readonly number[];
  exclusive: readonly number[];
}

export interface PartMetrics {
  /** Counts the containers that a manager of CPUs or memory serves; `serves` says whether one has something of it. */
  provider<M extends HintProvider>(of: 'cpu' | 'memory', manager: M, serves: (uid: string, name: string) => boolean): M;
  /** Counts and times the pods that get something of the providers, or do not. */
  topology(manager: TopologyManager, providers: readonly HintProvider[]): TopologyManager;
  /** Shows the CPUs that all share and those that are somebody's own. */
  cpus(figures: () => CpuFigures, nodes: readonly { readonly id: number; readonly cpus: readonly number[] }[]): void;
}

/** Adds families for the managers that are there, as they are named. */
export function createPartMetrics(registry: MetricsRegistry, clock: Clock): PartMetrics {
  const counter = (name: string, help: string): Counter => {
    const c = registry.counter(`kubelet_${name}`, help);
    c.handle([]);
    return c;
  };
  return {
    provider(of, manager, serves) {
      const requests = counter(
        `${of}_manager_pinning_requests_total`,
        `Containers that were to have ${of} of their own.`,
      );
      const errors = counter(
        `${of}_manager_pinning_errors_total`,
        `Containers that could not have ${of} of their own.`,
      );
      return {
        ...manager,
        allocate(pod, container, nodes) {
          const uid = pod.metadata!.uid!;
          const had = serves(uid, container.name);
          try {
            const done = manager.allocate(pod, container, nodes);
            if (!had && serves(uid, container.name)) requests.add([]);
            return done;
          } catch (error) {
            requests.add([]);
            errors.add([]);
            throw error;
          }
        },
      };
    },
    topology(manager, providers) {
      const requests = counter(
        'topology_manager_admission_requests_total',
        'Pods that were to have parts of the node.',
      );
      const errors = counter('topology_manager_admission_errors_total', 'Pods that could not have parts of the node.');
      const ms = registry.histogram(
        'kubelet_topology_manager_admission_duration_ms',
        'Milliseconds to give a pod its parts of the node.',
        [],
        ALIGN_BOUNDS,
      );
      return {
        async allocate(pod) {
          const has = () => providers.some((p) => p.has(pod.metadata!.uid!));
          const had = has();
          const began = clock.monotonic();
          let failed = true;
          try {
            await manager.allocate(pod);
            failed = false;
          } finally {
            if (failed || (!had && has())) {
              requests.add([]);
              if (failed) errors.add([]);
              ms.observe([], clock.monotonic() - began);
            }
          }
        },
      };
    },
    cpus(figures, nodes) {
      const shared = registry.gauge(
        'kubelet_cpu_manager_shared_pool_size_millicores',
        'Thousandths of CPUs that containers share.',
      );
      const exclusive = registry.gauge(
        'kubelet_cpu_manager_exclusive_cpu_allocation_count',
        'CPUs that are of one container alone.',
      );
      const perNode = registry.gauge('kubelet_cpu_manager_allocation_per_numa', 'The same by NUMA node.', [
        'numa_node',
      ]);
      registry.onCollect(() => {
        const now = figures();
        shared.set([], now.shared.length * 1000);
        exclusive.set([], now.exclusive.length);
        for (const n of nodes) perNode.set([String(n.id)], now.exclusive.filter((c) => n.cpus.includes(c)).length);
      });
    },
  };
}
