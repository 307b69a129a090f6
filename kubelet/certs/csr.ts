/** Getting a certificate signed by the cluster: CertificateSigningRequest, then waiting for its approval. */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Client } from '../../client/client.ts';
import { certificateSigningRequests } from '../../client/resources.ts';
import { createRequest, type Subject } from './pem.ts';

export interface SignedPair {
  keyPem: string;
  certPem: string;
}

/** Resolves with the key and the signed chain; rejects when the request is denied, fails, or `patienceMs` pass. */
export async function requestCertificate(options: {
  client: Client;
  clock: Clock;
  logger: Logger;
  signer: 'kubernetes.io/kube-apiserver-client-kubelet' | 'kubernetes.io/kubelet-serving';
  subject: Subject;
  patienceMs: number;
  signal?: AbortSignal;
}): Promise<SignedPair> {
  const { client, clock, logger, signer } = options;
  const { keyPem, requestPem } = createRequest(options.subject);
  const csr = await client.create(certificateSigningRequests, {
    metadata: { generateName: 'csr-' },
    spec: {
      request: Buffer.from(requestPem).toString('base64'),
      signerName: signer,
      usages: ['digital signature', signer === 'kubernetes.io/kubelet-serving' ? 'server auth' : 'client auth'],
    },
  });
  const name = csr.metadata!.name!;
  logger.info('waiting for a certificate', { csr: name, signer });
  const until = clock.monotonic() + options.patienceMs;
  for (let delay = 100; clock.monotonic() < until; delay = Math.min(delay * 1.5, 3000)) {
    await clock.sleep(delay, options.signal);
    let now;
    try {
      now = await client.get(certificateSigningRequests, name);
    } catch (error) {
      logger.debug('certificate request not read', { error });
      continue;
    }
    for (const c of now.status?.conditions ?? [])
      if (c.type === 'Denied' || c.type === 'Failed')
        throw new Error(`certificate signing request ${name} is ${c.type}: ${c.message ?? ''}`);
    if (now.status?.certificate)
      return { keyPem, certPem: Buffer.from(now.status.certificate, 'base64').toString('utf8') };
  }
  throw new Error(`no certificate for ${name} within ${options.patienceMs} ms`);
}
