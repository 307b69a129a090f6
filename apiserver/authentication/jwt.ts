/** JSON Web Tokens (RFC 7519) as service accounts use them: RS256 and ECDSA, signed and verified by node:crypto. */
import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';

const EC: Record<string, { alg: string; digest: string }> = {
  prime256v1: { alg: 'ES256', digest: 'sha256' },
  secp384r1: { alg: 'ES384', digest: 'sha384' },
  secp521r1: { alg: 'ES512', digest: 'sha512' },
};

/** A key with its JOSE names. */
export interface JwtKey {
  /** Private or public. */
  readonly key: KeyObject;
  readonly publicKey: KeyObject;
  /** base64url of the SHA-256 of the public key's DER. */
  readonly id: string;
  readonly alg: string;
  readonly digest: string;
}

/** Gives a key its names; throws an Error for keys that can't sign tokens. */
export function jwtKey(key: KeyObject): JwtKey {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const id = createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest('base64url');
  if (key.asymmetricKeyType === 'rsa') return { key, publicKey, id, alg: 'RS256', digest: 'sha256' };
  const ec = key.asymmetricKeyType === 'ec' ? EC[key.asymmetricKeyDetails?.namedCurve ?? ''] : undefined;
  if (!ec) throw new Error(`a key of type ${key.asymmetricKeyType} can't be used for service account tokens`);
  return { key, publicKey, id, ...ec };
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A compact token of these claims. */
export function signJwt(claims: object, key: JwtKey): string {
  const input = `${encode({ alg: key.alg, kid: key.id })}.${encode(claims)}`;
  const signature = sign(key.digest, Buffer.from(input), { key: key.key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

/** A token taken apart; nothing is verified. */
export interface ParsedJwt {
  readonly header: { readonly alg?: string; readonly kid?: string };
  readonly claims: Readonly<Record<string, unknown>>;
  readonly input: string;
  readonly signature: Buffer;
}

/** Undefined when the text is no compact token. */
export function parseJwt(token: string): ParsedJwt | undefined {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  try {
    const [header, claims] = [0, 1].map(
      (i) => JSON.parse(Buffer.from(parts[i]!, 'base64url').toString('utf8')) as unknown,
    );
    if (typeof header !== 'object' || header === null || typeof claims !== 'object' || claims === null)
      return undefined;
    return {
      header,
      claims: claims as Record<string, unknown>,
      input: `${parts[0]}.${parts[1]}`,
      signature: Buffer.from(parts[2]!, 'base64url'),
    };
  } catch {
    return undefined;
  }
}

/** True when one of the keys made the signature; a token without `kid` is tried with all of them. */
export function verifyJwt(token: ParsedJwt, keys: readonly JwtKey[]): boolean {
  const input = Buffer.from(token.input);
  return keys.some(
    (k) =>
      k.alg === token.header.alg &&
      (!token.header.kid || token.header.kid === k.id) &&
      verify(k.digest, input, { key: k.publicKey, dsaEncoding: 'ieee-p1363' }, token.signature),
  );
}
