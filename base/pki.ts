/** Keys, certificates and signing requests (RFC 5280, RFC 2986), over node:crypto. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  verify,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import * as der from './der.ts';
import {
  encodeAltNames,
  encodeKeyUsage,
  encodeName,
  EXTENDED,
  extension,
  OID,
  parseExtensions,
  parseName,
  parseTime,
  type AltNames,
  type ExtendedUsage,
  type KeyUsage,
  type Subject,
} from './x509-fields.ts';

export { type AltNames, type ExtendedUsage, type KeyUsage, type Subject } from './x509-fields.ts';

export type KeyAlgorithm = 'rsa-2048' | 'ecdsa-p256';

/** A new private key; its public half is `createPublicKey(key)`. */
export function generateKey(algorithm: KeyAlgorithm = 'ecdsa-p256'): KeyObject {
  if (algorithm === 'rsa-2048') return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** PKCS#1 for RSA and SEC1 for EC keys: what every Kubernetes program reads. */
export function keyToPem(key: KeyObject): string {
  const type = key.asymmetricKeyType === 'rsa' ? 'pkcs1' : 'sec1';
  return key.export({ format: 'pem', type }) as string;
}
export const keyFromPem = (pem: string | Buffer): KeyObject => createPrivateKey(pem);
export const publicKeyToPem = (key: KeyObject): string =>
  (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'pem', type: 'spki' }) as string;

/** A certificate with its key: an authority, or a server's or client's identity. */
export interface Identity {
  /** PEM. */
  cert: string;
  /** PEM. */
  key: string;
}

export interface CertificateOptions {
  subject: Subject;
  altNames?: AltNames;
  usages?: readonly KeyUsage[];
  extendedUsages?: readonly ExtendedUsage[];
  /** Milliseconds since the epoch; certificates have whole seconds. */
  notBefore: number;
  notAfter: number;
  /** Basic constraints CA; then `usages` default to cert sign, digital signature and key encipherment. */
  ca?: boolean;
  /** Big-endian; 16 random bytes when absent. */
  serial?: Buffer;
}

function signatureAlgorithm(key: KeyObject): Buffer {
  if (key.asymmetricKeyType === 'rsa') return der.sequence(der.oid(OID.rsaSha256), der.encode(der.TAG.null));
  if (key.asymmetricKeyType === 'ec') return der.sequence(der.oid(OID.ecdsaSha256));
  throw new Error(`keys of type ${key.asymmetricKeyType} can't sign here`);
}

function signed(body: Buffer, key: KeyObject): Buffer {
  return der.sequence(body, signatureAlgorithm(key), der.bits(sign('sha256', body, key)));
}

const spki = (publicKey: KeyObject) => publicKey.export({ format: 'der', type: 'spki' });
/** RFC 5280 4.2.1.2 asks for any value derived from the key; Go and OpenSSL use a hash of the key bits. */
function keyId(publicKey: KeyObject): Buffer {
  const bitString = der.readAll(der.readOne(spki(publicKey)).content)[1]!;
  return createHash('sha256').update(bitString.content.subarray(1)).digest().subarray(0, 20);
}

/** Signs a certificate for `publicKey`; without an issuer it is self-signed with `signingKey`. PEM. */
export function signCertificate(
  options: CertificateOptions,
  publicKey: KeyObject,
  signingKey: KeyObject,
  issuerCert?: string,
): string {
  if (publicKey.type === 'private') publicKey = createPublicKey(publicKey);
  const subject = encodeName(options.subject);
  const issuer = issuerCert ? parseCertificate(issuerCert) : undefined;
  const usages = options.usages ?? (options.ca ? ['digital signature', 'key encipherment', 'cert sign'] : undefined);
  const serial = options.serial ?? randomBytes(16);
  if (!options.serial) serial[0]! &= 0x7f;
  const altNames = encodeAltNames(options.altNames);
  const extensions = [
    ...(usages?.length ? [extension(OID.keyUsage, encodeKeyUsage(usages), true)] : []),
    ...(options.extendedUsages?.length
      ? [extension(OID.extendedUsage, der.sequence(...options.extendedUsages.map((u) => der.oid(EXTENDED[u]))))]
      : []),
    extension(OID.basicConstraints, options.ca ? der.sequence(der.boolean(true)) : der.sequence(), true),
    ...(options.ca ? [extension(OID.subjectKeyId, der.octets(keyId(publicKey)))] : []),
    ...(issuer?.subjectKeyId
      ? [extension(OID.authorityKeyId, der.sequence(der.encode(0x80, issuer.subjectKeyId)))]
      : []),
    ...(altNames ? [extension(OID.altNames, altNames)] : []),
  ];
  const body = der.sequence(
    der.encode(0xa0, der.integer(Buffer.from([2]))),
    der.integer(serial),
    signatureAlgorithm(signingKey),
    issuer?.rawSubject ?? subject,
    der.sequence(der.time(options.notBefore), der.time(options.notAfter)),
    subject,
    spki(publicKey),
    der.encode(0xa3, der.sequence(...extensions)),
  );
  return der.writePem('CERTIFICATE', signed(body, signingKey));
}

