/**
 * PodTopologySpread: keeps the pods that a selector means evenly over zones, nodes or any other domains.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
 */
import type * as k8s from '@kubernetes/client-node';
import { compileLabelSelector, labelMatcher, nothing, SelectorError, type LabelMatcher } from '../../api/selectors.ts';
import type { DeepReadonly, Json, Node } from '../../api/types.ts';
import { Action, failure, type Failure, type NodeFilter, type Plugin, type Snapshot } from '../core/framework.ts';
import type { NodeInfo } from '../core/node-info.ts';
import { requiredNodeAffinity, type NodeMatcher } from '../core/node-selector.ts';
import type { PodInfo } from '../core/pod-info.ts';
import type { Listers } from '../listers.ts';
import { defaultSelector } from './default-selector.ts';
import { firstUntolerated } from './tolerations.ts';

const NAME = 'PodTopologySpread';
const REASON = "node(s) didn't match pod topology spread constraints";
const SKEWED = failure(NAME, 'Unschedulable', REASON);
const NO_LABEL = failure(NAME, 'UnschedulableAndUnresolvable', `${REASON} (missing required label)`);
const HOSTNAME = 'kubernetes.io/hostname';

type V1Constraint = DeepReadonly<Json<k8s.V1TopologySpreadConstraint>>;

export interface PodTopologySpreadArgs {
  /** For pods without constraints of their own; with `defaultingType: List`. */
  defaultConstraints?: Json<k8s.V1TopologySpreadConstraint>[];
  /** Defaults to System: softly by host (skew 3) and zone (skew 5). */
  defaultingType?: 'System' | 'List';
}

const SYSTEM_DEFAULTS: readonly V1Constraint[] = [
  { topologyKey: HOSTNAME, whenUnsatisfiable: 'ScheduleAnyway', maxSkew: 3 },
  { topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'ScheduleAnyway', maxSkew: 5 },
];

interface Constraint {
  readonly maxSkew: number;
  readonly topologyKey: string;
  readonly minDomains: number;
  readonly selector: LabelMatcher;
  /** Under what the count of a node's pods is remembered. */
  readonly memo: string;
  /** Does the node take part? */
  included(node: NodeInfo): boolean;
}

/** How many of the node's living pods in the namespace the selector means. */
function countPods(node: NodeInfo, c: Constraint, namespace: string): number {
  if (node.pods.length === 0 || c.selector.isEverything) return 0;
  return node.memo(c.memo, (n) => {
    let count = 0;
    for (const p of n.pods) if (p.namespace === namespace && !p.isTerminating && c.selector.matches(p.labels)) count++;
    return count;
  });
}

const hasAllKeys = (labels: Readonly<Record<string, string>>, constraints: readonly { topologyKey: string }[]) => {
  for (const c of constraints) if (labels[c.topologyKey] === undefined) return false;
  return true;
};

const hardTaint = (effect: string) => effect === 'NoSchedule' || effect === 'NoExecute';

function compile(
  pod: PodInfo,
  c: V1Constraint,
  affinity: NodeMatcher | undefined,
  selector?: LabelMatcher,
): Constraint {
  const chosen = selector ?? selectorOf(pod, c);
  const honorAffinity = affinity !== undefined && (c.nodeAffinityPolicy ?? 'Honor') === 'Honor';
  const honorTaints = c.nodeTaintsPolicy === 'Honor';
  const tolerations = pod.pod.spec!.tolerations ?? [];
  return {
    maxSkew: c.maxSkew,
    topologyKey: c.topologyKey,
    minDomains: c.minDomains ?? 1,
    selector: chosen,
    memo: `spread|${pod.namespace}|${chosen.isNothing ? '-' : chosen.toString()}`,
    included(node) {
      if (honorAffinity && !affinity(node)) return false;
      return !honorTaints || firstUntolerated(node.taints, tolerations, hardTaint) === undefined;
    },
  };
}

function selectorOf(pod: PodInfo, c: V1Constraint): LabelMatcher {
  try {
    const selector = compileLabelSelector(c.labelSelector);
    if (!c.matchLabelKeys?.length || selector.isNothing) return selector;
    const more = [...selector.requirements];
    for (const key of c.matchLabelKeys) {
      const value = pod.labels[key];
      if (value !== undefined) more.push({ key, operator: '=', values: [value] });
    }
    return labelMatcher(more);
  } catch (error) {
    if (error instanceof SelectorError) return nothing();
    throw error;
  }
}

