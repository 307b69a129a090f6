/** /healthz, /livez and /readyz: named checks, each on its own path too. */
import { MetricsRegistry } from '../../base/metrics.ts';
import type { ApiRequest, Reply } from './request.ts';
import { pageNotFound, type PathRoutes } from './paths.ts';

/** A named check; it fails by throwing, the reason is logged and not shown. */
export interface HealthCheck {
  readonly name: string;
  check(): Promise<void> | void;
}

/** Hears how each check of a path went. */
export type CheckSeen = (path: string, check: string, ok: boolean) => void;

/** Counts what checks say, for /metrics/slis (KEP-3466). */
export function healthMetrics(routes: PathRoutes): CheckSeen {
  const registry = new MetricsRegistry();
  const state = registry.gauge('kubernetes_healthcheck', 'What each health check said last.', ['name', 'type']);
  const total = registry.counter('kubernetes_healthchecks_total', 'Health checks by result.', [
    'name',
    'status',
    'type',
  ]);
  routes.exact('/metrics/slis', (_request, reply) =>
    reply.send(200, 'text/plain; version=0.0.4; charset=utf-8', Buffer.from(registry.text())),
  );
  return (path, check, ok) => {
    const type = path.slice(1);
    state.set([check, type], ok ? 1 : 0);
    total.add([check, ok ? 'success' : 'error', type]);
  };
}

/** Registers the endpoints of one group of checks: `/readyz`, `/readyz/NAME`, `?verbose`, `?exclude=NAME`. */
export function healthRoutes(
  routes: PathRoutes,
  path: string,
  checks: () => readonly HealthCheck[],
  seen: CheckSeen,
): void {
  const passes = async (check: HealthCheck): Promise<boolean> => {
    let ok = true;
    try {
      await check.check();
    } catch {
      ok = false;
    }
    seen(path, check.name, ok);
    return ok;
  };
  routes.exact(path, (request, reply) => answer(request, reply, path, checks(), passes));
  routes.prefix(`${path}/`, async (request, reply) => {
    const name = request.path.slice(path.length + 1);
    const one = checks().find((c) => c.name === name);
    if (!one) return pageNotFound(reply);
    const ok = await passes(one);
    reply.send(
      ok ? 200 : 500,
      'text/plain; charset=utf-8',
      Buffer.from(ok ? 'ok' : 'internal server error: reason withheld\n'),
    );
  });
}

async function answer(
  request: ApiRequest,
  reply: Reply,
  path: string,
  checks: readonly HealthCheck[],
  passes: (check: HealthCheck) => Promise<boolean>,
): Promise<void> {
  const excluded = new Set(request.query.getAll('exclude'));
  const lines: string[] = [];
  const failed: string[] = [];
  for (const c of checks) {
    if (excluded.delete(c.name)) lines.push(`[+]${c.name} excluded: ok`);
    else if (await passes(c)) lines.push(`[+]${c.name} ok`);
    else {
      failed.push(c.name);
      lines.push(`[-]${c.name} failed: reason withheld`);
    }
  }
  if (excluded.size > 0)
    lines.push(
      `warn: some health checks cannot be excluded: no matches for ${[...excluded].map((e) => JSON.stringify(e)).join(',')}`,
    );
  const name = path.slice(1);
  reply.header('x-content-type-options', 'nosniff');
  if (failed.length > 0)
    reply.send(500, 'text/plain; charset=utf-8', Buffer.from(`${lines.join('\n')}\n${name} check failed\n`));
  else if (request.query.has('verbose'))
    reply.send(200, 'text/plain; charset=utf-8', Buffer.from(`${lines.join('\n')}\n${name} check passed\n`));
  else reply.send(200, 'text/plain; charset=utf-8', Buffer.from('ok'));
}
