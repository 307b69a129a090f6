/** What a Job's policies say about its pods. Pure. */
import type { DeepReadonly, Job } from '../../api/types.ts';
import { meta } from '../lib/meta.ts';
import type { PodView } from '../lib/pods.ts';
import { IndexSet } from './indexes.ts';

export type JobView = DeepReadonly<Job>;
type Rule = NonNullable<NonNullable<JobView['spec']>['podFailurePolicy']>['rules'][number];

export interface FailureVerdict {
  action?: 'Ignore' | 'FailIndex' | 'Count' | 'FailJob';
  /** Whether the failure counts towards the back-off limit. */
  counts: boolean;
  /** Why the whole Job fails. */
  jobMessage?: string;
}

function exitMatch(pod: PodView, rule: NonNullable<Rule['onExitCodes']>): { name: string; code: number } | undefined {
  for (const list of [pod.status?.containerStatuses, pod.status?.initContainerStatuses]) {
    for (const c of list ?? []) {
      const code = c.state?.terminated?.exitCode;
      if (!code || (rule.containerName !== undefined && rule.containerName !== c.name)) continue;
      const named = rule.values.includes(code);
      if (rule.operator === 'In' ? named : rule.operator === 'NotIn' && !named) return { name: c.name, code };
    }
  }
  return undefined;
}

/** What the pod failure policy says about a failed pod; without one every failure counts. */
export function failureVerdict(job: JobView, pod: PodView): FailureVerdict {
  const rules = job.spec?.podFailurePolicy?.rules ?? [];
  const { name, namespace } = meta(pod);
  for (const [i, rule] of rules.entries()) {
    let why: string | undefined;
    if (rule.onExitCodes) {
      const hit = exitMatch(pod, rule.onExitCodes);
      if (hit)
        why = `Container ${hit.name} for pod ${namespace}/${name} failed with exit code ${hit.code} matching ${rule.action} rule at index ${i}`;
    } else if (rule.onPodConditions) {
      const hit = pod.status?.conditions?.find((c) =>
        rule.onPodConditions!.some((p) => p.type === c.type && p.status === c.status),
      );
      if (hit) why = `Pod ${namespace}/${name} has condition ${hit.type} matching ${rule.action} rule at index ${i}`;
    }
    if (why === undefined) continue;
    switch (rule.action) {
      case 'Ignore':
        return { action: 'Ignore', counts: false };
      case 'FailIndex':
      case 'Count':
        return { action: rule.action, counts: true };
      case 'FailJob':
        return { action: 'FailJob', counts: true, jobMessage: why };
    }
  }
  return { counts: true };
}

/** The message of the success policy's first rule that is met. */
export function successMessage(job: JobView, succeeded: IndexSet): string | undefined {
  if (succeeded.total === 0) return undefined;
  for (const [i, rule] of (job.spec?.successPolicy?.rules ?? []).entries()) {
    const wanted =
      rule.succeededIndexes === undefined ? undefined : IndexSet.parse(rule.succeededIndexes, job.spec?.completions);
    const n = wanted ? wanted.overlap(succeeded) : succeeded.total;
    const met = wanted
      ? wanted.total > 0 && (n === wanted.total || (rule.succeededCount !== undefined && n >= rule.succeededCount))
      : rule.succeededCount !== undefined && n >= rule.succeededCount;
    if (met) return `Matched rules at index ${i}`;
  }
  return undefined;
}

export const isIndexed = (job: JobView) => job.spec?.completionMode === 'Indexed';
export const isSuspended = (job: JobView) => job.spec?.suspend === true;
export const hasLimitPerIndex = (job: JobView) => job.spec?.backoffLimitPerIndex !== undefined;
/** Pods are replaced only when they have ended, not when they begin to. */
export const replacesFailedOnly = (job: JobView) => job.spec?.podReplacementPolicy === 'Failed';

/** The completion index of a pod of an indexed Job; undefined when it has none that counts. */
export function indexOf(job: JobView, pod: PodView): number | undefined {
  const text = pod.metadata?.annotations?.['batch.kubernetes.io/job-completion-index'];
  if (text === undefined || !/^[0-9]+$/.test(text)) return undefined;
  const i = Number(text);
  return i < (job.spec?.completions ?? 0) ? i : undefined;
}

/** Whether the pod has failed; one being deleted has, unless only ended pods are replaced. */
export function isFailed(job: JobView, pod: PodView): boolean {
  if (pod.status?.phase === 'Failed') return true;
  return !replacesFailedOnly(job) && pod.metadata?.deletionTimestamp !== undefined && pod.status?.phase !== 'Succeeded';
}

/** When the pod ended, in milliseconds. */
export function finishedAt(pod: PodView): number {
  // Sidecars end after the containers.
  const sidecars = new Set(pod.spec?.initContainers?.filter((c) => c.restartPolicy === 'Always').map((c) => c.name));
  const times = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses?.filter((c) => sidecars.has(c.name)) ?? []),
  ].map((c) => Date.parse(c.state?.terminated?.finishedAt ?? ''));
  if (times.length && times.every((t) => !Number.isNaN(t))) return Math.max(...times);
  const ready = pod.status?.conditions?.find((c) => c.type === 'Ready');
  if (ready?.status === 'False' && ready.lastTransitionTime) return Date.parse(ready.lastTransitionTime);
  const { deletionTimestamp, deletionGracePeriodSeconds, creationTimestamp } = meta(pod);
  if (deletionTimestamp) return Date.parse(deletionTimestamp) - (deletionGracePeriodSeconds ?? 0) * 1000;
  return Date.parse(creationTimestamp);
}

const FIRST_BACKOFF = 10_000;
const LONGEST_BACKOFF = 600_000;

/** How long a replacement has to wait after so many failures in a row, in milliseconds. */
export function backoffLeft(failures: number, lastFailure: number, now: number): number {
  if (failures === 0) return 0;
  const delay = Math.min(FIRST_BACKOFF * 2 ** Math.min(failures - 1, 30), LONGEST_BACKOFF);
  return Math.max(delay - (now - lastFailure), 0);
}

const FAILURES = 'batch.kubernetes.io/job-index-failure-count';
const IGNORED = 'batch.kubernetes.io/job-index-ignored-failure-count';

/** How often an index had failed before this pod, as its annotations say. */
export function indexFailures(pod: PodView): { counted: number; ignored: number } {
  const read = (k: string) => Number(/^[0-9]+$/.exec(pod.metadata?.annotations?.[k] ?? '')?.[0] ?? 0);
  return { counted: read(FAILURES), ignored: read(IGNORED) };
}

/** The failure annotations of the pod that replaces `last`. */
export function indexAnnotations(job: JobView, last: PodView | undefined): Record<string, string> {
  if (!last) return { [FAILURES]: '0' };
  const { counted, ignored } = indexFailures(last);
  const { counts } = failureVerdict(job, last);
  const out: Record<string, string> = { [FAILURES]: String(counted + (counts ? 1 : 0)) };
  const skipped = ignored + (counts ? 0 : 1);
  if (skipped > 0) out[IGNORED] = String(skipped);
  return out;
}

/** Whether this failure makes the index fail for good. */
export function failsIndex(job: JobView, pod: PodView): boolean {
  const verdict = failureVerdict(job, pod);
  if (verdict.action === 'FailIndex') return true;
  return verdict.counts && indexFailures(pod).counted >= (job.spec?.backoffLimitPerIndex ?? Infinity);
}
