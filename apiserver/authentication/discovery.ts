/** OpenID discovery of the service account issuer (KEP-1393). */
import type { JwtKey } from './jwt.ts';

export interface IssuerDocuments {
  /** Body of /.well-known/openid-configuration (application/json). */
  readonly configuration: Buffer;
  /** Body of /openid/v1/jwks (application/jwk-set+json). */
  readonly keys: Buffer;
  /** For both, as Cache-Control. */
  readonly cacheControl: string;
}

export interface IssuerDocumentOptions {
  issuer: string;
  /** --service-account-jwks-uri; defaults to `https://HOST:PORT/openid/v1/jwks` of the server. */
  jwksUri?: string;
  /** HOST:PORT under which the server is reached from outside. */
  externalAddress: string;
  keys: readonly JwtKey[];
}

/** Undefined when the issuer is no https URL: then there is nothing to discover, and both paths are 404. */
export function issuerDocuments(o: IssuerDocumentOptions): IssuerDocuments | undefined {
  if (!URL.canParse(o.issuer)) return undefined;
  const url = new URL(o.issuer);
  if (url.protocol !== 'https:' || url.search !== '' || url.hash !== '') return undefined;
  const configuration = {
    issuer: o.issuer,
    jwks_uri: o.jwksUri ?? `https://${o.externalAddress}/openid/v1/jwks`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: [...new Set(o.keys.map((k) => k.alg))].sort(),
  };
  const keys = o.keys.map((k) => {
    const { kty, crv, n, e, x, y } = k.publicKey.export({ format: 'jwk' });
    return kty === 'RSA'
      ? { use: 'sig', kty, kid: k.id, alg: k.alg, n, e }
      : { use: 'sig', kty, kid: k.id, crv, alg: k.alg, x, y };
  });
  return {
    configuration: Buffer.from(JSON.stringify(configuration)),
    keys: Buffer.from(JSON.stringify({ keys })),
    cacheControl: 'public, max-age=3600',
  };
}
