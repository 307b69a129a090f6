/** `k8ts dashboard`: an address that opens the dashboard signed in. */
import type { Client } from '../../client/client.ts';
import { machineDir } from '../cluster/machine.ts';
import { serverAddress } from '../cluster/config.ts';
import { DASHBOARD_PORT } from '../server/options.ts';
import { adminClient } from '../server/server.ts';
import type { Context } from './context.ts';
import { existingCluster } from './inspect.ts';

const NAMESPACE = 'kube-system';
const ACCOUNT = 'k8ts-dashboard';

/** A token of the account that the dashboard's owner acts as, good for `hours`. */
async function ownerToken(client: Client, hours: number): Promise<string> {
  const apply = (path: string, body: object) =>
    client.request({
      method: 'PATCH',
      path,
      query: { fieldManager: 'k8ts', force: true },
      body,
      contentType: 'application/apply-patch+yaml',
    });
  const accounts = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`;
  await apply(`${accounts}/${ACCOUNT}`, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: ACCOUNT, namespace: NAMESPACE },
  });
  await apply('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/k8ts:dashboard', {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'k8ts:dashboard' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', name: ACCOUNT, namespace: NAMESPACE }],
  });
  const made = await client.request<{ status: { token: string } }>({
    method: 'POST',
    path: `${accounts}/${ACCOUNT}/token`,
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: hours * 3600 },
    },
  });
  return made.status.token;
}

/** Prints the dashboard's address with a token of a cluster administrator behind `#`, where no server sees it. */
export async function dashboard(ctx: Context, options: { name: string; hours: number }): Promise<void> {
  const cluster = existingCluster(options.name);
  const client = adminClient(machineDir(cluster, 'server'));
  try {
    const token = await ownerToken(client, options.hours);
    ctx.say(`https://${serverAddress(cluster)}:${DASHBOARD_PORT}/#token=${token}`);
  } finally {
    client.close();
  }
}
