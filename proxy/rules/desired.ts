/**
 * The nftables state that serves a Service: chains, map elements, sets. A packet costs one map look-up however many
 * Services there are. Pure; state.ts keeps the fragments of all Services together.
 */
import { createHash } from 'node:crypto';
import { withoutOverlaps } from '../network/addresses.ts';
import { chooseBackends } from './translate.ts';
import type { Backend, NodeView, ServicePort } from './model.ts';

/** What one Service adds to the table. */
export interface Fragment {
  /** Elements of the fixed maps and sets: name, key, value ('' for sets). */
  elements: [set: FixedSet, key: string, value: string][];
  /** Chains of its own: name and rules. */
  chains: Map<string, readonly string[]>;
  /** Sets of its own that remember clients (session affinity): name and seconds. */
  affinitySets: Map<string, number>;
}

export const MASQUERADE_MARK = '0x4000';
/** Fixed maps and sets, with what they hold. */
const FIXED = {
  'service-ips': 'map',
  'service-nodeports': 'map',
  'no-endpoint-services': 'map',
  'no-endpoint-nodeports': 'map',
  'cluster-ips': 'set',
  hairpin: 'set',
  /** Front, protocol, port and a number below the count of backends -> a backend. */
  endpoints: 'map',
} as const;
/** Up to so many backends a Service is served by chains that all share; they are there from the start. */
export const SHARED_SPREADS = 64;
export type FixedSet = keyof typeof FIXED;

const hash = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 8);
const chainName = (kind: string, p: ServicePort, more = '') =>
  `${kind}-${hash(`${p.id}/${p.protocol}${more}`)}-${`${p.namespace}/${p.name}`.slice(0, 80)}/${p.protocol}/${p.port}`;

/** The one rule that spreads connections over backends. */
function spread(p: ServicePort, backends: readonly Backend[], family: string): string {
  const target = (b: Backend) => `${b.ip} . ${b.port}`;
  const l4 = `meta l4proto ${p.protocol}`;
  if (backends.length === 1) {
    const b = backends[0]!;
    return `${l4} dnat ${family} to ${family === 'ip6' ? `[${b.ip}]` : b.ip}:${b.port}`;
  }
  const map = backends.map((b, i) => `${i} : ${target(b)}`).join(', ');
  return `${l4} dnat ${family} addr . port to numgen random mod ${backends.length} map { ${map} }`;
}

