/**
 * Who may ask a component: client certificates and tokens, then what the API server's authorization says. The answers
 * of TokenReviews and SubjectAccessReviews are kept for a while.
 */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import type { Client } from './client.ts';
import { subjectAccessReviews, tokenReviews } from './resources.ts';

export interface User {
  name: string;
  uid?: string;
  groups: string[];
  extra?: Record<string, string[]>;
}

/** What somebody wants to do: to a resource, or to a path that is none. */
export type AccessAttributes =
  | {
      resource: {
        verb: string;
        group: string;
        version: string;
        resource: string;
        /** Absent: all namespaces, or none. */
        namespace?: string;
        subresource?: string;
        name?: string;
      };
    }
  | { path: string; verb: string };

export interface DelegatedAuthOptions {
  /** Absent: no token is known and nothing is allowed. */
  client: Client | undefined;
  clock: Clock;
  /** Client certificates that the TLS server has verified count. */
  x509: boolean;
  /** Tokens are asked about. */
  tokens: boolean;
  /** Whoever shows nothing is system:anonymous; otherwise nobody. */
  anonymous: boolean;
  /** How long answers are kept, in milliseconds. */
  tokenTtlMs: number;
  allowedTtlMs: number;
  deniedTtlMs: number;
}

export interface DelegatedAuth {
  /** Undefined: nobody that is known. Rejects when the API server can't be asked. */
  authenticate(req: IncomingMessage): Promise<User | undefined>;
  /** Undefined when allowed, else the reason. Rejects when the API server can't be asked. */
  authorize(user: User, attributes: AccessAttributes): Promise<string | undefined>;
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

export function createDelegatedAuth(options: DelegatedAuthOptions): DelegatedAuth {
  const { client, clock } = options;
  const users = new Cache<User | null>(clock);
  const decisions = new Cache<string | null>(clock);

  async function byToken(token: string): Promise<User | undefined> {
    if (!client || !options.tokens) return undefined;
    const have = users.get(token);
    if (have !== undefined) return have ?? undefined;
    const review = await client.create(tokenReviews, { spec: { token } });
    const u = review.status?.authenticated ? review.status.user : undefined;
    const user: User | null = u
      ? {
          name: u.username ?? '',
          uid: u.uid,
          groups: [...new Set([...(u.groups ?? []), 'system:authenticated'])],
          extra: u.extra as Record<string, string[]> | undefined,
        }
      : null;
    users.set(token, user, options.tokenTtlMs);
    return user ?? undefined;
  }

  return {
    async authenticate(req) {
      const socket = req.socket as TLSSocket;
      if (options.x509 && socket.authorized) {
        const subject = socket.getPeerCertificate().subject as { CN?: string; O?: string | string[] } | undefined;
        if (subject?.CN) return { name: subject.CN, groups: [...list(subject.O), 'system:authenticated'] };
      }
      const bearer = /^Bearer\s+(\S+)$/i.exec(req.headers.authorization ?? '')?.[1];
      if (bearer) return byToken(bearer);
      if (options.anonymous) return { name: 'system:anonymous', groups: ['system:unauthenticated'] };
      return undefined;
    },
    async authorize(user, attributes) {
      const key = JSON.stringify([user.name, user.uid, user.groups, user.extra, attributes]);
      const have = decisions.get(key);
      if (have !== undefined) return have ?? undefined;
      if (!client) return 'there is no API server to ask';
      const review = await client.create(subjectAccessReviews, {
        spec: {
          user: user.name,
          uid: user.uid,
          groups: user.groups,
          extra: user.extra,
          ...('resource' in attributes
            ? { resourceAttributes: attributes.resource }
            : { nonResourceAttributes: { path: attributes.path, verb: attributes.verb } }),
        },
      });
      const said = review.status?.allowed ? null : (review.status?.reason ?? '');
      decisions.set(key, said, said === null ? options.allowedTtlMs : options.deniedTtlMs);
      return said ?? undefined;
    },
  };
}
