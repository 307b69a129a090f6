/** Requests to the kubelet's server, counted by path. */
import type { Clock } from '../../base/clock.ts';
import { DEFAULT_SECONDS, type MetricsRegistry } from '../../base/metrics.ts';

const LABELS = ['long_running', 'method', 'path', 'server_type'] as const;
/** Those that last as long as somebody wants. */
const LONG = new Set(['exec', 'attach', 'portForward']);
const METHODS = new Set(['DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST', 'PUT']);
const PAGES = new Set(['metrics/cadvisor', 'metrics/probes', 'metrics/resource']);

/** Called when a request begins; what it returns, at its end. `known` says whether the first part of the path is served. */
export function createServerMetrics(registry: MetricsRegistry, clock: Clock, known: (first: string) => boolean) {
  const requests = registry.counter('kubelet_http_requests_total', 'Requests, by path and method.', LABELS);
  const seconds = registry.histogram(
    'kubelet_http_requests_duration_seconds',
    'Seconds that requests took.',
    LABELS,
    DEFAULT_SECONDS,
  );
  const inFlight = registry.gauge('kubelet_http_inflight_requests', 'Requests under way.', LABELS);
  return (method: string, first: string, second: string | undefined): (() => void) => {
    const page = `${first}/${second}`;
    const path = PAGES.has(page) ? page : known(first) ? first : 'other';
    const labels = [String(LONG.has(first)), METHODS.has(method) ? method : 'other', path, 'readwrite'];
    const began = clock.monotonic();
    requests.add(labels);
    inFlight.add(labels);
    return () => {
      inFlight.add(labels, -1);
      seconds.observe(labels, (clock.monotonic() - began) / 1000);
    };
  };
}
