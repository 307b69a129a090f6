/** Runs pods to completion. Every ended pod is counted exactly once: it keeps a finalizer until it stands in the status. */
import { formatTime } from '../../base/clock.ts';
import type { DeepReadonly, Job, Pod } from '../../api/types.ts';
import { keyOf, splitKey, type Informer } from '../../client/informer.ts';
import { jobs, pods } from '../../client/resources.ts';
import { defineController, type Result } from '../framework.ts';
import { body, controllerOf, isDeleting, meta, semanticEqual } from '../lib/meta.ts';
import { claim, concernsOwner, controlledBy, ownerOrSelectorKeys } from '../lib/ownership.ts';
import { allDone } from '../lib/podcontrol.ts';
import { isActive, isReady, isTerminating, type PodView } from '../lib/pods.ts';
import { lenientSelector } from '../lib/selectors.ts';
import { concurrency } from '../options.ts';
import { IndexSet } from './indexes.ts';
import { manage, type Managed } from './manage.ts';
import * as policy from './policies.ts';
import { FINALIZER, inputs, JOB, removePods, tracked, untrack, type D, type State, type Turn } from './turn.ts';
import type { JobView } from './policies.ts';
import { condition, deadlineLeft, finalCondition, isJobFinished, verdict, type JobCondition } from './verdict.ts';

const MANAGER = 'kubernetes.io/job-controller';
const ORPHAN = '@pod/';
/** No more ended pods are noted in the status at once. */
const MAX_UNCOUNTED = 500;

type Status = NonNullable<Job['status']>;

/** Pods that ended and stand nowhere in the status yet. */
function newlyEnded(
  job: JobView,
  all: readonly PodView[],
  uncounted: ReadonlySet<string>,
): { succeeded: PodView[]; failed: PodView[] } {
  const succeeded: PodView[] = [];
  const failed: PodView[] = [];
  for (const pod of all) {
    if (!tracked(pod) || uncounted.has(meta(pod).uid)) continue;
    if (policy.isIndexed(job) && policy.indexOf(job, pod) === undefined) continue;
    if (pod.status?.phase === 'Succeeded') succeeded.push(pod);
    else if (policy.isFailed(job, pod)) failed.push(pod);
  }
  return { succeeded, failed };
}

function nextBackoff(
  old: { failures: number; last: number } | undefined,
  succeeded: readonly PodView[],
  failed: readonly PodView[],
): { failures: number; last: number } {
  const base = succeeded.length ? { failures: 0, last: 0 } : (old ?? { failures: 0, last: 0 });
  const since = succeeded.length ? Math.max(...succeeded.map(policy.finishedAt)) : -Infinity;
  const times = failed.map(policy.finishedAt).filter((at) => at > since);
  return times.length ? { failures: base.failures + times.length, last: Math.max(base.last, ...times) } : base;
}

/** Failed pods of indexes that will be tried again: they stay until their successor has taken over their count. */
function heldForSuccessor(t: Turn): Map<number, PodView> {
  const held = new Map<number, PodView>();
  if (!policy.hasLimitPerIndex(t.job)) return held;
  const busy = new Set(t.active.map((p) => policy.indexOf(t.job, p)));
  for (const pod of t.pods) {
    const i = policy.indexOf(t.job, pod);
    if (i === undefined || !tracked(pod) || !policy.isFailed(t.job, pod) || busy.has(i)) continue;
    if (t.succeededIndexes.has(i) || t.failedIndexes.has(i)) continue;
    const have = held.get(i);
    const total = (p: PodView) => policy.indexFailures(p).counted + policy.indexFailures(p).ignored;
    if (!have || total(pod) > total(have)) held.set(i, pod);
  }
  return held;
}

function withCondition(conditions: readonly JobCondition[] | undefined, c: JobCondition): JobCondition[] {
  return [...(conditions ?? []).filter((x) => x.type !== c.type), c];
}

async function writeStatus(t: Turn, job: Job, status: Status): Promise<Job> {
  const written = await t.deps.client.updateStatus(jobs, { ...job, status });
  t.deps.expectations.wrote(t.key, t.deps.informers.jobs as unknown as Informer<object>, written);
  return written;
}