/** The ports of one Service in the node's family as rules. */
export function serviceRules(ports: readonly ServicePort[], node: NodeView): Fragment {
  const family = node.family === 6 ? 'ip6' : 'ip';
  const elements: Fragment['elements'] = [];
  const chains: Fragment['chains'] = new Map();
  const affinitySets: Fragment['affinitySets'] = new Map();
  const put = (set: FixedSet, key: string, value = '') => void elements.push([set, key, value]);

  /** A chain that ends in one of the backends. */
  function backendChain(kind: string, p: ServicePort, backends: readonly Backend[]): string {
    const name = chainName(kind, p);
    if (p.affinitySeconds === 0) {
      chains.set(name, [spread(p, backends, family)]);
      return name;
    }
    const remembered: string[] = [];
    const targets: string[] = [];
    for (const [i, b] of backends.entries()) {
      const endpoint = chainName('ep', p, `${b.ip} ${b.port}`);
      const set = `affinity-${hash(`${p.id}/${p.protocol}${b.ip} ${b.port} ${p.affinitySeconds}`)}`;
      affinitySets.set(set, p.affinitySeconds);
      chains.set(endpoint, [`update @${set} { ${family} saddr }`, spread(p, [b], family)]);
      remembered.push(`${family} saddr @${set} goto ${endpoint}`);
      targets.push(`${i} : goto ${endpoint}`);
    }
    chains.set(name, [...remembered, `numgen random mod ${backends.length} vmap { ${targets.join(', ')} }`]);
    return name;
  }

  /**
   * A front without affinity needs no chain of its own: backends stand in one map for all Services, and one chain for
   * each count of backends picks among them. Ten thousand Services are then ten thousand elements and a few chains,
   * which is what keeps a change cheap: the nft program reads all chains before it adds an element.
   */
  function sharedSpread(key: string, p: ServicePort, backends: readonly Backend[]): string {
    for (const [i, b] of backends.entries()) put('endpoints', `${key} . ${i}`, `${b.ip} . ${b.port}`);
    const marks = !p.internalLocal && masqueradeRules(node).length > 0;
    return `${marks ? 'masquerade' : 'spread'}-${backends.length}`;
  }
  const isShared = (p: ServicePort, backends: readonly Backend[]) =>
    p.affinitySeconds === 0 && backends.length <= SHARED_SPREADS;

  for (const p of ports) {
    const { cluster, local } = chooseBackends(p, node.name, node.zone);
    const internal = p.internalLocal ? local : cluster;
    const key = (ip: string) => `${ip} . ${p.protocol} . ${p.port}`;
    put('cluster-ips', p.clusterIP);
    for (const b of cluster) if (b.node === node.name) put('hairpin', `${b.ip} . ${b.ip}`);
    for (const b of local) put('hairpin', `${b.ip} . ${b.ip}`);

    const outside = [...p.externalIPs, ...p.loadBalancerIPs];
    const reachable = outside.length > 0 || p.nodePort !== 0;
    const own = (internalUse: boolean) => (internalUse && !isShared(p, internal)) || reachable;
    const clusterChain = cluster.length && own(!p.internalLocal) ? backendChain('svc', p, cluster) : undefined;
    const localChain =
      local.length && (p.internalLocal || p.externalLocal) && own(p.internalLocal)
        ? backendChain('local', p, local)
        : undefined;
    const internalChain = p.internalLocal ? localChain : clusterChain;
    const nothing = (usesLocal: boolean) => (usesLocal && cluster.length ? 'drop' : 'goto reject-chain');

    if (internal.length && isShared(p, internal))
      put('service-ips', key(p.clusterIP), `goto ${sharedSpread(key(p.clusterIP), p, internal)}`);
    else if (internal.length && internalChain) {
      const front = chainName('in', p);
      chains.set(front, [...(p.internalLocal ? [] : masqueradeRules(node)), `goto ${internalChain}`]);
      put('service-ips', key(p.clusterIP), `goto ${front}`);
    } else put('no-endpoint-services', key(p.clusterIP), nothing(p.internalLocal));

    if (!reachable) continue;
    const external = p.externalLocal ? localChain : clusterChain;
    if (clusterChain === undefined || (external === undefined && !p.externalLocal)) {
      for (const ip of outside) put('no-endpoint-services', key(ip), 'goto reject-chain');
      if (p.nodePort) put('no-endpoint-nodeports', `${p.protocol} . ${p.nodePort}`, 'goto reject-chain');
      continue;
    }
    const entry = chainName('ext', p);
    chains.set(entry, externalRules(p, node, family, clusterChain, external));
    for (const ip of p.externalIPs) put('service-ips', key(ip), `goto ${entry}`);
    if (p.loadBalancerIPs.length) {
      const guarded = p.sourceRanges.length ? chainName('fw', p) : entry;
      if (p.sourceRanges.length) {
        const own = p.loadBalancerIPs.map((ip) => `${ip}/${node.family === 6 ? 128 : 32}`);
        const sources = withoutOverlaps([...p.sourceRanges, ...own]).join(', ');
        chains.set(guarded, [`${family} saddr { ${sources} } goto ${entry}`, `meta mark set meta mark or 0x8000`]);
      }
      for (const ip of p.loadBalancerIPs) put('service-ips', key(ip), `goto ${guarded}`);
    }
    if (p.nodePort) put('service-nodeports', `${p.protocol} . ${p.nodePort}`, `goto ${entry}`);
  }
  return { elements, chains, affinitySets };
}

/** Connections to a cluster IP that come from outside of the pods leave with this node's address, so that replies return. */
export function masqueradeRules(node: Pick<NodeView, 'masqueradeAll' | 'clusterCidr' | 'family'>): string[] {
  const mark = `meta mark set meta mark or ${MASQUERADE_MARK}`;
  if (node.masqueradeAll) return [mark];
  return node.clusterCidr === '' ? [] : [`${node.family === 6 ? 'ip6' : 'ip'} saddr != ${node.clusterCidr} ${mark}`];
}

function externalRules(
  p: ServicePort,
  node: NodeView,
  family: string,
  cluster: string,
  external: string | undefined,
): string[] {
  if (!p.externalLocal) return [`meta mark set meta mark or ${MASQUERADE_MARK}`, `goto ${cluster}`];
  const rules: string[] = [];
  // pods and the node itself see the whole service, whatever the policy says about outside traffic
  if (node.clusterCidr !== '') rules.push(`${family} saddr ${node.clusterCidr} goto ${cluster}`);
  rules.push(
    `fib saddr type local meta mark set meta mark or ${MASQUERADE_MARK}`,
    `fib saddr type local goto ${cluster}`,
  );
  rules.push(external ? `goto ${external}` : 'meta mark set meta mark or 0x8000');
  return rules;
}
