/**
 * InterPodAffinity: pods that want to be near others or away from them, and others that want the same of this one.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
 */
import {
  Action,
  failure,
  type Failure,
  type NodeFilter,
  type NodeScorer,
  type Plugin,
  type Snapshot,
} from '../core/framework.ts';
import type { NodeInfo } from '../core/node-info.ts';
import { termMatches, type AffinityTerm, type PodInfo } from '../core/pod-info.ts';

const NAME = 'InterPodAffinity';
const EXISTING = failure(NAME, 'Unschedulable', "node(s) didn't satisfy existing pods anti-affinity rules");
const AFFINITY = failure(NAME, 'UnschedulableAndUnresolvable', "node(s) didn't match pod affinity rules");
const ANTI_AFFINITY = failure(NAME, 'Unschedulable', "node(s) didn't match pod anti-affinity rules");

export interface InterPodAffinityArgs {
  /** What a required affinity of a placed pod counts when nodes are compared; defaults to 1. */
  hardPodAffinityWeight?: number;
  ignorePreferredTermsOfExistingPods?: boolean;
}

/** Pods in each domain of a topology key; `over` are changes of a trial on top of shared counts. */
class Counts {
  readonly topologyKey: string;
  private readonly base: ReadonlyMap<string, number>;
  private over: Map<string, number> | undefined;

  constructor(topologyKey: string, base: ReadonlyMap<string, number>, over?: Map<string, number>) {
    this.topologyKey = topologyKey;
    this.base = base;
    this.over = over;
  }
  at(value: string): number {
    const n = this.base.get(value) ?? 0;
    return this.over ? n + (this.over.get(value) ?? 0) : n;
  }
  add(node: NodeInfo, by: number): void {
    const value = node.labels[this.topologyKey];
    if (value === undefined) return;
    this.over ??= new Map();
    this.over.set(value, (this.over.get(value) ?? 0) + by);
  }
  get isEmpty(): boolean {
    if (!this.over) return this.base.size === 0;
    for (const value of new Set([...this.base.keys(), ...this.over.keys()])) if (this.at(value) > 0) return false;
    return true;
  }
  clone(): Counts {
    return new Counts(this.topologyKey, this.base, this.over && new Map(this.over));
  }
}

/** The key of a question about pods; labels of namespaces are a part of it when the term asks for them. */
const memoKey = (kind: string, terms: readonly AffinityTerm[], snapshot: Snapshot) => {
  const byNamespace = terms.some((t) => !t.namespaceSelector.isNothing);
  return `${kind}|${byNamespace ? snapshot.namespacesGeneration : ''}|${terms.map((t) => t.key).join('||')}`;
};

/** Counts the placed pods for which all terms hold, per domain of each term's topology key. */
function countMatching(terms: readonly AffinityTerm[], snapshot: Snapshot): Counts[] {
  const maps = terms.map(() => new Map<string, number>());
  const key = memoKey('affinity', terms, snapshot);
  const labelsOf = (ns: string) => snapshot.namespaceLabels(ns);
  const count = (node: NodeInfo) => {
    let n = 0;
    for (const p of node.pods) if (terms.every((t) => termMatches(t, p, labelsOf))) n++;
    return n;
  };
  for (const node of snapshot.nodes) {
    if (node.pods.length === 0) continue;
    const n = node.memo(key, count);
    if (n === 0) continue;
    for (let i = 0; i < terms.length; i++) {
      const value = node.labels[terms[i]!.topologyKey];
      if (value !== undefined) maps[i]!.set(value, (maps[i]!.get(value) ?? 0) + n);
    }
  }
  return terms.map((t, i) => new Counts(t.topologyKey, maps[i]!));
}

class AffinityFilter implements NodeFilter {
  private readonly pod: PodInfo;
  private readonly snapshot: Snapshot;
  /** For each of the pod's terms; `affinity` counts pods that match all of them. */
  private readonly affinity: readonly Counts[];
  private readonly anti: readonly Counts[];
  /** Placed pods that want to be away from this one. */
  private readonly existing: Counts[];

  constructor(
    pod: PodInfo,
    snapshot: Snapshot,
    affinity: readonly Counts[],
    anti: readonly Counts[],
    existing: Counts[],
  ) {
    this.pod = pod;
    this.snapshot = snapshot;
    this.affinity = affinity;
    this.anti = anti;
    this.existing = existing;
  }

