/**
 * The (anti-)affinity terms of all placed pods, counted by topology domain as pods come and go, so that a cycle asks
 * once per distinct term (a workload's replicas share theirs) and not once per pod.
 */
import type { AffinityTerm, PodInfo } from './pod-info.ts';

export type TermKind = 'requiredAffinity' | 'requiredAntiAffinity' | 'preferred';

/** One distinct term: how many pods with it are in each domain of its topology key. */
export interface TermEntry {
  readonly term: AffinityTerm;
  /** Negative for a preferred anti-affinity; 0 for required terms. */
  readonly weight: number;
  readonly counts: Map<string, number>;
}

export class TermIndex {
  private readonly kinds: Readonly<Record<TermKind, Map<string, TermEntry>>> = {
    requiredAffinity: new Map(),
    requiredAntiAffinity: new Map(),
    preferred: new Map(),
  };

  /** Terms that placed pods have. */
  entries(kind: TermKind): ReadonlyMap<string, TermEntry> {
    return this.kinds[kind];
  }

  /** Counts a pod in (or out, with -1) on a node with these labels. */
  count(pod: PodInfo, labels: Readonly<Record<string, string>>, by: 1 | -1): void {
    if (!pod.hasAffinity) return;
    for (const t of pod.requiredAffinity) this.add('requiredAffinity', t, 0, labels, by);
    for (const t of pod.requiredAntiAffinity) this.add('requiredAntiAffinity', t, 0, labels, by);
    for (const t of pod.preferredAffinity) this.add('preferred', t, t.weight, labels, by);
    for (const t of pod.preferredAntiAffinity) this.add('preferred', t, -t.weight, labels, by);
  }

  private add(
    kind: TermKind,
    term: AffinityTerm,
    weight: number,
    labels: Readonly<Record<string, string>>,
    by: number,
  ): void {
    const value = labels[term.topologyKey];
    if (value === undefined) return;
    const of = this.kinds[kind];
    const key = weight === 0 ? term.key : `${weight}|${term.key}`;
    let entry = of.get(key);
    if (!entry) of.set(key, (entry = { term, weight, counts: new Map() }));
    const n = (entry.counts.get(value) ?? 0) + by;
    if (n > 0) entry.counts.set(value, n);
    else {
      entry.counts.delete(value);
      if (entry.counts.size === 0) of.delete(key);
    }
  }
}
