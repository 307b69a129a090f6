/** Makes and deletes a Job's pods so that as many run as shall run. */
import type { Pod } from '../../api/types.ts';
import type { Informer } from '../../client/informer.ts';
import { controllerRef, meta } from '../lib/meta.ts';
import { createPod, isNamespaceTerminating, podFromTemplate, slowStart } from '../lib/podcontrol.ts';
import { compareForDeletion, isReady, isTerminating, type PodView } from '../lib/pods.ts';
import * as policy from './policies.ts';
import { FINALIZER, JOB, removePods, type Turn } from './turn.ts';

const BURST = 500;
const INDEX = 'batch.kubernetes.io/job-completion-index';

export interface Managed {
  /** Pods that run now, with those just made and without those just deleted. */
  active: number;
  ready: number;
  removed: number;
  requeueAfterMs?: number;
}

/** Pods to give up: first doubles of an index, then the least useful. Pure. */
export function podsToRemove(job: policy.JobView, active: readonly PodView[], atLeast: number, now: number): PodView[] {
  const sorted = active.toSorted((a, b) => compareForDeletion(a, b, new Map(), now));
  const out: PodView[] = [];
  let left = sorted;
  if (policy.isIndexed(job)) {
    const seen = new Set<number>();
    const kept: PodView[] = [];
    // The most useful pod of each index stays.
    for (const pod of sorted.toReversed()) {
      const i = policy.indexOf(job, pod);
      if (i === undefined || seen.has(i)) out.push(pod);
      else {
        seen.add(i);
        kept.push(pod);
      }
    }
    left = kept.toReversed();
  }
  if (out.length < atLeast) out.push(...left.slice(0, atLeast - out.length));
  return out;
}

/** How many pods shall run now. Pure. */
export function wantedActive(job: policy.JobView, succeeded: number, active: number): number {
  const parallelism = job.spec?.parallelism ?? 1;
  const completions = job.spec?.completions;
  if (completions === undefined) return succeeded > 0 ? active : parallelism;
  return Math.max(Math.min(completions - succeeded, parallelism), 0);
}

/** The lowest indexes that still need a pod. Pure. */
export function pendingIndexes(
  t: Pick<Turn, 'job' | 'active' | 'pods' | 'succeededIndexes' | 'failedIndexes'>,
  count: number,
): number[] {
  const { job } = t;
  const busy = new Set(t.active.map((p) => policy.indexOf(job, p)));
  if (policy.replacesFailedOnly(job)) for (const p of t.pods) if (isTerminating(p)) busy.add(policy.indexOf(job, p));
  const out: number[] = [];
  for (let i = 0; i < (job.spec?.completions ?? 0) && out.length < count; i++)
    if (!busy.has(i) && !t.succeededIndexes.has(i) && !t.failedIndexes.has(i)) out.push(i);
  return out;
}

function addIndex(pod: Pod, jobName: string, index: number): void {
  const text = String(index);
  pod.metadata!.annotations = { ...pod.metadata!.annotations, [INDEX]: text };
  pod.metadata!.labels = { ...pod.metadata!.labels, [INDEX]: text };
  const env = { name: 'JOB_COMPLETION_INDEX', valueFrom: { fieldRef: { fieldPath: `metadata.labels['${INDEX}']` } } };
  const add = <C extends { env?: NonNullable<NonNullable<Pod['spec']>['containers'][number]['env']> }>(c: C): C =>
    c.env?.some((e) => e.name === env.name) ? c : { ...c, env: [...(c.env ?? []), env] };
  const spec = pod.spec!;
  pod.spec = { ...spec, hostname: `${jobName}-${index}`, containers: spec.containers.map(add) };
  if (spec.initContainers) pod.spec.initContainers = spec.initContainers.map(add);
}

function newPod(t: Turn, index: number | undefined, predecessor: PodView | undefined): Pod {
  const { job } = t;
  const { name, namespace } = meta(job);
  const prefix = index === undefined ? name : `${name.slice(0, 56 - String(index).length)}-${index}`;
  const pod = podFromTemplate(job.spec!.template, controllerRef(job, JOB.apiVersion, JOB.kind), namespace, { prefix });
  pod.metadata!.finalizers = [...new Set([...(pod.metadata!.finalizers ?? []), FINALIZER])];
  if (index !== undefined) {
    addIndex(pod, name, index);
    if (policy.hasLimitPerIndex(job))
      pod.metadata!.annotations = { ...pod.metadata!.annotations, ...policy.indexAnnotations(job, predecessor) };
  }
  return pod;
}

/** One turn of making and deleting. `held` are failed pods whose index waits for a successor. */
export async function manage(t: Turn, held: ReadonlyMap<number, PodView>): Promise<Managed> {
  const { job, active, now, deps } = t;
  const without = (gone: readonly PodView[]): Managed => ({
    active: active.length - gone.length,
    ready: active.filter(isReady).length - gone.filter(isReady).length,
    removed: gone.length,
  });
  if (policy.isSuspended(job)) {
    await removePods(t, active, false);
    return without(active);
  }
  const wanted = wantedActive(job, t.succeeded, active.length);
  const doomed = podsToRemove(job, active, Math.max(active.length - wanted, 0), now).slice(0, BURST);
  if (doomed.length > 0) {
    await removePods(t, doomed, false);
    return without(doomed);
  }
  const unchanged = without([]);
  const ending = policy.replacesFailedOnly(job) ? t.pods.filter(isTerminating).length : 0;
  let missing = Math.min(wanted - ending - active.length, BURST);
  if (missing <= 0) return unchanged;
  let indexes: (number | undefined)[] = [];
  if (policy.hasLimitPerIndex(job)) {
    let wait: number | undefined;
    for (const i of pendingIndexes(t, missing)) {
      const last = held.get(i);
      const failures = last ? policy.indexFailures(last).counted + policy.indexFailures(last).ignored + 1 : 0;
      const left = last ? policy.backoffLeft(failures, policy.finishedAt(last), now) : 0;
      if (left === 0) indexes.push(i);
      else wait = Math.min(wait ?? Infinity, left);
    }
    if (indexes.length === 0) return { ...unchanged, requeueAfterMs: wait };
  } else {
    const left = policy.backoffLeft(t.backoff.failures, t.backoff.last, now);
    if (left > 0) return { ...unchanged, requeueAfterMs: left };
    indexes = policy.isIndexed(job) ? pendingIndexes(t, missing) : Array.from({ length: missing }, () => undefined);
  }
  missing = indexes.length;
  const { successes, error } = await slowStart(missing, async (n) => {
    const index = indexes[n];
    const pod = await createPod(
      deps,
      { object: job, ...JOB },
      newPod(t, index, index === undefined ? undefined : held.get(index)),
    );
    deps.expectations.wrote(t.key, deps.informers.pods as unknown as Informer<object>, pod);
  });
  if (error !== undefined && !isNamespaceTerminating(error)) throw error;
  return { ...unchanged, active: active.length + successes };
}
