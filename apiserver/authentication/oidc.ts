/** Tokens of OpenID Connect providers, checked and mapped to users as the configuration says (KEP-3331). */
import type { JsonObject, JsonValue } from '../../api/types.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { evaluateOver, stringsOf } from './claims-cel.ts';
import type { JwtIssuer, Mapping } from './config.ts';
import { AuthenticationError } from './error.ts';
import { createKeySet, type KeySet } from './jwks.ts';
import { parseJwt, type ParsedJwt } from './jwt.ts';
import { createRemote, type Remote } from './remote.ts';
import { userInfoJson } from './reviews.ts';
import type { TokenAuthenticator } from './service-account.ts';
import { TtlCache } from './ttl-cache.ts';
import type { Authenticated, UserInfo } from './types.ts';

export interface OidcOptions {
  clock: Clock;
  logger: Logger;
  issuers: readonly JwtIssuer[];
  /** Signature algorithms that tokens may use. */
  algorithms: readonly string[];
  /** Tokens are good for these audiences of the server, whatever their own are. */
  apiAudiences: readonly string[];
}

/** A request with a token waits for its issuer no longer than this, in milliseconds. */
const REQUEST_TIMEOUT = 10_000;
/** A provider that could not be discovered is asked again after this time, in milliseconds. */
const RETRY = 10_000;
/** How far a token's nbf may lie ahead, in milliseconds. */
const NBF_LEEWAY = 300_000;
/** What was found for a token is used again for this long, in milliseconds. */
const KEEP = 10_000;
const KEPT = 10_000;

const bad = (why: string) => new AuthenticationError(`oidc: ${why}`);

/** The keys of one issuer, found by discovery when they are first needed. */
function createProvider(issuer: JwtIssuer, remote: Remote, clock: Clock, logger: Logger) {
  let ready: KeySet | undefined;
  let pending: Promise<KeySet> | undefined;
  let failedAt = -Infinity;

  async function discover(): Promise<KeySet> {
    const document = await remote.json('GET', issuer.discoveryUrl);
    if (document['issuer'] !== issuer.url)
      throw new Error(`the provider says it is issuer ${JSON.stringify(document['issuer'])}, not ${issuer.url}`);
    const uri = document['jwks_uri'];
    if (typeof uri !== 'string' || !URL.canParse(uri)) throw new Error('the provider names no JWKS URL');
    return createKeySet({ clock, fetch: () => remote.json('GET', uri) });
  }

  /** The keys; rejects when the provider can't be had now. */
  function keys(): Promise<KeySet> {
    if (ready) return Promise.resolve(ready);
    if (pending) return pending;
    if (clock.monotonic() - failedAt < RETRY) return Promise.reject(bad('authenticator not initialized'));
    pending = discover()
      .then((set) => (ready = set))
      .catch((error: unknown) => {
        failedAt = clock.monotonic();
        logger.error('could not learn about the token issuer', { issuer: issuer.url, error });
        throw bad('authenticator not initialized');
      })
      .finally(() => (pending = undefined));
    return pending;
  }
  return { keys };
}

const own = (claims: ParsedJwt['claims'], name: string): unknown =>
  Object.hasOwn(claims, name) ? claims[name] : undefined;
const seconds = (v: unknown): number | undefined =>
  typeof v === 'number' ? v : typeof v === 'string' && v !== '' ? Number(v) : undefined;

/** Signature, times and audience; rejects with an AuthenticationError. */
async function verifyToken(
  jwt: ParsedJwt,
  issuer: JwtIssuer,
  keys: KeySet,
  o: Pick<OidcOptions, 'clock' | 'logger' | 'algorithms'>,
): Promise<void> {
  const aud = own(jwt.claims, 'aud');
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!issuer.audiences.some((a) => audiences.includes(a)))
    throw bad('verify token: the token is not meant for this audience');
  const now = o.clock.now();
  const exp = seconds(own(jwt.claims, 'exp'));
  if (exp === undefined || !(exp * 1000 > now)) throw bad('verify token: token is expired');
  const nbf = seconds(own(jwt.claims, 'nbf'));
  if (nbf !== undefined && !(nbf * 1000 <= now + NBF_LEEWAY)) throw bad('verify token: the token is not valid yet');
  const { alg, crit } = jwt.header as { alg?: string; crit?: unknown };
  if (alg === undefined || !o.algorithms.includes(alg) || crit !== undefined)
    throw bad('verify token: the token is signed with an algorithm that is not supported');
  let good: boolean;
  try {
    good = await keys.verify(jwt);
  } catch (error) {
    o.logger.error('could not fetch the keys of the token issuer', { issuer: issuer.url, error });
    throw bad('verify token: the keys of the issuer can not be fetched');
  }
  if (!good) throw bad('verify token: failed to verify signature');
}

function mapped(mapping: Mapping, claims: JsonObject, what: string): JsonValue | ReturnType<typeof evaluateOver> {
  if ('program' in mapping) return evaluateOver(mapping.program, 'claims', claims, `${what} claim expression`);
  const value = Object.hasOwn(claims, mapping.claim) ? claims[mapping.claim] : undefined;
  if (value === undefined) throw bad(`parse ${what} claim ${JSON.stringify(mapping.claim)}: claim not present`);
  return value;
}

