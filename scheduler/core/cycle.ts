/** The heart of the scheduler: a pod and a snapshot in, a node or the reasons out. Pure but for the rotating start. */
import type { Rand } from '../../base/clock.ts';
import { blame, newDiagnosis, type Diagnosis } from './diagnosis.ts';
import type { Cycle, Failure, FilterSet, NodeFilter, NodeScorer, Plugin, Snapshot } from './framework.ts';
import type { NodeInfo } from './node-info.ts';
import type { PodInfo } from './pod-info.ts';

/** The plugins of one profile, by what they are asked. */
export interface PluginSet {
  readonly filter: readonly Plugin[];
  readonly postFilter: readonly Plugin[];
  readonly score: readonly { readonly plugin: Plugin; readonly weight: number }[];
}

/** Pods that were promised a node while others make room for them. */
export interface Nominations {
  on(nodeName: string): readonly PodInfo[];
}

/** Told how long all plugins at one extension point took; `status` as a failure's code or `Success`. */
export interface PointTimes {
  /** A time to give back to `end`. */
  begin(): number;
  end(point: string, began: number, status: string): void;
}

export interface SearchOptions {
  readonly rand: Rand;
  /** Percent of the nodes to find before choosing; 0 (the default) adapts to their number. */
  readonly percentageOfNodesToScore?: number;
  readonly nominations?: Nominations;
  readonly times?: PointTimes;
}

/** Where the next search begins; goes on where the last one ended. */
export interface SearchPosition {
  index: number;
}

export interface Candidates {
  readonly cycle: Cycle;
  readonly feasible: NodeInfo[];
  readonly diagnosis: Diagnosis;
  /** The pod's filters, for trials; absent when PreFilter failed. */
  readonly filters?: FilterSet;
}

const MIN_NODES = 100;
const MIN_PERCENT = 5;

/** How many feasible nodes are enough. */
export function nodesToFind(total: number, percentage = 0): number {
  if (total < MIN_NODES) return total;
  const percent = percentage === 0 ? Math.max(50 - Math.floor(total / 125), MIN_PERCENT) : percentage;
  return Math.max(Math.floor((total * percent) / 100), MIN_NODES);
}

/** The filters that have something to say about a pod. */
export class Filters implements FilterSet {
  private readonly list: readonly NodeFilter[];
  constructor(list: readonly NodeFilter[]) {
    this.list = list;
  }
  filter(node: NodeInfo): Failure | undefined {
    const { list } = this;
    for (let i = 0; i < list.length; i++) {
      const f = list[i]!.filter(node);
      if (f !== undefined) return f;
    }
    return undefined;
  }
  /** Everyone's objection, not only the first. */
  all(node: NodeInfo): Failure[] {
    const out: Failure[] = [];
    for (const l of this.list) {
      const f = l.filter(node);
      if (f) out.push(f);
    }
    return out;
  }
  addPod(pod: PodInfo, node: NodeInfo): void {
    node.addPod(pod);
    for (const f of this.list) f.addPod?.(pod, node);
  }
  removePod(pod: PodInfo, node: NodeInfo): void {
    node.removePod(pod);
    for (const f of this.list) f.removePod?.(pod, node);
  }
  clone(): Filters {
    return new Filters(this.list.map((f) => f.clone?.() ?? f));
  }
}

export const newCycle = (pod: PodInfo, snapshot: Snapshot): Cycle => ({ pod, snapshot, data: new Map() });

interface Prepared {
  failure?: Failure;
  filters: Filters;
  nodes?: ReadonlySet<string>;
  /** Who cut down the nodes. */
  narrowed: string[];
}

/** Runs PreFilter. */
export function prepare(cycle: Cycle, plugins: readonly Plugin[]): Prepared {
  const list: NodeFilter[] = [];
  const out: Prepared = { filters: new Filters(list), narrowed: [] };
  for (const p of plugins) {
    const r = p.preFilter!(cycle.pod, cycle);
    if (!r) continue;
    if (r.failure) {
      out.failure = r.failure;
      return out;
    }
    if (r.filter) list.push(r.filter);
    if (r.nodes) {
      const have = out.nodes;
      out.nodes = have ? new Set([...r.nodes].filter((n) => have.has(n))) : r.nodes;
      out.narrowed.push(p.name);
      if (out.nodes.size === 0) {
        const many = out.narrowed.length > 1;
        const reason = many
          ? `node(s) didn't satisfy plugin(s) [${[...out.narrowed].sort().join(' ')}] simultaneously`
          : `node(s) didn't satisfy plugin ${p.name}`;
        out.failure = { code: 'UnschedulableAndUnresolvable', plugin: p.name, reasons: [reason] };
        return out;
      }
    }
  }
  return out;
}