/** A new self-signed authority. */
export function createAuthority(options: {
  commonName: string;
  notBefore: number;
  notAfter: number;
  algorithm?: KeyAlgorithm;
}): Identity {
  const key = generateKey(options.algorithm);
  const cert = signCertificate({ subject: { commonName: options.commonName }, ca: true, ...options }, key, key);
  return { cert, key: keyToPem(key) };
}

/** A new key and a certificate for it, signed by `authority`. */
export function issue(authority: Identity, options: CertificateOptions & { algorithm?: KeyAlgorithm }): Identity {
  const key = generateKey(options.algorithm);
  const usages: readonly KeyUsage[] = options.usages ?? ['digital signature', 'key encipherment'];
  const cert = signCertificate({ ...options, usages }, key, keyFromPem(authority.key), authority.cert);
  return { cert, key: keyToPem(key) };
}

/** What a certificate says. */
export interface CertificateInfo {
  readonly subject: Required<Subject>;
  readonly altNames: Required<AltNames>;
  readonly usages: readonly KeyUsage[];
  /** Known names, or the dotted OID. */
  readonly extendedUsages: readonly string[];
  readonly ca: boolean;
  readonly serial: Buffer;
  /** Milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly rawSubject: Buffer;
  readonly subjectKeyId: Buffer | undefined;
}

const derOf = (input: string | Buffer, label: string) => {
  if (typeof input !== 'string') return input;
  const block = der.readPem(input).find((b) => b.label === label);
  if (!block) throw new Error(`no ${label} in the PEM data`);
  return block.der;
};

/** Reads a certificate from PEM text (its first) or DER; throws an Error on malformed input. */
export function parseCertificate(input: string | Buffer): CertificateInfo {
  const body = der.readAll(der.readAll(der.readOne(derOf(input, 'CERTIFICATE')).content)[0]!.content);
  const at = body[0]!.tag === 0xa0 ? 1 : 0;
  const times = der.readAll(body[at + 3]!.content);
  const subject = body[at + 4]!;
  const extensions = body.find((n) => n.tag === 0xa3);
  return {
    subject: parseName(subject),
    ...parseExtensions(extensions ? der.readAll(der.readOne(extensions.content).content) : []),
    serial: Buffer.from(body[at]!.content),
    notBefore: parseTime(times[0]!),
    notAfter: parseTime(times[1]!),
    rawSubject: Buffer.from(subject.raw),
  };
}

/** Creates a PKCS#10 signing request, PEM. */
export function createCsr(options: { subject: Subject; altNames?: AltNames }, key: KeyObject): string {
  const altNames = encodeAltNames(options.altNames);
  const attributes = altNames
    ? [
        der.sequence(
          der.oid(OID.extensionRequest),
          der.encode(der.TAG.set, der.sequence(extension(OID.altNames, altNames))),
        ),
      ]
    : [];
  const body = der.sequence(
    der.integer(Buffer.from([0])),
    encodeName(options.subject),
    spki(createPublicKey(key)),
    der.encode(0xa0, ...attributes),
  );
  return der.writePem('CERTIFICATE REQUEST', signed(body, key));
}

/** What a signing request asks for. */
export interface CsrInfo {
  readonly subject: Required<Subject>;
  readonly altNames: Required<AltNames>;
  readonly publicKey: KeyObject;
}

const DIGESTS: Record<string, string> = {
  [OID.rsaSha256]: 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  [OID.ecdsaSha256]: 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
};

/** Reads a signing request (PEM or DER) and verifies its own signature; throws an Error when either fails. */
export function parseCsr(input: string | Buffer): CsrInfo {
  const [body, algorithm, signature] = der.readAll(der.readOne(derOf(input, 'CERTIFICATE REQUEST')).content);
  if (!body || !algorithm || !signature) throw new Error('DER: bad signing request');
  const [, name, key, attributes] = der.readAll(body.content);
  if (!name || !key) throw new Error('DER: bad signing request');
  const publicKey = createPublicKey({ key: key.raw, format: 'der', type: 'spki' });
  const id = der.readOid(der.readAll(algorithm.content)[0]!.content);
  const digest = id === '1.3.101.112' ? null : DIGESTS[id];
  if (digest === undefined) throw new Error(`signature algorithm ${id} is not supported`);
  if (!verify(digest, body.raw, publicKey, signature.content.subarray(1)))
    throw new Error('the signature of the request is wrong');
  const requested = attributes
    ? der
        .readAll(attributes.content)
        .map((a) => der.readAll(a.content))
        .find((a) => der.readOid(a[0]!.content) === OID.extensionRequest)
    : undefined;
  const list = requested ? der.readAll(der.readOne(requested[1]!.content).content) : [];
  return { subject: parseName(name), altNames: parseExtensions(list).altNames, publicKey };
}

/** The certificates of a PEM bundle. */
export function readBundle(pem: string | Buffer): X509Certificate[] {
  return der
    .readPem(pem.toString())
    .filter((b) => b.label === 'CERTIFICATE')
    .map((b) => new X509Certificate(b.der));
}
