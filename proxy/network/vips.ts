/**
 * Addresses of load balancers on the node network. One node has each address on its interface, so it answers neighbours
 * that ask for it; every node could serve it. The nodes are ranked by a hash that all work out alike, and a node takes
 * an address when those ranked before it are gone: without talking to each other but for health checks.
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import http from 'node:http';
import type { Clock } from '../../base/clock.ts';
import type { Exec } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, EndpointSlice, Node, Service } from '../../api/types.ts';
import { keyOf, type Informer } from '../../client/informer.ts';
import { inRanges, isV6 } from './addresses.ts';
import { internalIp } from './routes.ts';

/** Nodes that may stand in for each other for one address. */
const CANDIDATES = 3;
const CHECK_MS = 1_000;
const FAILURES = 3;
/** Neighbours refuse a change for a second after the last one, and the node before us may answer until it gives up. */
const ANNOUNCED_ROUNDS = 30;
/** The port of every node agent's health endpoint. */
const HEALTH_PORT = 10_256;
const EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';

const score = (ip: string, node: string) => createHash('sha256').update(`${ip} ${node}`).digest('hex');

/** The nodes that may hold an address, the first of them does while it is well. Pure. */
export function rankNodes(ip: string, nodes: readonly string[]): string[] {
  return nodes
    .map((node) => ({ node, score: score(ip, node) }))
    .sort((a, b) => (a.score < b.score ? -1 : 1))
    .slice(0, CANDIDATES)
    .map((n) => n.node);
}

/** Whether traffic from outside may be sent to a node. */
export const takesTraffic = (n: DeepReadonly<Node>): boolean =>
  !(EXCLUDED in (n.metadata?.labels ?? {})) &&
  n.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;

/** The nodes that may hold a Service's addresses: under the Local policy only those with a backend. Pure. */
export function eligibleNodes(
  service: DeepReadonly<Service>,
  slices: readonly DeepReadonly<EndpointSlice>[],
  nodes: readonly string[],
): string[] {
  if (service.spec?.externalTrafficPolicy !== 'Local') return [...nodes];
  const having = new Set<string>();
  for (const s of slices)
    for (const e of s.endpoints ?? []) if (e.nodeName && e.conditions?.ready !== false) having.add(e.nodeName);
  return nodes.filter((n) => having.has(n));
}

export interface VipOptions {
  services: Informer<Service>;
  /** With an index `service`. */
  slices: Informer<EndpointSlice>;
  nodes: Informer<Node>;
  nodeName: string;
  /** Ranges of addresses that are the cluster's to give. */
  pool: readonly string[];
  exec: Exec;
  clock: Clock;
  logger: Logger;
}

export function startVips(options: VipOptions): { stop(): void } {
  const { services, slices, nodes, nodeName, exec, clock, logger } = options;
  const ours = inRanges(options.pool);
  /** Failed checks in a row, by node. */
  const failures = new Map<string, number>();
  /** Addresses taken a moment ago, with the rounds for which they are still announced. */
  const fresh = new Map<string, number>();
  let held: string | undefined;
  let busy = false;
  let rounds = 0;

  /** The addresses that this node should have now, and the nodes it depends on. */
  function plan(): { mine: string[]; watched: Set<string> } {
    const well = nodes.list().filter(takesTraffic).map(keyOf);
    const mine = new Set<string>();
    const watched = new Set<string>();
    for (const s of services.list()) {
      for (const { ip, ipMode } of s.status?.loadBalancer?.ingress ?? []) {
        if (!ip || ipMode === 'Proxy' || !ours(ip)) continue;
        const ranked = rankNodes(ip, eligibleNodes(s, slices.byIndex('service', keyOf(s)), well));
        const before = ranked.slice(0, Math.max(0, ranked.indexOf(nodeName)));
        for (const n of before) watched.add(n);
        if (ranked.includes(nodeName) && before.every((n) => (failures.get(n) ?? 0) >= FAILURES)) mine.add(ip);
      }
    }
    return { mine: [...mine].sort(), watched };
  }

  async function round(): Promise<void> {
    if (!services.hasSynced || !slices.hasSynced || !nodes.hasSynced) return;
    const { watched } = plan();
    for (const n of failures.keys()) if (!watched.has(n)) failures.delete(n);
    await Promise.all(
      [...watched].map(async (name) => {
        const node = nodes.get(name);
        const ip = node && internalIp(node);
        failures.set(name, ip && (await isWell(ip)) ? 0 : (failures.get(name) ?? 0) + 1);
      }),
    );
    const { mine } = plan();
    for (const [ip, left] of fresh) {
      if (left > 1 && mine.includes(ip)) fresh.set(ip, left - 1);
      else fresh.delete(ip);
      // often at first, then now and then
      if (!mine.includes(ip) || (left <= ANNOUNCED_ROUNDS - 5 && left % 5 !== 0)) continue;
      await announce(exec, ip).catch((error: unknown) => logger.debug('address not announced', { ip, error }));
    }
    // now and then also without a change, in case that somebody took an address away
    if (held === mine.join() && ++rounds % 30 !== 0) return;
    const self = nodes.get(nodeName);
    const own = self?.status?.addresses?.map((a) => a.address) ?? [];
    if (own.length === 0) return;
    const taken = await hold(exec, { wanted: mine, own, ours, logger });
    for (const ip of taken) if (!isV6(ip)) fresh.set(ip, ANNOUNCED_ROUNDS);
    held = mine.join();
  }

  const timer = clock.every(CHECK_MS, () => {
    if (busy) return;
    busy = true;
    void round()
      .catch((error: unknown) => logger.error('load balancer addresses could not be set', { error }))
      .finally(() => (busy = false));
  });
  return { stop: () => timer.cancel() };
}

