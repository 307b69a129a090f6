/** Deletes certificate requests that nobody needs any more. */
import { isNotFound } from '../../api/status.ts';
import { parseCertificate } from '../../base/pki.ts';
import { certificateSigningRequests } from '../../client/resources.ts';
import { defineController } from '../framework.ts';
import { createTimestamp, millis } from '../lib/meta.ts';
import { hasCondition, type CSR } from './signers.ts';

const HOUR = 3600_000;

/** When a request may be deleted, in milliseconds since the epoch. Pure. */
export function deleteAt(csr: CSR): number {
  const changed = (type: string) => {
    const c = csr.status?.conditions?.find((x) => x.type === type);
    return millis(c?.lastUpdateTime ?? csr.metadata?.creationTimestamp);
  };
  let at = Infinity;
  const certificate = csr.status?.certificate;
  const approved = hasCondition(csr, 'Approved');
  const denied = hasCondition(csr, 'Denied');
  const failed = hasCondition(csr, 'Failed');
  if (approved && certificate) at = Math.min(at, changed('Approved') + HOUR);
  if (denied) at = Math.min(at, changed('Denied') + HOUR);
  if (failed) at = Math.min(at, changed('Failed') + HOUR);
  if (!denied && !failed && !(approved && certificate)) at = Math.min(at, createTimestamp(csr) + 24 * HOUR);
  if (certificate) {
    try {
      at = Math.min(at, Number(parseCertificate(Buffer.from(certificate, 'base64').toString()).notAfter));
    } catch {
      // not a certificate of ours: the other rules decide
    }
  }
  return at;
}

export const csrCleanerController = defineController({
  name: 'certificatesigningrequest-cleaner-controller',
  account: 'certificate-controller',
  inputs: { requests: certificateSigningRequests },
  outputs: ['delete certificatesigningrequests.certificates.k8s.io'],
  workers: () => 1,
  triggers: { requests: 'self' },
  async reconcile(key, { informers, client, clock }) {
    const csr = informers.requests.get(key);
    if (!csr) return;
    const left = deleteAt(csr) - clock.now();
    if (left > 0) return { requeueAfterMs: Math.min(left + 1000, HOUR) };
    await client.delete(certificateSigningRequests, key).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  },
});
