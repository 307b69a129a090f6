/** Service account tokens: the bound ones of TokenRequest, and the legacy ones that live in Secrets. */
import type { DeepReadonly, KubeObject, Secret, ServiceAccount } from '../../api/types.ts';
import type { Clock } from '../../base/clock.ts';
import { AuthenticationError } from './error.ts';
import { parseJwt, verifyJwt, type JwtKey, type ParsedJwt } from './jwt.ts';
import type { ObjectFinder } from './objects.ts';
import type { Authenticated, UserInfo } from './types.ts';

const LEGACY_ISSUER = 'kubernetes/serviceaccount';
/** Clocks may differ by this much, and deleted objects count this much longer, in milliseconds. */
const LEEWAY = 60_000;
const CACHED_TOKENS = 10_000;

/** A bound object's claim. */
export interface ClaimRef {
  name: string;
  uid?: string;
}
/** The `kubernetes.io` claim. */
export interface KubernetesClaim {
  namespace?: string;
  serviceaccount?: ClaimRef;
  pod?: ClaimRef;
  secret?: ClaimRef;
  node?: ClaimRef;
  /** Seconds since the epoch after which use of the token is noted in the audit log. */
  warnafter?: number;
}

export interface TokenAuthenticator {
  /** Undefined: not a token of this kind. Throws an AuthenticationError for one that is bad. */
  authenticateToken(token: string, audiences: readonly string[]): Promise<Authenticated | undefined>;
}

export interface ServiceAccountTokenOptions {
  clock: Clock;
  objects: ObjectFinder;
  /** Accepted issuers; the first one issues. */
  issuers: readonly string[];
  /** Keys that tokens may be signed with. */
  keys: readonly JwtKey[];
  /** Look up the bound objects; --service-account-lookup. Defaults to true. */
  lookup?: boolean;
  /** Called once a day for each legacy token in use, with the Secret that holds it and the day. */
  onLegacyUse?(namespace: string, secret: string, day: string): void;
}

/** Splits system:serviceaccount:NAMESPACE:NAME. */
export function splitServiceAccountName(user: string): { namespace: string; name: string } | undefined {
  const m = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user);
  return m ? { namespace: m[1]!, name: m[2]! } : undefined;
}
export const serviceAccountGroups = (namespace: string) => [
  'system:serviceaccounts',
  `system:serviceaccounts:${namespace}`,
];

interface Verified {
  readonly jwt: ParsedJwt;
  user: UserInfo | undefined;
}

const number = (v: unknown): number | undefined => (typeof v === 'number' ? v : undefined);
const text = (v: unknown): string => (typeof v === 'string' ? v : '');
const strings = (v: unknown): string[] =>
  typeof v === 'string' ? [v] : Array.isArray(v) ? v.filter((s): s is string => typeof s === 'string') : [];