const isWell = (ip: string): Promise<boolean> =>
  new Promise((resolve) => {
    const req = http.get({ host: ip, port: HEALTH_PORT, path: '/healthz', timeout: CHECK_MS, agent: false }, (res) => {
      res.resume();
      resolve(res.statusCode === 200);
    });
    req.on('timeout', () => req.destroy());
    req.on('error', () => resolve(false));
  });

interface Interface {
  ifname: string;
  addr_info: { local?: string; prefixlen?: number }[];
}

/** Brings the addresses on the node's interface to `wanted`; resolves with those that it hadn't. */
async function hold(
  exec: Exec,
  o: { wanted: readonly string[]; own: readonly string[]; ours(ip: string): boolean; logger: Logger },
): Promise<string[]> {
  const links = JSON.parse(await exec('ip', ['-j', 'addr', 'show'])) as Interface[];
  const link = links.find((l) => l.addr_info.some((a) => a.local && o.own.includes(a.local)));
  if (!link) throw new Error(`no interface has one of the node's addresses ${o.own.join(', ')}`);
  const have = new Set(link.addr_info.flatMap((a) => (a.local ? [a.local] : [])));
  const host = (ip: string) => `${ip}/${isV6(ip) ? 128 : 32}`;
  for (const ip of have)
    if (o.ours(ip) && !o.own.includes(ip) && !o.wanted.includes(ip)) {
      await exec('ip', ['addr', 'del', host(ip), 'dev', link.ifname]);
      o.logger.info('load balancer address given up', { ip });
    }
  const taken = o.wanted.filter((ip) => !have.has(ip));
  for (const ip of taken) {
    if (isV6(ip)) await exec('sysctl', ['-qw', `net.ipv6.conf.${link.ifname}.ndisc_notify=1`]).catch(() => {});
    await exec('ip', ['addr', 'add', host(ip), 'dev', link.ifname, ...(isV6(ip) ? ['nodad'] : [])]);
    o.logger.info('load balancer address taken', { ip });
  }
  return taken;
}

/**
 * Lets neighbours know at once that an address has moved. Asking anew for the router in the address's name is a
 * broadcast that carries it, which every neighbour learns from.
 */
async function announce(exec: Exec, ip: string): Promise<void> {
  const routes = JSON.parse((await exec('ip', ['-4', '-j', 'route', 'show', 'default'])) || '[]') as {
    gateway?: string;
    dev?: string;
  }[];
  const { gateway: router, dev } = routes[0] ?? {};
  if (!router || !dev) return;
  await exec('ip', ['neigh', 'del', router, 'dev', dev]).catch(() => {});
  await new Promise<void>((resolve) => {
    const socket = createSocket('udp4');
    const done = () => {
      socket.removeAllListeners();
      socket.on('error', () => {});
      socket.close(() => resolve());
    };
    socket.on('error', done);
    socket.bind(0, ip, () => socket.send('', 9, router, done));
  });
}
