/** Which pods would have to go for one to fit, and where that does the least harm. Pure. */
import type * as k8s from '@kubernetes/client-node';
import { compileLabelSelector, SelectorError, type LabelMatcher } from '../../api/selectors.ts';
import type { DeepReadonly, Json } from '../../api/types.ts';
import { checkWithNominations, type Nominations } from './cycle.ts';
import type { Failure, FilterSet } from './framework.ts';
import type { NodeInfo } from './node-info.ts';
import type { PodInfo } from './pod-info.ts';

type Budget = DeepReadonly<Json<k8s.V1PodDisruptionBudget>>;

export interface Victims {
  readonly node: string;
  /** The most important first. */
  readonly pods: readonly PodInfo[];
  /** How many of them a disruption budget wants to keep. */
  readonly violations: number;
}

/** Milliseconds since the epoch; pods that haven't started yet count as starting now. */
export function startTime(pod: PodInfo, now: number): number {
  const t = pod.pod.status?.startTime;
  return t ? Date.parse(t) : now;
}

/** Orders pods by how much they should be kept: higher priority first, then who has run longer. */
const byImportance = (now: number) => (a: PodInfo, b: PodInfo) =>
  b.priority - a.priority || startTime(a, now) - startTime(b, now);

export interface CompiledBudget {
  readonly namespace: string;
  readonly selector: LabelMatcher;
  readonly allowed: number;
  readonly disrupted: Readonly<Record<string, string>>;
}

/** Budgets with a selector that means anything. */
export function compileBudgets(budgets: readonly Budget[]): CompiledBudget[] {
  const out: CompiledBudget[] = [];
  for (const b of budgets) {
    try {
      const selector = compileLabelSelector(b.spec?.selector);
      if (selector.isNothing || selector.isEverything) continue;
      out.push({
        namespace: b.metadata?.namespace ?? '',
        selector,
        allowed: b.status?.disruptionsAllowed ?? 0,
        disrupted: b.status?.disruptedPods ?? {},
      });
    } catch (error) {
      if (!(error instanceof SelectorError)) throw error;
    }
  }
  return out;
}

/** Splits pods, given in order of importance, into those whose end would break a budget and the others. */
export function splitByBudgets(pods: readonly PodInfo[], budgets: readonly CompiledBudget[]): [PodInfo[], PodInfo[]] {
  const left = budgets.map((b) => b.allowed);
  const violating: PodInfo[] = [];
  const others: PodInfo[] = [];
  for (const p of pods) {
    let violates = false;
    for (const [i, b] of budgets.entries()) {
      if (b.namespace !== p.namespace || !b.selector.matches(p.labels)) continue;
      // Already counted against the budget.
      if (Object.hasOwn(b.disrupted, p.name)) continue;
      if (--left[i]! < 0) violates = true;
    }
    (violates ? violating : others).push(p);
  }
  return [violating, others];
}

const NO_VICTIMS = 'No preemption victims found for incoming pod';

/**
 * The fewest pods of lower priority that must leave the node. `filters` is a copy for this node alone.
 * Answers the failure that stays even without all of them.
 */
export function selectVictims(
  pod: PodInfo,
  node: NodeInfo,
  filters: FilterSet,
  budgets: readonly CompiledBudget[],
  nominations: Nominations,
  now: number,
): Victims | Failure {
  const trial = node.clone();
  const lower = trial.pods.filter((p) => p.priority < pod.priority);
  if (lower.length === 0)
    return { code: 'UnschedulableAndUnresolvable', plugin: 'DefaultPreemption', reasons: [NO_VICTIMS] };
  for (const p of lower) filters.removePod(p, trial);
  const fits = () => checkWithNominations(pod, trial, filters, nominations);
  const still = fits();
  if (still) return still;
  lower.sort(byImportance(now));
  const [violating, others] = splitByBudgets(lower, budgets);
  const pods: PodInfo[] = [];
  let violations = 0;
  const spare = (p: PodInfo): boolean => {
    filters.addPod(p, trial);
    if (!fits()) return true;
    filters.removePod(p, trial);
    pods.push(p);
    return false;
  };
  for (const p of violating) if (!spare(p)) violations++;
  for (const p of others) spare(p);
  pods.sort(byImportance(now));
  return { node: node.name, pods, violations };
}

/** The candidate that does the least harm. */
export function leastHarm(candidates: readonly Victims[], now: number): Victims {
  const scores: readonly ((v: Victims) => number)[] = [
    (v) => v.violations,
    (v) => v.pods[0]!.priority,
    // Shifted so that a victim less always counts as less, even with negative priorities.
    (v) => v.pods.reduce((sum, p) => sum + p.priority + 2 ** 31, 0),
    (v) => v.pods.length,
    // The latest start among the most important victims' earliest ones.
    (v) => -Math.min(...v.pods.filter((p) => p.priority === v.pods[0]!.priority).map((p) => startTime(p, now))),
  ];
  let rest = candidates;
  for (const score of scores) {
    const values = rest.map(score);
    const least = Math.min(...values);
    rest = rest.filter((_, i) => values[i] === least);
    if (rest.length === 1) break;
  }
  return rest[0]!;
}
