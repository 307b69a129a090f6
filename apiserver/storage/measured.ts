/** Counts and times what one resource asks of the store, under the names of etcd's clients. */
import type { Clock } from '../../base/clock.ts';
import type { Handle, HistogramHandle, MetricsRegistry } from '../../base/metrics.ts';
import type { Store } from './store.ts';

const SECONDS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60];
const LIST = ['group', 'resource'];
const LABELS = ['operation', 'group', 'resource'];

/** Follows pieces of work within the trace of a request. */
export interface WorkTracer {
  child(name: string, attributes: Readonly<Record<string, string>>): { end(error?: unknown): void } | undefined;
}

/** Makes views of a store that count for a resource each. */
export function storeMeter(registry: MetricsRegistry, clock: Clock, tracer?: WorkTracer) {
  const requests = registry.counter('etcd_requests_total', 'Requests to the store.', LABELS);
  const errors = registry.counter('etcd_request_errors_total', 'Requests to the store that failed.', LABELS);
  const times = registry.histogram('etcd_request_duration_seconds', 'Time of requests to the store.', LABELS, SECONDS);
  const counter = (name: string, help: string) => registry.counter(`apiserver_storage_list_${name}total`, help, LIST);
  const lists = counter('', 'Lists read from the store.');
  const fetched = counter('fetched_objects_', 'Objects read from the store for lists.');
  const evaluated = counter('evaluated_objects_', 'Objects of lists from the store that were looked at.');
  const returned = counter('returned_objects_', 'Objects of lists from the store that were given on.');

  return (store: Store, group: string, resource: string): Store => {
    const values = new Map<string, { count: Handle; time: HistogramHandle }>();
    const run = async <T>(operation: string, work: () => Promise<T>): Promise<T> => {
      const labels = [operation, group, resource];
      let v = values.get(operation);
      if (!v) values.set(operation, (v = { count: requests.handle(labels), time: times.handle(labels) }));
      v.count.value++;
      const start = clock.monotonic();
      const span = tracer?.child(`store ${operation}`, { 'k8s.group': group, 'k8s.resource': resource });
      let failed: unknown;
      try {
        return await work();
      } catch (error) {
        failed = error;
        errors.add(labels);
        throw error;
      } finally {
        span?.end(failed);
        v.time.observe((clock.monotonic() - start) / 1000);
      }
    };
    return {
      get: (...a) => run('get', () => store.get(...a)),
      async list(...a) {
        const list = await run('list', () => store.list(...a));
        lists.add([group, resource]);
        for (const c of [fetched, evaluated, returned]) c.add([group, resource], list.items.length);
        return list;
      },
      create: (...a) => run('create', () => store.create(...a)),
      update: (...a) => run('update', () => store.update(...a)),
      delete: (...a) => run('delete', () => store.delete(...a)),
      watch: (...a) => store.watch(...a),
      stale: store.stale && ((key) => store.stale!(key)),
      compact: (revision) => store.compact(revision),
      currentRevision: () => store.currentRevision(),
      stats: () => store.stats(),
      ping: () => store.ping(),
      close: () => store.close(),
    };
  };
}
