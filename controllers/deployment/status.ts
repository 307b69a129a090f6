/** A Deployment's status as it follows from its ReplicaSets. Pure. */
import type * as k8s from '@kubernetes/client-node';
import { formatTime } from '../../base/clock.ts';
import type { DeepReadonly, Json } from '../../api/types.ts';
import { meta, millis, semanticEqual } from '../lib/meta.ts';
import { replicasOf, rolloutSpec, type DeploymentView, type SetView } from './revisions.ts';
import { maxUnavailable } from './rollout.ts';

export type DeploymentStatus = Json<k8s.V1DeploymentStatus>;
export type DeploymentCondition = Json<k8s.V1DeploymentCondition>;
type StatusView = DeepReadonly<DeploymentStatus>;

/** Progress deadlines of this and more mean: none. */
const NO_DEADLINE = 2 ** 31 - 1;

/** Whether a rollout may be found to make no progress. */
export function hasDeadline(d: DeploymentView): boolean {
  const s = d.spec?.progressDeadlineSeconds;
  return s !== undefined && s !== NO_DEADLINE;
}

export function conditionOf(
  status: StatusView | undefined,
  type: string,
): DeepReadonly<DeploymentCondition> | undefined {
  return status?.conditions?.find((c) => c.type === type);
}

/** `now` in milliseconds. */
export function newCondition(
  type: string,
  status: 'True' | 'False' | 'Unknown',
  reason: string,
  message: string,
  now: number,
): DeploymentCondition {
  const time = formatTime(now);
  return { type, status, reason, message, lastUpdateTime: time, lastTransitionTime: time };
}

/** The conditions with one put in: it stays as it was when status and reason are the same. */
export function withCondition(
  conditions: readonly DeepReadonly<DeploymentCondition>[],
  c: DeploymentCondition,
): DeploymentCondition[] {
  const have = conditions.find((x) => x.type === c.type);
  if (have && have.status === c.status && have.reason === c.reason) return [...conditions];
  const put = have && have.status === c.status ? { ...c, lastTransitionTime: have.lastTransitionTime } : c;
  return [...conditions.filter((x) => x.type !== c.type), put];
}

const without = (conditions: readonly DeepReadonly<DeploymentCondition>[], type: string): DeploymentCondition[] =>
  conditions.filter((c) => c.type !== type);

const sum = (sets: readonly SetView[], f: (s: SetView) => number | undefined) =>
  sets.reduce((n, s) => n + (f(s) ?? 0), 0);

/** Counts and the Available condition. `base` is what this turn has already put into the status. */
export function countStatus(
  d: DeploymentView,
  base: StatusView,
  newest: SetView | undefined,
  all: readonly SetView[],
  now: number,
): DeploymentStatus {
  const spec = rolloutSpec(d);
  const availableReplicas = sum(all, (s) => s.status?.availableReplicas);
  const status: DeploymentStatus = {
    observedGeneration: meta(d).generation,
    replicas: sum(all, (s) => s.status?.replicas),
    updatedReplicas: newest?.status?.replicas ?? 0,
    readyReplicas: sum(all, (s) => s.status?.readyReplicas),
    availableReplicas,
    unavailableReplicas: Math.max(sum(all, replicasOf) - availableReplicas, 0),
    collisionCount: base.collisionCount,
  };
  if (all.every((s) => s.status?.terminatingReplicas !== undefined))
    status.terminatingReplicas = sum(all, (s) => s.status?.terminatingReplicas);
  const enough = availableReplicas >= spec.replicas - maxUnavailable(spec);
  status.conditions = withCondition(
    base.conditions ?? [],
    enough
      ? newCondition('Available', 'True', 'MinimumReplicasAvailable', 'Deployment has minimum availability.', now)
      : newCondition(
          'Available',
          'False',
          'MinimumReplicasUnavailable',
          'Deployment does not have minimum availability.',
          now,
        ),
  );
  return status;
}

/** All wanted pods are of the newest template and available, and no other is left. */
export function isComplete(d: DeploymentView, s: StatusView | undefined): boolean {
  const n = rolloutSpec(d).replicas;
  return (
    (s?.updatedReplicas ?? 0) === n &&
    (s?.replicas ?? 0) === n &&
    (s?.availableReplicas ?? 0) === n &&
    (s?.observedGeneration ?? 0) >= (meta(d).generation ?? 0)
  );
}

