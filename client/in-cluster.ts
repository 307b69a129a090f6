/** The connection that a pod has through its service account. */
import { existsSync, readFileSync } from 'node:fs';
import type { ConnectionOptions } from './kubeconfig.ts';

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Throws with one sentence outside of a pod. */
export function inCluster(env: Readonly<Record<string, string | undefined>>): ConnectionOptions {
  const host = env['KUBERNETES_SERVICE_HOST'];
  if (!host || !existsSync(`${ACCOUNT}/token`))
    throw new Error('not in a pod with a service account: name a --kubeconfig');
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] ?? '443'}`,
    ca: readFileSync(`${ACCOUNT}/ca.crt`),
    token: () => readFileSync(`${ACCOUNT}/token`, 'utf8').trim(),
  };
}