function nameOf(issuer: JwtIssuer, claims: JsonObject): string {
  const { username } = issuer;
  const value = mapped(username, claims, 'username');
  if (typeof value !== 'string') throw bad('the username is no string');
  if ('program' in username) {
    if (value === '') throw bad('empty username via CEL expression is not allowed');
    return value;
  }
  if (username.claim === 'email' && Object.hasOwn(claims, 'email_verified') && claims['email_verified'] !== true)
    throw bad('email not verified');
  return username.prefix + value;
}

function groupsOf({ groups }: JwtIssuer, claims: JsonObject): string[] {
  if (!groups) return [];
  if ('program' in groups) {
    const found = stringsOf(evaluateOver(groups.program, 'claims', claims, 'group claim expression'));
    if (!found) throw bad('the group claim expression must return a string or a list of strings');
    return found;
  }
  if (!Object.hasOwn(claims, groups.claim)) return [];
  const value = claims[groups.claim];
  const list = typeof value === 'string' ? [value] : (value ?? []);
  if (!Array.isArray(list) || !list.every((g) => typeof g === 'string'))
    throw bad(`parse groups claim ${JSON.stringify(groups.claim)}: it is no string and no list of strings`);
  return list.map((g) => groups.prefix + (g as string));
}

/** The user that verified claims stand for. Throws an AuthenticationError. */
export function userOf(issuer: JwtIssuer, claims: JsonObject): UserInfo {
  const name = nameOf(issuer, claims);
  const groups = groupsOf(issuer, claims);
  const uid = issuer.uid ? mapped(issuer.uid, claims, 'uid') : '';
  if (typeof uid !== 'string') throw bad('the uid is no string');
  const extra: Record<string, string[]> = {};
  const jti = own(claims, 'jti');
  if (typeof jti === 'string' && jti !== '') extra['authentication.kubernetes.io/credential-id'] = [`JTI=${jti}`];
  for (const { key, program } of issuer.extra) {
    const values = stringsOf(evaluateOver(program, 'claims', claims, 'extra claim expression'));
    if (!values) throw bad(`the expression of extra ${JSON.stringify(key)} must return a string or a list of strings`);
    if (values.length > 0) extra[key] = values;
  }
  for (const { claim, value } of issuer.requiredClaims) {
    if (!Object.hasOwn(claims, claim)) throw bad(`required claim ${claim} not present in ID token`);
    if (claims[claim] !== value) throw bad(`required claim ${claim} value does not match`);
  }
  for (const rule of issuer.claimRules) {
    if (evaluateOver(rule.program, 'claims', claims, 'claim validation expression') !== true)
      throw bad(`error evaluating claim validation expression: validation expression failed: ${rule.message}`);
  }
  const user: UserInfo = { name, ...(uid === '' ? {} : { uid }), groups, extra };
  if (issuer.userRules.length > 0) {
    const seen = { username: '', uid: '', groups: [], extra: {}, ...userInfoJson(user) } as unknown as JsonObject;
    for (const rule of issuer.userRules) {
      if (evaluateOver(rule.program, 'user', seen, 'user validation rule') !== true)
        throw bad(`error evaluating user info validation rule: validation expression failed: ${rule.message}`);
    }
  }
  return user;
}

/** Knows the tokens of all issuers; `close` ends the connections to them. */
export function createOidcAuthenticator(options: OidcOptions): TokenAuthenticator & { close(): void } {
  const { clock, logger, apiAudiences } = options;
  const found = new TtlCache<UserInfo>(clock, KEPT);
  const providers = new Map(
    options.issuers.map((issuer) => {
      const remote = createRemote({ clock, target: { ca: issuer.ca }, timeoutMs: REQUEST_TIMEOUT });
      return [issuer.url, { issuer, remote, ...createProvider(issuer, remote, clock, logger) }];
    }),
  );
  // The first token shall not have to wait for it. Failures are logged, and asking again is up to the tokens.
  for (const p of providers.values()) p.keys().catch(() => undefined);

  return {
    async authenticateToken(token, wanted): Promise<Authenticated | undefined> {
      const audiences = wanted.filter((a) => apiAudiences.includes(a));
      if (wanted.length > 0 && audiences.length === 0) return undefined;
      const known = found.get(token);
      if (known) return { user: known, audiences };
      const jwt = parseJwt(token);
      const iss = jwt && own(jwt.claims, 'iss');
      // Google's tokens may name their issuer without the scheme (OpenID Connect, section 15.6).
      const provider = providers.get(iss === 'accounts.google.com' ? `https://${iss}` : String(iss));
      if (!jwt || !provider) return undefined;
      await verifyToken(jwt, provider.issuer, await provider.keys(), options);
      const user = userOf(provider.issuer, jwt.claims as JsonObject);
      const left = seconds(own(jwt.claims, 'exp'))! * 1000 - clock.now();
      found.set(token, user, Math.min(KEEP, left));
      return { user, audiences };
    },
    close() {
      for (const p of providers.values()) p.remote.close();
    },
  };
}
