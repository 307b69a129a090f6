/** nft text for a state, or for the difference between two states: one transaction either way. */
import { FIXED, MASQUERADE_MARK, type Desired } from './desired.ts';

export const TABLE = 'k8ts-proxy';
/** Packets that a load balancer's source ranges or a local policy turn away. */
const DROP_MARK = '0x8000';

interface Family {
  nft: 'ip' | 'ip6';
  addr: 'ipv4_addr' | 'ipv6_addr';
  reject: string;
  loopback: string;
}
const FAMILIES: Record<4 | 6, Family> = {
  4: { nft: 'ip', addr: 'ipv4_addr', reject: 'reject', loopback: '127.0.0.0/8' },
  6: { nft: 'ip6', addr: 'ipv6_addr', reject: 'reject', loopback: '::1/128' },
};

/** The tables, hooks and empty maps: everything that does not depend on any Service. */
function skeleton(f: Family, nodePortAddresses: readonly string[]): string[] {
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
    `add set ${t} hairpin { type ${f.addr} . ${f.addr} ; }`,
  ];
  const chain = (name: string, hook: string, rules: string[]) => {
    lines.push(`add chain ${t} ${name}${hook ? ` { ${hook} }` : ''}`);
    for (const r of rules) lines.push(`add rule ${t} ${name} ${r}`);
  };
  const local = nodePortAddresses.length
    ? `${f.nft} daddr { ${nodePortAddresses.join(', ')} }`
    : `fib daddr type local ${f.nft} daddr != ${f.loopback}`;
  chain('reject-chain', '', [f.reject]);
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

const CHUNK = 500;

function elementLines(verb: 'add' | 'delete', table: string, map: string, items: string[]): string[] {
  const lines: string[] = [];
  for (let i = 0; i < items.length; i += CHUNK)
    lines.push(`${verb} element ${table} ${map} { ${items.slice(i, i + CHUNK).join(', ')} }`);
  return lines;
}

/** What brings the kernel from `before` to `after`; '' when they are the same. */
export function renderChange(before: Desired, after: Desired, family: 4 | 6): string {
  const f = FAMILIES[family];
  const t = `${f.nft} ${TABLE}`;
  const lines: string[] = [];
  for (const [name, seconds] of after.affinitySets)
    if (!before.affinitySets.has(name))
      lines.push(
        `add set ${t} ${name} { type ${f.addr} ; flags dynamic,timeout ; timeout ${seconds}s ; size 65535 ; }`,
      );
  // every chain must exist before a rule may name it
  for (const name of after.chains.keys()) if (!before.chains.has(name)) lines.push(`add chain ${t} ${name}`);
  for (const [name, rules] of after.chains) {
    const old = before.chains.get(name);
    if (old && old.length === rules.length && old.every((r, i) => r === rules[i])) continue;
    if (old) lines.push(`flush chain ${t} ${name}`);
    for (const r of rules) lines.push(`add rule ${t} ${name} ${r}`);
  }
  for (const map of Object.keys(FIXED)) {
    const was = before.elements.get(map) ?? new Map<string, string>();
    const is = after.elements.get(map) ?? new Map<string, string>();
    const gone: string[] = [];
    const come: string[] = [];
    for (const [key, value] of was) if (is.get(key) !== value) gone.push(value === '' ? key : `${key} : ${value}`);
    for (const [key, value] of is) if (was.get(key) !== value) come.push(value === '' ? key : `${key} : ${value}`);
    lines.push(...elementLines('delete', t, map, gone), ...elementLines('add', t, map, come));
  }
  const dead = [...before.chains.keys()].filter((name) => !after.chains.has(name));
  for (const name of dead) lines.push(`flush chain ${t} ${name}`);
  for (const name of dead) lines.push(`delete chain ${t} ${name}`);
  for (const name of before.affinitySets.keys())
    if (!after.affinitySets.has(name)) lines.push(`delete set ${t} ${name}`);
  return lines.length ? lines.join('\n') + '\n' : '';
}

/** A state with nothing in it: what the skeleton alone stands for. */
export const emptyDesired = (): Desired => ({ elements: new Map(), chains: new Map(), affinitySets: new Map() });

/** Everything from nothing, in one transaction that replaces what an earlier proxy left. */
export function renderFull(desired: Desired, family: 4 | 6, nodePortAddresses: readonly string[]): string {
  return (
    skeleton(FAMILIES[family], nodePortAddresses).join('\n') + '\n' + renderChange(emptyDesired(), desired, family)
  );
}

/** What removes all rules. */
export const renderRemoval = (family: 4 | 6) =>
  `add table ${FAMILIES[family].nft} ${TABLE}\ndelete table ${FAMILIES[family].nft} ${TABLE}\n`;
