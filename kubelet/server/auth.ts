/** Who may ask the kubelet: client certificates and tokens, then what the API server's authorization says. */
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import type { Client } from '../../client/client.ts';
import { createDelegatedAuth, type User } from '../../client/delegated-auth.ts';
import { parseDuration, type KubeletConfiguration } from '../config.ts';

export interface ServerAuth {
  /** Undefined: nobody that is known. */
  authenticate(req: IncomingMessage): Promise<User | undefined>;
  /** Undefined when allowed, else the words of the refusal. */
  authorize(user: User, req: IncomingMessage, path: string): Promise<string | undefined>;
}

const VERBS: Readonly<Record<string, string>> = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** Subresources of nodes that cover a path, the narrowest first (KEP-2862). */
export function subresources(path: string): string[] {
  const under = (p: string) => path === p || path.startsWith(`${p}/`);
  if (under('/stats')) return ['stats'];
  if (under('/metrics')) return ['metrics'];
  if (under('/logs')) return ['log'];
  if (under('/spec')) return ['spec'];
  if (under('/checkpoint')) return ['checkpoint'];
  if (under('/pods') || under('/runningpods')) return ['pods', 'proxy'];
  if (under('/healthz')) return ['healthz', 'proxy'];
  if (under('/configz')) return ['configz', 'proxy'];
  return ['proxy'];
}

export function createServerAuth(options: {
  config: KubeletConfiguration;
  client: Client | undefined;
  clock: Clock;
  nodeName: string;
}): ServerAuth {
  const { authentication, authorization } = options.config;
  const auth = createDelegatedAuth({
    client: options.client,
    clock: options.clock,
    x509: Boolean(authentication.x509.clientCAFile),
    tokens: authentication.webhook.enabled,
    anonymous: authentication.anonymous.enabled,
    tokenTtlMs: parseDuration(authentication.webhook.cacheTTL),
    allowedTtlMs: parseDuration(authorization.webhook.cacheAuthorizedTTL),
    deniedTtlMs: parseDuration(authorization.webhook.cacheUnauthorizedTTL),
  });
  return {
    authenticate: (req) => auth.authenticate(req),
    async authorize(user, req, path) {
      if (authorization.mode === 'AlwaysAllow') return undefined;
      const verb = VERBS[req.method ?? 'GET'] ?? 'get';
      let reason = '';
      const names = subresources(path);
      for (const subresource of names) {
        const said = await auth.authorize(user, {
          resource: { verb, group: '', version: 'v1', resource: 'nodes', subresource, name: options.nodeName },
        });
        if (said === undefined) return undefined;
        reason = said;
      }
      return `Forbidden (user=${user.name}, verb=${verb}, resource=nodes, subresource(s)=[${names.join(' ')}])${reason ? `: ${reason}` : ''}`;
    },
  };
}
