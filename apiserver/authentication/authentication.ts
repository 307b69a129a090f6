/** Puts the ways of authentication into one, in Kubernetes' order. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { unauthorized } from '../../api/status.ts';
import type { Clock } from '../../base/clock.ts';
import { silentLogger, type Logger } from '../../base/log.ts';
import type { MetricsRegistry } from '../../base/metrics.ts';
import { keyFromPem, readBundle } from '../../base/pki.ts';
import type { CacheLookup } from '../authorization/follow.ts';
import { ConfigError } from '../startup/config-file.ts';
import { createBootstrapTokenAuthenticator } from './bootstrap-token.ts';
import { compileAuthentication, type AnonymousConfig, type AuthenticationConfiguration } from './config.ts';
import { AuthenticationError } from './error.ts';
import { SIGNING_ALGORITHMS } from './jwks.ts';
import { jwtKey, type JwtKey } from './jwt.ts';
import { createObjectFinder, type ObjectFinder } from './objects.ts';
import { createOidcAuthenticator } from './oidc.ts';
import { createRequestHeaderAuthenticator, type RequestHeaderOptions } from './requestheader.ts';
import { createServiceAccountAuthenticator, type TokenAuthenticator } from './service-account.ts';
import { createTokenFileAuthenticator } from './token-file.ts';
import { createTokenWebhook, type TokenWebhookOptions } from './token-webhook.ts';
import type { Authenticated, Authenticator, Credentials, UserInfo } from './types.ts';
import { certificateMetrics, CertificateVerifier, createX509Authenticator } from './x509.ts';

export interface AuthenticationOptions {
  clock: Clock;
  metrics?: MetricsRegistry;
  logger?: Logger;
  /** The caches must exist when tokens are looked at. */
  caches: CacheLookup;
  /** PEM of --client-ca-file. */
  clientCa?: string | Buffer;
  /** The --requestheader-* flags with the PEM of --requestheader-client-ca-file. */
  requestHeader?: RequestHeaderOptions & { clientCa: string | Buffer };
  serviceAccounts?: {
    /** --service-account-issuer, the first one issues. */
    issuers: readonly string[];
    /** PEM texts of --service-account-key-file; public or private keys, several in one text allowed. */
    keys: readonly (string | Buffer)[];
    /** PEM of --service-account-signing-key-file. */
    signingKey?: string | Buffer;
    lookup?: boolean;
  };
  /** See ServiceAccountTokenOptions. */
  onLegacyUse?(namespace: string, secret: string, day: string): void;
  /** --api-audiences; defaults to the issuers. */
  apiAudiences?: readonly string[];
  /** --enable-bootstrap-token-auth. */
  bootstrapTokens?: boolean;
  /** The text of --token-auth-file. */
  tokenFile?: string;
  /** --anonymous-auth; true when neither this nor `configuration` says anything. */
  anonymous?: boolean;
  /** Issuers of tokens and who may be anonymous: --authentication-config, or what the --oidc-* flags stand for. */
  configuration?: AuthenticationConfiguration;
  /** Signature algorithms for tokens of those issuers; defaults to all that are known. */
  signingAlgorithms?: readonly string[];
  /** --authentication-token-webhook-*. */
  tokenWebhook?: Pick<TokenWebhookOptions, 'address' | 'version' | 'cacheTtlMs'>;
}

export interface Authentication {
  /** Who sent this; rejects with 401 when nobody can be made out. */
  authenticate(credentials: Credentials): Promise<Authenticated>;
  /** For TokenReview: undefined when no authenticator knows the token; AuthenticationError when it is bad. */
  authenticateToken(token: string, audiences: readonly string[]): Promise<Authenticated | undefined>;
  readonly apiAudiences: readonly string[];
  /** The keys that tokens are verified with; the first one signs. */
  readonly tokenKeys: readonly JwtKey[];
  readonly signingKey: JwtKey | undefined;
  readonly objects: ObjectFinder;
  /** Replaces the CA bundles after their files changed; throws when the text holds no certificate. */
  setClientCa(pem: string | Buffer): void;
  setRequestHeaderCa(pem: string | Buffer): void;
  /** Replaces the configuration after its file changed. Throws a ConfigError and keeps the old one when it is wrong. */
  setConfiguration(configuration: AuthenticationConfiguration): void;
  close(): void;
}

const ANONYMOUS: Authenticated = { user: { name: 'system:anonymous', groups: ['system:unauthenticated'] } };
/** Where a configuration may change or look at paths, the next request is looked at again. */
const ANONYMOUS_ONCE: Authenticated = { ...ANONYMOUS, reusable: false };

/** Reads one or more keys from PEM text. */
export function readKeys(pem: string | Buffer): KeyObject[] {
  const blocks = pem.toString().match(/-----BEGIN [A-Z ]+-----[\s\S]*?-----END [A-Z ]+-----/g) ?? [];
  const keys = blocks
    .filter((b) => !b.startsWith('-----BEGIN EC PARAMETERS'))
    .map((b) => (b.includes('PRIVATE KEY') ? createPublicKey(keyFromPem(b)) : createPublicKey(b)));
  if (keys.length === 0) throw new Error('no key in the PEM data');
  return keys;
}

/** The certificates of a CA file; throws an Error when there is none. */
function readCa(pem: string | Buffer) {
  const certs = readBundle(pem);
  if (certs.length === 0) throw new Error('no certificate in the CA bundle');
  return certs;
}

