/**
 * DefaultPreemption: makes room for a pod by ending pods of lower priority.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
 */
import { describe, newDiagnosis } from '../core/diagnosis.ts';
import type { Failure, Plugin, PostFilterResult, Trial } from '../core/framework.ts';
import type { NodeInfo } from '../core/node-info.ts';
import type { PodInfo } from '../core/pod-info.ts';
import { compileBudgets, leastHarm, selectVictims, type Victims } from '../core/victims.ts';
import type { PluginDeps } from '../registry.ts';

const NAME = 'DefaultPreemption';

export interface DefaultPreemptionArgs {
  /** How many nodes are tried before choosing: so many percent, and so many at least; default to 10 and 100. */
  minCandidateNodesPercentage?: number;
  minCandidateNodesAbsolute?: number;
}

/** Makes room for one pod; what it sets in motion goes on in the background. */
export function defaultPreemption(args: DefaultPreemptionArgs, deps: PluginDeps): Plugin {
  /** Pods whose victims are being ended. */
  const preempting = new Set<string>();

  /** Why the pod may not end others; undefined when it may. */
  function ineligible(pod: PodInfo, trial: Trial): string | undefined {
    if (pod.pod.spec!.preemptionPolicy === 'Never') return 'not eligible due to preemptionPolicy=Never.';
    if (preempting.has(pod.uid)) return 'waiting for the preemption for this pod to be finished';
    const nominated = pod.pod.status?.nominatedNodeName ?? deps.nominatedNode(pod.uid);
    if (!nominated) return undefined;
    const f = trial.failures.get(nominated) ?? trial.absent;
    if (f?.code === 'UnschedulableAndUnresolvable') return undefined;
    for (const p of deps.snapshot.get(nominated)?.pods ?? [])
      if (p.priority < pod.priority && endsByPreemption(p))
        return 'not eligible due to a terminating pod on the nominated node.';
    return undefined;
  }

  function candidates(pod: PodInfo, trial: Trial): { found: Victims[]; refused: Map<string, Failure> } {
    const refused = new Map<string, Failure>();
    const found: Victims[] = [];
    const nodes: NodeInfo[] = [];
    for (const n of deps.snapshot.nodes)
      if ((trial.failures.get(n.name) ?? trial.absent)?.code === 'Unschedulable') nodes.push(n);
    if (nodes.length === 0) return { found, refused };
    const percent = Math.floor((nodes.length * (args.minCandidateNodesPercentage ?? 10)) / 100);
    const enough = Math.min(Math.max(percent, args.minCandidateNodesAbsolute ?? 100), nodes.length);
    const budgets = compileBudgets(deps.listers.podDisruptionBudgets.list());
    const offset = Math.floor(deps.rand.next() * nodes.length);
    const now = deps.clock.now();
    let clean = false;
    for (let i = 0; i < nodes.length; i++) {
      const node = nodes[(offset + i) % nodes.length]!;
      const filters = trial.filters();
      if (!filters) break;
      const result = selectVictims(pod, node, filters, budgets, deps.nominations, now);
      if (!('pods' in result)) {
        refused.set(node.name, result);
        continue;
      }
      if (result.pods.length === 0) continue;
      found.push(result);
      if (result.violations === 0) clean = true;
      if (clean && found.length >= enough) break;
    }
    return { found, refused };
  }

  async function carryOut(pod: PodInfo, chosen: Victims): Promise<void> {
    preempting.add(pod.uid);
    let failed = false;
    try {
      await deps.clearNominations(
        deps.nominations.on(chosen.node).filter((p) => p.uid !== pod.uid && p.priority < pod.priority),
      );
      const evict = async (p: PodInfo) => {
        if (p.isTerminating) return;
        await deps.api.evict(p.pod, pod.schedulerName);
        const note = `Preempted by pod ${pod.uid} on node ${chosen.node}`;
        deps.recorder.event(pod.schedulerName, p.pod, 'Normal', 'Preempted', 'Preempting', note);
      };
      // The last end is what wakes the pod; by then the others must be on their way.
      await Promise.all(chosen.pods.slice(0, -1).map(evict));
      preempting.delete(pod.uid);
      await evict(chosen.pods.at(-1)!);
    } catch (error) {
      failed = true;
      deps.logger.warn('preemption failed', { pod: pod.key, node: chosen.node, error });
    } finally {
      preempting.delete(pod.uid);
      if (failed) deps.activate([pod.uid]);
    }
  }

  return {
    name: NAME,
    // What it turned away, others turned away first: their events count.
    events: [],
    async postFilter(cycle, trial): Promise<PostFilterResult> {
      const { pod } = cycle;
      const why = ineligible(pod, trial);
      if (why) return { message: `preemption: ${why}` };
      const { found, refused } = candidates(pod, trial);
      const remaining = found.length === 0 ? found : await deps.extendPreemption(pod, found);
      if (remaining.length === 0) {
        const d = newDiagnosis(deps.snapshot.nodes.length);
        for (const [node, f] of refused) d.failures.set(node, f);
        d.absent = {
          code: 'UnschedulableAndUnresolvable',
          plugin: NAME,
          reasons: ['Preemption is not helpful for scheduling'],
        };
        deps.preempted(0);
        return { nominatedNodeName: '', message: `preemption: ${describe(d)}` };
      }
      const chosen = leastHarm(remaining, deps.clock.now());
      deps.preempted(chosen.pods.length);
      void carryOut(pod, chosen);
      return { nominatedNodeName: chosen.node };
    },
  };
}

function endsByPreemption(p: PodInfo): boolean {
  if (!p.isTerminating) return false;
  const c = p.pod.status?.conditions?.find((x) => x.type === 'DisruptionTarget');
  return c?.status === 'True' && c.reason === 'PreemptionByScheduler';
}
