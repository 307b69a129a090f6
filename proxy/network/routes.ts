/**
 * Pods of other nodes are reached by routes through those nodes' addresses, or through the overlay. Also lets pods reach
 * the world behind their node's address.
 */
import type { Exec } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, Node } from '../../api/types.ts';
import { macOf, OVERLAY, type OverlayPeer } from './overlay.ts';

/** Marks our routes among others' (the kernel's "protocol" number). */
const PROTOCOL = '107';
const EGRESS_TABLE = 'k8ts-egress';

export interface PodRoute {
  cidr: string;
  via: string;
  /** The overlay's device for nodes that are reached through it. */
  dev?: string;
}

/** How nodes' pods reach each other: straight where nodes share a segment and through VXLAN elsewhere, or one for all. */
export type NetworkMode = 'auto' | 'routes' | 'vxlan';

export const internalIp = (node: DeepReadonly<Node>, v6 = false) =>
  node.status?.addresses?.find((a) => a.type === 'InternalIP' && a.address.includes(':') === v6)?.address;
export const podCidrsOf = (node: DeepReadonly<Node> | undefined): readonly string[] =>
  node?.spec?.podCIDRs ?? (node?.spec?.podCIDR ? [node.spec.podCIDR] : []);
const baseOf = (cidr: string) => cidr.split('/')[0]!;

/**
 * The routes a machine needs, and the nodes it reaches through the overlay; `self` is the node it is, or undefined for
 * one that is no node; `isNear` says whether an address is on a segment of this machine. Pure.
 */
export function planNetwork(
  nodes: readonly DeepReadonly<Node>[],
  self: string | undefined,
  mode: NetworkMode,
  isNear: (ip: string) => boolean,
): { routes: PodRoute[]; peers: OverlayPeer[] } {
  const routes: PodRoute[] = [];
  const peers: OverlayPeer[] = [];
  for (const node of nodes) {
    if (node.metadata?.name === self) continue;
    const cidrs = podCidrsOf(node);
    const under = internalIp(node) ?? internalIp(node, true);
    if (!under || cidrs.length === 0) continue;
    if (mode === 'vxlan' || (mode === 'auto' && !isNear(under))) {
      peers.push({ mac: macOf(under), under, ends: cidrs.map(baseOf) });
      for (const cidr of cidrs) routes.push({ cidr, via: baseOf(cidr), dev: OVERLAY });
      continue;
    }
    for (const cidr of cidrs) {
      const via = internalIp(node, cidr.includes(':'));
      if (via) routes.push({ cidr, via });
    }
  }
  return { routes: routes.sort((a, b) => (a.cidr < b.cidr ? -1 : 1)), peers };
}

const family = (cidr: string) => (cidr.includes(':') ? '-6' : '-4');

/** Brings the machine's routes to what is desired; routes that aren't ours stay. */
export async function syncRoutes(exec: Exec, desired: readonly PodRoute[], logger: Logger): Promise<void> {
  const have = new Map<string, string>();
  for (const f of ['-4', '-6']) {
    const out = await exec('ip', [f, '-j', 'route', 'show', 'proto', PROTOCOL]).catch(() => '[]');
    for (const r of JSON.parse(out || '[]') as { dst: string; gateway?: string; dev?: string }[])
      have.set(r.dst, `${r.gateway} ${r.dev === OVERLAY ? OVERLAY : ''}`);
  }
  for (const r of desired) {
    const way = ['via', r.via, ...(r.dev ? ['dev', r.dev, 'onlink'] : [])];
    if (have.get(r.cidr) !== `${r.via} ${r.dev ?? ''}`)
      await exec('ip', [family(r.cidr), 'route', 'replace', r.cidr, ...way, 'proto', PROTOCOL]).catch(
        (error: unknown) => logger.error('route to a node is missing', { ...r, error }),
      );
    have.delete(r.cidr);
  }
  for (const dst of have.keys())
    await exec('ip', [family(dst), 'route', 'del', dst, 'proto', PROTOCOL]).catch(() => {});
}

/** Rules by which this node's pods leave the cluster with the node's address; connections inside it keep theirs. */
export function egressRules(
  podCidrs: readonly string[],
  clusterCidrs: readonly string[],
  nodeAddresses: readonly string[],
): string {
  const lines: string[] = [];
  for (const f of ['ip', 'ip6']) {
    const t = `${f} ${EGRESS_TABLE}`;
    const ours = (c: string) => c.includes(':') === (f === 'ip6');
    const pods = podCidrs.filter(ours);
    lines.push(`add table ${t}`, `delete table ${t}`);
    if (pods.length === 0) continue;
    const inside = [...clusterCidrs, ...nodeAddresses].filter(ours);
    lines.push(`add table ${t}`, `add chain ${t} postrouting { type nat hook postrouting priority 100 ; }`);
    lines.push(
      `add rule ${t} postrouting ${f} saddr { ${pods.join(', ')} } ${f} daddr != { ${inside.join(', ')} } fib daddr type unicast masquerade`,
    );
  }
  return lines.join('\n') + '\n';
}
