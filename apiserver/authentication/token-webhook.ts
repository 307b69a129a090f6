/** Asks a webhook about bearer tokens: TokenReview of authentication.k8s.io. */
import { createHash } from 'node:crypto';
import type { JsonObject } from '../../api/types.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { AuthenticationError } from './error.ts';
import { createRemote, postReview, type WebhookAddress } from './remote.ts';
import type { TokenAuthenticator } from './service-account.ts';
import { TtlCache } from './ttl-cache.ts';
import type { Authenticated } from './types.ts';

export interface TokenWebhookOptions {
  clock: Clock;
  logger: Logger;
  address: WebhookAddress;
  version: 'v1' | 'v1beta1';
  /** How long answers are good, in milliseconds. */
  cacheTtlMs: number;
  /** Tokens whose review names no audience are good for these. */
  apiAudiences: readonly string[];
}

const TIMEOUT = 30_000;
const MAX_CACHED = 10_000;

type Outcome = { readonly found: Authenticated | undefined; readonly error?: string };

const text = (v: unknown): string => (typeof v === 'string' ? v : '');
const strings = (v: unknown): string[] => (Array.isArray(v) ? v.filter((s): s is string => typeof s === 'string') : []);

/** Answers are kept for as long as the options say. */
export function createTokenWebhook(options: TokenWebhookOptions): TokenAuthenticator & { close(): void } {
  const { clock, address } = options;
  const remote = createRemote({ clock, target: address, timeoutMs: TIMEOUT });
  const cache = new TtlCache<Outcome>(clock, MAX_CACHED);
  /** Questions under way, so that many requests with one token ask once. */
  const asked = new Map<string, Promise<Outcome>>();

  async function ask(token: string, wanted: readonly string[]): Promise<Outcome> {
    const review: JsonObject = {
      kind: 'TokenReview',
      apiVersion: `authentication.k8s.io/${options.version}`,
      metadata: { creationTimestamp: null },
      spec: { token, ...(wanted.length > 0 ? { audiences: [...wanted] } : {}) },
      status: { user: {} },
    };
    const answer = await postReview(remote, address.url, review, clock);
    const status = (answer['status'] ?? {}) as JsonObject;
    const named = strings(status['audiences']);
    const good = named.length > 0 ? named : options.apiAudiences;
    const audiences = wanted.filter((a) => good.includes(a));
    if (wanted.length > 0 && audiences.length === 0) return { found: undefined };
    if (status['authenticated'] !== true)
      return { found: undefined, ...(text(status['error']) ? { error: text(status['error']) } : {}) };
    const user = (status['user'] ?? {}) as JsonObject;
    const extra = Object.entries((user['extra'] ?? {}) as JsonObject).map(([k, v]) => [k, strings(v)] as const);
    return {
      found: {
        user: {
          name: text(user['username']),
          ...(text(user['uid']) ? { uid: text(user['uid']) } : {}),
          groups: strings(user['groups']),
          ...(extra.length > 0 ? { extra: Object.fromEntries(extra) } : {}),
        },
        audiences,
      },
    };
  }

  return {
    async authenticateToken(token, wanted) {
      // The cache holds no credentials.
      const key = createHash('sha256')
        .update(JSON.stringify([token, wanted]))
        .digest('base64');
      let outcome = cache.get(key);
      if (!outcome) {
        let pending = asked.get(key);
        if (!pending) {
          pending = ask(token, wanted).finally(() => asked.delete(key));
          asked.set(key, pending);
        }
        try {
          outcome = await pending;
        } catch (error) {
          options.logger.error('the authentication webhook failed', { error });
          throw new AuthenticationError('the authentication webhook can not be asked');
        }
        if (outcome.error === undefined) cache.set(key, outcome, options.cacheTtlMs);
      }
      if (outcome.error !== undefined) throw new AuthenticationError(outcome.error);
      return outcome.found;
    },
    close: () => remote.close(),
  };
}
