/** The connection that a pod has through its service account. */
import { existsSync, readFileSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { createClient, type Client } from './client.ts';
import { followConnection, readKubeconfig, type Reading } from './kubeconfig.ts';

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Throws with one sentence outside of a pod. */
function inCluster(env: Readonly<Record<string, string | undefined>>): Reading {
  const host = env['KUBERNETES_SERVICE_HOST'];
  if (!host || !existsSync(`${ACCOUNT}/token`))
    throw new Error('not in a pod with a service account: name a --kubeconfig');
  const ca = `${ACCOUNT}/ca.crt`;
  return {
    connection: {
      server: `https://${host.includes(':') ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] ?? '443'}`,
      ca: readFileSync(ca),
      caFile: ca,
      token: () => readFileSync(`${ACCOUNT}/token`, 'utf8').trim(),
    },
    files: [ca],
  };
}

/** A client for a program that runs in a pod, or elsewhere with a kubeconfig; follows what it was made of. */
export function createPodClient(options: {
  kubeconfig: string | undefined;
  env: Readonly<Record<string, string | undefined>>;
  userAgent: string;
  clock: Clock;
  logger: Logger;
}): Client {
  const { kubeconfig, env, userAgent, clock, logger } = options;
  const read = () => (kubeconfig === undefined ? inCluster(env) : readKubeconfig(kubeconfig));
  const client = createClient({ ...read().connection, userAgent });
  const followed = followConnection(read, { clock, logger, changed: (c) => client.reconnect(c) });
  const { close } = client;
  client.close = () => {
    followed.close();
    close();
  };
  return client;
}
