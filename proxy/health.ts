/** Health endpoints: the proxy's own (/healthz, /livez) and one per Service with a healthCheckNodePort; its metrics. */
import http from 'node:http';
import type { Logger } from '../base/log.ts';
import { processMetrics, type MetricsRegistry } from '../base/metrics.ts';
import type { ServicePort } from './rules/model.ts';

export interface HealthServer {
  update(ports: readonly ServicePort[]): void;
  close(): Promise<void>;
}

const listen = (handler: http.RequestListener, port: number, host: string | undefined, logger: Logger): http.Server => {
  const server = http.createServer(handler);
  server.on('error', (error) => logger.error('health endpoint', { port, error }));
  return server.listen(port, host);
};

/** Answers on each healthCheckNodePort how many local backends its Service has: 200 with some, 503 with none. */
export function createServiceHealth(nodeName: string, logger: Logger): HealthServer {
  const servers = new Map<number, { server: http.Server; counts: Map<string, number> }>();
  return {
    update(ports) {
      const wanted = new Map<number, ServicePort[]>();
      for (const p of ports)
        if (p.healthCheckNodePort) wanted.set(p.healthCheckNodePort, [...(wanted.get(p.healthCheckNodePort) ?? []), p]);
      for (const [port, s] of servers)
        if (!wanted.has(port)) {
          s.server.close();
          servers.delete(port);
        }
      for (const [port, list] of wanted) {
        // those that end still get traffic when there are no others, but shall not be sent any more
        const counts = new Map(
          list.map((p) => [p.id, p.backends.filter((b) => b.ready && b.node === nodeName).length]),
        );
        const have = servers.get(port);
        if (have) {
          have.counts = counts;
          continue;
        }
        const { namespace, name } = list[0]!;
        const entry = { counts, server: undefined as unknown as http.Server };
        entry.server = listen(
          (_req, res) => {
            const localEndpoints = Math.max(0, ...entry.counts.values());
            const body = JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy: true });
            res.writeHead(localEndpoints > 0 ? 200 : 503, {
              'Content-Type': 'application/json',
              'X-Content-Type-Options': 'nosniff',
              'X-Load-Balancing-Endpoint-Weight': String(localEndpoints),
            });
            res.end(body);
          },
          port,
          undefined,
          logger,
        );
        servers.set(port, entry);
      }
    },
    async close() {
      await Promise.all([...servers.values()].map((s) => new Promise((resolve) => s.server.close(resolve))));
      servers.clear();
    },
  };
}

/** The proxy's own health: 503 when a change has waited for long. */
export function createProxyHealth(options: {
  port: number;
  host: string;
  healthy(): { ok: boolean; lastUpdated: number; now: number };
  registry: MetricsRegistry;
  logger: Logger;
}): http.Server {
  const answers = new Map(
    ['healthz', 'livez'].map((page) => [
      `/${page}`,
      options.registry.counter(`kubeproxy_proxy_${page}_total`, `Answers of /${page}, by code.`, ['code']),
    ]),
  );
  return listen(
    (req, res) => {
      const counter = answers.get(req.url ?? '');
      if (!counter) return void res.writeHead(404).end();
      const h = options.healthy();
      const code = h.ok ? 200 : 503;
      counter.add([String(code)]);
      const time = (ms: number) => new Date(ms).toISOString();
      res.writeHead(code, { 'Content-Type': 'application/json' });
      res.end(JSON.stringify({ lastUpdated: time(h.lastUpdated), currentTime: time(h.now) }));
    },
    options.port,
    options.host,
    options.logger,
  );
}

/** What the proxy tells of itself: /metrics, /proxyMode, /healthz. */
export function createProxyMetrics(options: {
  port: number;
  host: string;
  registry: MetricsRegistry;
  startedAt: number;
  logger: Logger;
}): http.Server {
  const { registry } = options;
  processMetrics(registry, options.startedAt);
  const pages: Record<string, () => string> = {
    '/metrics': () => registry.text(),
    '/proxyMode': () => 'nftables',
    '/healthz': () => 'ok',
  };
  return listen(
    (req, res) => {
      const page = pages[(req.url ?? '').split('?')[0]!];
      if (!page) return void res.writeHead(404).end();
      res.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' });
      res.end(page());
    },
    options.port,
    options.host,
    options.logger,
  );
}
