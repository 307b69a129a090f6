/** What clients and work queues count, under the names that dashboards know (`rest_client_*`, `workqueue_*`). */
import type { Clock } from '../base/clock.ts';
import { exponential, type Handle, type HistogramHandle, type MetricsRegistry } from '../base/metrics.ts';

/** Counts the answers to a client's plain requests. */
export interface RequestMetrics {
  /** Called before a request; what it returns, at its end: with the HTTP code, or `<error>` when no answer came. */
  begin(method: string, host: string): (code: number | '<error>') => void;
}

const REQUEST_BOUNDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];

/** The families of requests; one for all clients of a program. */
export function createRequestMetrics(registry: MetricsRegistry, clock: Clock): RequestMetrics {
  const seconds = registry.histogram(
    'rest_client_request_duration_seconds',
    'Seconds until the API server answered, by method and host.',
    ['host', 'verb'],
    REQUEST_BOUNDS,
  );
  const requests = registry.counter('rest_client_requests_total', 'Requests, by code, method and host.', [
    'code',
    'host',
    'method',
  ]);
  return {
    begin(method, host) {
      const began = clock.monotonic();
      return (code) => {
        seconds.observe([host, method], (clock.monotonic() - began) / 1000);
        requests.add([String(code), host, method]);
      };
    },
  };
}

/** What a work queue tells of itself when it is asked. */
export interface QueueState {
  /** Keys that wait. */
  readonly length: number;
  /** For how many seconds each key that is worked on has been. */
  working(): Iterable<number>;
}

/** What a work queue counts as it happens. */
export interface QueueCounts {
  readonly adds: Handle;
  readonly retries: Handle;
  /** Seconds a key waited, and was worked on. */
  readonly waited: HistogramHandle;
  readonly worked: HistogramHandle;
}

export interface WorkQueueMetrics {
  /** Shows the queue from now on, in place of an earlier one of that name. */
  follow(name: string, queue: QueueState): QueueCounts;
}

const QUEUE_BOUNDS = exponential(1e-8, 10, 10);

/** The families of work queues; one for all queues of a program. */
export function createWorkQueueMetrics(registry: MetricsRegistry): WorkQueueMetrics {
  const by = ['name'];
  const adds = registry.counter('workqueue_adds_total', 'Keys added.', by);
  const depth = registry.gauge('workqueue_depth', 'Keys that wait.', by);
  const longest = registry.gauge(
    'workqueue_longest_running_processor_seconds',
    'For how long the key that takes longest has been worked on.',
    by,
  );
  const waited = registry.histogram('workqueue_queue_duration_seconds', 'Seconds keys waited.', by, QUEUE_BOUNDS);
  const retries = registry.counter('workqueue_retries_total', 'Keys that were put back for later.', by);
  const unfinished = registry.gauge(
    'workqueue_unfinished_work_seconds',
    'Seconds of work in progress, of all keys together.',
    by,
  );
  const worked = registry.histogram(
    'workqueue_work_duration_seconds',
    'Seconds keys were worked on.',
    by,
    QUEUE_BOUNDS,
  );
  const queues = new Map<string, QueueState>();
  registry.onCollect(() => {
    for (const [name, queue] of queues) {
      const seconds = [...queue.working()];
      depth.set([name], queue.length);
      longest.set([name], Math.max(0, ...seconds));
      unfinished.set(
        [name],
        seconds.reduce((a, b) => a + b, 0),
      );
    }
  });
  return {
    follow(name, queue) {
      queues.set(name, queue);
      const at = [name];
      return {
        adds: adds.handle(at),
        retries: retries.handle(at),
        waited: waited.handle(at),
        worked: worked.handle(at),
      };
    },
  };
}
