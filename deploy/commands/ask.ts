/** What commands that ask the API have in common: which cluster, as whom, and what a word like `po` stands for. */
import type { Client } from '../../client/client.ts';
import { createClient } from '../../client/client.ts';
import { discover, findResource, type DiscoveredResource } from '../../client/discovery.ts';
import { loadKubeconfig } from '../../client/kubeconfig.ts';
import { machineDir } from '../cluster/machine.ts';
import { adminClient } from '../server/server.ts';
import { UserError } from './context.ts';
import { existingCluster } from './inspect.ts';

export interface AskOptions {
  /** A cluster of this machine ... */
  name: string;
  /** ... unless there is a kubeconfig. */
  kubeconfig?: string;
}

/** Hands a client to `work` and closes it after. */
export async function asking<T>(o: AskOptions, work: (client: Client) => Promise<T>): Promise<T> {
  const client = o.kubeconfig
    ? createClient({ ...loadKubeconfig(o.kubeconfig), userAgent: 'k8ts' })
    : adminClient(machineDir(existingCluster(o.name), 'server'));
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

/** The resource and name of `deploy/web`, `pod web` or `widgets.example.com/x`. */
export async function readTarget(
  client: Client,
  words: readonly string[],
): Promise<{ resource: DiscoveredResource; name: string }> {
  const parts = words.length === 1 ? words[0]!.split('/') : words;
  const [word, name, ...more] = parts;
  if (!word || !name || more.length > 0) throw new UserError('name one object, as pod/NAME or deployment/NAME');
  const resource = findResource((await discover(client)).resources, word);
  if (!resource) throw new UserError(`the server has no resource called ${JSON.stringify(word)}`);
  return { resource, name };
}
