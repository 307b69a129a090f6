/** TLS bootstrap: with a bootstrap token the kubelet asks for its own client certificate and writes its kubeconfig. */
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { createClient } from '../../client/client.ts';
import { loadKubeconfig } from '../../client/kubeconfig.ts';
import { requestCertificate } from './csr.ts';
import { currentFile, loadCertificate, storeCertificate } from './store.ts';

export const CLIENT_PAIR = 'kubelet-client';

/** Makes `kubeconfig` when it is missing, by way of `bootstrapKubeconfig`. Tries until it works or the signal is aborted. */
export async function bootstrap(options: {
  kubeconfig: string;
  bootstrapKubeconfig: string;
  certDir: string;
  nodeName: string;
  clock: Clock;
  logger: Logger;
  signal: AbortSignal;
}): Promise<void> {
  const { clock, logger, certDir, signal } = options;
  if (existsSync(options.kubeconfig)) {
    const have = loadCertificate(certDir, CLIENT_PAIR);
    if (!have || have.notAfter > clock.now()) return;
    logger.warn('the client certificate has expired: asking for a new one');
  }
  const connection = loadKubeconfig(options.bootstrapKubeconfig);
  const client = createClient({ ...connection, userAgent: 'kubelet' });
  try {
    for (let delay = 500; ; delay = Math.min(delay * 2, 10_000)) {
      try {
        const pair = await requestCertificate({
          client,
          clock,
          logger,
          signer: 'kubernetes.io/kube-apiserver-client-kubelet',
          subject: { commonName: `system:node:${options.nodeName}`, organization: 'system:nodes' },
          patienceMs: 15 * 60_000,
          signal,
        });
        storeCertificate(certDir, CLIENT_PAIR, pair, clock.now());
        break;
      } catch (error) {
        signal.throwIfAborted();
        logger.warn('no client certificate yet', { error: (error as Error).message, retryMs: delay });
        await clock.sleep(delay, signal);
      }
    }
  } finally {
    client.close();
  }
  const file = currentFile(certDir, CLIENT_PAIR);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'default-cluster',
        cluster: {
          server: connection.server,
          // a file stays a file, so that a new authority can take its place
          ...(connection.caFile
            ? { 'certificate-authority': connection.caFile }
            : connection.ca
              ? { 'certificate-authority-data': Buffer.from(connection.ca).toString('base64') }
              : {}),
          ...(connection.insecureSkipTlsVerify ? { 'insecure-skip-tls-verify': true } : {}),
        },
      },
    ],
    users: [{ name: 'default-auth', user: { 'client-certificate': file, 'client-key': file } }],
    contexts: [
      { name: 'default-context', context: { cluster: 'default-cluster', user: 'default-auth', namespace: 'default' } },
    ],
    'current-context': 'default-context',
  };
  mkdirSync(dirname(options.kubeconfig), { recursive: true });
  writeFileSync(`${options.kubeconfig}.new`, JSON.stringify(config, undefined, 2) + '\n', { mode: 0o600 });
  renameSync(`${options.kubeconfig}.new`, options.kubeconfig);
}
