/**
 * The machine-internal network of a cluster: one namespace with a bridge (the switch), one for the server, one per
 * node, each with an `eth0` on the bridge. The machine itself joins with one veth, so that kubectl and a browser
 * reach the API server and NodePorts. Nothing leaves the machine: the switch's default route is unreachable. With
 * egress, the default route is the machine itself, which masquerades what leaves it.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { Exec } from '../../base/exec.ts';
import {
  address6Of,
  hostAddress,
  listClusters,
  netnsOf,
  saveCluster,
  switchAddress,
  tagOf,
  type Cluster,
} from './config.ts';

const RUN_NETNS = '/var/run/netns';
export const netnsPath = (netns: string) => `${RUN_NETNS}/${netns}`;
/** The machine's end of the link into the cluster's switch. */
const hostInterface = (cluster: Cluster) => `k8ts-${tagOf(cluster.name)}`;

/** The node networks that interfaces of this machine already use. */
export function usedIndexes(): Set<number> {
  const used = new Set<number>();
  for (const list of Object.values(networkInterfaces()))
    for (const a of list ?? []) {
      const m = /^10\.101\.(\d+)\./.exec(a.address);
      if (m) used.add(Number(m[1]));
    }
  return used;
}

async function ensureNetns(exec: Exec, netns: string): Promise<boolean> {
  if (existsSync(netnsPath(netns))) return false;
  await exec('ip', ['netns', 'add', netns]);
  await exec('ip', ['-n', netns, 'link', 'set', 'lo', 'up']);
  return true;
}

const sysctlIn = (exec: Exec, netns: string, settings: Record<string, string>) =>
  exec('nsenter', [
    `--net=${netnsPath(netns)}`,
    'sysctl',
    '-qw',
    ...Object.entries(settings).map(([k, v]) => `${k}=${v}`),
  ]);

/** Without looking for duplicates: these networks are ours alone, and the address is needed at once. */
const addAddress6 = (exec: Exec, netns: string, dev: string, address: string) =>
  exec('ip', ['-n', netns, 'addr', 'add', `${address}/64`, 'dev', dev, 'nodad']);

/** Makes the switch and the machine's link to it; keeps what is there. */
export async function ensureSwitch(exec: Exec, cluster: Cluster): Promise<void> {
  const sw = netnsOf(cluster, 'switch');
  if (await ensureNetns(exec, sw)) {
    await exec('ip', ['-n', sw, 'link', 'add', 'br0', 'type', 'bridge']);
    await exec('ip', ['-n', sw, 'addr', 'add', `${switchAddress(cluster)}/24`, 'dev', 'br0']);
    if (cluster.ipFamily === 'dual') await addAddress6(exec, sw, 'br0', address6Of(cluster, switchAddress(cluster)));
    await exec('ip', ['-n', sw, 'link', 'set', 'br0', 'up']);
    const way = cluster.egress ? ['default', 'via', hostAddress(cluster)] : ['unreachable', 'default'];
    await exec('ip', ['-n', sw, 'route', 'add', ...way]);
    await sysctlIn(exec, sw, { 'net.ipv4.ip_forward': '1' });
  }
  const host = hostInterface(cluster);
  if (!(host in networkInterfaces())) {
    await exec('ip', ['link', 'del', host]).catch(() => {});
    await exec('ip', ['link', 'add', host, 'type', 'veth', 'peer', 'name', 'host', 'netns', sw]);
    await exec('ip', ['-n', sw, 'link', 'set', 'host', 'master', 'br0', 'up']);
    await exec('ip', ['addr', 'add', `${hostAddress(cluster)}/24`, 'dev', host]);
    await exec('ip', ['link', 'set', host, 'up']);
    if (cluster.ipFamily === 'dual')
      await exec('ip', ['addr', 'add', `${address6Of(cluster, hostAddress(cluster))}/64`, 'dev', host, 'nodad']);
  }
  if (cluster.egress) await exec('nft', ['-f', '-'], { input: egressRules(cluster) });
  if (cluster.egress) await startForwarding(exec, cluster);
}

