/** The scheduler's figures, by the names that dashboards know. */
import { exponential, type MetricsRegistry } from '../base/metrics.ts';

export type AttemptResult = 'scheduled' | 'unschedulable' | 'error';

export interface Gauges {
  pending: { active: number; backoff: number; unschedulable: number; gated: number };
  nodes: number;
  pods: number;
  assumedPods: number;
  /** Each plugin of each pod that waits because of it. */
  blamed: Iterable<{ plugin: string; profile: string }>;
  /** Labels of the events that are kept for pods being tried. */
  events: Iterable<string>;
}

/** Adds the scheduler's families to the registry; `gauges` is asked when the figures are read. */
export function createMetrics(registry: MetricsRegistry, gauges: () => Gauges) {
  const attempts = registry.counter('scheduler_schedule_attempts_total', 'Attempts to schedule pods, by result.', [
    'profile',
    'result',
  ]);
  const attemptSeconds = registry.histogram(
    'scheduler_scheduling_attempt_duration_seconds',
    'Time of an attempt, binding included.',
    ['profile', 'result'],
    exponential(0.001, 2, 15),
  );
  const algorithmSeconds = registry.histogram(
    'scheduler_scheduling_algorithm_duration_seconds',
    'Time to decide on a node.',
    [],
    exponential(0.001, 2, 15),
  );
  const sli = registry.histogram(
    'scheduler_pod_scheduling_sli_duration_seconds',
    'From seeing a pod to its binding.',
    ['attempts'],
    exponential(0.01, 2, 20),
  );
  const tries = registry.histogram(
    'scheduler_pod_scheduling_attempts',
    'Attempts that bound pods needed.',
    [],
    exponential(1, 2, 5),
  );
  const incoming = registry.counter('scheduler_queue_incoming_pods_total', 'Pods that came into a queue, by event.', [
    'event',
    'queue',
  ]);
  const preemptions = registry.counter('scheduler_preemption_attempts_total', 'Attempts to make room by preemption.');
  const victims = registry.histogram(
    'scheduler_preemption_victims',
    'Pods that had to go for one preemption.',
    [],
    exponential(1, 2, 7),
  );
  const pointSeconds = registry.histogram(
    'scheduler_framework_extension_point_duration_seconds',
    'Time of all plugins at one extension point.',
    ['extension_point', 'profile', 'status'],
    exponential(0.0001, 2, 12),
  );
  const pluginSeconds = registry.histogram(
    'scheduler_plugin_execution_duration_seconds',
    'Time of one call of a plugin, in one attempt of ten.',
    ['extension_point', 'plugin', 'status'],
    exponential(0.00001, 1.5, 20),
  );
  const permitSeconds = registry.histogram(
    'scheduler_permit_wait_duration_seconds',
    'Time that pods waited for permission.',
    ['result'],
    exponential(0.001, 2, 15),
  );
  const unschedulable = registry.gauge(
    'scheduler_unschedulable_pods',
    'Pods that a plugin turned away and that wait; a pod counts for each of its plugins.',
    ['plugin', 'profile'],
  );
  const inFlight = registry.gauge('scheduler_inflight_events', 'Events kept for pods that are being tried.', ['event']);
  const pending = registry.gauge('scheduler_pending_pods', 'Pods that wait, by queue.', ['queue']);
  const cacheSize = registry.gauge('scheduler_cache_size', 'Nodes, pods and assumed pods known.', ['type']);
  registry.onCollect(() => {
    const g = gauges();
    for (const [queue, n] of Object.entries(g.pending)) pending.set([queue], n);
    cacheSize.set(['nodes'], g.nodes);
    cacheSize.set(['pods'], g.pods);
    cacheSize.set(['assumed_pods'], g.assumedPods);
    unschedulable.clear();
    for (const { plugin, profile } of g.blamed) unschedulable.add([plugin, profile]);
    inFlight.clear();
    for (const event of g.events) inFlight.add([event]);
  });
  return {
    attempt(result: AttemptResult, profile: string, seconds: number): void {
      attempts.add([profile, result]);
      attemptSeconds.observe([profile, result], seconds);
    },
    algorithm: (seconds: number) => algorithmSeconds.observe([], seconds),
    bound(seconds: number, count: number): void {
      sli.observe([count >= 16 ? '16+' : String(count)], seconds);
      tries.observe([], count);
    },
    point: (profile: string, point: string, status: string, seconds: number) =>
      pointSeconds.observe([point, profile, status], seconds),
    plugin: (name: string, point: string, status: string, seconds: number) =>
      pluginSeconds.observe([point, name, status], seconds),
    permitted: (result: string, seconds: number) => permitSeconds.observe([result], seconds),
    incoming: (queue: string, event: string) => incoming.add([event, queue]),
    preempted(n: number): void {
      preemptions.add([]);
      if (n > 0) victims.observe([], n);
    },
    text: () => registry.text(),
  };
}
export type Metrics = ReturnType<typeof createMetrics>;
