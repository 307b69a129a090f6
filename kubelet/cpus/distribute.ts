/** CPUs from several NUMA nodes in equal shares, for threads that are equally fast only where their nodes are equally full (KEP-2902). */
import { nodeSets } from '../topology/hints.ts';
import { takeCpus, type Cpu, type TakeOptions } from './topology.ts';

const deviation = (values: readonly number[]): number => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length);
};

/**
 * How many CPUs each of these nodes would give: equal shares in multiples of `group`, and what remains from where most is
 * left. Undefined when they can't.
 */
function shares(
  nodes: readonly number[],
  left: ReadonlyMap<number, number>,
  count: number,
  group: number,
): Map<number, number> | undefined {
  const groupsOf = (n: number) => Math.floor((left.get(n) ?? 0) / group);
  if (nodes.reduce((sum, n) => sum + groupsOf(n), 0) * group < count) return undefined;
  const share = Math.floor(count / nodes.length / group) * group;
  if (nodes.some((n) => left.get(n)! < share)) return undefined;
  const out = new Map(nodes.map((n) => [n, share]));
  for (let rest = count - share * nodes.length; rest > 0; rest -= group) {
    const spare = (n: number) => left.get(n)! - out.get(n)!;
    const most = nodes.filter((n) => spare(n) >= group).sort((a, b) => spare(b) - spare(a))[0];
    if (most === undefined) return undefined;
    out.set(most, out.get(most)! + group);
  }
  return out;
}

/** As takeCpus, but from as few NUMA nodes as can be, and as many from each; `group` CPUs are not parted. */
export function distributeCpus(
  all: readonly Cpu[],
  free: readonly number[],
  count: number,
  group: number,
  options: TakeOptions = {},
): number[] | undefined {
  const packed = () => takeCpus(all, free, count, options);
  if (count === 0 || free.length < count || count % group !== 0) return packed();
  const there = new Set(free);
  const byNode = Map.groupBy(
    all.filter((c) => there.has(c.id)),
    (c) => c.numa,
  );
  const left = new Map([...byNode].map(([n, cpus]) => [n, cpus.length]));
  // nodes that are fuller come first where two ways are as good
  const nodes = [...left.keys()].sort((a, b) => left.get(a)! - left.get(b)! || a - b);
  const groupsPerNode = Math.ceil(Math.ceil(all.length / group) / new Set(all.map((c) => c.numa)).size);
  const fewest = Math.ceil(count / group / groupsPerNode);
  const sets = nodeSets(nodes).filter((set) => set.length >= fewest && set.length <= count / group);
  let best: { parts: Map<number, number>; balance: number; size: number } | undefined;
  for (const set of sets) {
    if (best && set.length > best.size) break;
    const parts = shares(set, left, count, group);
    if (!parts) continue;
    const balance = deviation(nodes.map((n) => left.get(n)! - (parts.get(n) ?? 0)));
    if (!best || balance < best.balance) best = { parts, balance, size: set.length };
  }
  if (!best) return packed();
  const out: number[] = [];
  for (const [node, n] of best.parts) {
    const inside = byNode.get(node)!.map((c) => c.id);
    out.push(...takeCpus(all, inside, n, options)!);
  }
  return out.sort((a, b) => a - b);
}
