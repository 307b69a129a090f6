/** /healthz, /livez and /readyz: named checks, each on its own path too. */
import type { ApiRequest, Reply } from './request.ts';
import type { PathRoutes } from './paths.ts';

/** A named check; it fails by throwing, the reason is logged and not shown. */
export interface HealthCheck {
  readonly name: string;
  check(): Promise<void> | void;
}

/** Registers the endpoints of one group of checks: `/readyz`, `/readyz/NAME`, `?verbose`, `?exclude=NAME`. */
export function healthRoutes(routes: PathRoutes, path: string, checks: () => readonly HealthCheck[]): void {
  routes.exact(path, (request, reply) => answer(request, reply, path, checks()));
  routes.prefix(`${path}/`, async (request, reply) => {
    const name = request.path.slice(path.length + 1);
    const one = checks().find((c) => c.name === name);
    if (!one) return reply.send(404, 'text/plain; charset=utf-8', Buffer.from('404 page not found\n'));
    const ok = await passes(one);
    reply.send(
      ok ? 200 : 500,
      'text/plain; charset=utf-8',
      Buffer.from(ok ? 'ok' : 'internal server error: reason withheld\n'),
    );
  });
}

async function passes(check: HealthCheck): Promise<boolean> {
  try {
    await check.check();
    return true;
  } catch {
    return false;
  }
}

async function answer(request: ApiRequest, reply: Reply, path: string, checks: readonly HealthCheck[]): Promise<void> {
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
