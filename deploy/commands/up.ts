/** `k8ts up`: a whole cluster on this machine, each node a small VM in all but kernel. */
import { copyFileSync, chmodSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { underLock } from '../../base/lock.ts';
import type { Client } from '../../client/client.ts';
import { deployments, nodes as nodeResource } from '../../client/resources.ts';
import { bornIn, createCgroup } from '../cluster/cgroup.ts';
import {
  address6Of,
  checkName,
  homeDir,
  kubeconfigFile,
  listClusters,
  loadBalancerCidrs,
  loadCluster,
  newCluster,
  nodeAddress,
  pkiDir,
  saveCluster,
  serverAddress,
  serverUrl,
  type Cluster,
} from '../cluster/config.ts';
import { enter, ensureMachine, machineDir, podCgroup, systemCgroup } from '../cluster/machine.ts';
import { ensureSwitch, hostsOf, usedIndexes } from '../cluster/network.ts';
import { launch, logFile, runningPid } from '../cluster/processes.ts';
import { buildImage } from '../images/build.ts';
import { RECIPES } from '../images/recipes.ts';
import { program } from '../paths.ts';
import {
  ETCD_PREREQUISITES,
  installPrerequisites,
  KUBECTL,
  missingPrerequisites,
  NODE_PREREQUISITES,
  SERVER_PREREQUISITES,
} from '../prerequisites.ts';
import { replaceArguments, type Replacements } from '../replace.ts';
import { adminClient } from '../server/server.ts';
import { createToken } from '../server/tokens.ts';
import { requireRoot, UserError, withLock, type Context } from './context.ts';

export interface UpOptions {
  name: string;
  /** Undefined: as many as there are, three for a new cluster. */
  nodes?: number;
  store?: 'lmdb' | 'etcd';
  install: boolean;
  /** Let pods out of this machine. */
  egress?: boolean;
  /** Programs that run in place of ours. */
  replace?: Replacements;
  /** Address families of pods and Services; this and the next two count when the cluster is made. */
  ipFamily?: 'ipv4' | 'dual';
  network?: 'auto' | 'routes' | 'vxlan';
  /** With the Ingress controller; counts when the cluster is made. */
  ingress: boolean;
}

const cacheDir = () => join(homeDir(), '.cache');

/** Makes what is missing of a cluster; resolves when its nodes and its name server are ready. */
export async function up(ctx: Context, options: UpOptions): Promise<void> {
  checkName(options.name);
  requireRoot('k8ts up');
  await prepareMachine(ctx, options);
  await withLock(options.name, async () => {
    // two commands at a time choose different networks
    const cluster = await underLock(join(homeDir(), '.clusters'), () => claimCluster(options));
    const count = options.nodes ?? (cluster.nodes.length || 3);
    for (let i = cluster.nodes.length; i < count; i++) cluster.nodes.push(`node${i + 1}`);
    saveCluster(cluster);

    ctx.progress('network: one switch, one server, ' + cluster.nodes.join(', '));
    await hostSettings(ctx);
    await ensureSwitch(ctx.exec, cluster);
    await ensureMachine(ctx, cluster, 'server', serverAddress(cluster));
    saveCluster(cluster);
    await imagesBuilt(ctx);
    startServerProcess(cluster);
    await Promise.all(cluster.nodes.map((n, i) => ensureMachine(ctx, cluster, n, nodeAddress(cluster, i))));
    const client = await serverReady(ctx, cluster);
    try {
      const waiting = cluster.nodes.filter((n) => runningPid(machineDir(cluster, n), 'agent') === undefined);
      if (waiting.length) {
        const token = await createToken(client, ctx, { ttlMs: 3600_000, description: 'k8ts up' });
        cluster.nodes.forEach(
          (n, i) => waiting.includes(n) && startAgentProcess(cluster, n, nodeAddress(cluster, i), token),
        );
      }
      await nodesReady(ctx, client, cluster);
      await dnsReady(ctx, client);
    } finally {
      client.close();
    }
    sayHello(ctx, cluster);
  });
}

async function prepareMachine(ctx: Context, options: UpOptions): Promise<void> {
  const needed = [
    ...NODE_PREREQUISITES,
    ...SERVER_PREREQUISITES,
    ...(options.store === 'etcd' ? ETCD_PREREQUISITES : []),
    KUBECTL,
  ];
  const missing = missingPrerequisites(needed);
  if (missing.length === 0) return;
  if (!options.install)
    throw new UserError(
      `missing on this machine: ${missing.map((p) => `${p.package} (${p.why})`).join(', ')}; install them, or leave out --no-install`,
    );
  await installPrerequisites(ctx.exec, missing, ctx.progress);
}

function claimCluster(options: UpOptions): Cluster {
  const have = loadCluster(options.name);
  if (have) {
    if (options.store && options.store !== have.store)
      throw new UserError(
        `cluster ${have.name} stores its objects in ${have.store}; take it down before making one with ${options.store}`,
      );
    if (options.egress && !have.egress)
      throw new UserError(`cluster ${have.name} was made without --egress; take it down first`);
    const replace = options.replace ?? {};
    if (Object.keys(replace).length > 0 && JSON.stringify(replace) !== JSON.stringify(have.replace))
      throw new UserError(`cluster ${have.name} was made with other programs; take it down before replacing any`);
    return have;
  }
  const fresh = newCluster(
    options.name,
    {
      store: options.store ?? 'lmdb',
      ingress: options.ingress,
      ipFamily: options.ipFamily,
      network: options.network,
    },
    new Set([...usedIndexes(), ...listClusters().map((c) => c.index)]),
  );
  if (hostsOf(fresh).length)
    throw new UserError(
      `an earlier cluster ${fresh.name} left something behind: run k8ts down --name ${fresh.name} first`,
    );
  fresh.egress = options.egress === true;
  fresh.replace = options.replace ?? {};
  saveCluster(fresh);
  return fresh;
}

/** Limits of the kernel that many containers run into; raised, never lowered. */
async function hostSettings(ctx: Context): Promise<void> {
  const wanted: Record<string, number> = {
    'fs.inotify.max_user_instances': 8192,
    'fs.inotify.max_user_watches': 524288,
    'kernel.pid_max': 4194304,
  };
  for (const [key, value] of Object.entries(wanted)) {
    const now = Number(await ctx.exec('sysctl', ['-n', key]).catch(() => '0'));
    if (now < value) await ctx.exec('sysctl', ['-qw', `${key}=${value}`]).catch(() => {});
  }
  await ctx.exec('modprobe', ['-a', 'br_netfilter', 'overlay', 'nf_conntrack']).catch(() => {});
}

async function imagesBuilt(ctx: Context): Promise<void> {
  for (const [name, recipe] of Object.entries(RECIPES)) {
    const began = ctx.clock.monotonic();
    await buildImage(ctx.exec, cacheDir(), name, recipe);
    if (ctx.clock.monotonic() - began > 500) ctx.progress(`image made: ${recipe.names[0]}`);
  }
}

function startInside(cluster: Cluster, host: string, name: string, args: string[]): void {
  const dir = machineDir(cluster, host);
  if (runningPid(dir, name) !== undefined) return;
  const { command, args: first, env } = program('deploy/main.ts');
  const [nsenter, ...inside] = enter(cluster, host) as [string, ...string[]];
  const cgroup = systemCgroup(cluster, host);
  createCgroup(cgroup);
  bornIn(cgroup, () =>
    launch(dir, {
      name,
      command: nsenter,
      args: [...inside, command, ...first, ...args],
      env: { ...env, K8TS_HOME: homeDir() },
    }),
  );
}

function startServerProcess(cluster: Cluster): void {
  startInside(cluster, 'server', 'server', [
    'server',
    `--data-dir=${machineDir(cluster, 'server')}`,
    `--address=${serverAddress(cluster)}`,
    `--store=${cluster.store}`,
    `--cluster-name=${cluster.name}`,
    `--pod-cidr=${cluster.podCidr}`,
    `--service-cidr=${cluster.serviceCidr}`,
    `--network=${cluster.network ?? 'auto'}`,
    `--load-balancer-cidrs=${loadBalancerCidrs(cluster)}`,
    `--dns-address=${cluster.dnsAddress}`,
    `--cluster-domain=${cluster.clusterDomain}`,
    `--cache-dir=${cacheDir()}`,
    ...replaceArguments(cluster.replace, 'server'),
    ...(cluster.ingress === false ? ['--no-ingress'] : []),
  ]);
}

function startAgentProcess(cluster: Cluster, node: string, address: string, token: string): void {
  startInside(cluster, node, 'agent', [
    'agent',
    `--server=${serverUrl(cluster)}`,
    `--token=${token}`,
    `--node-name=${node}`,
    `--node-address=${cluster.ipFamily === 'dual' ? `${address},${address6Of(cluster, address)}` : address}`,
    `--data-dir=${join(machineDir(cluster, node), 'agent')}`,
    `--cgroup-root=${podCgroup(cluster, node)}`,
    ...replaceArguments(cluster.replace, 'node'),
  ]);
}

/** One line of an error; of a failed readiness check, its first failed part. */
function whatFailed(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const lines = text.split('\n');
  return (lines.find((l) => l.startsWith('[-]'))?.replace(/^\[-\](\S+).*/, '$1') ?? lines[0] ?? text).slice(0, 200);
}

/** Polls `check` until it returns undefined; what it returns is what is being waited for. */
async function waitUntil(
  ctx: Context,
  limitMs: number,
  check: () => Promise<string | undefined>,
  hint: string,
): Promise<void> {
  const until = ctx.clock.monotonic() + limitMs;
  let said = '';
  for (;;) {
    const waiting = await check().catch(whatFailed);
    if (waiting === undefined) return;
    if (ctx.clock.monotonic() > until)
      throw new UserError(`gave up after ${limitMs / 1000} s waiting for ${waiting}; ${hint}`);
    if (waiting !== said) ctx.progress(`waiting for ${(said = waiting)}`);
    await ctx.clock.sleep(200);
  }
}

async function serverReady(ctx: Context, cluster: Cluster): Promise<Client> {
  const dir = machineDir(cluster, 'server');
  const hint = `see ${logFile(dir, 'server')} and ${logFile(dir, 'apiserver')}`;
  await waitUntil(
    ctx,
    60_000,
    async () => (existsSync(join(pkiDir(cluster), 'admin.conf')) ? undefined : "the server's certificates"),
    hint,
  );
  copyFileSync(join(pkiDir(cluster), 'admin.conf'), kubeconfigFile(cluster));
  chmodSync(kubeconfigFile(cluster), 0o600);
  const client = adminClient(dir);
  await waitUntil(ctx, 60_000, async () => void (await client.request({ path: '/readyz', timeoutMs: 2_000 })), hint);
  ctx.progress(`API server ready at ${serverUrl(cluster)}`);
  return client;
}

async function nodesReady(ctx: Context, client: Client, cluster: Cluster): Promise<void> {
  const hint = `see k8ts logs kubelet --name ${cluster.name} --node NODE`;
  await waitUntil(
    ctx,
    120_000,
    async () => {
      const { items } = await client.list(nodeResource);
      const ready = new Set(
        items
          .filter((n) => n.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'))
          .map((n) => n.metadata?.name),
      );
      const missing = cluster.nodes.filter((n) => !ready.has(n));
      return missing.length ? `nodes ${missing.join(', ')} to be Ready` : undefined;
    },
    hint,
  );
  ctx.progress(`nodes Ready: ${cluster.nodes.join(', ')}`);
}

async function dnsReady(ctx: Context, client: Client): Promise<void> {
  await waitUntil(
    ctx,
    120_000,
    async () => {
      const d = await client.get(deployments, 'kube-dns', 'kube-system');
      return (d.status?.readyReplicas ?? 0) > 0 ? undefined : 'cluster DNS';
    },
    'see kubectl -n kube-system describe pods',
  );
}

function sayHello(ctx: Context, cluster: Cluster): void {
  ctx.say(`
Cluster ${cluster.name} is up: ${cluster.nodes.length} nodes, API at ${serverUrl(cluster)}.

  export KUBECONFIG=${kubeconfigFile(cluster)}
  kubectl get nodes -o wide
  kubectl create deployment web --image=nginx --replicas=3 && kubectl expose deployment web --port=80 --type=NodePort
  kubectl get pods,services -o wide

See it in a browser: npx k8ts dashboard${cluster.name === 'k8ts' ? '' : ` --name ${cluster.name}`}
Take it down with: npm run stop${cluster.name === 'k8ts' ? '' : ` -- --name ${cluster.name}`}`);
}
