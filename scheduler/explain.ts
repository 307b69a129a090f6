/**
 * Why a pod isn't placed, node by node. The last attempt is kept; what stands against each node right now is worked out
 * when asked, by all plugins and not only the first that objects.
 */
import type { Diagnosis } from './core/diagnosis.ts';
import type { Failure, Snapshot } from './core/framework.ts';
import { newCycle, prepare } from './core/cycle.ts';
import type { PodInfo } from './core/pod-info.ts';
import type { Profile } from './profile.ts';

export interface Reason {
  plugin: string;
  reasons: readonly string[];
  /** Removing other pods from the node could help. */
  resolvable: boolean;
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
      for (const node of snapshot.nodes) {
        const reasons = prepared.filters.all(node).map(toReason);
        if (prepared.nodes && !prepared.nodes.has(node.name))
          reasons.push({
            plugin: prepared.narrowed[0]!,
            reasons: [`node(s) didn't satisfy plugin(s) [${prepared.narrowed.join(' ')}]`],
            resolvable: false,
          });
        now[node.name] = reasons;
      }
      out.now = now;
    }
    return out;
  }
}