/** The pods in each domain of one constraint. */
class Domains {
  readonly counts: Map<string, number>;
  private least: number | undefined;
  constructor(counts: Map<string, number>) {
    this.counts = counts;
  }
  add(value: string, n: number): void {
    this.counts.set(value, (this.counts.get(value) ?? 0) + n);
    this.least = undefined;
  }
  minimum(minDomains: number): number {
    if (this.counts.size < minDomains) return 0;
    if (this.least === undefined) {
      let least = Infinity;
      for (const n of this.counts.values()) if (n < least) least = n;
      this.least = least;
    }
    return this.least;
  }
}

class SpreadFilter implements NodeFilter {
  private readonly pod: PodInfo;
  private readonly constraints: readonly Constraint[];
  private readonly domains: readonly Domains[];
  private readonly selfMatch: readonly number[];

  constructor(pod: PodInfo, constraints: readonly Constraint[], domains: readonly Domains[]) {
    this.pod = pod;
    this.constraints = constraints;
    this.domains = domains;
    this.selfMatch = constraints.map((c) => (c.selector.matches(pod.labels) ? 1 : 0));
  }
  static over(pod: PodInfo, constraints: readonly Constraint[], snapshot: Snapshot): SpreadFilter {
    const domains = constraints.map(() => new Domains(new Map()));
    for (const node of snapshot.nodes) {
      if (!hasAllKeys(node.labels, constraints)) continue;
      for (let i = 0; i < constraints.length; i++) {
        const c = constraints[i]!;
        if (c.included(node)) domains[i]!.add(node.labels[c.topologyKey]!, countPods(node, c, pod.namespace));
      }
    }
    return new SpreadFilter(pod, constraints, domains);
  }

  filter(node: NodeInfo): Failure | undefined {
    for (let i = 0; i < this.constraints.length; i++) {
      const c = this.constraints[i]!;
      const value = node.labels[c.topologyKey];
      if (value === undefined) return NO_LABEL;
      const d = this.domains[i]!;
      const skew = (d.counts.get(value) ?? 0) + this.selfMatch[i]! - d.minimum(c.minDomains);
      if (skew > c.maxSkew) return SKEWED;
    }
    return undefined;
  }
  addPod(other: PodInfo, node: NodeInfo): void {
    this.change(other, node, 1);
  }
  removePod(other: PodInfo, node: NodeInfo): void {
    this.change(other, node, -1);
  }
  private change(other: PodInfo, node: NodeInfo, by: number): void {
    if (other.namespace !== this.pod.namespace || !hasAllKeys(node.labels, this.constraints)) return;
    for (let i = 0; i < this.constraints.length; i++) {
      const c = this.constraints[i]!;
      if (c.selector.matches(other.labels) && c.included(node)) this.domains[i]!.add(node.labels[c.topologyKey]!, by);
    }
  }
  clone(): SpreadFilter {
    return new SpreadFilter(
      this.pod,
      this.constraints,
      this.domains.map((d) => new Domains(new Map(d.counts))),
    );
  }
}