  filter(node: NodeInfo): Failure | undefined {
    const { labels } = node;
    let found = true;
    for (const c of this.affinity) {
      const value = labels[c.topologyKey];
      if (value === undefined) return AFFINITY;
      if (c.at(value) <= 0) found = false;
    }
    if (!found && !this.isFirstOfItsKind()) return AFFINITY;
    if (meets(this.anti, labels)) return ANTI_AFFINITY;
    if (meets(this.existing, labels)) return EXISTING;
    return undefined;
  }
  /** A pod that wants to be with its own kind may be the first of them. */
  private isFirstOfItsKind(): boolean {
    for (const c of this.affinity) if (!c.isEmpty) return false;
    return this.all(this.pod);
  }
  private all(other: PodInfo): boolean {
    const terms = this.pod.requiredAffinity;
    return terms.length > 0 && terms.every((t) => this.matches(t, other));
  }
  private matches(t: AffinityTerm, other: PodInfo): boolean {
    return termMatches(t, other, (ns) => this.snapshot.namespaceLabels(ns));
  }

  addPod(other: PodInfo, node: NodeInfo): void {
    this.change(other, node, 1);
  }
  removePod(other: PodInfo, node: NodeInfo): void {
    this.change(other, node, -1);
  }
  private change(other: PodInfo, node: NodeInfo, by: number): void {
    for (const t of other.requiredAntiAffinity) {
      if (!this.matches(t, this.pod)) continue;
      let counts = this.existing.find((c) => c.topologyKey === t.topologyKey);
      if (!counts) this.existing.push((counts = new Counts(t.topologyKey, new Map())));
      counts.add(node, by);
    }
    if (this.all(other)) for (const c of this.affinity) c.add(node, by);
    for (const [i, t] of this.pod.requiredAntiAffinity.entries())
      if (this.matches(t, other)) this.anti[i]!.add(node, by);
  }
  clone(): AffinityFilter {
    const copy = (list: readonly Counts[]) => list.map((c) => c.clone());
    return new AffinityFilter(this.pod, this.snapshot, copy(this.affinity), copy(this.anti), copy(this.existing));
  }
}

function meets(list: readonly Counts[], labels: Readonly<Record<string, string>>): boolean {
  for (const c of list) {
    const value = labels[c.topologyKey];
    if (value !== undefined && c.at(value) > 0) return true;
  }
  return false;
}

/** Domains with placed pods whose required anti-affinity means this one; one entry per topology key. */
function existingAntiAffinity(pod: PodInfo, snapshot: Snapshot): Counts[] {
  const byKey = new Map<string, Map<string, number>[]>();
  for (const { term, counts } of snapshot.terms.entries('requiredAntiAffinity').values()) {
    if (!termMatches(term, pod, (ns) => snapshot.namespaceLabels(ns))) continue;
    const list = byKey.get(term.topologyKey);
    if (list) list.push(counts);
    else byKey.set(term.topologyKey, [counts]);
  }
  const out: Counts[] = [];
  for (const [key, maps] of byKey) {
    let sum = maps[0]!;
    if (maps.length > 1) {
      sum = new Map();
      for (const m of maps) for (const [v, n] of m) sum.set(v, (sum.get(v) ?? 0) + n);
    }
    out.push(new Counts(key, sum));
  }
  return out;
}