/** Moves uids of pods that have lost their finalizer from the uncounted lists into the counters. */
function settle(status: Status, stillTracked: ReadonlySet<string>, indexed: boolean): Status {
  const u = status.uncountedTerminatedPods ?? {};
  const keep = (list: string[] | undefined) => (list ?? []).filter((uid) => stillTracked.has(uid));
  const succeeded = keep(u.succeeded);
  const failed = keep(u.failed);
  return {
    ...status,
    succeeded: indexed ? status.succeeded : (status.succeeded ?? 0) + (u.succeeded?.length ?? 0) - succeeded.length,
    failed: (status.failed ?? 0) + (u.failed?.length ?? 0) - failed.length,
    uncountedTerminatedPods: { ...(succeeded.length ? { succeeded } : {}), ...(failed.length ? { failed } : {}) },
  };
}

const nonZero = (s: object | undefined) =>
  Object.fromEntries(Object.entries(s ?? {}).filter(([, v]) => v !== 0 && v !== undefined));
const differs = (a: object | undefined, b: object) => !semanticEqual(nonZero(a), nonZero(b));

/** Notes ended pods in the status, takes their finalizers, counts them, and ends the Job when all is counted. */
async function track(
  t: Turn,
  draft: Status,
  ended: DeepReadonly<JobCondition> | undefined,
  terminating: number,
): Promise<boolean> {
  const { job, deps } = t;
  const indexed = policy.isIndexed(job);
  let current = body<Job>(job);
  const withFinalizer = new Set(t.pods.filter(tracked).map((p) => meta(p).uid));
  let status = settle(draft, withFinalizer, indexed);
  const uncounted = {
    succeeded: [...(status.uncountedTerminatedPods?.succeeded ?? [])],
    failed: [...(status.uncountedTerminatedPods?.failed ?? [])],
  };
  const known = new Set([...uncounted.succeeded, ...uncounted.failed]);
  const held = new Set([...heldForSuccessor(t).values()].map((p) => meta(p).uid));
  const release: PodView[] = [];
  const newIndexes: number[] = [];
  const before = IndexSet.parse(job.status?.completedIndexes, job.spec?.completions);
  let more = false;
  for (const pod of t.pods) {
    if (!tracked(pod)) continue;
    const { uid } = meta(pod);
    const failed = policy.isFailed(job, pod);
    const done = pod.status?.phase === 'Succeeded';
    const letGo = isDeleting(job) || ended !== undefined || done || (failed && !held.has(uid));
    if (!letGo) continue;
    release.push(pod);
    const index = indexed ? policy.indexOf(job, pod) : undefined;
    if (done && !uncounted.failed.includes(uid)) {
      if (!indexed) {
        if (!known.has(uid)) uncounted.succeeded.push(uid);
      } else if (index !== undefined && !before.has(index)) newIndexes.push(index);
    } else if ((failed || (ended !== undefined && ended.type === 'FailureTarget')) && !known.has(uid)) {
      if ((!indexed || index !== undefined) && policy.failureVerdict(job, pod).counts) uncounted.failed.push(uid);
    }
    if (newIndexes.length + uncounted.succeeded.length + uncounted.failed.length >= MAX_UNCOUNTED) {
      more = true;
      break;
    }
  }
  status = {
    ...status,
    uncountedTerminatedPods: {
      ...(uncounted.succeeded.length ? { succeeded: uncounted.succeeded } : {}),
      ...(uncounted.failed.length ? { failed: uncounted.failed } : {}),
    },
  };
  if (indexed) {
    const completed = before.with(newIndexes);
    status = { ...status, succeeded: completed.total, completedIndexes: completed.toString() || undefined };
    if (policy.hasLimitPerIndex(job)) status.failedIndexes = t.failedIndexes.toString();
  }
  if (ended && !status.conditions?.some((c) => c.type === ended.type && c.status === 'True'))
    status.conditions = withCondition(status.conditions, body<JobCondition>(ended));
  if (differs(job.status, status)) {
    current = await writeStatus(t, current, status);
    // Only now: a turn that fails before must count these failures again.
    deps.state.set(t.key, t.backoff);
  }
  await allDone(release.map((pod) => untrack(deps, t.key, pod)));
  for (const pod of release) withFinalizer.delete(meta(pod).uid);
  const settled = settle(status, withFinalizer, indexed);
  const rest = settled.uncountedTerminatedPods;
  const allCounted = !rest?.succeeded?.length && !rest?.failed?.length && !more;
  const finished = ended !== undefined && allCounted && terminating === 0;
  if (finished) {
    const final = finalCondition(ended, t.now);
    settled.conditions = withCondition(settled.conditions, final);
    if (final.type === 'Complete') settled.completionTime = final.lastTransitionTime;
    deps.state.delete(t.key);
    if (final.type === 'Complete') {
      if (job.spec?.completions !== undefined && (settled.succeeded ?? 0) > job.spec.completions)
        deps.recorder.event(
          job,
          'Warning',
          'TooManySucceededPods',
          'Too many succeeded pods running after completion count reached',
          JOB,
        );
      deps.recorder.event(job, 'Normal', 'Completed', 'Job completed', JOB);
    } else deps.recorder.event(job, 'Warning', final.reason ?? '', final.message ?? '', JOB);
  }
  if (differs(status, settled)) await writeStatus(t, current, settled);
  return finished;
}