/** Takes tokens that our keys signed and whose account, and bound object, still are. */
export function createServiceAccountAuthenticator(options: ServiceAccountTokenOptions): TokenAuthenticator {
  const { clock, objects, keys } = options;
  const lookup = options.lookup ?? true;
  /** Tokens whose signature was found good; a signature is verified once. */
  const verified = new Map<string, Verified>();
  /** The day on which the use of a legacy token's Secret was noted last. */
  const noted = new Map<string, string>();

  function verifiedToken(token: string): Verified | undefined {
    const known = verified.get(token);
    if (known) return known;
    const jwt = parseJwt(token);
    const issuer = jwt && text(jwt.claims['iss']);
    if (!jwt || (issuer !== LEGACY_ISSUER && !options.issuers.includes(issuer!))) return undefined;
    if (!verifyJwt(jwt, keys)) throw new AuthenticationError('go-jose/go-jose: error in cryptographic primitive');
    // The oldest goes; a token in use comes back at the price of one verification.
    if (verified.size >= CACHED_TOKENS) verified.delete(verified.keys().next().value!);
    const entry: Verified = { jwt, user: undefined };
    verified.set(token, entry);
    return entry;
  }

  const deleted = (o: DeepReadonly<KubeObject>) => {
    const at = o.metadata?.deletionTimestamp;
    return at !== undefined && Date.parse(at) < clock.now() - LEEWAY;
  };

  async function requireObject(kind: string, resource: string, namespace: string, ref: ClaimRef): Promise<void> {
    const object = await objects.find(resource, namespace, ref.name);
    if (!object || deleted(object)) throw new AuthenticationError('service account token has been invalidated');
    if (object.metadata?.uid !== ref.uid) {
      throw new AuthenticationError(
        `${kind} UID (${object.metadata?.uid}) does not match service account ${kind.toLowerCase()} ref claim (${ref.uid})`,
      );
    }
  }

  async function requireAccount(namespace: string, name: string, uid: string): Promise<void> {
    const account = await objects.find<ServiceAccount>('serviceaccounts', namespace, name);
    if (!account) throw new AuthenticationError(`serviceaccounts ${JSON.stringify(name)} not found`);
    if (account.metadata?.uid !== uid) {
      throw new AuthenticationError(`service account UID (${account.metadata?.uid}) does not match claim (${uid})`);
    }
    if (deleted(account)) throw new AuthenticationError(`service account ${namespace}/${name} has been deleted`);
  }

  async function bound(entry: Verified): Promise<UserInfo> {
    const { claims } = entry.jwt;
    const now = clock.now();
    const exp = number(claims['exp']);
    const nbf = number(claims['nbf']);
    const iat = number(claims['iat']);
    if (exp !== undefined && now - LEEWAY > exp * 1000)
      throw new AuthenticationError('service account token has expired');
    if (nbf !== undefined && now + LEEWAY < nbf * 1000)
      throw new AuthenticationError('service account token is not valid yet');
    if (iat !== undefined && now + LEEWAY < iat * 1000)
      throw new AuthenticationError('service account token is issued in the future');
    const k = claims['kubernetes.io'] as KubernetesClaim | undefined;
    const namespace = k?.namespace ?? '';
    const ref = k?.serviceaccount;
    if (!k || !ref || namespace === '') throw new AuthenticationError('the token has no service account claims');
    if (lookup) {
      await requireAccount(namespace, ref.name, ref.uid ?? '');
      if (k.secret) await requireObject('secret', 'secrets', namespace, k.secret);
      if (k.pod) await requireObject('pod', 'pods', namespace, k.pod);
      else if (k.node) await requireObject('node', 'nodes', '', k.node);
    }
    if (!entry.user) {
      const extra: Record<string, string[]> = {};
      const add = (key: string, value: string | undefined) => {
        if (value) extra[`authentication.kubernetes.io/${key}`] = [value];
      };
      const jti = text(claims['jti']);
      add('credential-id', jti && `JTI=${jti}`);
      add('pod-name', k.pod?.name);
      add('pod-uid', k.pod?.uid);
      add('node-name', k.node?.name);
      add('node-uid', k.node?.uid);
      entry.user = {
        name: `system:serviceaccount:${namespace}:${ref.name}`,
        uid: ref.uid,
        groups: serviceAccountGroups(namespace),
        extra,
      };
    }
    return entry.user;
  }

  async function legacy(entry: Verified, token: string): Promise<UserInfo> {
    const { claims } = entry.jwt;
    const claim = (name: string) => text(claims[`kubernetes.io/serviceaccount/${name}`]);
    const namespace = claim('namespace');
    const name = claim('service-account.name');
    const uid = claim('service-account.uid');
    const secretName = claim('secret.name');
    if (!namespace || !name || !uid || !secretName)
      throw new AuthenticationError('the token lacks service account claims');
    if (claims['sub'] !== `system:serviceaccount:${namespace}:${name}`)
      throw new AuthenticationError('sub claim is invalid');
    if (lookup) {
      const secret = await objects.find<Secret>('secrets', namespace, secretName);
      if (!secret || deleted(secret)) throw new AuthenticationError('the token has been invalidated');
      if (Buffer.from(secret.data?.['token'] ?? '', 'base64').toString('utf8') !== token) {
        throw new AuthenticationError("the token does not match the server's copy");
      }
      if (secret.metadata?.labels?.['kubernetes.io/legacy-token-invalid-since']) {
        throw new AuthenticationError('the token in secret was marked as invalid');
      }
      await requireAccount(namespace, name, uid);
      const day = new Date(clock.now()).toISOString().slice(0, 10);
      noteUse(secret, namespace, secretName, day);
    }
    return (entry.user ??= {
      name: `system:serviceaccount:${namespace}:${name}`,
      uid,
      groups: serviceAccountGroups(namespace),
    });
  }

  function noteUse(secret: DeepReadonly<Secret>, namespace: string, name: string, day: string): void {
    if (secret.metadata?.labels?.['kubernetes.io/legacy-token-last-used'] === day) return;
    const key = `${namespace}/${name}`;
    if (noted.get(key) === day) return;
    noted.set(key, day);
    options.onLegacyUse?.(namespace, name, day);
  }

  return {
    async authenticateToken(token, wanted) {
      const entry = verifiedToken(token);
      if (!entry) return undefined;
      const isLegacy = entry.jwt.claims['iss'] === LEGACY_ISSUER && entry.jwt.claims['kubernetes.io'] === undefined;
      // Legacy tokens name no audience and are good for the server itself.
      const named = strings(entry.jwt.claims['aud']);
      const own = named.length === 0 && isLegacy ? wanted : named;
      const audiences = wanted.filter((a) => own.includes(a));
      if (wanted.length && audiences.length === 0) {
        throw new AuthenticationError(
          `token audiences ${quoted(own)} is invalid for the target audiences ${quoted(wanted)}`,
        );
      }
      const user = isLegacy ? await legacy(entry, token) : await bound(entry);
      return { user, audiences };
    },
  };
}

/** A list as Go's %q shows it. */
const quoted = (list: readonly string[]) => `[${list.map((s) => JSON.stringify(s)).join(' ')}]`;
