/** Keys, requests and certificates of a node. */
import { createCsr, generateKey, keyToPem, signCertificate } from '../../base/pki.ts';

export interface Subject {
  commonName: string;
  organization?: string;
  dns?: readonly string[];
  ips?: readonly string[];
}

const nameOf = (s: Subject) => ({
  commonName: s.commonName,
  ...(s.organization ? { organizations: [s.organization] } : {}),
});

/** A new key and a request for a certificate of it. */
export function createRequest(subject: Subject): { keyPem: string; requestPem: string } {
  const key = generateKey();
  const altNames = subject.dns || subject.ips ? { dns: subject.dns ?? [], ip: subject.ips ?? [] } : undefined;
  return { keyPem: keyToPem(key), requestPem: createCsr({ subject: nameOf(subject), altNames }, key) };
}

/** A certificate that vouches for itself, good for a year from an hour before `now`. */
export function selfSigned(subject: Subject, now: number): { keyPem: string; certPem: string } {
  const key = generateKey();
  const certPem = signCertificate(
    {
      subject: nameOf(subject),
      altNames: { dns: subject.dns ?? [], ip: subject.ips ?? [] },
      usages: ['digital signature'],
      extendedUsages: ['server auth'],
      notBefore: now - 3600_000,
      notAfter: now + 365 * 24 * 3600_000,
    },
    key,
    key,
  );
  return { keyPem: keyToPem(key), certPem };
}
