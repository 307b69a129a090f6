/** The numbers of a PodDisruptionBudget. Pure. */
import type * as k8s from '@kubernetes/client-node';
import { formatTime } from '../../base/clock.ts';
import type { DeepReadonly, Json } from '../../api/types.ts';
import { isDeleting, meta, millis } from '../lib/meta.ts';
import { scaledValue } from '../lib/numbers.ts';
import { isReady, type PodView } from '../lib/pods.ts';

export type Budget = Json<k8s.V1PodDisruptionBudget>;
export type BudgetView = DeepReadonly<Budget>;
type Status = NonNullable<Budget['status']>;
type Condition = NonNullable<Status['conditions']>[number];

/** An eviction that the API server has allowed is waited for so long. */
const DELETION_TIMEOUT_MS = 2 * 60_000;

/** Whether the size of the pods' controllers must be known. */
export function needsScale(budget: BudgetView): boolean {
  return budget.spec?.maxUnavailable !== undefined || typeof budget.spec?.minAvailable === 'string';
}

/** How many pods there shall be, and how many of them healthy. `scale` is the sum of the controllers' sizes. */
export function expectedPods(
  budget: BudgetView,
  podCount: number,
  scale: number,
): { expected: number; desired: number } {
  const { maxUnavailable, minAvailable } = budget.spec ?? {};
  if (maxUnavailable !== undefined)
    return { expected: scale, desired: Math.max(scale - scaledValue(maxUnavailable, scale, true), 0) };
  if (typeof minAvailable === 'number') return { expected: podCount, desired: minAvailable };
  if (minAvailable !== undefined) return { expected: scale, desired: scaledValue(minAvailable, scale, true) };
  return { expected: podCount, desired: 0 };
}

/** Pods whose eviction was allowed and that are still there, and those that should have been gone long ago. */
export function disrupted(
  budget: BudgetView,
  pods: readonly PodView[],
  now: number,
): { pending: Record<string, string>; overdue: PodView[]; recheckAt?: number } {
  const pending: Record<string, string> = {};
  const overdue: PodView[] = [];
  let recheckAt: number | undefined;
  for (const pod of pods) {
    const since = budget.status?.disruptedPods?.[meta(pod).name];
    if (since === undefined || isDeleting(pod)) continue;
    const end = millis(since) + DELETION_TIMEOUT_MS;
    if (end < now) overdue.push(pod);
    else {
      pending[meta(pod).name] = since;
      recheckAt = Math.min(recheckAt ?? Infinity, end);
    }
  }
  return { pending, overdue, recheckAt };
}

/** Ready pods that nobody is about to delete; `pending` names those whose eviction was granted. */
export function countHealthy(pods: readonly PodView[], pending: Readonly<Record<string, string>>): number {
  return pods.filter((p) => !isDeleting(p) && pending[meta(p).name] === undefined && isReady(p)).length;
}

function withCondition(
  conditions: readonly DeepReadonly<Condition>[],
  c: Omit<Condition, 'lastTransitionTime'>,
  now: number,
): Condition[] {
  const have = conditions.find((x) => x.type === c.type);
  const lastTransitionTime = have?.status === c.status ? have.lastTransitionTime : formatTime(now);
  const next = { ...c, lastTransitionTime };
  return have ? conditions.map((x) => (x.type === c.type ? next : x)) : [...conditions, next];
}

export function budgetStatus(
  budget: BudgetView,
  counts: { healthy: number; desired: number; expected: number },
  pending: Record<string, string>,
  now: number,
): Status {
  const left = counts.healthy - counts.desired;
  const allowed = counts.expected <= 0 || left <= 0 ? 0 : left;
  const generation = meta(budget).generation;
  const condition = {
    type: 'DisruptionAllowed',
    status: allowed > 0 ? 'True' : 'False',
    reason: allowed > 0 ? 'SufficientPods' : 'InsufficientPods',
    message: '',
    observedGeneration: generation,
  };
  return {
    currentHealthy: counts.healthy,
    desiredHealthy: counts.desired,
    expectedPods: counts.expected,
    disruptionsAllowed: allowed,
    ...(Object.keys(pending).length ? { disruptedPods: pending } : {}),
    observedGeneration: generation,
    conditions: withCondition(budget.status?.conditions ?? [], condition, now),
  };
}

/** What is said when the numbers can't be had: nothing may be evicted. */
export function failedStatus(budget: BudgetView, message: string, now: number): Status {
  const old = budget.status as Status | undefined;
  const condition = {
    type: 'DisruptionAllowed',
    status: 'False',
    reason: 'SyncFailed',
    message,
    observedGeneration: old?.observedGeneration,
  };
  return {
    currentHealthy: 0,
    desiredHealthy: 0,
    expectedPods: 0,
    ...old,
    disruptionsAllowed: 0,
    conditions: withCondition(old?.conditions ?? [], condition, now),
  };
}
