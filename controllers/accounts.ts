/** Clients that act as the service accounts of kube-system, with tokens that are renewed in time. */
import { isAlreadyExists, isNotFound } from '../api/status.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { createClient, type Client } from '../client/client.ts';
import type { ConnectionOptions } from '../client/kubeconfig.ts';
import { resourcePath, serviceAccounts } from '../client/resources.ts';

const NAMESPACE = 'kube-system';

export interface AccountClients {
  /** Makes the account when it is missing. */
  clientFor(account: string): Promise<Client>;
  close(): void;
}

interface TokenRequest {
  status?: { token?: string; expirationTimestamp?: string };
}

export function createAccountClients(options: {
  client: Client;
  clock: Clock;
  logger: Logger;
  signal: AbortSignal;
}): AccountClients {
  const { client, clock, logger, signal } = options;
  const clients = new Map<string, Promise<Client>>();
  const timers: Timer[] = [];

  // No certificate: on a connection that has one, the server would take us for its owner.
  const anonymous = ({ server, ca, serverName, insecureSkipTlsVerify }: ConnectionOptions): ConnectionOptions => ({
    server,
    ca,
    serverName,
    insecureSkipTlsVerify,
  });
  const pool = createClient({ ...anonymous(client.options), userAgent: 'kube-controller-manager', maxSockets: 16 });
  client.onReconnect((connection) => pool.reconnect(anonymous(connection)));

  async function requestToken(account: string): Promise<{ token: string; expires: number }> {
    const path = `${resourcePath(serviceAccounts, NAMESPACE, account)}/token`;
    const answer = await client.request<TokenRequest>({
      method: 'POST',
      path,
      body: {
        kind: 'TokenRequest',
        apiVersion: 'authentication.k8s.io/v1',
        spec: { audiences: [], expirationSeconds: 3600 },
      },
    });
    return { token: answer.status?.token ?? '', expires: Date.parse(answer.status?.expirationTimestamp ?? '') };
  }

  async function make(account: string): Promise<Client> {
    let current: { token: string; expires: number } | undefined;
    for (let delay = 100; !current; delay = Math.min(delay * 2, 5_000)) {
      try {
        current = await requestToken(account);
      } catch (error) {
        if (isNotFound(error)) {
          await client
            .create(serviceAccounts, { metadata: { name: account, namespace: NAMESPACE } })
            .catch((e: unknown) => {
              if (!isAlreadyExists(e)) logger.debug('service account not created', { account, error: e });
            });
        }
        logger.debug('no token yet', { account, error });
        await clock.sleep(delay, signal);
      }
    }
    let held = current;
    const own = createClient({
      ...anonymous(client.options),
      token: () => held.token,
      userAgent: `kube-controller-manager/system:serviceaccount:${NAMESPACE}:${account}`,
      sharing: pool,
      mayWrite: client.options.mayWrite,
      metrics: client.options.metrics,
    });
    const renew = (): void => {
      const left = Math.max(held.expires - clock.now(), 60_000);
      timers.push(
        clock.after(
          left * 0.8,
          () => {
            requestToken(account)
              .then((fresh) => (held = fresh))
              .catch((error: unknown) => logger.warn('service account token not renewed', { account, error }))
              .finally(() => {
                if (!signal.aborted) renew();
              });
          },
          { background: true },
        ),
      );
      if (timers.length > 200) timers.splice(0, timers.length - 100);
    };
    renew();
    return own;
  }

  return {
    clientFor(account) {
      let found = clients.get(account);
      if (!found) clients.set(account, (found = make(account)));
      return found;
    },
    close() {
      for (const t of timers) t.cancel();
      pool.close();
    },
  };
}
