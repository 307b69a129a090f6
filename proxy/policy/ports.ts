/** The port part of a NetworkPolicy rule as nft matches. Pure. */
import type { PolicyPod } from './model.ts';

/** NetworkPolicyPort: without a port, every port of the protocol; a text names a container port. */
export interface PortSpec {
  readonly protocol?: string;
  readonly port?: unknown;
  readonly endPort?: number;
}

/**
 * One match per protocol. Names are looked up among `pod`'s ports and match nothing when it has none so called (or when
 * there is no pod to ask).
 */
export function portMatches(ports: readonly PortSpec[], pod: PolicyPod | undefined): string[] {
  const ranges = new Map<string, [number, number][]>();
  const whole = new Set<string>();
  for (const p of ports) {
    const protocol = p.protocol ?? 'TCP';
    const add = (from: number, to: number) =>
      void ranges.set(protocol, [...(ranges.get(protocol) ?? []), [from, to] as [number, number]]);
    if (p.port === undefined || p.port === null) whole.add(protocol);
    else if (typeof p.port === 'number') add(p.port, p.endPort ?? p.port);
    else for (const c of pod?.ports ?? []) if (c.name === p.port && c.protocol === protocol) add(c.port, c.port);
  }
  const out = [...whole].map((protocol) => `meta l4proto ${protocol.toLowerCase()}`);
  for (const [protocol, list] of ranges)
    if (!whole.has(protocol)) out.push(`meta l4proto ${protocol.toLowerCase()} th dport { ${joined(list)} }`);
  return out;
}

/** Ranges that touch become one: nft takes no overlaps within one set. */
function joined(ranges: [number, number][]): string {
  const out: [number, number][] = [];
  for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = out.at(-1);
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else out.push([from, to]);
  }
  return out.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
}