/** Adds system:authenticated, once per user object so that caches keyed by it work. */
function createGroupAdder(): (a: Authenticated) => Authenticated {
  const done = new WeakMap<UserInfo, UserInfo>();
  return (a) => {
    let user = done.get(a.user);
    if (!user) {
      const { groups } = a.user;
      const known =
        groups.includes('system:authenticated') ||
        groups.includes('system:unauthenticated') ||
        a.user.name === 'system:anonymous';
      user = known ? a.user : { ...a.user, groups: [...groups, 'system:authenticated'] };
      done.set(a.user, user);
    }
    return user === a.user ? a : { ...a, user };
  };
}

/** All that the options name: front proxy, client certificates, tokens, anonymous. */
export function createAuthentication(options: AuthenticationOptions): Authentication {
  const { clock, logger = silentLogger } = options;
  const objects = createObjectFinder(options.caches);
  const sa = options.serviceAccounts;
  const signingKey = sa?.signingKey ? jwtKey(keyFromPem(sa.signingKey)) : undefined;
  const tokenKeys: JwtKey[] = signingKey ? [signingKey] : [];
  for (const key of (sa?.keys ?? []).flatMap(readKeys).map(jwtKey)) {
    if (!tokenKeys.some((k) => k.id === key.id)) tokenKeys.push(key);
  }
  const apiAudiences = options.apiAudiences?.length ? options.apiAudiences : (sa?.issuers ?? []);

  const clientVerifier = new CertificateVerifier(clock, options.clientCa ? readCa(options.clientCa) : []);
  const proxyVerifier = new CertificateVerifier(
    clock,
    options.requestHeader ? readCa(options.requestHeader.clientCa) : [],
  );
  const left = options.metrics && certificateMetrics(options.metrics);
  const certificates: Authenticator[] = [
    ...(options.requestHeader ? [createRequestHeaderAuthenticator(options.requestHeader, proxyVerifier)] : []),
    ...(options.clientCa ? [createX509Authenticator(clientVerifier, clock, left)] : []),
  ];
  const webhook = options.tokenWebhook && createTokenWebhook({ ...options.tokenWebhook, clock, logger, apiAudiences });
  let oidc: ReturnType<typeof createOidcAuthenticator> | undefined;
  let anonymous: AnonymousConfig | undefined;
  const tokens: TokenAuthenticator[] = [
    ...(options.tokenFile === undefined ? [] : [createTokenFileAuthenticator(options.tokenFile)]),
    ...(sa
      ? [
          createServiceAccountAuthenticator({
            clock,
            objects,
            issuers: sa.issuers,
            keys: tokenKeys,
            lookup: sa.lookup,
            onLegacyUse: options.onLegacyUse,
          }),
        ]
      : []),
    ...(options.bootstrapTokens ? [createBootstrapTokenAuthenticator({ clock, objects })] : []),
    { authenticateToken: async (token, audiences) => oidc?.authenticateToken(token, audiences) },
    ...(webhook ? [webhook] : []),
  ];
  if (options.configuration) setConfiguration(options.configuration);

  function setConfiguration(configuration: AuthenticationConfiguration): void {
    if (configuration.anonymous && options.anonymous !== undefined)
      throw new ConfigError('--anonymous-auth can not be given when the authentication configuration has anonymous');
    const compiled = compileAuthentication(configuration, sa?.issuers ?? []);
    const old = oidc;
    anonymous = compiled.anonymous;
    const { issuers } = compiled;
    const algorithms = options.signingAlgorithms ?? SIGNING_ALGORITHMS;
    oidc = issuers.length ? createOidcAuthenticator({ clock, logger, issuers, algorithms, apiAudiences }) : undefined;
    old?.close();
  }

  function anonymousFor(path: string | undefined): Authenticated | undefined {
    if (!anonymous) {
      if (options.anonymous === false) return undefined;
      return options.configuration ? ANONYMOUS_ONCE : ANONYMOUS;
    }
    if (!anonymous.enabled) return undefined;
    const { conditions } = anonymous;
    return !conditions?.length || conditions.some((c) => c.path === path) ? ANONYMOUS_ONCE : undefined;
  }
  const addGroups = createGroupAdder();

  async function authenticateToken(token: string, audiences: readonly string[]): Promise<Authenticated | undefined> {
    let failure: AuthenticationError | undefined;
    for (const t of tokens) {
      try {
        const found = await t.authenticateToken(token, audiences);
        if (found) return addGroups({ ...found, audiences: found.audiences ?? audiences });
      } catch (error) {
        if (!(error instanceof AuthenticationError)) throw error;
        failure ??= error;
      }
    }
    if (failure) throw failure;
    return undefined;
  }

  async function attempt(way: () => Promise<Authenticated | undefined>): Promise<Authenticated | 'bad' | undefined> {
    try {
      return await way();
    } catch (error) {
      if (error instanceof AuthenticationError) return 'bad';
      throw error;
    }
  }

  return {
    apiAudiences,
    tokenKeys,
    signingKey,
    objects,
    authenticateToken,
    setClientCa: (pem) => clientVerifier.setRoots(readCa(pem)),
    setRequestHeaderCa: (pem) => proxyVerifier.setRoots(readCa(pem)),
    setConfiguration,
    close() {
      oidc?.close();
      webhook?.close();
    },
    async authenticate(c) {
      let bad = false;
      if (c.clientCertificate) {
        for (const a of certificates) {
          const found = await attempt(() => a.authenticate(c));
          if (found === 'bad') bad = true;
          else if (found) return addGroups(found);
        }
      }
      if (c.bearerToken !== undefined) {
        const token = c.bearerToken;
        const found = await attempt(() => authenticateToken(token, c.audiences ?? apiAudiences));
        if (found !== 'bad' && found) return found;
        bad = true; // a token that nobody knows is no anonymous request
      }
      const nobody = bad ? undefined : anonymousFor(c.path);
      if (!nobody) throw unauthorized();
      return nobody;
    },
  };
}
