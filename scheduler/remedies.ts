/** What would have to change for a pod to fit on a node: the least that answers a plugin's objection. Pure. */
import type * as k8s from '@kubernetes/client-node';
import { Quantity } from '../api/quantity.ts';
import type { DeepReadonly, Json } from '../api/types.ts';
import type { Failure, Snapshot } from './core/framework.ts';
import { compileTerm } from './core/node-selector.ts';
import type { NodeInfo } from './core/node-info.ts';
import { termMatches, type AffinityTerm, type PodInfo } from './core/pod-info.ts';
import { firstUntolerated } from './plugins/tolerations.ts';

export interface Remedy {
  /** In the imperative: `remove taint a=b:NoSchedule from node1 (or tolerate it)`. */
  readonly text: string;
  /** Orders remedies: what a command does at once comes before what takes machines or pods. */
  readonly effort: number;
  /** Does it to a copy of the node, so that the result can be tried; absent where it can't be tried on a node alone. */
  apply?(node: NodeInfo): void;
}
type Term = DeepReadonly<Json<k8s.V1NodeSelectorTerm>>;

const EFFORT = { command: 1, resources: 4, pods: 8, unknown: 100 } as const;
const hard = (effect: string) => effect === 'NoSchedule' || effect === 'NoExecute';
/** Put on a cordoned node by the controllers, and taken away with the cordon. */
const CORDON = 'node.kubernetes.io/unschedulable';
const unknown = (f: Failure): Remedy[] => [{ text: `resolve: ${f.reasons.join(', ')}`, effort: EFFORT.unknown }];

/** Amounts as people write them. */
const showAmount = (resource: string, amount: number): string => {
  if (resource === 'cpu') return Quantity.fromMilli(Math.ceil(amount)).toString();
  const binary = resource === 'memory' || resource === 'ephemeral-storage' || resource.startsWith('hugepages-');
  return Quantity.fromInteger(Math.ceil(amount), binary ? 'BinarySI' : 'DecimalSI').toString();
};

/** How to answer one objection. */
export function remediesFor(f: Failure, pod: PodInfo, node: NodeInfo, snapshot: Snapshot): Remedy[] {
  switch (f.plugin) {
    case 'NodeUnschedulable':
      return [
        { text: `uncordon ${node.name}`, effort: EFFORT.command, apply: (n) => (n.unschedulable = false) },
        // The controllers put a taint on a cordoned node, and take it away with the cordon.
      ];
    case 'TaintToleration':
      return taints(pod, node);
    case 'NodeAffinity':
      return affinity(pod, node) ?? unknown(f);
    case 'NodeResourcesFit':
      return resources(pod, node);
    case 'NodePorts':
      return ports(pod, node);
    case 'InterPodAffinity':
      return interPod(pod, node, snapshot) ?? unknown(f);
    case 'PodTopologySpread':
      return spread(f, pod, node);
    default:
      return unknown(f);
  }
}

function taints(pod: PodInfo, node: NodeInfo): Remedy[] {
  const out: Remedy[] = [];
  let rest = node.taints;
  const tolerations = pod.pod.spec!.tolerations ?? [];
  for (let t = firstUntolerated(rest, tolerations, hard); t; t = firstUntolerated(rest, tolerations, hard)) {
    const taint = t;
    rest = rest.filter((x) => x !== taint);
    const shown = `${t.key}${t.value ? `=${t.value}` : ''}:${t.effect}`;
    const own = t.key.startsWith('node.kubernetes.io/');
    const cordon = t.key === CORDON && node.unschedulable;
    out.push({
      text: cordon
        ? `uncordon ${node.name}`
        : own
          ? `heal ${node.name}: it is tainted ${shown}`
          : `remove taint ${shown} from ${node.name} (or tolerate it)`,
      effort: own && !cordon ? EFFORT.pods : EFFORT.command,
      apply: (n) => (n.taints = n.taints.filter((x) => x.key !== taint.key || x.effect !== taint.effect)),
    });
  }
  return out;
}

/** The labels that would satisfy a term; undefined when no label can. */
function labelsFor(term: Term, node: NodeInfo): Map<string, string | undefined> | undefined {
  const labels = new Map<string, string | undefined>();
  for (const r of term.matchFields ?? []) if (!compileTerm({ matchFields: [r] })(node)) return undefined;
  for (const r of term.matchExpressions ?? []) {
    if (compileTerm({ matchExpressions: [r] })(node)) continue;
    const first = r.values?.[0];
    if (r.operator === 'In' && first !== undefined) labels.set(r.key, first);
    else if (r.operator === 'Exists') labels.set(r.key, '');
    else if (r.operator === 'NotIn' || r.operator === 'DoesNotExist') labels.set(r.key, undefined);
    else if (r.operator === 'Gt' && first !== undefined) labels.set(r.key, String(BigInt(first) + 1n));
    else if (r.operator === 'Lt' && first !== undefined) labels.set(r.key, String(BigInt(first) - 1n));
    else return undefined;
  }
  return labels;
}