async function startForwarding(exec: Exec, cluster: Cluster): Promise<void> {
  if ((await exec('sysctl', ['-n', 'net.ipv4.ip_forward'])).trim() === '1') return;
  cluster.startedForwarding = true;
  saveCluster(cluster); // before, so that what is on has somebody who turns it off
  await exec('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
}

/** Turns off what `startForwarding` turned on, unless another cluster needs it: then that one is to do it. */
async function endForwarding(exec: Exec, cluster: Cluster): Promise<void> {
  if (!cluster.startedForwarding) return;
  const heir = listClusters().find((c) => c.name !== cluster.name && c.egress);
  if (heir) saveCluster({ ...heir, startedForwarding: true });
  else await exec('sysctl', ['-qw', 'net.ipv4.ip_forward=0']);
}

/** The machine's nftables table of a cluster with egress. */
const egressTable = (cluster: Cluster) => `k8ts-${cluster.name}`;

/** What comes from the cluster's machines leaves this one with its own address. */
const egressRules = (cluster: Cluster) => `table ip ${egressTable(cluster)}
delete table ip ${egressTable(cluster)}
table ip ${egressTable(cluster)} {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr ${switchAddress(cluster)}/24 oifname != "${hostInterface(cluster)}" masquerade
  }
}
`;

/** The name servers that a machine of the cluster may ask: this computer's with egress, else none but itself. */
export function nameServers(cluster: Cluster, own: string): string[] {
  const file = '/etc/resolv.conf';
  if (!cluster.egress || !existsSync(file)) return [own];
  const found = [...readFileSync(file, 'utf8').matchAll(/^nameserver\s+(\S+)/gm)].map((m) => m[1]!);
  const reachable = found.filter((a) => !a.startsWith('127.') && a !== '::1');
  return reachable.length ? reachable : [own];
}

/** Plugs one more machine (a network namespace) into the switch. */
export async function ensureHost(exec: Exec, cluster: Cluster, host: string, address: string): Promise<void> {
  const netns = netnsOf(cluster, host);
  if (!(await ensureNetns(exec, netns))) return;
  const sw = netnsOf(cluster, 'switch');
  const port = `p${address.split('.').pop()}`;
  await exec('ip', ['-n', sw, 'link', 'del', port]).catch(() => {});
  await exec('ip', ['link', 'add', port, 'netns', sw, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns]);
  await exec('ip', ['-n', sw, 'link', 'set', port, 'master', 'br0', 'up']);
  await exec('ip', ['-n', netns, 'addr', 'add', `${address}/24`, 'dev', 'eth0']);
  await exec('ip', ['-n', netns, 'link', 'set', 'eth0', 'up']);
  await exec('ip', ['-n', netns, 'route', 'add', 'default', 'via', switchAddress(cluster)]);
  await sysctlIn(exec, netns, {
    'net.ipv4.ip_forward': '1',
    'net.ipv4.conf.all.rp_filter': '0',
    'net.ipv4.conf.default.rp_filter': '0',
  });
  if (cluster.ipFamily === 'dual') {
    await addAddress6(exec, netns, 'eth0', address6Of(cluster, address));
    await exec('ip', [
      '-n',
      netns,
      '-6',
      'route',
      'add',
      'default',
      'via',
      address6Of(cluster, switchAddress(cluster)),
    ]);
    await sysctlIn(exec, netns, { 'net.ipv6.conf.all.forwarding': '1' });
    await sysctlIn(exec, netns, { 'net.bridge.bridge-nf-call-ip6tables': '1' }).catch(() => {});
  }
  // only there once br_netfilter is loaded; the proxy needs it for pods of one node behind one Service
  await sysctlIn(exec, netns, { 'net.bridge.bridge-nf-call-iptables': '1' }).catch(() => {});
}

/** Takes one machine off the switch. */
export async function removeHost(exec: Exec, cluster: Cluster, host: string): Promise<void> {
  if (existsSync(netnsPath(netnsOf(cluster, host)))) await exec('ip', ['netns', 'del', netnsOf(cluster, host)]);
}

/** The hosts that have a namespace, the switch included. */
export function hostsOf(cluster: Cluster): string[] {
  if (!existsSync(RUN_NETNS)) return [];
  const prefix = netnsOf(cluster, '');
  return readdirSync(RUN_NETNS)
    .filter((name) => name.startsWith(prefix))
    .map((n) => n.slice(prefix.length));
}

/** Removes every namespace and interface of the cluster. */
export async function removeNetwork(exec: Exec, cluster: Cluster): Promise<void> {
  await exec('ip', ['link', 'del', hostInterface(cluster)]).catch(() => {});
  await exec('nft', ['delete', 'table', 'ip', egressTable(cluster)]).catch(() => {});
  await endForwarding(exec, cluster);
  for (const host of hostsOf(cluster)) await removeHost(exec, cluster, host);
}
