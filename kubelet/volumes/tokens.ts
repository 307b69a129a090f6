/** Service account tokens bound to pods, renewed before they end (TokenRequest). */
import type { Clock, Rand } from '../../base/clock.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';

export interface TokenManager {
  /** A token that is still good for a while. `serviceAccount` is the pod's. */
  get(pod: DeepReadonly<Pod>, audience: string | undefined, expirationSeconds: number): Promise<string>;
  /** When a token that was got ends (milliseconds since the epoch). */
  expiry(pod: DeepReadonly<Pod>, audience: string | undefined, expirationSeconds: number): number | undefined;
  forget(uid: string): void;
}

interface Held {
  token: string;
  /** Milliseconds since the epoch. */
  expires: number;
  lifetime: number;
  jitter: number;
}

const DAY = 24 * 3600_000;

export function createTokenManager(options: { client: Client; clock: Clock; rand: Rand }): TokenManager {
  const { client, clock, rand } = options;
  const held = new Map<string, Held>();
  const asking = new Map<string, Promise<string>>();

  /** After 80% of its life, or a day, give or take ten seconds. */
  const isOld = (h: Held): boolean => {
    const now = clock.now();
    if (now > h.expires - h.lifetime * 0.2 - h.jitter) return true;
    return now > h.expires - h.lifetime + DAY - h.jitter;
  };

  async function request(
    key: string,
    pod: DeepReadonly<Pod>,
    audience: string | undefined,
    expirationSeconds: number,
  ): Promise<string> {
    const m = pod.metadata!;
    const account = pod.spec!.serviceAccountName || 'default';
    const answer = await client.request<{ status: { token: string; expirationTimestamp: string } }>({
      method: 'POST',
      path: `/api/v1/namespaces/${m.namespace}/serviceaccounts/${account}/token`,
      body: {
        kind: 'TokenRequest',
        apiVersion: 'authentication.k8s.io/v1',
        spec: {
          audiences: audience ? [audience] : [],
          expirationSeconds,
          boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: m.name, uid: m.uid },
        },
      },
    });
    const expires = Date.parse(answer.status.expirationTimestamp);
    held.set(key, {
      token: answer.status.token,
      expires,
      lifetime: Math.min(expires - clock.now(), expirationSeconds * 1000),
      jitter: rand.next() * 10_000,
    });
    return answer.status.token;
  }

  const keyOf = (pod: DeepReadonly<Pod>, audience: string | undefined, seconds: number): string =>
    `${pod.metadata!.uid}/${audience ?? ''}/${seconds}`;

  return {
    async get(pod, audience, expirationSeconds) {
      const key = keyOf(pod, audience, expirationSeconds);
      const have = held.get(key);
      if (have && !isOld(have)) return have.token;
      let one = asking.get(key);
      if (!one) {
        one = request(key, pod, audience, expirationSeconds).finally(() => asking.delete(key));
        asking.set(key, one);
      }
      try {
        return await one;
      } catch (error) {
        // an old token is better than none while the API server is away
        if (have && clock.now() < have.expires) return have.token;
        throw error;
      }
    },
    expiry: (pod, audience, seconds) => held.get(keyOf(pod, audience, seconds))?.expires,
    forget(uid) {
      for (const key of held.keys()) if (key.startsWith(`${uid}/`)) held.delete(key);
    },
  };
}
