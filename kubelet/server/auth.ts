/** Who may ask the kubelet: client certificates and tokens, then what the API server's authorization says. */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import type { Client } from '../../client/client.ts';
import { subjectAccessReviews, tokenReviews } from '../../client/resources.ts';
import { parseDuration, type KubeletConfiguration } from '../config.ts';

export interface User {
  name: string;
  uid?: string;
  groups: string[];
  extra?: Record<string, string[]>;
}

export interface ServerAuth {
  /** Undefined: nobody that is known. */
  authenticate(req: IncomingMessage): Promise<User | undefined>;
  /** Undefined when allowed, else the words of the refusal. */
  authorize(user: User, req: IncomingMessage, path: string): Promise<string | undefined>;
}

const VERBS: Record<string, string> = {
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

/** Keeps answers for a while; at most 4096 of them. */
class Cache<T> {
  readonly #entries = new Map<string, { value: T; until: number }>();
  readonly #clock: Clock;
  constructor(clock: Clock) {
    this.#clock = clock;
  }
  get(key: string): T | undefined {
    const e = this.#entries.get(key);
    if (!e || this.#clock.monotonic() > e.until) return undefined;
    return e.value;
  }
  set(key: string, value: T, ms: number): void {
    if (this.#entries.size >= 4096) this.#entries.clear();
    this.#entries.set(key, { value, until: this.#clock.monotonic() + ms });
  }
}

const list = (v: string | string[] | undefined): string[] => (v === undefined ? [] : Array.isArray(v) ? v : [v]);

export function createServerAuth(options: {
  config: KubeletConfiguration;
  client: Client | undefined;
  clock: Clock;
  nodeName: string;
}): ServerAuth {
  const { config, client, clock } = options;
  const tokens = new Cache<User | null>(clock);
  const decisions = new Cache<string | null>(clock);
  const { authentication, authorization } = config;

  async function byToken(token: string): Promise<User | undefined> {
    if (!client || !authentication.webhook.enabled) return undefined;
    const have = tokens.get(token);
    if (have !== undefined) return have ?? undefined;
    const review = await client.create(tokenReviews, { spec: { token } });
    const u = review.status?.authenticated ? review.status.user : undefined;
    const user: User | null = u
      ? {
          name: u.username ?? '',
          uid: u.uid,
          groups: [...(u.groups ?? []), 'system:authenticated'].filter((g, i, a) => a.indexOf(g) === i),
          extra: u.extra as Record<string, string[]> | undefined,
        }
      : null;
    tokens.set(token, user, parseDuration(authentication.webhook.cacheTTL));
    return user ?? undefined;
  }

  return {
    async authenticate(req) {
      const socket = req.socket as TLSSocket;
      if (authentication.x509.clientCAFile && socket.authorized) {
        const subject = socket.getPeerCertificate().subject as { CN?: string; O?: string | string[] } | undefined;
        if (subject?.CN) return { name: subject.CN, groups: [...list(subject.O), 'system:authenticated'] };
      }
      const bearer = /^Bearer\s+(\S+)$/i.exec(req.headers.authorization ?? '')?.[1];
      if (bearer) return byToken(bearer);
      if (authentication.anonymous.enabled) return { name: 'system:anonymous', groups: ['system:unauthenticated'] };
      return undefined;
    },
    async authorize(user, req, path) {
      if (authorization.mode === 'AlwaysAllow') return undefined;
      const verb = VERBS[req.method ?? 'GET'] ?? 'get';
      let reason = '';
      const names = subresources(path);
      for (const subresource of names) {
        const key = JSON.stringify([user.name, user.uid, user.groups, verb, subresource]);
        let said = decisions.get(key);
        if (said === undefined) {
          if (!client) return 'there is no API server to ask';
          const review = await client.create(subjectAccessReviews, {
            spec: {
              user: user.name,
              uid: user.uid,
              groups: user.groups,
              extra: user.extra,
              resourceAttributes: {
                verb,
                group: '',
                version: 'v1',
                resource: 'nodes',
                subresource,
                name: options.nodeName,
              },
            },
          });
          said = review.status?.allowed ? null : (review.status?.reason ?? '');
          decisions.set(
            key,
            said,
            parseDuration(
              said === null ? authorization.webhook.cacheAuthorizedTTL : authorization.webhook.cacheUnauthorizedTTL,
            ),
          );
        }
        if (said === null) return undefined;
        reason = said;
      }
      return `Forbidden (user=${user.name}, verb=${verb}, resource=nodes, subresource(s)=[${names.join(' ')}])${reason ? `: ${reason}` : ''}`;
    },
  };
}
