/** What a StatefulSet does next: strictly one step after the other, or all at once (podManagementPolicy Parallel). Pure. */
import { isDeleting } from '../lib/meta.ts';
import { scaledValue } from '../lib/numbers.ts';
import { isAvailable, isFinished, isReady, type PodView } from '../lib/pods.ts';
import { inRange, ordinalOf, replicasOf, revisionOf, startOrdinal, type SetView } from './identity.ts';

export interface Revisions {
  /** Names of the ControllerRevisions. */
  current: string;
  update: string;
}

export interface Plan {
  /** Members to make: ordinal and the revision's name. */
  create: { ordinal: number; revision: string }[];
  remove: PodView[];
  /** Members whose labels and claims are to be looked at. */
  refresh: PodView[];
  /** Members beyond the range, whose claims are to be looked at. */
  leaving: PodView[];
}

const isRunning = (p: PodView) => p.status?.phase === 'Running' && isReady(p);

/** The revision of a member that has to be made. */
function revisionFor(set: SetView, r: Revisions, ordinal: number): string {
  const strategy = set.spec?.updateStrategy;
  const start = startOrdinal(set);
  if (strategy?.type === 'OnDelete') return r.update;
  if (!strategy?.rollingUpdate) return ordinal < start + (set.status?.currentReplicas ?? 0) ? r.current : r.update;
  return ordinal < start + (strategy.rollingUpdate.partition ?? 0) ? r.current : r.update;
}

export function planStatefulSet(set: SetView, pods: readonly PodView[], revisions: Revisions, now: number): Plan {
  const plan: Plan = { create: [], remove: [], refresh: [], leaving: [] };
  const minReady = set.spec?.minReadySeconds ?? 0;
  const serves = (p: PodView) => isRunning(p) && isAvailable(p, minReady, now);
  const unavailable = (p: PodView | undefined) => !p || !serves(p) || isDeleting(p);
  const ordered = set.spec?.podManagementPolicy !== 'Parallel';
  const start = startOrdinal(set);
  const members: (PodView | undefined)[] = Array.from({ length: replicasOf(set) }, () => undefined);
  const condemned: PodView[] = [];
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod);
    if (inRange(set, ordinal)) members[ordinal - start] = pod;
    else if (ordinal >= 0) condemned.push(pod);
  }
  condemned.sort((a, b) => ordinalOf(set, b) - ordinalOf(set, a));
  for (const [i, pod] of members.entries()) {
    if (!pod) {
      plan.create.push({ ordinal: start + i, revision: revisionFor(set, revisions, start + i) });
      if (ordered) return plan;
      continue;
    }
    if (isFinished(pod)) {
      if (!isDeleting(pod)) plan.remove.push(pod);
      if (ordered) return plan;
      continue;
    }
    plan.refresh.push(pod);
    if (ordered && (isDeleting(pod) || !serves(pod))) return plan;
  }
  plan.leaving = condemned;
  const firstUnhealthy = members.find((p) => unavailable(p)) ?? condemned.toReversed().find((p) => unavailable(p));
  for (const pod of condemned) {
    if (isDeleting(pod)) {
      if (ordered) return plan;
      continue;
    }
    // A sick member among those to go must not hold up the others for ever.
    if (ordered && !serves(pod) && pod !== firstUnhealthy) return plan;
    plan.remove.push(pod);
    if (ordered) return plan;
  }
  if (plan.create.length || plan.remove.length || set.spec?.updateStrategy?.type === 'OnDelete') return plan;
  planUpdate(set, members, revisions, unavailable, plan);
  return plan;
}

/** Replaces outdated members from the last to the partition, one at a time unless maxUnavailable allows more. */
function planUpdate(
  set: SetView,
  members: readonly (PodView | undefined)[],
  r: Revisions,
  unavailable: (p: PodView | undefined) => boolean,
  plan: Plan,
): void {
  const rolling = set.spec?.updateStrategy?.rollingUpdate;
  const partition = Math.max((rolling?.partition ?? 0) - startOrdinal(set), 0);
  const most = Math.max(
    rolling?.maxUnavailable === undefined ? 1 : scaledValue(rolling.maxUnavailable, members.length, true),
    1,
  );
  if (most === 1) {
    for (let i = members.length - 1; i >= partition; i--) {
      const pod = members[i]!;
      if (revisionOf(pod) !== r.update && !isDeleting(pod)) {
        plan.remove.push(pod);
        return;
      }
      if (unavailable(pod)) return;
    }
    return;
  }
  let room = most - members.filter((p) => unavailable(p)).length;
  for (let i = members.length - 1; i >= partition && room > 0; i--) {
    const pod = members[i]!;
    if (revisionOf(pod) === r.update || isDeleting(pod)) continue;
    plan.remove.push(pod);
    room--;
  }
}

export interface Counts {
  replicas: number;
  readyReplicas: number;
  availableReplicas: number;
  currentReplicas: number;
  updatedReplicas: number;
}

/** The numbers of the status. */
export function countReplicas(set: SetView, pods: readonly PodView[], r: Revisions, now: number): Counts {
  const c: Counts = { replicas: 0, readyReplicas: 0, availableReplicas: 0, currentReplicas: 0, updatedReplicas: 0 };
  for (const pod of pods) {
    if (ordinalOf(set, pod) < 0) continue;
    c.replicas++;
    if (isRunning(pod)) {
      c.readyReplicas++;
      if (isAvailable(pod, set.spec?.minReadySeconds ?? 0, now)) c.availableReplicas++;
    }
    if (isDeleting(pod)) continue;
    if (revisionOf(pod) === r.current) c.currentReplicas++;
    if (revisionOf(pod) === r.update) c.updatedReplicas++;
  }
  return c;
}

/** Whether the update is over, so that its revision becomes the current one. */
export function isUpdateComplete(set: SetView, c: Counts): boolean {
  const n = replicasOf(set);
  return (
    set.spec?.updateStrategy?.type === 'RollingUpdate' &&
    c.updatedReplicas === n &&
    c.readyReplicas === n &&
    c.replicas === n
  );
}