/** What each domain of each topology key is worth to the pod. */
function topologyScores(pod: PodInfo, snapshot: Snapshot, args: Required<InterPodAffinityArgs>) {
  const scores = new Map<string, Map<string, number>>();
  const labelsOf = (ns: string) => snapshot.namespaceLabels(ns);
  const add = (topologyKey: string, counts: ReadonlyMap<string, number>, weight: number) => {
    let of = scores.get(topologyKey);
    if (!of) scores.set(topologyKey, (of = new Map()));
    for (const [value, n] of counts) of.set(value, (of.get(value) ?? 0) + n * weight);
  };
  const own = (terms: readonly AffinityTerm[], sign: number) => {
    for (const t of terms) {
      const counts = new Map<string, number>();
      const key = memoKey('affinity', [t], snapshot);
      for (const node of snapshot.nodes) {
        const value = node.labels[t.topologyKey];
        if (value === undefined || node.pods.length === 0) continue;
        const n = node.memo(key, (x) => {
          let c = 0;
          for (const p of x.pods) if (termMatches(t, p, labelsOf)) c++;
          return c;
        });
        if (n > 0) counts.set(value, (counts.get(value) ?? 0) + n);
      }
      if (counts.size > 0) add(t.topologyKey, counts, sign * t.weight);
    }
  };
  own(pod.preferredAffinity, 1);
  own(pod.preferredAntiAffinity, -1);
  const mine = pod.preferredAffinity.length + pod.preferredAntiAffinity.length > 0;
  if (args.ignorePreferredTermsOfExistingPods && !mine) return scores;
  if (args.hardPodAffinityWeight > 0)
    for (const { term, counts } of snapshot.terms.entries('requiredAffinity').values())
      if (termMatches(term, pod, labelsOf)) add(term.topologyKey, counts, args.hardPodAffinityWeight);
  for (const { term, counts, weight } of snapshot.terms.entries('preferred').values())
    if (termMatches(term, pod, labelsOf)) add(term.topologyKey, counts, weight);
  return scores;
}

export function interPodAffinity(args: InterPodAffinityArgs, snapshot: Snapshot): Plugin {
  const settings = {
    hardPodAffinityWeight: args.hardPodAffinityWeight ?? 1,
    ignorePreferredTermsOfExistingPods: args.ignorePreferredTermsOfExistingPods ?? false,
  };
  const labelsOf = (ns: string) => snapshot.namespaceLabels(ns);
  const all = (terms: readonly AffinityTerm[], p: PodInfo) =>
    terms.length > 0 && terms.every((t) => termMatches(t, p, labelsOf));
  const any = (terms: readonly AffinityTerm[], p: PodInfo) => terms.some((t) => termMatches(t, p, labelsOf));

  return {
    name: NAME,
    events: [
      {
        resource: 'Pod',
        actions: Action.Add | Action.Delete | Action.UpdatePodLabel,
        hint(pod, before, after) {
          const a = before as PodInfo | undefined;
          const b = after as PodInfo | undefined;
          // Somebody to be near came.
          if (b && all(pod.requiredAffinity, b) && !(a && all(pod.requiredAffinity, a))) return true;
          // Somebody to be away from went, or somebody who wanted to be away from this one.
          if (!a) return false;
          if (any(pod.requiredAntiAffinity, a) && !(b && any(pod.requiredAntiAffinity, b))) return true;
          return !b && any(a.requiredAntiAffinity, pod);
        },
      },
      { resource: 'WaitingPod', actions: Action.UpdatePodLabel },
      { resource: 'Node', actions: Action.Add | Action.UpdateNodeLabel },
    ],
    preFilter(pod, cycle) {
      const existing = existingAntiAffinity(pod, cycle.snapshot);
      const { requiredAffinity, requiredAntiAffinity } = pod;
      if (existing.length === 0 && requiredAffinity.length === 0 && requiredAntiAffinity.length === 0) return undefined;
      const affinity = requiredAffinity.length === 0 ? [] : countMatching(requiredAffinity, cycle.snapshot);
      const anti = requiredAntiAffinity.map((t) => countMatching([t], cycle.snapshot)[0]!);
      return { filter: new AffinityFilter(pod, cycle.snapshot, affinity, anti, existing) };
    },
    preScore(pod, cycle): NodeScorer | undefined {
      const scores = topologyScores(pod, cycle.snapshot, settings);
      if (scores.size === 0) return undefined;
      return {
        score(node) {
          let sum = 0;
          for (const [key, of] of scores) {
            const value = node.labels[key];
            if (value !== undefined) sum += of.get(value) ?? 0;
          }
          return sum;
        },
        normalize(list) {
          let min = Infinity;
          let max = -Infinity;
          for (const s of list) {
            if (s < min) min = s;
            if (s > max) max = s;
          }
          const range = max - min;
          for (let i = 0; i < list.length; i++) list[i] = range > 0 ? Math.trunc((100 * (list[i]! - min)) / range) : 0;
        },
      };
    },
  };
}
