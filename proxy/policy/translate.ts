/**
 * NetworkPolicies into nftables, after Services' addresses were translated: a packet to or from a local pod that some
 * policy selects costs one map look-up and the rules of its policies. Everything else passes untouched, as does all
 * traffic between a node and its own pods. Pure.
 */
import { createHash } from 'node:crypto';
import { compileLabelSelector, nothing, SelectorError, type LabelMatcher } from '../../api/selectors.ts';
import type { DeepReadonly, LabelSelector } from '../../api/types.ts';
import { isV6, plainRange, withoutOverlaps } from '../network/addresses.ts';
import type { NftChain, NftSet, NftTable } from '../rules/nft.ts';
import type { NetworkPolicy, PolicyInput, PolicyNode, PolicyPod } from './model.ts';
import { portMatches, type PortSpec } from './ports.ts';

export const POLICY_TABLE = 'k8ts-policy';

type Policy = DeepReadonly<NetworkPolicy>;
type Spec = NonNullable<Policy['spec']>;
type Direction = 'ingress' | 'egress';
/** A rule of either direction in one form. */
interface Rule {
  peers: NonNullable<NonNullable<Spec['ingress']>[number]['from']> | undefined;
  ports: readonly PortSpec[] | undefined;
}

const hash = (value: unknown) => createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);

/** A selector that can't be read selects nothing: what it stands in then denies. */
function compile(selector: DeepReadonly<LabelSelector> | undefined): LabelMatcher {
  try {
    return compileLabelSelector(selector);
  } catch (error) {
    if (error instanceof SelectorError) return nothing();
    throw error;
  }
}

function rulesOf(spec: Spec, direction: Direction): Rule[] {
  return direction === 'ingress'
    ? (spec.ingress ?? []).map((r) => ({ peers: r.from, ports: r.ports }))
    : (spec.egress ?? []).map((r) => ({ peers: r.to, ports: r.ports }));
}

function concerns(spec: Spec, direction: Direction): boolean {
  const types = spec.policyTypes ?? ['Ingress', ...(spec.egress ? ['Egress'] : [])];
  return types.includes(direction === 'ingress' ? 'Ingress' : 'Egress');
}

/** This node's pods by their addresses; the youngest has an address that several claim. */
function localPods(pods: readonly PolicyPod[], node: PolicyNode): Map<string, PolicyPod> {
  const out = new Map<string, PolicyPod>();
  for (const p of pods) {
    if (p.node !== node.name) continue;
    for (const ip of p.ips) {
      const have = out.get(ip);
      if (isV6(ip) === (node.family === 6) && (!have || have.since < p.since)) out.set(ip, p);
    }
  }
  return out;
}

/** The policy without all that it allows: the pods that it selects stay isolated. */
export function closed(policy: Policy): Policy {
  const { spec } = policy;
  if (!spec) return policy;
  const policyTypes = (['Ingress', 'Egress'] as const).filter((t) =>
    concerns(spec, t === 'Ingress' ? 'ingress' : 'egress'),
  );
  return { ...policy, spec: { ...spec, policyTypes, ingress: [], egress: [] } };
}

/** The table for one node and address family; undefined when no policy asks for one. */
export function policyTable(input: PolicyInput, node: PolicyNode): NftTable | undefined {
  if (input.policies.length === 0) return undefined;
  return new Translator(input, node).table();
}

class Translator {
  readonly #input: PolicyInput;
  readonly #node: PolicyNode;
  readonly #ip: 'ip' | 'ip6';
  readonly #address: string;
  readonly #sets = new Map<string, NftSet>();
  readonly #chains = new Map<string, NftChain>();
  /** Pods that a peer selects, by what the peer says. */
  readonly #selected = new Map<string, readonly PolicyPod[]>();

  constructor(input: PolicyInput, node: PolicyNode) {
    this.#input = input;
    this.#node = node;
    this.#ip = node.family === 6 ? 'ip6' : 'ip';
    this.#address = node.family === 6 ? 'ipv6_addr' : 'ipv4_addr';
  }