/** The nodes that a pod fits on: all, or as many as are enough. */
export function findFeasible(
  cycle: Cycle,
  plugins: PluginSet,
  position: SearchPosition,
  options: SearchOptions,
): Candidates {
  const { pod, snapshot } = cycle;
  const all = snapshot.nodes;
  const diagnosis = newDiagnosis(all.length);
  const { times } = options;
  let began = times?.begin() ?? 0;
  const prepared = prepare(cycle, plugins.filter);
  times?.end('PreFilter', began, prepared.failure?.code ?? 'Success');
  const feasible: NodeInfo[] = [];
  if (prepared.failure) {
    for (const p of prepared.narrowed) diagnosis.plugins.add(p);
    blame(diagnosis, prepared.failure);
    diagnosis.absent = prepared.failure;
    diagnosis.preFilterMessage = prepared.failure.reasons.join(', ');
    return { cycle, feasible, diagnosis };
  }
  const { filters } = prepared;
  const result: Candidates = { cycle, feasible, diagnosis, filters };
  const check = (node: NodeInfo): Failure | undefined => checkNode(pod, node, filters, options.nominations);

  // It was promised a node: very likely that is the one.
  const nominated = pod.pod.status?.nominatedNodeName;
  if (nominated && (!prepared.nodes || prepared.nodes.has(nominated))) {
    const node = snapshot.get(nominated);
    if (node) {
      began = times?.begin() ?? 0;
      const f = check(node);
      times?.end('Filter', began, f?.code ?? 'Success');
      if (!f) {
        feasible.push(node);
        return result;
      }
    }
  }

  let nodes: readonly NodeInfo[] = all;
  if (prepared.nodes) {
    const some: NodeInfo[] = [];
    for (const name of prepared.nodes) {
      const n = snapshot.get(name);
      if (n) some.push(n);
    }
    nodes = some;
    for (const p of prepared.narrowed) diagnosis.plugins.add(p);
    diagnosis.absent = {
      code: 'UnschedulableAndUnresolvable',
      plugin: prepared.narrowed[0]!,
      reasons: [`node(s) didn't satisfy plugin(s) [${[...prepared.narrowed].sort().join(' ')}]`],
    };
  }
  const total = nodes.length;
  // Without anybody who tells good nodes from better ones, the first will do.
  const enough = plugins.score.length === 0 ? 1 : nodesToFind(total, options.percentageOfNodesToScore);
  let i = total > 0 ? position.index % total : 0;
  began = times?.begin() ?? 0;
  for (let seen = 0; seen < total; seen++) {
    const node = nodes[i]!;
    if (++i === total) i = 0;
    const f = check(node);
    if (f === undefined) {
      feasible.push(node);
      if (feasible.length === enough) break;
    } else {
      diagnosis.failures.set(node.name, f);
      blame(diagnosis, f);
    }
  }
  times?.end('Filter', began, feasible.length > 0 ? 'Success' : 'Unschedulable');
  if (all.length > 0) position.index = (position.index + feasible.length + diagnosis.failures.size) % all.length;
  return result;
}

/** Pods promised to the node that matter as much count as if they were there; and it must fit without them as well. */
function checkNode(
  pod: PodInfo,
  node: NodeInfo,
  filters: Filters,
  nominations: Nominations | undefined,
): Failure | undefined {
  const promised = nominations?.on(node.name);
  if (promised && promised.length > 0) {
    const weighty = promised.filter((p) => p.uid !== pod.uid && p.priority >= pod.priority);
    if (weighty.length > 0) {
      const trial = filters.clone();
      const copy = node.clone();
      for (const p of weighty) trial.addPod(p, copy);
      const f = trial.filter(copy);
      if (f) return f;
    }
  }
  return filters.filter(node);
}

/** The filters with what nominations add, as trials need them. */
export function checkWithNominations(
  pod: PodInfo,
  node: NodeInfo,
  filters: FilterSet,
  nominations: Nominations | undefined,
): Failure | undefined {
  return checkNode(pod, node, filters as Filters, nominations);
}

/** The best of the feasible nodes; chance decides between equals. `extra` are scores that extenders gave. */
export function choose(
  candidates: Candidates,
  plugins: PluginSet,
  rand: Rand,
  extra?: ReadonlyMap<string, number>,
  times?: PointTimes,
): NodeInfo {
  const { cycle, feasible } = candidates;
  if (feasible.length === 1) return feasible[0]!;
  let began = times?.begin() ?? 0;
  const scorers: { scorer: NodeScorer; weight: number }[] = [];
  for (const { plugin, weight } of plugins.score) {
    const scorer = plugin.preScore!(cycle.pod, cycle, feasible);
    if (scorer) scorers.push({ scorer, weight });
  }
  times?.end('PreScore', began, 'Success');
  began = times?.begin() ?? 0;
  const n = feasible.length;
  const totals = new Float64Array(n);
  const scores: number[] = Array.from<number>({ length: n }).fill(0);
  for (const { scorer, weight } of scorers) {
    for (let i = 0; i < n; i++) scores[i] = scorer.score(feasible[i]!);
    scorer.normalize?.(scores, feasible);
    for (let i = 0; i < n; i++) totals[i]! += scores[i]! * weight;
  }
  times?.end('Score', began, 'Success');
  if (extra) for (let i = 0; i < n; i++) totals[i]! += extra.get(feasible[i]!.name) ?? 0;
  let best = 0;
  let equals = 1;
  for (let i = 1; i < n; i++) {
    if (totals[i]! > totals[best]!) {
      best = i;
      equals = 1;
    } else if (totals[i] === totals[best] && rand.next() < 1 / ++equals) best = i;
  }
  return feasible[best]!;
}
