/**
 * Puts the API server together. `createApp` never listens: it opens the store's caches and answers requests that
 * somebody hands to it; start.ts adds the port.
 */
import type { Duplex } from 'node:stream';
import { createOpenApi, type OpenApi } from '../api/openapi/index.ts';
import { StatusError, pathNotFound } from '../api/status.ts';
import { systemClock, systemIds, systemRand, type Clock, type Ids, type Rand } from '../base/clock.ts';
import { silentLogger, type Logger } from '../base/log.ts';
import { MetricsRegistry } from '../base/metrics.ts';
import type { Authenticator } from './authentication/types.ts';
import type { Authorizer } from './authorization/types.ts';
import { createChain, type Chain, type ChainSeams, type RequestAudit } from './http/chain.ts';
import { apiServiceMetrics, cacheMetrics, storeSizeMetrics, watchMetrics } from './http/cache-metrics.ts';
import { serverMetrics, type ServerMetrics } from './http/metrics.ts';
import type { HealthCheck } from './http/health.ts';
import { registerComponentStatuses } from './http/component-statuses.ts';
import { registerPodHandlers } from './http/pod-handlers.ts';
import { Aggregation } from './http/aggregation.ts';
import { pageNotFound, PathRoutes } from './http/paths.ts';
import type { ApiRequest, Reply } from './http/request.ts';
import { handleResource, type ResourceHandlerDeps } from './http/resource-handler.ts';
import { kindUnknown, namesNoKind, resolveTarget } from './http/target.ts';
import { refuseUpgrade, serveUpgrade } from './http/upgrade.ts';
import { Outbox } from './http/watch.ts';
import { openApiRoutes } from './discovery/openapi.ts';
import { DiscoveryOverlay } from './discovery/overlay.ts';
import { discoveryRoutes, VERSION } from './discovery/routes.ts';
import { zpages } from './discovery/zpages.ts';
import { buildCatalog, type Catalog } from './registry/catalog.ts';
import type { ObjectReader, ResourceDefinition } from './registry/definition.ts';
import type { AdmissionChain, FieldManagers, RegistryDeps } from './registry/operation.ts';
import { createReader, readerKey } from './registry/reader.ts';
import { ResourceStore } from './registry/resource-store.ts';
import { SpecialHandlers } from './registry/special.ts';
import { validationMetrics } from './registry/validation.ts';
import { createWriter, type Writer } from './registry/writer.ts';
import { serveHealth } from './startup/health.ts';
import { ensureSystemNamespaces } from './startup/namespaces.ts';
import { allResources } from './resources/index.ts';
import { createServiceAllocator, type ServiceAllocator } from './resources/services/index.ts';
import { startFlowControl } from './flowcontrol/start.ts';
import type { Tracer } from './tracing/tracer.ts';
import { storeMeter } from './storage/measured.ts';
import { createMemoryStore } from './storage/memory/store.ts';
import type { ResourceCache } from './storage/cache.ts';
import type { Store } from './storage/store.ts';
import { createWatchCache } from './storage/watch-cache.ts';

/** What the parts that are plugged in may use. */
export interface AppParts {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly rand: Rand;
  readonly logger: Logger;
  readonly store: Store;
  /** What /metrics shows. */
  readonly families: MetricsRegistry;
  readonly catalog: Catalog;
  readonly reader: ObjectReader;
  /** By `group/resource` (`pods`, `apps/deployments`). */
  readonly stores: ReadonlyMap<string, ResourceStore>;
  /** The cache of a resource by the same key. */
  cacheOf(resource: string): ResourceCache | undefined;
  readonly special: SpecialHandlers;
  readonly paths: PathRoutes;
  /** Opens the storage of a resource at run time (custom resources); resolves when its objects are loaded. */
  openStore(definition: ResourceDefinition): Promise<ResourceStore>;
  /** Ends its watches and forgets it. */
  closeStore(store: ResourceStore): void;
  /** Custom resources are made known to it. */
  readonly openapi: OpenApi;
  /** Priorities of groups, and what other servers serve. */
  readonly discovery: DiscoveryOverlay;
  /** Requests that other servers answer. */
  readonly aggregation: Aggregation;
}