function isProgressing(old: StatusView | undefined, now: StatusView): boolean {
  const oldOnes = (s: StatusView | undefined) => (s?.replicas ?? 0) - (s?.updatedReplicas ?? 0);
  return (
    (now.updatedReplicas ?? 0) > (old?.updatedReplicas ?? 0) ||
    oldOnes(now) < oldOnes(old) ||
    (now.readyReplicas ?? 0) > (old?.readyReplicas ?? 0) ||
    (now.availableReplicas ?? 0) > (old?.availableReplicas ?? 0)
  );
}

function isTimedOut(d: DeploymentView, s: StatusView, now: number): boolean {
  const c = conditionOf(s, 'Progressing');
  if (!c || c.reason === 'NewReplicaSetAvailable') return false;
  if (c.reason === 'ProgressDeadlineExceeded') return true;
  return millis(c.lastUpdateTime) + d.spec!.progressDeadlineSeconds! * 1000 < now;
}

/** The full status during a rollout: counts, Available, Progressing and ReplicaFailure. */
export function rolloutStatus(
  d: DeploymentView,
  base: StatusView,
  newest: SetView | undefined,
  all: readonly SetView[],
  now: number,
): DeploymentStatus {
  const status = countStatus(d, base, newest, all, now);
  let conditions = status.conditions ?? [];
  const current = conditionOf(base, 'Progressing');
  if (!hasDeadline(d)) conditions = without(conditions, 'Progressing');
  else if (!(status.replicas === status.updatedReplicas && current?.reason === 'NewReplicaSetAvailable')) {
    const what = newest ? `ReplicaSet "${meta(newest).name}"` : `Deployment "${meta(d).name}"`;
    if (isComplete(d, status))
      conditions = withCondition(
        conditions,
        newCondition('Progressing', 'True', 'NewReplicaSetAvailable', `${what} has successfully progressed.`, now),
      );
    else if (isProgressing(base, status)) {
      const c = newCondition('Progressing', 'True', 'ReplicaSetUpdated', `${what} is progressing.`, now);
      if (current?.status === 'True') c.lastTransitionTime = current.lastTransitionTime;
      // Always anew: its update time restarts the deadline.
      conditions = [...without(conditions, 'Progressing'), c];
    } else if (isTimedOut(d, status, now))
      conditions = withCondition(
        conditions,
        newCondition('Progressing', 'False', 'ProgressDeadlineExceeded', `${what} has timed out progressing.`, now),
      );
  }
  const failure = replicaFailure(newest, all);
  status.conditions = failure ? withCondition(conditions, failure) : without(conditions, 'ReplicaFailure');
  return status;
}

function replicaFailure(newest: SetView | undefined, all: readonly SetView[]): DeploymentCondition | undefined {
  for (const set of newest ? [newest, ...all] : all) {
    const c = set.status?.conditions?.find((x) => x.type === 'ReplicaFailure');
    if (c)
      return {
        type: c.type,
        status: c.status,
        lastTransitionTime: c.lastTransitionTime,
        lastUpdateTime: c.lastTransitionTime,
        reason: c.reason,
        message: c.message,
      };
  }
  return undefined;
}

/** When to look again whether the deadline has passed, in milliseconds; undefined when there is nothing to wait for. */
export function deadlineCheck(d: DeploymentView, s: StatusView, now: number): number | undefined {
  const c = conditionOf(s, 'Progressing');
  if (!hasDeadline(d) || !c || isComplete(d, s) || c.reason === 'ProgressDeadlineExceeded') return undefined;
  return Math.max(millis(c.lastUpdateTime) + d.spec!.progressDeadlineSeconds! * 1000 - now, 0) + 1000;
}

/** Whether writing the status would change anything; absent and 0 are the same. */
export function statusDiffers(a: StatusView | undefined, b: StatusView): boolean {
  return !semanticEqual(nonZero(a), nonZero(b));
}

function nonZero(s: StatusView | undefined): Record<string, unknown> {
  return Object.fromEntries(Object.entries(s ?? {}).filter(([, v]) => v !== 0 && v !== undefined));
}
