/** Which checks stand behind /healthz, /livez and /readyz. */
import type { StartHook } from '../app.ts';
import { healthMetrics, healthRoutes, type HealthCheck } from '../http/health.ts';
import type { PathRoutes } from '../http/paths.ts';
import type { WatchCache } from '../storage/cache.ts';
import type { Store } from '../storage/store.ts';

/** What the checks look at. */
export interface HealthInput {
  readonly store: Store;
  readonly cache: Pick<WatchCache, 'ready'>;
  readonly hooks: readonly StartHook[];
  /** Names of the hooks that aren't over. */
  readonly pending: ReadonlySet<string>;
  /** More that must be well. */
  readonly checks: readonly HealthCheck[];
  shuttingDown(): boolean;
}

/** Registers the three groups of checks. */
export function serveHealth(paths: PathRoutes, input: HealthInput): void {
  const ping: HealthCheck = { name: 'ping', check() {} };
  const storage: HealthCheck = { name: 'etcd', check: () => input.store.ping() };
  const log: HealthCheck = { name: 'log', check() {} };
  const hookChecks: HealthCheck[] = input.hooks.flatMap((h) =>
    [...[h.name, ...(h.also ?? [])].map((name) => `poststarthook/${name}`), ...(h.checks ?? [])].map((name) => ({
      name,
      check() {
        if (input.pending.has(h.name)) throw new Error('not finished');
      },
    })),
  );
  const informers: HealthCheck = {
    name: 'informer-sync',
    check() {
      if (!input.cache.ready) throw new Error('the caches are not loaded');
    },
  };
  const shutdown: HealthCheck = {
    name: 'shutdown',
    check() {
      if (input.shuttingDown()) throw new Error('process is shutting down');
    },
  };
  const noted = healthMetrics(paths);
  healthRoutes(paths, '/healthz', () => [ping, log, storage, ...input.checks, ...hookChecks], noted);
  healthRoutes(paths, '/livez', () => [ping, log, storage, ...hookChecks], noted);
  healthRoutes(
    paths,
    '/readyz',
    () => [ping, log, storage, informers, ...input.checks, ...hookChecks, shutdown],
    noted,
  );
}
