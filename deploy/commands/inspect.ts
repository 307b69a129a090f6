/** `k8ts status`, `kubeconfig`, `logs`, `token`: looking at a cluster and handing things to it. */
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { nodes as nodeResource } from '../../client/resources.ts';
import { kubeconfigFile, listClusters, loadCluster, serverUrl, type Cluster } from '../cluster/config.ts';
import { machineDir } from '../cluster/machine.ts';
import { logFile, runningPid } from '../cluster/processes.ts';
import { adminClient } from '../server/server.ts';
import { createToken } from '../server/tokens.ts';
import { UserError, type Context } from './context.ts';

/** The cluster of this name, or the sentence that there is none. */
export function existingCluster(name: string): Cluster {
  const cluster = loadCluster(name);
  if (!cluster) {
    const others = listClusters().map((c) => c.name);
    throw new UserError(
      `there is no cluster ${name}${others.length ? `; there are: ${others.join(', ')}` : '; make one with: k8ts up'}`,
    );
  }
  return cluster;
}

const serverDir = (cluster: Cluster) => machineDir(cluster, 'server');
const agentDir = (cluster: Cluster, node: string) => join(machineDir(cluster, node), 'agent');

function programsOf(dir: string): string[] {
  const run = join(dir, 'run');
  return existsSync(run)
    ? readdirSync(run)
        .filter((f) => f.endsWith('.pid'))
        .map((f) => f.slice(0, -4))
        .filter((n) => n !== 'holder')
    : [];
}

export async function status(ctx: Context, options: { name?: string }): Promise<void> {
  const clusters = options.name ? [existingCluster(options.name)] : listClusters();
  if (clusters.length === 0) ctx.say('There is no cluster on this machine; make one with: k8ts up');
  for (const cluster of clusters) {
    ctx.say(`${cluster.name}: ${serverUrl(cluster)}, store ${cluster.store}, kubeconfig ${kubeconfigFile(cluster)}`);
    const row = (where: string, dir: string) => {
      for (const p of programsOf(dir))
        ctx.say(`  ${where.padEnd(10)} ${p.padEnd(14)} ${runningPid(dir, p) ?? 'not running'}`);
    };
    row('server', serverDir(cluster));
    for (const n of cluster.nodes) {
      row(n, machineDir(cluster, n));
      row(n, agentDir(cluster, n));
    }
    const client = adminClient(serverDir(cluster));
    try {
      for (const n of (await client.list(nodeResource)).items) {
        const ready = n.status?.conditions?.find((c) => c.type === 'Ready')?.status === 'True';
        ctx.say(`  node ${n.metadata?.name}: ${ready ? 'Ready' : 'NotReady'}`);
      }
    } catch (error) {
      ctx.say(`  the API doesn't answer: ${(error as Error).message}`);
    } finally {
      client.close();
    }
  }
}

export function printKubeconfig(ctx: Context, options: { name: string; path?: boolean }): void {
  const file = kubeconfigFile(existingCluster(options.name));
  ctx.say(options.path ? file : readFileSync(file, 'utf8').trimEnd());
}

const COMPONENT_ALIASES: Record<string, string> = {
  api: 'apiserver',
  'kube-apiserver': 'apiserver',
  'controller-manager': 'controllers',
  'kube-proxy': 'proxy',
};

/** Prints a component's log: of the server, or of one node (the first by default). */
export async function logs(
  ctx: Context,
  component: string,
  options: { name: string; node?: string; tail?: number },
): Promise<void> {
  const cluster = existingCluster(options.name);
  const wanted = COMPONENT_ALIASES[component] ?? component;
  const dirs = options.node
    ? [agentDir(cluster, options.node), machineDir(cluster, options.node)]
    : [serverDir(cluster), ...cluster.nodes.flatMap((n) => [agentDir(cluster, n), machineDir(cluster, n)])];
  const file = dirs.map((d) => logFile(d, wanted)).find((f) => existsSync(f));
  if (!file)
    throw new UserError(
      `no log of ${component}; there are: ${[...new Set(dirs.flatMap((d) => programsOf(d)))].join(', ')}`,
    );
  const bytes = 200 * (options.tail ?? Infinity);
  const start = Number.isFinite(bytes) ? Math.max(0, statSync(file).size - bytes) : 0;
  for await (const chunk of createReadStream(file, { start })) process.stdout.write(chunk as Buffer);
}

/** Prints a bootstrap token that is good for `ttl` hours. */
export async function tokenCreate(
  ctx: Context,
  options: { name: string; dataDir?: string; ttl: number },
): Promise<void> {
  const client = adminClient(options.dataDir ?? serverDir(existingCluster(options.name)));
  try {
    ctx.say(await createToken(client, ctx, { ttlMs: options.ttl * 3600_000, description: 'k8ts token create' }));
  } finally {
    client.close();
  }
}
