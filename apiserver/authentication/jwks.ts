/** Keys of identity providers: JSON Web Key Sets (RFC 7517), fetched when a token needs them. */
import { constants, createPublicKey, verify, type JsonWebKey, type KeyObject } from 'node:crypto';
import type { JsonObject } from '../../api/types.ts';
import type { Clock } from '../../base/clock.ts';
import type { ParsedJwt } from './jwt.ts';

interface Algorithm {
  readonly digest: string;
  /** For ECDSA: Node's name of the only curve that goes with it. */
  readonly curve?: string;
  readonly pss?: true;
}

/** Signature algorithms of RFC 7518 that are accepted. */
const ALGORITHMS: Readonly<Record<string, Algorithm>> = {
  RS256: { digest: 'sha256' },
  RS384: { digest: 'sha384' },
  RS512: { digest: 'sha512' },
  ES256: { digest: 'sha256', curve: 'prime256v1' },
  ES384: { digest: 'sha384', curve: 'secp384r1' },
  ES512: { digest: 'sha512', curve: 'secp521r1' },
  PS256: { digest: 'sha256', pss: true },
  PS384: { digest: 'sha384', pss: true },
  PS512: { digest: 'sha512', pss: true },
};
export const SIGNING_ALGORITHMS: readonly string[] = Object.keys(ALGORITHMS);

interface Key {
  readonly id: string | undefined;
  readonly key: KeyObject;
}

/** The public keys of a set; those of kinds that can't sign tokens are passed over. */
export function readKeySet(set: JsonObject): Key[] {
  const out: Key[] = [];
  for (const entry of Array.isArray(set['keys']) ? set['keys'] : []) {
    const jwk = entry as JsonObject | null;
    if (jwk?.['kty'] !== 'RSA' && jwk?.['kty'] !== 'EC') continue;
    try {
      // Only the public parts: a set that shows private ones is no reason to hold them.
      const { kty, n, e, crv, x, y } = jwk as JsonWebKey;
      const key = createPublicKey({ key: kty === 'RSA' ? { kty, n, e } : { kty, crv, x, y }, format: 'jwk' });
      out.push({ id: typeof jwk['kid'] === 'string' ? jwk['kid'] : undefined, key });
    } catch {
      // one key that can't be read doesn't spoil the others
    }
  }
  return out;
}

function signedBy(jwt: ParsedJwt, { digest, curve, pss }: Algorithm, key: KeyObject): boolean {
  const input = Buffer.from(jwt.input);
  if (curve !== undefined) {
    if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== curve) return false;
    return verify(digest, input, { key, dsaEncoding: 'ieee-p1363' }, jwt.signature);
  }
  if (key.asymmetricKeyType !== 'rsa') return false;
  const padding = pss
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : { padding: constants.RSA_PKCS1_PADDING };
  return verify(digest, input, { key, ...padding }, jwt.signature);
}

/** At most so many fetches in each period: tokens that nobody signed must not become a load for the provider. */
const FETCHES = 20;
const PERIOD = 60_000;

export interface KeySet {
  /** True when a key of the set made the signature; rejects when the set can't be had. */
  verify(jwt: ParsedJwt): Promise<boolean>;
}

/** Keeps the keys until a token comes that none of them signed: then the provider may have new ones. */
export function createKeySet(o: { clock: Clock; fetch(): Promise<JsonObject> }): KeySet {
  let keys: Key[] = [];
  let pending: Promise<void> | undefined;
  let fetches = 0;
  let since = -Infinity;

  function refresh(): Promise<void> | undefined {
    if (pending) return pending;
    const now = o.clock.monotonic();
    if (now - since >= PERIOD) [since, fetches] = [now, 0];
    if (fetches++ >= FETCHES) return undefined;
    pending = o
      .fetch()
      .then((set) => {
        keys = readKeySet(set);
      })
      .finally(() => (pending = undefined));
    return pending;
  }

  return {
    async verify(jwt) {
      const { alg, kid } = jwt.header;
      const algorithm = alg !== undefined && Object.hasOwn(ALGORITHMS, alg) ? ALGORITHMS[alg] : undefined;
      if (!algorithm) return false;
      const matches = () =>
        keys.some((k) => (kid === undefined || kid === '' || k.id === kid) && signedBy(jwt, algorithm, k.key));
      if (matches()) return true;
      const fetched = refresh();
      if (!fetched) return false;
      await fetched;
      return matches();
    },
  };
}