function affinity(pod: PodInfo, node: NodeInfo): Remedy[] | undefined {
  const spec = pod.pod.spec!;
  const labels = new Map<string, string | undefined>();
  for (const [k, v] of Object.entries(spec.nodeSelector ?? {})) if (node.labels[k] !== v) labels.set(k, v);
  const terms = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  if (terms.length > 0) {
    const ways = terms.map((t) => labelsFor(t, node)).filter((w) => w !== undefined);
    if (ways.length === 0) return undefined;
    for (const [k, v] of ways.reduce((a, b) => (b.size < a.size ? b : a))) labels.set(k, v);
  }
  if (labels.size === 0) return undefined;
  return [...labels].map(([k, v]) => ({
    text: v === undefined ? `remove label ${k} from ${node.name}` : `label ${node.name} with ${k}=${v}`,
    effort: EFFORT.command,
    apply(n) {
      const { [k]: _gone, ...rest } = n.labels;
      n.labels = v === undefined ? rest : { ...rest, [k]: v };
    },
  }));
}

function resources(pod: PodInfo, node: NodeInfo): Remedy[] {
  const { allocatable: all, requested: used } = node;
  const want = pod.requests;
  const out: Remedy[] = [];
  if (node.pods.length + 1 > all.pods)
    out.push({
      text: `move a pod away from ${node.name} (it holds ${node.pods.length} of at most ${all.pods})`,
      effort: EFFORT.pods,
      apply: (n) => ((n.allocatable = n.allocatable.clone()).pods = n.pods.length + 1),
    });
  for (const name of ['cpu', 'memory', 'ephemeral-storage', ...(want.scalars?.keys() ?? [])]) {
    const asked = want.get(name);
    const free = all.get(name) - used.get(name);
    if (asked === 0 || asked <= free) continue;
    const missing = asked - free;
    const show = (n: number) => showAmount(name, n);
    out.push({
      text: `free or add ${show(missing)} of ${name} on ${node.name} (the pod asks for ${show(asked)}, ${show(Math.max(free, 0))} of ${show(all.get(name))} is free)`,
      effort: EFFORT.resources + (all.get(name) > 0 ? Math.min(missing / all.get(name), 10) : 10),
      apply(n) {
        n.allocatable = n.allocatable.clone();
        n.allocatable.set(name, n.requested.get(name) + asked);
      },
    });
  }
  return out;
}

function ports(pod: PodInfo, node: NodeInfo): Remedy[] {
  const out: Remedy[] = [];
  for (const p of pod.ports) {
    if (!node.portTaken(p)) continue;
    const holder = node.pods.find((x) => x.ports.some((y) => y.port === p.port && y.protocol === p.protocol));
    out.push({
      text: `free host port ${p.port}/${p.protocol} on ${node.name}${holder ? ` (pod ${holder.key} has it)` : ''}`,
      effort: EFFORT.pods,
      apply: (n) => void n.ports.delete(`${p.protocol}/${p.port}`),
    });
  }
  return out;
}

function interPod(pod: PodInfo, node: NodeInfo, snapshot: Snapshot): Remedy[] | undefined {
  const labelsOf = (ns: string) => snapshot.namespaceLabels(ns);
  const sameDomain = (key: string) => {
    const domain = node.labels[key];
    return snapshot.nodes.filter((n) => domain !== undefined && n.labels[key] === domain);
  };
  const clashes = new Set<string>();
  const keys = new Set<string>();
  const note = (other: PodInfo, term: AffinityTerm) => {
    clashes.add(other.key);
    keys.add(term.topologyKey);
  };
  for (const t of pod.requiredAntiAffinity)
    for (const n of sameDomain(t.topologyKey)) for (const p of n.pods) if (termMatches(t, p, labelsOf)) note(p, t);
  for (const n of snapshot.nodes)
    for (const p of n.pods)
      for (const t of p.requiredAntiAffinity) {
        const domain = node.labels[t.topologyKey];
        if (domain !== undefined && n.labels[t.topologyKey] === domain && termMatches(t, pod, labelsOf)) note(p, t);
      }
  const out: Remedy[] = [];
  if (clashes.size > 0) {
    const names = [...clashes];
    const shown = names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ');
    out.push({
      text: `move ${shown} away from ${node.name}'s ${[...keys].join(' and ')} (anti-affinity)`,
      effort: EFFORT.pods + names.length - 1,
    });
  }
  for (const t of pod.requiredAffinity) {
    if (node.labels[t.topologyKey] === undefined)
      out.push({ text: `label ${node.name} with ${t.topologyKey}`, effort: EFFORT.command });
    else if (!sameDomain(t.topologyKey).some((n) => n.pods.some((p) => termMatches(t, p, labelsOf))))
      out.push({
        text: `run a pod with ${t.selector.toString()} in ${node.name}'s ${t.topologyKey} (affinity)`,
        effort: EFFORT.pods,
      });
  }
  return out.length > 0 ? out : undefined;
}

function spread(f: Failure, pod: PodInfo, node: NodeInfo): Remedy[] {
  const constraints = pod.pod.spec!.topologySpreadConstraints ?? [];
  const missing = constraints.filter(
    (c) => c.whenUnsatisfiable === 'DoNotSchedule' && node.labels[c.topologyKey] === undefined,
  );
  if (missing.length > 0)
    return missing.map((c) => ({ text: `label ${node.name} with ${c.topologyKey}`, effort: EFFORT.command }));
  const keys = constraints.filter((c) => c.whenUnsatisfiable === 'DoNotSchedule').map((c) => c.topologyKey);
  if (keys.length === 0) return unknown(f);
  return [
    {
      text: `make room in the emptier domains of ${keys.join(' and ')}, or allow a greater maxSkew`,
      effort: EFFORT.pods,
    },
  ];
}
