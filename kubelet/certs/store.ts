/** Certificates on disk: NAME-DATE.pem files with key and chain, NAME-current.pem points at the newest. */
import { X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SignedPair } from './csr.ts';

export interface StoredCertificate extends SignedPair {
  /** Milliseconds since the epoch. */
  notBefore: number;
  notAfter: number;
  certificate: X509Certificate;
}

export const currentFile = (dir: string, name: string): string => join(dir, `${name}-current.pem`);

/** The stored pair; undefined when there is none or it can't be read. */
export function loadCertificate(dir: string, name: string): StoredCertificate | undefined {
  try {
    return parsePair(readFileSync(currentFile(dir, name), 'utf8'));
  } catch {
    return undefined;
  }
}

function parsePair(text: string): StoredCertificate {
  const blocks = text.match(/-----BEGIN [^-]+-----[\s\S]+?-----END [^-]+-----\n?/g) ?? [];
  const certPem = blocks.filter((b) => b.includes('BEGIN CERTIFICATE')).join('');
  const keyPem = blocks.find((b) => b.includes('PRIVATE KEY')) ?? '';
  const certificate = new X509Certificate(certPem);
  return {
    certPem,
    keyPem,
    certificate,
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
  };
}

/** Writes a new pair and turns the link over to it. `now` names the file. */
export function storeCertificate(dir: string, name: string, pair: SignedPair, now: number): StoredCertificate {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = `${name}-${new Date(now).toISOString().replaceAll(/[:.]/g, '-').slice(0, 19)}.pem`;
  writeFileSync(join(dir, file), pair.certPem.trimEnd() + '\n' + pair.keyPem, { mode: 0o600 });
  const link = currentFile(dir, name);
  rmSync(`${link}.new`, { force: true });
  symlinkSync(file, `${link}.new`);
  renameSync(`${link}.new`, link);
  return parsePair(pair.certPem + pair.keyPem);
}

/** When to ask for the next certificate: after 70 to 90% of the life of this one (`spread` in [0, 1)). */
export function rotationTime(c: { notBefore: number; notAfter: number }, spread: number): number {
  return c.notBefore + (c.notAfter - c.notBefore) * (0.7 + 0.2 * spread);
}
