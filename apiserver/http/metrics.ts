/** What /metrics tells of requests. */
import type { Clock } from '../../base/clock.ts';
import { MetricsRegistry, processMetrics } from '../../base/metrics.ts';
import type { ChainSeams } from './chain.ts';
import { MethodPaths, type PathRoutes } from './paths.ts';
import type { ApiRequest } from './request.ts';
import { isLongRunning } from './request-info.ts';

const SECONDS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60];
const BYTES = [1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

export interface ServerMetrics {
  readonly registry: MetricsRegistry;
  readonly seam: NonNullable<ChainSeams['metrics']>;
}

/** Registers /metrics and gives the chain what it reports to. */
export function serverMetrics(paths: PathRoutes, clock: Clock): ServerMetrics {
  const registry = new MetricsRegistry();
  processMetrics(registry, clock.now());
  const requests = registry.counter('apiserver_request_total', 'Requests by verb, resource and code.', [
    'code',
    'component',
    'dry_run',
    'group',
    'resource',
    'scope',
    'subresource',
    'verb',
    'version',
  ]);
  const duration = registry.histogram(
    'apiserver_request_duration_seconds',
    'Time to answer in seconds.',
    ['component', 'dry_run', 'group', 'resource', 'scope', 'subresource', 'verb', 'version'],
    SECONDS,
  );
  const sizes = registry.histogram(
    'apiserver_response_sizes',
    'Answer sizes in bytes.',
    ['component', 'group', 'resource', 'scope', 'subresource', 'verb', 'version'],
    BYTES,
  );
  const inFlight = registry.gauge('apiserver_current_inflight_requests', 'Requests being worked on.', ['request_kind']);
  const get = new MethodPaths(paths, ['GET', 'HEAD']);
  get.exact('/metrics', (_request, reply) =>
    reply.send(200, 'text/plain; version=0.0.4; charset=utf-8', Buffer.from(registry.text())),
  );
  return {
    registry,
    seam: {
      observe(request, code, bytes, seconds) {
        const { info } = request;
        if (!info) return;
        const dry = request.rawQuery.includes('dryRun=All') ? 'All' : '';
        const scope = scopeOf(request);
        const verb = info.verb.toUpperCase();
        const tail = [info.apiGroup, info.resource, scope, info.subresource, verb, info.apiVersion];
        requests.add([String(code), 'apiserver', dry, ...tail]);
        if (isLongRunning(info)) return;
        duration.observe(['apiserver', dry, ...tail], seconds);
        if (verb === 'GET' || verb === 'LIST') sizes.observe(['apiserver', ...tail], bytes);
      },
      inFlight: (mutating, delta) => inFlight.add([mutating ? 'mutating' : 'readOnly'], delta),
    },
  };
}

function scopeOf(request: ApiRequest): string {
  const { info } = request;
  if (!info.isResourceRequest) return '';
  if (info.parts.length > 1) return 'resource';
  return info.namespace !== '' ? 'namespace' : 'cluster';
}
