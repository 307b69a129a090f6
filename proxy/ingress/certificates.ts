/** TLS contexts of Secrets, made once per version of a Secret. */
import { createSecureContext, type SecureContext } from 'node:tls';
import { generateKey, keyToPem, signCertificate } from '../../base/pki.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Secret } from '../../api/types.ts';
import { splitKey, type Informer } from '../../client/informer.ts';
import { byHost, type Table } from './table.ts';

const YEAR_MS = 365 * 24 * 3600_000;

/** Looks up the certificate for a host; one that can't be used counts as none. */
export function createCertificates(secrets: Informer<Secret>, table: () => Table, logger: Logger) {
  const made = new Map<string, { version: string; context: SecureContext | undefined }>();
  return (host: string): SecureContext | undefined => {
    const key = byHost(table().certificates, host);
    if (key === undefined) return undefined;
    const { name, namespace } = splitKey(key);
    const secret = secrets.get(name, namespace);
    const version = secret?.metadata?.resourceVersion ?? '';
    const have = made.get(key);
    if (have?.version === version) return have.context;
    let context: SecureContext | undefined;
    const part = (n: string) => Buffer.from(secret?.data?.[n] ?? '', 'base64');
    try {
      if (secret) context = createSecureContext({ cert: part('tls.crt'), key: part('tls.key') });
    } catch (error) {
      logger.warn('the Secret holds no usable certificate', { secret: key, error });
    }
    made.set(key, { version, context });
    return context;
  };
}

/** What hosts without a certificate get: self-signed, new at every start. */
export function selfSigned(clock: Clock): { cert: string; key: string } {
  const key = generateKey();
  const now = clock.now();
  const subject = { commonName: 'k8ts ingress' };
  const cert = signCertificate(
    { subject, altNames: { dns: ['ingress.local'] }, notBefore: now - 3600_000, notAfter: now + YEAR_MS },
    key,
    key,
  );
  return { cert, key: keyToPem(key) };
}
