/**
 * Why a pod isn't placed, node by node. The last attempt is kept; what stands against each node right now is worked out
 * when asked, by all plugins and not only the first that objects.
 */
import type { Diagnosis } from './core/diagnosis.ts';
import type { Failure, Snapshot } from './core/framework.ts';
import { newCycle, prepare, type Filters } from './core/cycle.ts';
import type { NodeInfo } from './core/node-info.ts';
import type { PodInfo } from './core/pod-info.ts';
import type { Profile } from './profile.ts';
import { remediesFor, type Remedy } from './remedies.ts';

export interface Reason {
  plugin: string;
  reasons: readonly string[];
  /** Removing other pods from the node could help. */
  resolvable: boolean;
  /** What would have to change for the plugin to agree. */
  changes?: string[];
}

/** The least that would make the pod fit. */
export interface Change {
  node: string;
  changes: string[];
  /** Tried on paper: with these changes no plugin objects any more. */
  tried: boolean;
}
export interface Explanation {
  namespace: string;
  name: string;
  uid: string;
  /** Milliseconds since the epoch. */
  time?: number;
  message?: string;
  /** The objections of the last attempt: the first plugin against each node. */
  lastAttempt?: Record<string, Reason>;
  /** The objections of the moment: every plugin against each node; empty for nodes that the pod fits on. */
  now?: Record<string, Reason[]>;
  /** Against all nodes alike. */
  everywhere?: Reason[];
  gate?: Reason;
  /** Absent while the pod fits somewhere, and where nobody can say. */
  smallestChange?: Change;
}

interface Kept {
  info: PodInfo;
  message: string;
  time: number;
  failures: ReadonlyMap<string, Failure>;
  absent: Failure | undefined;
}

/** All reasons kept together name this many nodes at most; the oldest are forgotten first. */
const MAX_ENTRIES = 200_000;

const toReason = (f: Failure): Reason => ({
  plugin: f.plugin,
  reasons: f.reasons,
  resolvable: f.code !== 'UnschedulableAndUnresolvable',
});

export class Explanations {
  private readonly kept = new Map<string, Kept>();
  private entries = 0;

  remember(info: PodInfo, message: string, diagnosis: Diagnosis, time: number): void {
    this.forget(info.uid);
    const { failures, absent } = diagnosis;
    this.kept.set(info.uid, { info, message, time, failures, absent });
    this.entries += failures.size + 1;
    for (const uid of this.kept.keys()) {
      if (this.entries <= MAX_ENTRIES || uid === info.uid) break;
      this.forget(uid);
    }
  }
  forget(uid: string): void {
    const have = this.kept.get(uid);
    if (!have) return;
    this.kept.delete(uid);
    this.entries -= have.failures.size + 1;
  }
  get size(): number {
    return this.kept.size;
  }

  /** `profile` and `snapshot` answer for the moment; without them only what was remembered is told. */
  explain(info: PodInfo, profile: Profile | undefined, snapshot: Snapshot): Explanation {
    const out: Explanation = { namespace: info.namespace, name: info.name, uid: info.uid };
    const kept = this.kept.get(info.uid);
    if (kept) {
      out.time = kept.time;
      out.message = kept.message;
      out.lastAttempt = Object.fromEntries([...kept.failures].map(([node, f]) => [node, toReason(f)]));
      if (kept.absent) out.everywhere = [toReason(kept.absent)];
    }
    if (!profile || info.nodeName !== '') return out;
    for (const p of profile.preEnqueue) {
      const f = p.preEnqueue!(info);
      if (f) out.gate = toReason(f);
    }
    const prepared = prepare(newCycle(info, snapshot), profile.filter);
    if (prepared.failure) out.everywhere = [toReason(prepared.failure)];
    else {
      const now: Record<string, Reason[]> = {};
      const ways: Way[] = [];
      for (const node of snapshot.nodes) {
        const found = objections(prepared.filters, node);
        const remedies = found.map((f) => remediesFor(f, info, node, snapshot));
        const reasons = found.map((f, i): Reason => ({ ...toReason(f), changes: remedies[i]!.map((r) => r.text) }));
        if (!prepared.nodes || prepared.nodes.has(node.name)) ways.push({ node, remedies: remedies.flat() });
        if (prepared.nodes && !prepared.nodes.has(node.name))
          reasons.push({
            plugin: prepared.narrowed[0]!,
            reasons: [`node(s) didn't satisfy plugin(s) [${prepared.narrowed.join(' ')}]`],
            resolvable: false,
          });
        now[node.name] = reasons;
      }
      out.now = now;
      const change = smallest(ways, prepared.filters);
      if (change) out.smallestChange = change;
    }
    return out;
  }
}

interface Way {
  readonly node: NodeInfo;
  readonly remedies: readonly Remedy[];
}

/** What each plugin says; one that fails has that as its objection. */
function objections(filters: Filters, node: NodeInfo): Failure[] {
  try {
    return filters.all(node);
  } catch (error) {
    return [{ code: 'Error', plugin: '', reasons: [(error as Error).message] }];
  }
}

/** The way of least effort, and whether it has been tried with success; none when the pod fits somewhere as it is. */
function smallest(ways: readonly Way[], filters: Filters): Change | undefined {
  if (ways.some((w) => w.remedies.length === 0)) return undefined;
  const effort = (w: Way) =>
    [...new Map(w.remedies.map((r) => [r.text, r.effort])).values()].reduce((a, b) => a + b, 0);
  const sorted = ways.map((w) => ({ ...w, effort: effort(w) })).sort((a, b) => a.effort - b.effort);
  const works = (w: Way): boolean => {
    if (!w.remedies.every((r) => r.apply)) return false;
    const copy = w.node.clone();
    for (const r of w.remedies) r.apply!(copy);
    return objections(filters, copy).length === 0;
  };
  const least = sorted[0];
  if (!least) return undefined;
  const best = sorted.find(works);
  // A way that was seen to work is worth more than one that is only a little shorter.
  const chosen = best && best.effort <= least.effort * 2 ? best : least;
  const changes = [...new Set(chosen.remedies.map((r) => r.text))];
  return { node: chosen.node.name, changes, tried: chosen === best };
}