  table(): NftTable {
    const { policies, pods } = this.#input;
    const local = localPods(pods, this.#node);
    const waiting = pods.filter((p) => p.node === this.#node.name && p.ips.length === 0);
    const verdicts = { ingress: new Map<string, string>(), egress: new Map<string, string>() };
    const self = new Map<string, string>();
    let guarded = false;
    for (const direction of ['ingress', 'egress'] as const) {
      const byNamespace = new Map<string, { policy: Policy; selects: LabelMatcher }[]>();
      for (const policy of policies) {
        if (!policy.spec || !concerns(policy.spec, direction)) continue;
        const namespace = policy.metadata?.namespace ?? '';
        const list = byNamespace.get(namespace) ?? [];
        byNamespace.set(namespace, list);
        list.push({ policy, selects: compile(policy.spec.podSelector ?? {}) });
      }
      const selecting = (pod: PolicyPod) =>
        (byNamespace.get(pod.namespace) ?? []).filter((p) => p.selects.matches(pod.labels)).map((p) => p.policy);
      for (const [ip, pod] of local) {
        const mine = selecting(pod);
        if (mine.length === 0) continue;
        verdicts[direction].set(ip, `goto ${this.#podChain(direction, mine, pod)}`);
        self.set(`${ip} . ${ip}`, '');
      }
      guarded ||= waiting.some((p) => selecting(p).length > 0);
    }
    for (const direction of ['ingress', 'egress'] as const)
      this.#sets.set(direction, {
        kind: 'map',
        spec: `type ${this.#address} : verdict ;`,
        elements: verdicts[direction],
      });
    this.#sets.set('self', { kind: 'set', spec: `type ${this.#address} . ${this.#address} ;`, elements: self });
    this.#sets.set('known', {
      kind: 'set',
      spec: `type ${this.#address} ;`,
      elements: new Map([...local.keys()].map((ip) => [ip, ''])),
    });
    this.#baseChains(guarded);
    return { sets: this.#sets, chains: this.#chains };
  }

  /** Egress first, ingress second: a packet between two local pods needs the leave of both. */
  #baseChains(guarded: boolean): void {
    const ip = this.#ip;
    const cidrs = this.#node.podCidrs.filter((c) => isV6(c) === (this.#node.family === 6)).join(', ');
    const common = [
      ...(ip === 'ip6'
        ? [
            'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert, nd-redirect } accept',
          ]
        : []),
      'ct state established,related accept',
      // a pod reaches itself through its Service, whatever the policies say
      `${ip} saddr . ${ip} daddr @self accept`,
    ];
    for (const [direction, side, priority] of [
      ['egress', 'saddr', 1],
      ['ingress', 'daddr', 2],
    ] as const)
      this.#chains.set(`forward-${direction}`, {
        hook: `type filter hook forward priority ${priority} ;`,
        rules: [
          ...common,
          // a pod that will be isolated has no address yet: until it has, nobody uses an address that nobody has
          ...(guarded && cidrs ? [`${ip} ${side} { ${cidrs} } ${ip} ${side} != @known drop`] : []),
          `${ip} ${side} vmap @${direction}`,
        ],
      });
  }

  /** The chain of all pods that the same policies select: what none of them allows is dropped. */
  #podChain(direction: Direction, policies: readonly Policy[], pod: PolicyPod): string {
    const jumps = policies.map((p) => this.#policyChain(direction, p, pod)).filter((c) => c !== undefined);
    const name = `${direction}-${hash(jumps.sort())}`;
    this.#chains.set(name, { rules: [...jumps.map((c) => `jump ${c}`), 'drop'] });
    return name;
  }

  /** What one policy allows; named ports on the ingress side are those of the pod itself. */
  #policyChain(direction: Direction, policy: Policy, pod: PolicyPod): string | undefined {
    const rules = rulesOf(policy.spec!, direction);
    if (rules.length === 0) return undefined;
    const { namespace = '', name = '' } = policy.metadata ?? {};
    const named = direction === 'ingress' ? rules.some((r) => r.ports?.some((p) => typeof p.port === 'string')) : false;
    const id = hash([direction, namespace, name, named ? pod.ports : []]);
    const chain = `${direction === 'ingress' ? 'in' : 'out'}-${id}-${`${namespace}/${name}`.slice(0, 100)}`;
    if (!this.#chains.has(chain))
      this.#chains.set(chain, { rules: rules.flatMap((r) => this.#rule(direction, namespace, r, pod)) });
    return chain;
  }

  #rule(direction: Direction, namespace: string, rule: Rule, pod: PolicyPod): string[] {
    const side = `${this.#ip} ${direction === 'ingress' ? 'saddr' : 'daddr'}`;
    const lookUp = direction === 'ingress' ? pod : undefined;
    const ports = rule.ports?.length ? portMatches(rule.ports, lookUp) : [''];
    const out: string[] = [];
    const allow = (...matches: string[]) => out.push([...matches, 'accept'].filter((m) => m !== '').join(' '));
    const named = direction === 'egress' ? (rule.ports ?? []).filter((p) => typeof p.port === 'string') : [];
    if (!rule.peers?.length) {
      for (const p of ports) allow(p);
      if (named.length) allow(this.#namedPorts(named, namespace, undefined));
      return out;
    }
    for (const peer of rule.peers) {
      if (peer.ipBlock) {
        const cidr = plainRange(peer.ipBlock.cidr);
        const excepted = (peer.ipBlock.except ?? []).map(plainRange);
        // what can't be read allows nothing
        if (cidr === undefined || excepted.includes(undefined) || isV6(cidr) !== (this.#node.family === 6)) continue;
        const except = excepted.length ? `${side} != { ${withoutOverlaps(excepted as string[]).join(', ')} }` : '';
        for (const p of ports) allow(`${side} ${cidr}`, except, p);
        continue;
      }
      for (const p of ports) allow(`${side} @${this.#peerSet(namespace, peer)}`, p);
      if (named.length) allow(this.#namedPorts(named, namespace, peer));
    }
    return out;
  }

  /** Addresses of the pods a peer selects. */
  #peerSet(namespace: string, peer: NonNullable<Rule['peers']>[number]): string {
    const name = `pods-${hash(peerKey(namespace, peer))}`;
    if (!this.#sets.has(name)) {
      const elements = new Map<string, string>();
      for (const p of this.#pods(namespace, peer)) for (const ip of this.#addresses(p)) elements.set(ip, '');
      this.#sets.set(name, { kind: 'set', spec: `type ${this.#address} ;`, elements });
    }
    return name;
  }

  /** A match of addresses with the ports that the pods there call by these names. */
  #namedPorts(
    ports: readonly PortSpec[],
    namespace: string,
    peer: NonNullable<Rule['peers']>[number] | undefined,
  ): string {
    const name = `ports-${hash([ports, peer ? peerKey(namespace, peer) : 'all'])}`;
    if (!this.#sets.has(name)) {
      const elements = new Map<string, string>();
      for (const pod of peer ? this.#pods(namespace, peer) : this.#input.pods)
        for (const want of ports)
          for (const p of pod.ports)
            if (p.name === want.port && p.protocol === (want.protocol ?? 'TCP'))
              for (const ip of this.#addresses(pod))
                elements.set(`${ip} . ${p.protocol.toLowerCase()} . ${p.port}`, '');
      this.#sets.set(name, {
        kind: 'set',
        spec: `type ${this.#address} . inet_proto . inet_service ;`,
        elements,
      });
    }
    return `${this.#ip} daddr . meta l4proto . th dport @${name}`;
  }

  #addresses = (pod: PolicyPod) => pod.ips.filter((ip) => isV6(ip) === (this.#node.family === 6));

  #pods(namespace: string, peer: NonNullable<Rule['peers']>[number]): readonly PolicyPod[] {
    const key = JSON.stringify(peerKey(namespace, peer));
    let found = this.#selected.get(key);
    if (found) return found;
    const pods = peer.podSelector ? compile(peer.podSelector) : undefined;
    const spaces = peer.namespaceSelector ? compile(peer.namespaceSelector) : undefined;
    const inside = new Map<string, boolean>();
    const matchesNamespace = (n: string) => {
      if (!spaces) return n === namespace;
      let known = inside.get(n);
      if (known === undefined) inside.set(n, (known = spaces.matches(this.#input.namespaces.get(n))));
      return known;
    };
    found = this.#input.pods.filter((p) => matchesNamespace(p.namespace) && (!pods || pods.matches(p.labels)));
    this.#selected.set(key, found);
    return found;
  }
}

const peerKey = (namespace: string, peer: NonNullable<Rule['peers']>[number]) => [
  peer.namespaceSelector ? '' : namespace,
  peer.podSelector,
  peer.namespaceSelector,
];
