/** Whether a Job has come to its end, and why. Pure. */
import type * as k8s from '@kubernetes/client-node';
import { formatTime } from '../../base/clock.ts';
import type { DeepReadonly, Json } from '../../api/types.ts';
import { millis } from '../lib/meta.ts';
import type { PodView } from '../lib/pods.ts';
import type { IndexSet } from './indexes.ts';
import {
  failureVerdict,
  hasLimitPerIndex,
  isFailed,
  isIndexed,
  isSuspended,
  successMessage,
  type JobView,
} from './policies.ts';

export type JobCondition = Json<k8s.V1JobCondition>;

/** `now` in milliseconds. */
export function condition(
  type: string,
  status: 'True' | 'False',
  reason: string,
  message: string,
  now: number,
): JobCondition {
  const time = formatTime(now);
  return { type, status, lastProbeTime: time, lastTransitionTime: time, reason, message };
}

/** Undefined when the Job has none of that type that is True. */
export function trueCondition(job: JobView, type: string): DeepReadonly<JobCondition> | undefined {
  return job.status?.conditions?.find((c) => c.type === type && c.status === 'True');
}

export const isJobFinished = (job: JobView) => Boolean(trueCondition(job, 'Complete') ?? trueCondition(job, 'Failed'));

export interface Counts {
  failed: number;
  succeededIndexes: IndexSet;
  failedIndexes: IndexSet;
}

/** Restarts of containers of pods that are still on their way. */
function restarts(pods: readonly PodView[]): number {
  let n = 0;
  for (const p of pods) {
    if (p.status?.phase !== 'Running' && p.status?.phase !== 'Pending') continue;
    for (const c of [...(p.status.initContainerStatuses ?? []), ...(p.status.containerStatuses ?? [])])
      n += c.restartCount ?? 0;
  }
  return n;
}

function pastLimitOnFailure(job: JobView, pods: readonly PodView[]): boolean {
  if (job.spec?.template.spec?.restartPolicy !== 'OnFailure') return false;
  const limit = job.spec.backoffLimit ?? 6;
  const n = restarts(pods);
  return limit === 0 ? n > 0 : n >= limit;
}

/** Milliseconds until activeDeadlineSeconds has passed; undefined without one. */
export function deadlineLeft(job: JobView, startTime: string | undefined, now: number): number | undefined {
  const seconds = job.spec?.activeDeadlineSeconds;
  if (seconds === undefined || startTime === undefined || isSuspended(job)) return undefined;
  return millis(startTime) + seconds * 1000 - now;
}

/** The condition (FailureTarget or SuccessCriteriaMet) that ends the Job, if any; completions are looked at later. */
export function verdict(
  job: JobView,
  pods: readonly PodView[],
  counts: Counts,
  startTime: string | undefined,
  now: number,
): DeepReadonly<JobCondition> | undefined {
  const have = trueCondition(job, 'SuccessCriteriaMet') ?? trueCondition(job, 'FailureTarget');
  if (have) return have;
  const failure = (reason: string, message: string) => condition('FailureTarget', 'True', reason, message, now);
  if (job.spec?.podFailurePolicy) {
    for (const pod of pods) {
      const message = isFailed(job, pod) ? failureVerdict(job, pod).jobMessage : undefined;
      if (message !== undefined) return failure('PodFailurePolicy', message);
    }
  }
  if (counts.failed > (job.spec?.backoffLimit ?? 6) || pastLimitOnFailure(job, pods))
    return failure('BackoffLimitExceeded', 'Job has reached the specified backoff limit');
  const left = deadlineLeft(job, startTime, now);
  if (left !== undefined && left <= 0)
    return failure('DeadlineExceeded', 'Job was active longer than specified deadline');
  if (!isIndexed(job)) return undefined;
  if (hasLimitPerIndex(job)) {
    const n = counts.failedIndexes.total;
    if (job.spec?.maxFailedIndexes !== undefined && n > job.spec.maxFailedIndexes)
      return failure('MaxFailedIndexesExceeded', 'Job has exceeded the specified maximal number of failed indexes');
    if (n > 0 && n + counts.succeededIndexes.total >= (job.spec?.completions ?? 0))
      return failure('FailedIndexes', 'Job has failed indexes');
  }
  const message = successMessage(job, counts.succeededIndexes);
  return message === undefined ? undefined : condition('SuccessCriteriaMet', 'True', 'SuccessPolicy', message, now);
}

/** The final condition that follows from the one that ended the Job. */
export function finalCondition(target: DeepReadonly<JobCondition>, now: number): JobCondition {
  const type = target.type === 'SuccessCriteriaMet' ? 'Complete' : 'Failed';
  return condition(type, 'True', target.reason ?? '', target.message ?? '', now);
}
