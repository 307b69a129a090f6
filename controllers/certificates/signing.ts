/** Signs approved certificate requests of Kubernetes' own signers with the cluster's CA. */
import type * as k8s from '@kubernetes/client-node';
import type { KeyObject } from 'node:crypto';
import { isNotFound } from '../../api/status.ts';
import type { Json } from '../../api/types.ts';
import { formatTime } from '../../base/clock.ts';
import {
  keyFromPem,
  parseCertificate,
  parseCsr,
  readBundle,
  signCertificate,
  type ExtendedUsage,
  type KeyUsage,
} from '../../base/pki.ts';
import { certificateSigningRequests } from '../../client/resources.ts';
import { defineController } from '../framework.ts';
import { body } from '../lib/meta.ts';
import { hasCondition, SIGNERS, validity } from './signers.ts';

type Request = Json<k8s.V1CertificateSigningRequest>;

interface Authority {
  cert: string;
  key: KeyObject;
  notAfter: number;
}

const EXTENDED: ReadonlySet<string> = new Set<ExtendedUsage>([
  'server auth',
  'client auth',
  'code signing',
  'email protection',
  'timestamping',
  'ocsp signing',
  'any',
]);
/** Names that mean the same. */
const ALIASES: Readonly<Record<string, string>> = { signing: 'digital signature', 's/mime': 'email protection' };

function splitUsages(usages: readonly string[]): { usages: KeyUsage[]; extendedUsages: ExtendedUsage[] } {
  const names = usages.map((u) => ALIASES[u] ?? u);
  return {
    usages: names.filter((u) => !EXTENDED.has(u)) as KeyUsage[],
    extendedUsages: names.filter((u) => EXTENDED.has(u)) as ExtendedUsage[],
  };
}

/** The first certificate of a PEM bundle, as PEM. */
function firstOf(bundle: string): string {
  return readBundle(bundle)[0]!.toString();
}

export const csrSigningController = defineController({
  name: 'certificatesigningrequest-signing-controller',
  account: 'certificate-controller',
  inputs: { requests: certificateSigningRequests },
  outputs: ['update certificatesigningrequests/status.certificates.k8s.io'],
  enabled: (options) => options.signing.cert !== undefined && options.signing.key !== undefined,
  state: ({ options }): Authority => {
    const cert = firstOf(options.signing.cert!);
    return { cert, key: keyFromPem(options.signing.key!), notAfter: Number(parseCertificate(cert).notAfter) };
  },
  triggers: { requests: 'self' },
  async reconcile(key, deps) {
    const csr = deps.informers.requests.get(key);
    if (
      !csr ||
      csr.status?.certificate ||
      !hasCondition(csr, 'Approved') ||
      hasCondition(csr, 'Denied') ||
      hasCondition(csr, 'Failed')
    )
      return;
    const problemOf = SIGNERS[csr.spec.signerName];
    if (!problemOf) return;
    const wanted = body<Request>(csr);
    const x509 = parseCsr(Buffer.from(csr.spec.request, 'base64').toString());
    const now = deps.clock.now();
    const problem = problemOf(x509, csr.spec.usages ?? []);
    let status: Request['status'];
    if (problem !== undefined) {
      const time = formatTime(now);
      const failed = {
        type: 'Failed',
        status: 'True',
        reason: 'SignerValidationFailure',
        message: problem,
        lastUpdateTime: time,
        lastTransitionTime: time,
      };
      status = { ...wanted.status, conditions: [...(wanted.status?.conditions ?? []), failed] };
    } else {
      const ca = deps.state;
      const pem = signCertificate(
        {
          subject: x509.subject,
          altNames: x509.altNames,
          ...splitUsages(csr.spec.usages ?? []),
          ...validity(now, deps.options.clusterSigningDurationMs, csr.spec.expirationSeconds, ca.notAfter),
        },
        x509.publicKey,
        ca.key,
        ca.cert,
      );
      status = { ...wanted.status, certificate: Buffer.from(pem).toString('base64') };
    }
    await deps.client.updateStatus(certificateSigningRequests, { ...wanted, status }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  },
});