/** What makes requests safe: built once the caches are open. */
export interface Security extends ChainSeams {
  authenticator: Authenticator;
  authorizer: Authorizer;
  admission: AdmissionChain;
  fields?: FieldManagers;
  close?(): void;
}

export interface AppOptions {
  clock?: Clock;
  ids?: Ids;
  rand?: Rand;
  logger?: Logger;
  /** Defaults to a fresh memory store. */
  store?: Store;
  /** Defaults to all built-in resources. */
  definitions?: readonly ResourceDefinition[];
  security(parts: AppParts): Promise<Security> | Security;
  /** Registers what else answers under special subresources (log, exec, proxy). */
  handlers?(parts: AppParts): void;
  /** --service-cluster-ip-range, one or two ranges; defaults to 10.0.0.0/24. */
  serviceCidrs?: readonly string[];
  /** --service-node-port-range, both inclusive; defaults to 30000-32767. */
  serviceNodePorts?: readonly [number, number];
  /** Runs before the server is ready; each is a readiness check under its name. */
  hooks?: readonly StartHook[];
  /** Follows requests for the audit log; whoever made it closes it. */
  audit?: RequestAudit;
  /** More that must be well for the server to be (KMS plugins). */
  checks?: readonly HealthCheck[];
  /** Seconds that a watch lasts at least when it names no timeout; defaults to 1800. */
  minRequestTimeoutSeconds?: number;
  requestTimeoutSeconds?: number;
  /** --enable-priority-and-fairness; defaults to true. */
  priorityAndFairness?: boolean;
  /** Follows requests for traces; whoever made it closes it. */
  tracer?: Tracer;
  /** With fair queuing the two are added up to the seats of the server; defaults to 400 and 200. */
  maxRequestsInFlight?: number;
  maxMutatingRequestsInFlight?: number;
  proxyUserHeaders?: readonly string[];
  /** The server's flags with their values, for /flagz. Defaults to none. */
  flags?(): Readonly<Record<string, string>>;
  /** Between watch bookmarks, in milliseconds; defaults to 60,000. */
  bookmarkMs?: number;
  /** Events that are kept for watches that resume; defaults to 100,000. */
  historyEvents?: number;
  /** Bytes that may wait for one watcher before it is cut off; defaults to 16 MiB. */
  maxWatchBytes?: number;
}

/** Work that is over before the server is ready; a health check each, under upstream's names. */
export interface StartHook {
  readonly name: string;
  /** Hooks of upstream whose work this one does too. */
  readonly also?: readonly string[];
  /** Checks of upstream that are no hooks, and hold when this is over. */
  readonly checks?: readonly string[];
  run(app: App): Promise<void>;
}

export interface App extends AppParts {
  readonly registry: RegistryDeps;
  /** Writes as the server itself. */
  readonly writer: Writer;
  readonly chain: Chain;
  readonly resources: ResourceHandlerDeps;
  readonly metrics: ServerMetrics;
  /** Runs `fn` when the server stops, before its caches are closed. */
  onClose(fn: () => Promise<void> | void): void;
  handle(request: ApiRequest, reply: Reply): Promise<void>;
  upgrade(request: ApiRequest, socket: Duplex, head: Buffer): Promise<void>;
  /** Runs the start-up hooks; the server isn't ready before. */
  bootstrap(): Promise<void>;
  /** Readiness fails from now on. */
  beginShutdown(): void;
  /** Ends all watches as if their time were up. */
  endWatches(): void;
  /** Ends watches, caches and, when it was made here, the store. */
  close(): Promise<void>;
}

