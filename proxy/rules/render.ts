/** The part of the service proxy's table that depends on no Service: hooks, empty maps, what happens to unserved traffic. */
import { MASQUERADE_MARK, masqueradeRules, SHARED_SPREADS } from './desired.ts';
import type { NodeView } from './model.ts';

export const TABLE = 'k8ts-proxy';
/** Packets that a load balancer's source ranges or a local policy turn away. */
const DROP_MARK = '0x8000';

export interface Family {
  nft: 'ip' | 'ip6';
  addr: 'ipv4_addr' | 'ipv6_addr';
  loopback: string;
}
export const FAMILIES: Readonly<Record<4 | 6, Family>> = {
  4: { nft: 'ip', addr: 'ipv4_addr', loopback: '127.0.0.0/8' },
  6: { nft: 'ip6', addr: 'ipv6_addr', loopback: '::1/128' },
};

/** What the table depends on besides Services. */
export type TableView = Pick<NodeView, 'family' | 'nodePortAddresses' | 'masqueradeAll' | 'clusterCidr'>;

/** Lines that make the table anew, in place of one that an earlier proxy left. */
export function skeleton(view: TableView): string[] {
  const { nodePortAddresses } = view;
  const f = FAMILIES[view.family];
  const t = `${f.nft} ${TABLE}`;
  const tuple = `${f.addr} . inet_proto . inet_service`;
  const lines = [
    `add table ${t}`,
    `delete table ${t}`,
    `add table ${t}`,
    `add map ${t} service-ips { type ${tuple} : verdict ; }`,
    `add map ${t} service-nodeports { type inet_proto . inet_service : verdict ; }`,
    `add map ${t} no-endpoint-services { type ${tuple} : verdict ; }`,
    `add map ${t} no-endpoint-nodeports { type inet_proto . inet_service : verdict ; }`,
    `add set ${t} cluster-ips { type ${f.addr} ; }`,
    `add map ${t} endpoints { typeof ${f.nft} daddr . meta l4proto . th dport . numgen random mod 2 : ${f.nft} daddr . th dport ; }`,
    `add set ${t} hairpin { type ${f.addr} . ${f.addr} ; }`,
  ];
  const chain = (name: string, hook: string, rules: string[]) => {
    lines.push(`add chain ${t} ${name}${hook ? ` { ${hook} }` : ''}`);
    for (const r of rules) lines.push(`add rule ${t} ${name} ${r}`);
  };
  const local = nodePortAddresses.length
    ? `${f.nft} daddr { ${nodePortAddresses.join(', ')} }`
    : `fib daddr type local ${f.nft} daddr != ${f.loopback}`;
  const masquerade = masqueradeRules(view);
  // made together with the map: nft 1.0 can't add a rule on it later ("conflicting protocols")
  for (let n = 1; n <= SHARED_SPREADS; n++) {
    chain(`spread-${n}`, '', [
      `meta l4proto { tcp, udp, sctp } dnat ${f.nft} addr . port to ${f.nft} daddr . meta l4proto . th dport . numgen random mod ${n} map @endpoints`,
    ]);
    if (masquerade.length) chain(`masquerade-${n}`, '', [...masquerade, `goto spread-${n}`]);
  }
  chain('reject-chain', '', ['reject']);
  chain('services', '', [
    `${f.nft} daddr . meta l4proto . th dport vmap @service-ips`,
    `${local} meta l4proto . th dport vmap @service-nodeports`,
  ]);
  chain('no-endpoints', '', [
    `meta mark & ${DROP_MARK} == ${DROP_MARK} drop`,
    `${f.nft} daddr . meta l4proto . th dport vmap @no-endpoint-services`,
    `${local} meta l4proto . th dport vmap @no-endpoint-nodeports`,
  ]);
  chain('nat-prerouting', 'type nat hook prerouting priority -100 ;', ['jump services']);
  chain('nat-output', 'type nat hook output priority -100 ;', ['jump services']);
  chain('nat-postrouting', 'type nat hook postrouting priority 100 ;', [
    `meta mark & ${MASQUERADE_MARK} == ${MASQUERADE_MARK} meta mark set meta mark xor ${MASQUERADE_MARK} masquerade fully-random`,
    `ct status dnat ${f.nft} saddr . ${f.nft} daddr @hairpin masquerade fully-random`,
  ]);
  // before translation: services without a backend
  for (const hook of ['input', 'forward', 'output'])
    chain(`filter-${hook}`, `type filter hook ${hook} priority -110 ;`, ['ct state new jump no-endpoints']);
  // after translation: a cluster address that is still there belongs to no port of its service
  for (const hook of ['forward', 'output'])
    chain(`unmatched-${hook}`, `type filter hook ${hook} priority 0 ;`, [
      `meta mark & ${DROP_MARK} == ${DROP_MARK} drop`,
      `ct state new ${f.nft} daddr @cluster-ips goto reject-chain`,
    ]);
  return lines;
}
