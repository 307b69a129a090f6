/** What /metrics tells of caches, watches and the store, under upstream's names. Counted as plain numbers, shown when asked. */
import type { Handle, HistogramHandle, MetricsRegistry } from '../../base/metrics.ts';
import type { DeepReadonly } from '../../api/types.ts';
import { API_SERVICES, type APIService } from '../extensions/aggregation/types.ts';
import type { ObjectReader } from '../registry/definition.ts';
import type { ServedResource } from '../registry/catalog.ts';
import type { ResourceStore } from '../registry/resource-store.ts';
import type { Store } from '../storage/store.ts';

const EVENT_BYTES = [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072];
const LIST_SECONDS = [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8, 10, 15, 20, 30, 45, 60];
const TARGET = ['group', 'resource'];

/** What is counted of the events that one served resource sends. */
export interface WatchValues {
  readonly events: Handle;
  readonly sizes: HistogramHandle;
  /** Notes the seconds until a watch that began with a list had sent all of it. */
  listed(scope: 'cluster' | 'namespace' | 'resource', seconds: number): void;
}

/** The counts of a served resource's watches; each is asked for once a watch. */
export function watchMetrics(registry: MetricsRegistry): (served: ServedResource) => WatchValues {
  const labels = ['group', 'version', 'resource'];
  const events = registry.counter('apiserver_watch_events_total', 'Events sent to watchers.', labels);
  const sizes = registry.histogram('apiserver_watch_events_sizes', 'Bytes of events sent.', labels, EVENT_BYTES);
  const lists = registry.histogram(
    'apiserver_watch_list_duration_seconds',
    'Time until watches that begin with a list have sent it.',
    [...labels, 'scope'],
    LIST_SECONDS,
  );
  const known = new Map<string, WatchValues>();
  return ({ group, version, resource }) => {
    const key = `${group}/${version}/${resource}`;
    let v = known.get(key);
    if (!v) {
      const values = [group, version, resource];
      const listed = (scope: string, seconds: number) => lists.observe([...values, scope], seconds);
      known.set(key, (v = { events: events.handle(values), sizes: sizes.handle(values), listed }));
    }
    return v;
  };
}

/** Registers what is stored and cached of each resource, and how its cache is used. */
export function cacheMetrics(registry: MetricsRegistry, stores: ReadonlyMap<string, ResourceStore>): void {
  const objects = registry.gauge('apiserver_storage_objects', 'Stored objects by resource.', ['resource']);
  const byGroup = registry.gauge('apiserver_resource_objects', 'Stored objects by resource.', TARGET);
  const version = registry.gauge('apiserver_watch_cache_resource_version', 'Revision of the cache.', TARGET);
  const counter = (name: string, help: string, more: string[] = []) =>
    registry.counter(name, help, [...TARGET, ...more]);
  const stored = counter('apiserver_storage_events_received_total', 'Changes seen in the store.');
  const received = counter('apiserver_watch_cache_events_received_total', 'Changes taken into the cache.');
  const dispatched = counter('apiserver_watch_cache_events_dispatched_total', 'Changes handed to watchers.');
  const loads = counter('apiserver_watch_cache_initializations_total', 'Times that the cache was filled.');
  const consistent = counter('apiserver_watch_cache_consistent_read_total', 'Consistent reads from the cache.', [
    'success',
    'fallback',
  ]);
  const lists = counter('apiserver_cache_list_total', 'Lists served from the cache.', ['index']);
  const fetched = counter('apiserver_cache_list_fetched_objects_total', 'Objects looked at for lists.', ['index']);
  const returned = counter('apiserver_cache_list_returned_objects_total', 'Objects in lists.');
  registry.onCollect(() => {
    for (const s of stores.values()) {
      if (!s.isOpen) continue;
      const { group, resource } = s.definition;
      const { counts } = s.cache;
      const target = [group, resource];
      objects.set([group === '' ? resource : `${resource}.${group}`], s.cache.size);
      byGroup.set(target, s.cache.size);
      version.set(target, s.cache.revision);
      stored.handle(target).value = counts.received;
      received.handle(target).value = counts.received;
      dispatched.handle(target).value = counts.received;
      loads.handle(target).value = counts.loads;
      consistent.handle([...target, 'true', 'false']).value = counts.consistent;
      lists.handle([...target, '']).value = counts.lists;
      fetched.handle([...target, '']).value = counts.fetched;
      returned.handle(target).value = counts.returned;
    }
  });
}

/** Registers the store's size: as it was at the last scrape, so that a store that is away keeps nobody waiting. */
export function storeSizeMetrics(registry: MetricsRegistry, store: Store): void {
  const size = registry.gauge('apiserver_storage_size_bytes', 'Bytes of the store.', ['storage_cluster_id']);
  let asking = false;
  const ask = () => {
    if (asking) return;
    asking = true;
    store
      .stats()
      .then((s) => size.set(['store-0'], s.sizeBytes))
      .catch(() => {})
      .finally(() => (asking = false));
  };
  ask();
  registry.onCollect(ask);
}

/** Registers which APIServices can't be reached (1) and which can (0). */
export function apiServiceMetrics(registry: MetricsRegistry, reader: ObjectReader): void {
  const name = 'aggregator_unavailable_apiservice';
  const away = registry.gauge(name, 'Whether an APIService is unavailable.', ['name']);
  registry.onCollect(() => {
    away.clear();
    for (const s of reader.list<APIService>(API_SERVICES)) away.set([s.metadata!.name!], isAvailable(s) ? 0 : 1);
  });
}

const isAvailable = (s: DeepReadonly<APIService>) =>
  s.status?.conditions?.some((c) => c.type === 'Available' && c.status === 'True') ?? false;