/** Notes in the status that the Job was suspended or resumed. */
function noteSuspension(t: Turn, status: Status): Status {
  const { job, deps, now } = t;
  const have = status.conditions?.find((c) => c.type === 'Suspended');
  if (policy.isSuspended(job) && have?.status !== 'True') {
    deps.recorder.event(job, 'Normal', 'Suspended', 'Job suspended', JOB);
    return {
      ...status,
      startTime: undefined,
      conditions: withCondition(
        status.conditions,
        condition('Suspended', 'True', 'JobSuspended', 'Job suspended', now),
      ),
    };
  }
  if (!policy.isSuspended(job) && have?.status === 'True') {
    deps.recorder.event(job, 'Normal', 'Resumed', 'Job resumed', JOB);
    return {
      ...status,
      startTime: formatTime(now),
      conditions: withCondition(status.conditions, condition('Suspended', 'False', 'JobResumed', 'Job resumed', now)),
    };
  }
  return status;
}

async function sync(deps: D, key: string, job: JobView): Promise<Result | void> {
  const now = deps.clock.now();
  const mine: DeepReadonly<Pod>[] = await claim({
    client: deps.client,
    resource: pods,
    informer: deps.informers.pods,
    owner: job,
    ownerResource: jobs,
    selector: lenientSelector(job.spec?.selector),
    finalizers: [FINALIZER],
  });
  const active = mine.filter(isActive);
  const u = job.status?.uncountedTerminatedPods;
  const fresh = newlyEnded(job, mine, new Set([...(u?.succeeded ?? []), ...(u?.failed ?? [])]));
  const completions = job.spec?.completions;
  const newIndexes = policy.isIndexed(job) ? fresh.succeeded.map((p) => policy.indexOf(job, p)!) : [];
  const succeededIndexes = IndexSet.parse(job.status?.completedIndexes, completions).with(newIndexes);
  const failing = policy.hasLimitPerIndex(job)
    ? fresh.failed.filter((p) => policy.failsIndex(job, p)).map((p) => policy.indexOf(job, p)!)
    : [];
  const failedIndexes = IndexSet.parse(job.status?.failedIndexes, completions).with(
    failing.filter((i) => !succeededIndexes.has(i)),
  );
  const t: Turn = {
    deps,
    key,
    job,
    pods: mine,
    active,
    now,
    succeeded: policy.isIndexed(job)
      ? succeededIndexes.total
      : (job.status?.succeeded ?? 0) + (u?.succeeded?.length ?? 0) + fresh.succeeded.length,
    succeededIndexes,
    failedIndexes,
    backoff: nextBackoff(deps.state.get(key), fresh.succeeded, fresh.failed),
  };
  const counted = fresh.failed.filter((p) => policy.failureVerdict(job, p).counts).length;
  const failed = (job.status?.failed ?? 0) + (u?.failed?.length ?? 0) + counted;
  let status: Status = { ...body<Status>(job.status ?? {}) };
  if (!status.startTime && !policy.isSuspended(job)) status.startTime = formatTime(now);
  let ended = verdict(job, mine, { failed, succeededIndexes, failedIndexes }, status.startTime, now);
  let done: Managed = { active: active.length, ready: active.filter(isReady).length, removed: 0 };
  let failure: unknown;
  if (ended) {
    await removePods(t, active, true);
    done = { active: 0, ready: 0, removed: active.length };
  } else if (!isDeleting(job)) {
    try {
      done = await manage(t, heldForSuccessor(t));
    } catch (error) {
      // What was counted is written nevertheless.
      failure = error;
    }
    const complete =
      completions === undefined
        ? t.succeeded > 0 && done.active === 0
        : t.succeeded >= completions && done.active === 0;
    if (complete && failure === undefined)
      ended = condition(
        'SuccessCriteriaMet',
        'True',
        'CompletionsReached',
        'Reached expected number of succeeded pods',
        now,
      );
    else status = noteSuspension(t, status);
  }
  // Pods that were just deleted still end; that changes the counts with their next event.
  const terminating = mine.filter(isTerminating).length + done.removed;
  status = { ...status, active: done.active, ready: done.ready, terminating };
  const finished = await track(t, status, ended, mine.filter(isTerminating).length + (ended ? done.removed : 0));
  if (failure !== undefined) throw failure;
  if (finished) return;
  const waits = [done.requeueAfterMs, deadlineLeft(job, status.startTime, now)].filter(
    (x): x is number => x !== undefined && x > 0,
  );
  return waits.length ? { requeueAfterMs: Math.min(...waits) } : undefined;
}

