/** What controllers want to know of a pod. */
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { Index } from '../../client/informer.ts';
import { createTimestamp, isDeleting, meta, millis } from './meta.ts';

export type PodView = DeepReadonly<Pod>;

/** Pods by the node they are bound to. */
export const podsByNode: Index<Pod> = { values: (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []) };

/** Succeeded or Failed: its containers will not run again. */
export function isFinished(pod: PodView): boolean {
  const phase = pod.status?.phase;
  return phase === 'Succeeded' || phase === 'Failed';
}

/** Neither finished nor being deleted. */
export function isActive(pod: PodView): boolean {
  return !isFinished(pod) && !isDeleting(pod);
}

/** Being deleted and not yet finished. */
export function isTerminating(pod: PodView): boolean {
  return !isFinished(pod) && isDeleting(pod);
}

export function podCondition(pod: PodView, type: string) {
  return pod.status?.conditions?.find((c) => c.type === type);
}

/** Whether the condition Ready is True. */
export function isReady(pod: PodView): boolean {
  return podCondition(pod, 'Ready')?.status === 'True';
}

/** Since when the pod is ready, in milliseconds; undefined when it is not. */
function readySince(pod: PodView): number | undefined {
  const c = podCondition(pod, 'Ready');
  return c?.status === 'True' ? millis(c.lastTransitionTime) : undefined;
}

/** Ready for at least `minReadySeconds`. */
export function isAvailable(pod: PodView, minReadySeconds: number, now: number): boolean {
  const since = readySince(pod);
  if (since === undefined) return false;
  return minReadySeconds === 0 || (!Number.isNaN(since) && since + minReadySeconds * 1000 <= now);
}

/** How long until the next of the ready pods becomes available; undefined when none is on its way. */
export function nextAvailability(pods: readonly PodView[], minReadySeconds: number, now: number): number | undefined {
  if (minReadySeconds <= 0) return undefined;
  let best: number | undefined;
  for (const pod of pods) {
    const since = readySince(pod);
    if (since === undefined || Number.isNaN(since)) continue;
    const left = since + minReadySeconds * 1000 - now;
    if (left > 0 && (best === undefined || left < best)) best = left;
  }
  return best;
}

/** The annotation pod-deletion-cost as a number; anything else than an int32 counts as 0. */
function deletionCost(pod: PodView): number {
  const text = pod.metadata?.annotations?.['controller.kubernetes.io/pod-deletion-cost'];
  if (text === undefined || !/^-?(0|[1-9][0-9]*)$/.test(text)) return 0;
  const n = Number(text);
  return n >= -(2 ** 31) && n < 2 ** 31 ? n : 0;
}

/** The highest restart count of regular containers and of sidecars. */
function restarts(pod: PodView): { regular: number; sidecar: number } {
  let regular = 0;
  for (const c of pod.status?.containerStatuses ?? []) regular = Math.max(regular, c.restartCount ?? 0);
  let sidecar = 0;
  const names = new Set(
    (pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === 'Always').map((c) => c.name),
  );
  for (const c of pod.status?.initContainerStatuses ?? [])
    if (names.has(c.name)) sidecar = Math.max(sidecar, c.restartCount ?? 0);
  return { regular, sidecar };
}

/** Age on a logarithmic scale, so that among pods of like age chance (the uid) decides. */
function ageBucket(since: number, now: number): number {
  const ns = (now - since) * 1e6;
  return ns <= 0 ? -1 : Math.floor(Math.log2(ns));
}

const PHASE_RANK: Record<string, number> = { Pending: 0, Unknown: 1, Running: 2 };

/**
 * Compares pods by how readily they are given up: negative when `a` goes first. `rank` says how many related pods
 * run on the pod's node (the fuller node loses first).
 */
export function compareForDeletion(a: PodView, b: PodView, rank: ReadonlyMap<string, number>, now: number): number {
  const unassigned = (p: PodView) => (p.spec?.nodeName ? 1 : 0);
  if (unassigned(a) !== unassigned(b)) return unassigned(a) - unassigned(b);
  const phase = (p: PodView) => PHASE_RANK[p.status?.phase ?? 'Pending'] ?? 0;
  if (phase(a) !== phase(b)) return phase(a) - phase(b);
  const ra = isReady(a);
  const rb = isReady(b);
  if (ra !== rb) return ra ? 1 : -1;
  const cost = deletionCost(a) - deletionCost(b);
  if (cost !== 0) return cost;
  const crowd = (rank.get(meta(b).uid) ?? 0) - (rank.get(meta(a).uid) ?? 0);
  if (crowd !== 0) return crowd;
  if (ra && rb) {
    const d = byBucket(readySince(a)!, readySince(b)!, a, b, now);
    if (d !== 0) return d;
  }
  const x = restarts(a);
  const y = restarts(b);
  if (x.regular !== y.regular) return y.regular - x.regular;
  if (x.sidecar !== y.sidecar) return y.sidecar - x.sidecar;
  return byBucket(createTimestamp(a), createTimestamp(b), a, b, now);
}

/** The younger first; within the same power of two the smaller uid. */
function byBucket(sa: number, sb: number, a: PodView, b: PodView, now: number): number {
  if (sa === sb) return 0;
  const x = ageBucket(sa, now);
  const y = ageBucket(sb, now);
  if (x !== y) return x - y;
  return meta(a).uid < meta(b).uid ? -1 : 1;
}
