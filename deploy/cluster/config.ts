/** What one cluster on this machine is: its name, its addresses, its folders. Everything it makes bears its name. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Replacements } from '../replace.ts';

/** The cluster's own facts, kept in cluster.json from before the first thing is made until after the last is gone. */
export interface ClusterConfig {
  name: string;
  /** Third octet of the node network 10.101.N.0/24; unique among this machine's clusters. */
  index: number;
  store: 'lmdb' | 'etcd';
  /** Names of the nodes that `up` made, in order. */
  nodes: string[];
  /** IPv4 alone when absent. */
  ipFamily?: 'ipv4' | 'dual';
  /** How pods of different nodes reach each other; `auto` when absent. */
  network?: 'auto' | 'routes' | 'vxlan';
  /** False: without the Ingress controller. */
  ingress?: boolean;
  podCidr: string;
  serviceCidr: string;
  dnsAddress: string;
  clusterDomain: string;
  /** Pods and nodes reach the world outside this machine. */
  egress: boolean;
  /** True: this machine did not forward packets before a cluster with egress came; `down` of the last one ends it. */
  startedForwarding?: boolean;
  /** Programs that run in place of ours. */
  replace: Replacements;
  /** Folders that `up` had to create on the machine as mount points; removed by `down` when empty. */
  createdFolders: string[];
}

/** A cluster's place on disk and the names of its parts. */
export interface Cluster extends ClusterConfig {
  readonly dir: string;
}

/** Where clusters of this machine live; K8TS_HOME moves it. */
export function homeDir(): string {
  return process.env['K8TS_HOME'] ?? '/var/lib/k8ts';
}

/** A short tag for interface names, which Linux bounds to 15 characters. */
export function tagOf(name: string): string {
  return name.length <= 6 ? name : createHash('sha256').update(name).digest('hex').slice(0, 6);
}

/** A dot separates the parts, since neither may hold one. */
export const netnsOf = (cluster: Cluster, host: string) => `k8ts-${cluster.name}.${host}`;
export const cgroupOf = (cluster: Cluster) => `k8ts-${cluster.name}`;
export const serverAddress = (cluster: Cluster) => `10.101.${cluster.index}.10`;
export const switchAddress = (cluster: Cluster) => `10.101.${cluster.index}.1`;
export const hostAddress = (cluster: Cluster) => `10.101.${cluster.index}.254`;
/** Addresses of the node network that Services of type LoadBalancer get. */
export const loadBalancerCidrs = (cluster: Cluster) =>
  [
    `10.101.${cluster.index}.128/26`,
    ...(cluster.ipFamily === 'dual' ? [`fd00:10:101:${cluster.index.toString(16)}::1:0/112`] : []),
  ].join();
export const nodeAddress = (cluster: Cluster, i: number) => `10.101.${cluster.index}.${11 + i}`;
/** The same place in the IPv6 node network of a dual-stack cluster. */
export const address6Of = (cluster: Cluster, address: string) =>
  `fd00:10:101:${cluster.index.toString(16)}::${Number(address.split('.')[3]).toString(16)}`;
export const serverUrl = (cluster: Cluster) => `https://${serverAddress(cluster)}:6443`;
export const pkiDir = (cluster: Cluster) => join(cluster.dir, 'server', 'pki');
export const kubeconfigFile = (cluster: Cluster) => join(cluster.dir, 'kubeconfig');

/** Throws with one sentence when a name can't be used. */
export function checkName(name: string): void {
  if (!/^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/.test(name))
    throw new Error(
      `cluster name ${JSON.stringify(name)} must be lower-case letters, digits and '-', at most 32 characters`,
    );
}

/** Undefined when there is no cluster of that name. */
export function loadCluster(name: string): Cluster | undefined {
  const dir = join(homeDir(), name);
  const file = join(dir, 'cluster.json');
  if (!existsSync(file)) return undefined;
  // a file of an older version may lack what came later
  const later = { egress: false, replace: {} };
  return { ...later, ...(JSON.parse(readFileSync(file, 'utf8')) as Omit<ClusterConfig, keyof typeof later>), dir };
}

/** All clusters of this machine. */
export function listClusters(): Cluster[] {
  if (!existsSync(homeDir())) return [];
  return readdirSync(homeDir())
    .map((name) => loadCluster(name))
    .filter((c) => c !== undefined);
}

/** Replaces cluster.json as a whole. */
export function saveCluster(cluster: Cluster): void {
  const { dir, ...config } = cluster;
  mkdirSync(dir, { recursive: true });
  const file = join(dir, 'cluster.json');
  writeFileSync(`${file}.new`, JSON.stringify(config, undefined, 2) + '\n');
  renameSync(`${file}.new`, file);
}

/** A new cluster's facts; `taken` are the network indexes that can't be used. */
export function newCluster(
  name: string,
  chosen: Pick<ClusterConfig, 'store' | 'ingress' | 'ipFamily' | 'network'>,
  taken: ReadonlySet<number>,
): Cluster {
  const dual = chosen.ipFamily === 'dual';
  let index = 0;
  while (taken.has(index)) index++;
  if (index > 250) throw new Error('no free node network is left on this machine');
  return {
    name,
    index,
    ...chosen,
    nodes: [],
    podCidr: `10.244.0.0/16${dual ? ',fd00:10:244::/48' : ''}`,
    serviceCidr: `10.96.0.0/16${dual ? ',fd00:10:96::/112' : ''}`,
    dnsAddress: '10.96.0.10',
    clusterDomain: 'cluster.local',
    egress: false,
    replace: {},
    createdFolders: [],
    dir: join(homeDir(), name),
  };
}