export function podTopologySpread(args: PodTopologySpreadArgs, listers: Listers): Plugin {
  const system = (args.defaultingType ?? 'System') === 'System';
  const defaults: readonly V1Constraint[] = system ? SYSTEM_DEFAULTS : (args.defaultConstraints ?? []);

  function constraintsOf(pod: PodInfo, action: 'DoNotSchedule' | 'ScheduleAnyway'): readonly Constraint[] {
    const own = pod.pod.spec!.topologySpreadConstraints;
    const list = (own?.length ? own : defaults).filter((c) => c.whenUnsatisfiable === action);
    if (list.length === 0) return [];
    const affinity = requiredNodeAffinity(pod.pod);
    if (own?.length) return list.map((c) => compile(pod, c, affinity));
    const selector = defaultSelector(pod, listers);
    return selector ? list.map((c) => compile(pod, c, affinity, selector)) : [];
  }

  return {
    name: NAME,
    events: [
      {
        resource: 'Pod',
        actions: Action.Add | Action.Delete | Action.UpdatePodLabel,
        hint(pod, before, after) {
          const a = before as PodInfo | undefined;
          const b = after as PodInfo | undefined;
          if ((a ?? b)!.namespace !== pod.namespace) return false;
          const matches = (p: PodInfo | undefined, c: Constraint) => p !== undefined && c.selector.matches(p.labels);
          return constraintsOf(pod, 'DoNotSchedule').some((c) => matches(a, c) !== matches(b, c));
        },
      },
      { resource: 'WaitingPod', actions: Action.UpdatePodLabel | Action.UpdatePodTolerations },
      {
        resource: 'Node',
        actions: Action.Add | Action.Delete | Action.UpdateNodeLabel | Action.UpdateNodeTaint,
        hint(pod, before, after) {
          const constraints = constraintsOf(pod, 'DoNotSchedule');
          const labels = (n: unknown) => (n as DeepReadonly<Node> | undefined)?.metadata?.labels;
          const takesPart = (n: unknown) => n !== undefined && hasAllKeys(labels(n) ?? {}, constraints);
          return takesPart(before) || takesPart(after);
        },
      },
    ],
    preFilter(pod, cycle) {
      const constraints = constraintsOf(pod, 'DoNotSchedule');
      if (constraints.length === 0) return undefined;
      return { filter: SpreadFilter.over(pod, constraints, cycle.snapshot) };
    },
    preScore(pod, cycle, nodes) {
      const constraints = constraintsOf(pod, 'ScheduleAnyway');
      if (constraints.length === 0) return undefined;
      return scorer(
        pod,
        constraints,
        cycle.snapshot,
        nodes,
        !system || Boolean(pod.pod.spec!.topologySpreadConstraints?.length),
      );
    },
  };
}

/** Fewer pods in a node's domains are better; domains of small topologies count for less. */
function scorer(
  pod: PodInfo,
  constraints: readonly Constraint[],
  snapshot: Snapshot,
  nodes: readonly NodeInfo[],
  requireAll: boolean,
) {
  const ignored = new Set<NodeInfo>();
  const counts = constraints.map(() => new Map<string, number>());
  const byHost = constraints.map((c) => c.topologyKey === HOSTNAME);
  for (const node of nodes) {
    if (requireAll && !hasAllKeys(node.labels, constraints)) {
      ignored.add(node);
      continue;
    }
    for (let i = 0; i < constraints.length; i++)
      if (!byHost[i]) counts[i]!.set(node.labels[constraints[i]!.topologyKey] ?? '', 0);
  }
  const weights = counts.map((m, i) => Math.log((byHost[i] ? nodes.length - ignored.size : m.size) + 2));
  if (byHost.includes(false)) {
    for (const node of snapshot.nodes) {
      if (requireAll && !hasAllKeys(node.labels, constraints)) continue;
      for (let i = 0; i < constraints.length; i++) {
        const c = constraints[i]!;
        if (byHost[i] || !c.included(node)) continue;
        const value = node.labels[c.topologyKey] ?? '';
        const have = counts[i]!.get(value);
        if (have !== undefined) counts[i]!.set(value, have + countPods(node, c, pod.namespace));
      }
    }
  }
  return {
    score(node: NodeInfo): number {
      if (ignored.has(node)) return 0;
      let sum = 0;
      for (let i = 0; i < constraints.length; i++) {
        const c = constraints[i]!;
        const value = node.labels[c.topologyKey];
        if (value === undefined) continue;
        const n = byHost[i] ? countPods(node, c, pod.namespace) : counts[i]!.get(value)!;
        sum += n * weights[i]! + (c.maxSkew - 1);
      }
      return Math.round(sum);
    },
    normalize(scores: number[], list: readonly NodeInfo[]): void {
      let min = Infinity;
      let max = 0;
      for (let i = 0; i < scores.length; i++) {
        if (ignored.size > 0 && ignored.has(list[i]!)) continue;
        if (scores[i]! < min) min = scores[i]!;
        if (scores[i]! > max) max = scores[i]!;
      }
      for (let i = 0; i < scores.length; i++) {
        if (ignored.size > 0 && ignored.has(list[i]!)) scores[i] = 0;
        else scores[i] = max === 0 ? 100 : Math.trunc((100 * (max + min - scores[i]!)) / max);
      }
    },
  };
}
