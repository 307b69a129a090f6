/** Bootstrap tokens: ID.SECRET, kept in Secrets of kube-system, for nodes that join (KEP-130 of the early days). */
import { timingSafeEqual } from 'node:crypto';
import type { Secret } from '../../api/types.ts';
import type { Clock } from '../../base/clock.ts';
import type { ObjectFinder } from './objects.ts';
import { AuthenticationError } from './error.ts';
import type { TokenAuthenticator } from './service-account.ts';

const GROUP = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;

function sameText(a: string, b: string): boolean {
  const x = Buffer.from(a);
  const y = Buffer.from(b);
  return x.length === y.length && timingSafeEqual(x, y);
}

/** Users are system:bootstrap:ID in the group system:bootstrappers. */
export function createBootstrapTokenAuthenticator(options: {
  clock: Clock;
  objects: ObjectFinder;
}): TokenAuthenticator {
  return {
    async authenticateToken(token) {
      const m = /^([a-z0-9]{6})\.([a-z0-9]{16})$/.exec(token);
      if (!m) return undefined;
      const [, id, secretPart] = m as unknown as [string, string, string];
      const secret = await options.objects.find<Secret>('secrets', 'kube-system', `bootstrap-token-${id}`);
      if (!secret || secret.metadata?.deletionTimestamp || secret.type !== 'bootstrap.kubernetes.io/token')
        return undefined;
      const field = (name: string) => Buffer.from(secret.data?.[name] ?? '', 'base64').toString('utf8');
      if (!sameText(field('token-secret'), secretPart) || field('token-id') !== id) return undefined;
      const expiration = field('expiration');
      if (expiration !== '' && !(Date.parse(expiration) > options.clock.now())) return undefined;
      if (field('usage-bootstrap-authentication') !== 'true') return undefined;
      const groups = field('auth-extra-groups')
        .split(',')
        .map((g) => g.trim())
        .filter(Boolean);
      const bad = groups.find((g) => !GROUP.test(g));
      if (bad !== undefined) throw new AuthenticationError(`bootstrap group ${JSON.stringify(bad)} is invalid`);
      return { user: { name: `system:bootstrap:${id}`, groups: ['system:bootstrappers', ...groups] } };
    },
  };
}