/** Whether nobody will count the pod any more: its Job is gone or finished. */
function isStray(deps: D, pod: PodView): boolean {
  if (!tracked(pod)) return false;
  const ref = controllerOf(pod);
  if (!ref) return true;
  if (ref.kind !== JOB.kind) return false;
  const job = deps.informers.jobs.get(ref.name, meta(pod).namespace);
  if (!job || meta(job).uid !== ref.uid) return true;
  return isJobFinished(job) && (job.spec?.managedBy ?? MANAGER) === MANAGER;
}

export const jobController = defineController({
  name: 'job-controller',
  account: 'job-controller',
  inputs,
  outputs: ['create,delete,patch pods', 'update jobs/status.batch'],
  workers: concurrency('job'),
  state: (): State => new Map(),
  triggers: {
    jobs(job, deps: D) {
      const strays =
        isJobFinished(job) || !deps.informers.jobs.get(meta(job).name, meta(job).namespace)
          ? controlledBy(deps.informers.pods, meta(job).uid).filter(tracked)
          : [];
      return [keyOf(job), ...strays.map((p) => ORPHAN + keyOf(p))];
    },
    pods: {
      keys(pod, deps: D) {
        const keys = ownerOrSelectorKeys(pod, JOB.kind, deps.informers.jobs, (j) => lenientSelector(j.spec?.selector));
        return isStray(deps, pod) ? [...keys, ORPHAN + keyOf(pod)] : keys;
      },
      when: (now, before) => concernsOwner(now, before),
      // Pods of a parallel Job end together: one status write for several.
      delayMs: () => 50,
    },
  },
  async reconcile(key, deps: D) {
    if (key.startsWith(ORPHAN)) {
      const { name, namespace } = splitKey(key.slice(ORPHAN.length));
      const pod = deps.informers.pods.get(name, namespace);
      if (pod && isStray(deps, pod)) await untrack(deps, '', pod);
      return;
    }
    const { name, namespace } = splitKey(key);
    const job = deps.informers.jobs.get(name, namespace);
    if (!job) {
      deps.state.delete(key);
      return deps.expectations.forget(key);
    }
    if ((job.spec?.managedBy ?? MANAGER) !== MANAGER || isJobFinished(job) || !deps.expectations.satisfied(key)) return;
    return sync(deps, key, job);
  },
});
