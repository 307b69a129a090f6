/**
 * Which NUMA nodes a container's resources could come from, and the nodes that suit all of them best.
 * https://kubernetes.io/docs/tasks/administer-cluster/topology-manager/
 */
import type { NumaNode } from './numa.ts';

/** A set of NUMA nodes by their ids, ascending. */
export type Nodes = readonly number[];

export interface Hint {
  /** Undefined: any. */
  nodes: Nodes | undefined;
  preferred: boolean;
}

/** Hints by resource; undefined is no preference, an empty list is impossible. */
export type Hints = ReadonlyMap<string, readonly Hint[] | undefined>;
export type TopologyPolicy = 'none' | 'best-effort' | 'restricted' | 'single-numa-node';

/** All sets of the nodes, the smallest first. */
export function nodeSets(ids: Nodes): Nodes[] {
  const out: Nodes[] = [];
  const grow = (have: Nodes, from: number, size: number) => {
    if (have.length === size) return void out.push(have);
    for (let i = from; i < ids.length; i++) grow([...have, ids[i]!], i + 1, size);
  };
  for (let size = 1; size <= ids.length; size++) grow([], 0, size);
  return out;
}

export const sameNodes = (a: Nodes, b: Nodes): boolean => a.length === b.length && a.every((x, i) => x === b[i]);

/** Prefers the hints of the fewest nodes that would do if nothing were taken. */
export const preferFewest = (sets: readonly Nodes[], fewest: number): Hint[] =>
  sets.map((nodes) => ({ nodes, preferred: nodes.length === fewest }));

/** Negative when `a` is the narrower set: fewer nodes, then those of lower ids. */
function narrower(a: Nodes, b: Nodes): number {
  if (a.length !== b.length) return a.length - b.length;
  for (let i = a.length - 1; i >= 0; i--) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}

export interface HintMerger {
  policy: TopologyPolicy;
  numa: readonly NumaNode[];
  /** prefer-closest-numa-nodes: of as many nodes those that are closest. */
  closest: boolean;
}

/** The best nodes for all hints together, and whether the policy admits a pod that gets no better. */
export function mergeHints(m: HintMerger, all: readonly Hints[]): { hint: Hint; admit: boolean } {
  const every = m.numa.map((n) => n.id);
  let lists: (readonly Hint[])[] = all.flatMap((hints) =>
    hints.size === 0
      ? [[{ nodes: undefined, preferred: true }]]
      : [...hints.values()].map((h) =>
          h === undefined
            ? [{ nodes: undefined, preferred: true }]
            : h.length === 0
              ? [{ nodes: undefined, preferred: false }]
              : h,
        ),
  );
  const single = m.policy === 'single-numa-node';
  if (single) lists = lists.map((l) => l.filter((h) => h.preferred && (h.nodes === undefined || h.nodes.length === 1)));
  // what the resource that needs most nodes needs at least
  const wanted = Math.max(
    0,
    ...lists.map((l) => Math.min(...l.flatMap((h) => h.nodes?.length ?? []), Infinity)).filter(Number.isFinite),
  );
  const average = (nodes: Nodes) => {
    const d = nodes.flatMap((a) => nodes.map((b) => m.numa.find((n) => n.id === a)!.distances[every.indexOf(b)] ?? 10));
    return d.reduce((x, y) => x + y, 0) / d.length;
  };
  const fitter = (current: Hint, candidate: Hint): Hint => {
    const [a, b] = [current.nodes!, candidate.nodes!];
    if (a.length === b.length && m.closest && !single) {
      const by = average(b) - average(a);
      if (by !== 0) return by < 0 ? candidate : current;
    }
    return narrower(b, a) < 0 ? candidate : current;
  };
  /** Of two that nobody prefers, the one whose size is nearest to what is wanted, and not above it. */
  const compare = (current: Hint | undefined, candidate: Hint): Hint | undefined => {
    if (candidate.nodes!.length === 0) return current;
    if (!current) return candidate;
    if (current.preferred !== candidate.preferred) return current.preferred ? current : candidate;
    if (current.preferred) return fitter(current, candidate);
    const [a, b] = [current.nodes!.length, candidate.nodes!.length];
    if (a > wanted) return fitter(current, candidate);
    if (a === wanted) return b === wanted ? fitter(current, candidate) : current;
    if (b > wanted) return current;
    if (a !== b) return b > a ? candidate : current;
    return fitter(current, candidate);
  };
  let best: Hint | undefined;
  const combine = (i: number, nodes: Nodes, preferred: boolean, seen: Nodes | undefined) => {
    if (i === lists.length) return void (best = compare(best, { nodes, preferred }));
    for (const h of lists[i]!) {
      const own = h.nodes ?? every;
      // sets that differ can't be preferred together
      const agrees = h.nodes === undefined || seen === undefined || sameNodes(seen, h.nodes);
      combine(
        i + 1,
        nodes.filter((n) => own.includes(n)),
        preferred && h.preferred && agrees,
        h.nodes ?? seen,
      );
    }
  };
  combine(0, every, true, undefined);
  let hint: Hint = best ?? { nodes: every, preferred: false };
  if (single && sameNodes(hint.nodes!, every)) hint = { nodes: undefined, preferred: hint.preferred };
  return { hint, admit: m.policy === 'none' || m.policy === 'best-effort' || hint.preferred };
}