/** Everything of an API server but the port. */
export async function createApp(options: AppOptions): Promise<App> {
  const clock = options.clock ?? systemClock;
  const ids = options.ids ?? systemIds;
  const rand = options.rand ?? systemRand;
  const logger = options.logger ?? silentLogger;
  const store = options.store ?? createMemoryStore({ clock });
  const cache = createWatchCache({
    store,
    clock,
    logger,
    bookmarkMs: options.bookmarkMs,
    historyEvents: options.historyEvents,
  });
  const families = new MetricsRegistry();
  const measured = storeMeter(families, clock, options.tracer);
  const stores = new Map<string, ResourceStore>();
  let services: ServiceAllocator | undefined;
  const definitions = options.definitions ?? allResources({ services: () => services! });
  const storeOf = (d: ResourceDefinition) => {
    const key = readerKey(d.group, d.resource);
    let s = stores.get(key);
    if (!s) stores.set(key, (s = new ResourceStore(d, measured(store, d.group, d.resource), cache)));
    return s;
  };
  const catalog = buildCatalog(definitions, storeOf);
  const special = new SpecialHandlers();
  const paths = new PathRoutes();
  await Promise.all([...stores.values()].map((s) => openStore(s, cache)));
  const reader = createReader(stores);
  const parts: AppParts = {
    clock,
    ids,
    rand,
    logger,
    store,
    families,
    catalog,
    reader,
    stores,
    cacheOf: (resource) => stores.get(resource)?.cache,
    async openStore(definition) {
      const { group, resource } = definition;
      const opened = new ResourceStore(definition, measured(store, group, resource), cache);
      await openStore(opened, cache);
      stores.set(readerKey(definition.group, definition.resource), opened);
      return opened;
    },
    closeStore(old) {
      const { group, resource } = old.definition;
      if (stores.get(readerKey(group, resource)) === old) stores.delete(readerKey(group, resource));
      cache.removeResource(old.prefix);
    },
    special,
    paths,
    openapi: createOpenApi({ version: VERSION.gitVersion }),
    discovery: new DiscoveryOverlay(),
    aggregation: new Aggregation(),
  };
  const security = await options.security(parts);
  const registry: RegistryDeps = {
    clock,
    ids,
    rand,
    logger,
    catalog,
    reader,
    admission: security.admission,
    authorizer: security.authorizer,
    fields: security.fields,
    validationBroke: validationMetrics(families),
  };
  const writer = createWriter(registry);
  services = createServiceAllocator({
    reader,
    writer,
    rand,
    cidrs: options.serviceCidrs ?? ['10.0.0.0/24'],
    nodePorts: options.serviceNodePorts,
  });
  const hooks: StartHook[] = [
    {
      name: 'start-system-namespaces-controller',
      // all caches are loaded and admission is made before the first hook
      also: ['storage-readiness', 'generic-apiserver-start-informers', 'start-apiserver-admission-initializer'],
      run: () => ensureSystemNamespaces(reader, writer),
    },
    ...(options.hooks ?? []),
  ];
  const stopping = new AbortController();
  const resources: ResourceHandlerDeps = {
    catalog,
    registry,
    special,
    watch: {
      clock,
      rand,
      minRequestTimeoutSeconds: options.minRequestTimeoutSeconds ?? 1800,
      maxPendingBytes: options.maxWatchBytes,
      metrics: watchMetrics(families),
      outbox: new Outbox(clock),
      stopping: stopping.signal,
    },
  };

  registerComponentStatuses(special, store, catalog);
  registerPodHandlers(special, registry, stores, writer);
  options.handlers?.(parts);
  const route = (request: ApiRequest, reply: Reply): Promise<void> | void => {
    if (request.path.startsWith('//')) return pageNotFound(reply);
    const elsewhere = parts.aggregation.find(request.path);
    if (elsewhere) return elsewhere.handle(request, reply);
    if (!request.info.isResourceRequest) return paths.serve(request, reply);
    const { apiGroup, apiVersion, resource } = request.info;
    if (namesNoKind(request.info)) return kindUnknown(request, reply);
    if (!catalog.get(apiGroup, apiVersion, resource) && !catalog.hasBuiltinGroup(apiGroup)) return pageNotFound(reply);
    return handleResource(resources, request, reply, resolveTarget(catalog, request));
  };
  const metrics = serverMetrics(families, paths, clock, catalog, {
    read: options.maxRequestsInFlight ?? 400,
    write: options.maxMutatingRequestsInFlight ?? 200,
  });
  cacheMetrics(families, stores);
  storeSizeMetrics(families, store);
  apiServiceMetrics(families, reader);
  const audit = options.audit ?? security.audit;
  if (audit?.metrics) audit.metrics(families);
  else families.counter('apiserver_audit_event_total', 'Audit events that were made.').handle([]);
  const fairness =
    options.priorityAndFairness === false
      ? undefined
      : startFlowControl({
          parts,
          writer,
          metrics: metrics.registry,
          totalSeats: (options.maxRequestsInFlight ?? 400) + (options.maxMutatingRequestsInFlight ?? 200),
          requestTimeoutMs: (options.requestTimeoutSeconds ?? 60) * 1000,
        });
  const pending = new Set(hooks.map((h) => h.name));
  const chain = createChain({
    ...security,
    fairness,
    tracer: options.tracer,
    audit: options.audit ?? security.audit,
    metrics: security.metrics ?? metrics.seam,
    clock,
    ids,
    logger,
    requestTimeoutSeconds: options.requestTimeoutSeconds,
    maxRequestsInFlight: options.maxRequestsInFlight,
    maxMutatingRequestsInFlight: options.maxMutatingRequestsInFlight,
    proxyUserHeaders: options.proxyUserHeaders,
    starting: () => pending.size > 0,
    route,
  });

  const closers: (() => Promise<void> | void)[] = [];
  let shuttingDown = false;
  serveHealth(paths, {
    store,
    cache,
    hooks,
    pending,
    checks: options.checks ?? [],
    shuttingDown: () => shuttingDown,
  });
  discoveryRoutes(paths, catalog, parts.discovery);
  openApiRoutes(paths, parts.openapi);
  zpages(paths, clock, () => options.flags?.() ?? {});

  const app: App = {
    ...parts,
    registry,
    writer,
    chain,
    resources,
    metrics,
    onClose: (fn) => void closers.push(fn),
    handle: (request, reply) => chain.handle(request, reply),
    async upgrade(request, socket, head) {
      try {
        await chain.admitUpgrade(request);
        const elsewhere = parts.aggregation.find(request.path);
        if (elsewhere) await elsewhere.upgrade(request, socket, head);
        else if (!request.info.isResourceRequest) throw pathNotFound();
        else await serveUpgrade(resources, request, socket, head);
        options.audit?.upgraded(request, socket);
      } catch (error) {
        options.audit?.refused(request, error instanceof StatusError ? error.code : 500);
        refuseUpgrade(socket, error instanceof StatusError ? error : undefined);
        if (!(error instanceof StatusError)) logger.error('upgrade failed', { path: request.path, error });
      }
    },
    async bootstrap() {
      for (const h of hooks) {
        await h.run(app);
        pending.delete(h.name);
      }
    },
    beginShutdown() {
      shuttingDown = true;
    },
    endWatches: () => stopping.abort(new Error('the server is shutting down')),
    async close() {
      app.endWatches();
      for (const fn of closers.reverse()) await fn();
      fairness?.close();
      security.close?.();
      await cache.close();
      if (!options.store) await store.close();
    },
  };
  return app;
}

async function openStore(s: ResourceStore, cache: ReturnType<typeof createWatchCache>): Promise<void> {
  const d = s.definition;
  s.open(
    await cache.resource({
      prefix: s.prefix,
      namespaced: d.namespaced,
      fields: d.selectableFields as ((object: never) => Record<string, string>) | undefined,
      indexedFields: d.indexedFields,
    }),
  );
}
