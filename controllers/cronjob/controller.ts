/** Starts Jobs by the clock. */
import { isAlreadyExists, isNotFound } from '../../api/status.ts';
import type { CronJob, DeepReadonly, Job } from '../../api/types.ts';
import { formatTime } from '../../base/clock.ts';
import { splitKey, type Informer } from '../../client/informer.ts';
import { cronJobs, jobs } from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import type { JobView } from '../job/policies.ts';
import { isJobFinished, trueCondition } from '../job/verdict.ts';
import {
  body,
  byAge,
  controllerRef,
  createTimestamp,
  isControlledBy,
  isDeleting,
  meta,
  millis,
  semanticEqual,
} from '../lib/meta.ts';
import { controlledBy, ownerKeys } from '../lib/ownership.ts';
import { errorText, isNamespaceTerminating } from '../lib/podcontrol.ts';
import { concurrency } from '../options.ts';
import { isTimeZone, mostRecent, parseSchedule, type Schedule } from './schedule.ts';

const KIND = { apiVersion: 'batch/v1', kind: 'CronJob' };
const SCHEDULED = 'batch.kubernetes.io/cronjob-scheduled-timestamp';
/** Looks a little after the time, never before it. */
const DELTA_MS = 100;

const inputs = { cronJobs, jobs };
type D = Deps<typeof inputs, undefined>;
type CronJobView = DeepReadonly<CronJob>;
type Status = NonNullable<CronJob['status']>;

function event(deps: D, cron: CronJobView, type: 'Normal' | 'Warning', reason: string, message: string): void {
  deps.recorder.event(cron, type, reason, message, KIND);
}

/** The time in the CronJob's zone, with its offset from UTC. */
export function formatInZone(ms: number, timeZone: string | undefined): string {
  if (!timeZone || timeZone === 'UTC' || timeZone === 'Etc/UTC') return formatTime(ms);
  const p = Object.fromEntries(
    new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    })
      .formatToParts(ms)
      .map((x) => [x.type, x.value]),
  );
  const wall = `${p['year']}-${p['month']}-${p['day']}T${p['hour']}:${p['minute']}:${p['second']}`;
  const offset = Math.round((Date.parse(`${wall}Z`) - Math.floor(ms / 1000) * 1000) / 60_000);
  if (offset === 0) return `${wall}Z`;
  const abs = Math.abs(offset);
  return `${wall}${offset < 0 ? '-' : '+'}${String(Math.floor(abs / 60)).padStart(2, '0')}:${String(abs % 60).padStart(2, '0')}`;
}

const jobName = (cron: CronJobView, at: number) => `${meta(cron).name}-${Math.floor(at / 60_000)}`;

function jobFor(cron: CronJobView, at: number): Job {
  const template = body<CronJob>(cron).spec!.jobTemplate;
  return {
    metadata: {
      name: jobName(cron, at),
      namespace: meta(cron).namespace,
      labels: { ...template.metadata?.labels },
      annotations: { ...template.metadata?.annotations, [SCHEDULED]: formatInZone(at, cron.spec?.timeZone) },
      ownerReferences: [controllerRef(cron, KIND.apiVersion, KIND.kind)],
    },
    spec: template.spec,
  };
}

async function deleteJob(deps: D, cron: CronJobView, job: JobView): Promise<void> {
  const { name, namespace } = meta(job);
  try {
    await deps.client.delete(jobs, name, { namespace, propagationPolicy: 'Background' });
    event(deps, cron, 'Normal', 'SuccessfulDelete', `Deleted job ${name}`);
  } catch (error) {
    if (isNotFound(error)) return;
    event(deps, cron, 'Warning', 'FailedDelete', `Deleted job: ${errorText(error)}`);
    throw error;
  }
}

/** Keeps the list of running Jobs and the time of the last success. */
async function review(deps: D, cron: CronJobView, children: readonly JobView[], status: Status): Promise<void> {
  let active = [...(status.active ?? [])];
  const drop = (uid: string) => (active = active.filter((r) => r.uid !== uid));
  for (const job of children) {
    const { uid, name } = meta(job);
    const listed = active.some((r) => r.uid === uid);
    if (!isJobFinished(job)) {
      if (!listed) {
        // Our own status write may not have reached the cache.
        const fresh = await deps.client.get(cronJobs, meta(cron).name, meta(cron).namespace);
        const known = fresh.status?.active?.find((r) => r.uid === uid);
        if (known) active.push(known);
        else
          event(
            deps,
            cron,
            'Warning',
            'UnexpectedJob',
            `Saw a job that the controller did not create or forgot: ${name}`,
          );
      }
      continue;
    }
    const complete = trueCondition(job, 'Complete') !== undefined;
    if (listed) {
      drop(uid);
      event(
        deps,
        cron,
        'Normal',
        'SawCompletedJob',
        `Saw completed job: ${name}, condition: ${complete ? 'Complete' : 'Failed'}`,
      );
    }
    const end = job.status?.completionTime;
    if (complete && end && (status.lastSuccessfulTime === undefined || millis(end) > millis(status.lastSuccessfulTime)))
      status.lastSuccessfulTime = end;
  }
  for (const ref of active) {
    if (children.some((j) => meta(j).uid === ref.uid)) continue;
    try {
      await deps.client.get(jobs, ref.name!, ref.namespace);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      event(deps, cron, 'Normal', 'MissingJob', `Active job went missing: ${ref.name}`);
      drop(ref.uid!);
    }
  }
  status.active = active;
}

async function trimHistory(deps: D, cron: CronJobView, children: readonly JobView[]): Promise<void> {
  const finished = children.filter((j) => !isDeleting(j));
  const trim = async (list: JobView[], limit: number | undefined) => {
    if (limit === undefined || list.length <= limit) return;
    const started = (j: JobView) => (j.status?.startTime ? millis(j.status.startTime) : createTimestamp(j));
    for (const job of list.toSorted((a, b) => started(a) - started(b) || byAge(a, b)).slice(0, list.length - limit))
      await deleteJob(deps, cron, job);
  };
  await trim(
    finished.filter((j) => trueCondition(j, 'Complete')),
    cron.spec?.successfulJobsHistoryLimit,
  );
  await trim(
    finished.filter((j) => trueCondition(j, 'Failed')),
    cron.spec?.failedJobsHistoryLimit,
  );
}

/** Milliseconds until the schedule is to be looked at again. */
function waitFor(cron: CronJobView, status: Status, schedule: Schedule, now: number): number | undefined {
  const start = status.lastScheduleTime ? millis(status.lastScheduleTime) : createTimestamp(cron);
  const { due } = mostRecent(schedule, start, now);
  const next = schedule.next(Math.max(due ?? start, start));
  const later = next !== undefined && next <= now ? schedule.next(now) : next;
  return later === undefined ? undefined : later - now + DELTA_MS;
}

async function startDue(deps: D, cron: CronJobView, status: Status, schedule: Schedule, now: number): Promise<void> {
  const spec = cron.spec!;
  let earliest = status.lastScheduleTime ? millis(status.lastScheduleTime) : createTimestamp(cron);
  const deadline = spec.startingDeadlineSeconds;
  if (deadline !== undefined) earliest = Math.max(earliest, now - deadline * 1000);
  const { due, tooMany } = mostRecent(schedule, earliest, now);
  if (due === undefined) return;
  if (tooMany)
    event(
      deps,
      cron,
      'Warning',
      'TooManyMissedTimes',
      'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew',
    );
  if (deadline !== undefined && due + deadline * 1000 < now) {
    event(
      deps,
      cron,
      'Warning',
      'MissSchedule',
      `Missed scheduled time to start a job: ${new Date(due).toUTCString().replace('GMT', '+0000')}`,
    );
    return;
  }
  const active = status.active ?? [];
  if (
    active.some((r) => r.name === jobName(cron, due)) ||
    (status.lastScheduleTime && millis(status.lastScheduleTime) === due)
  )
    return;
  if (spec.concurrencyPolicy === 'Forbid' && active.length > 0) {
    event(
      deps,
      cron,
      'Normal',
      'JobAlreadyActive',
      'Not starting job because prior execution is running and concurrency policy is Forbid',
    );
    return;
  }
  if (spec.concurrencyPolicy === 'Replace') {
    for (const ref of active) {
      try {
        await deleteJob(deps, cron, await deps.client.get(jobs, ref.name!, ref.namespace));
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    status.active = [];
  }
  let job: Job;
  try {
    job = await deps.client.create(jobs, jobFor(cron, due));
    event(deps, cron, 'Normal', 'SuccessfulCreate', `Created job ${meta(job).name}`);
  } catch (error) {
    if (isNamespaceTerminating(error)) return;
    if (!isAlreadyExists(error)) {
      event(deps, cron, 'Warning', 'FailedCreate', `Error creating job: ${errorText(error)}`);
      throw error;
    }
    job = await deps.client.get(jobs, jobName(cron, due), meta(cron).namespace);
    if (!isControlledBy(job, meta(cron).uid)) return;
  }
  deps.expectations.wrote(
    `${meta(cron).namespace}/${meta(cron).name}`,
    deps.informers.jobs as unknown as Informer<object>,
    job,
  );
  const { name, namespace, uid, resourceVersion } = meta(job);
  if (!isJobFinished(job))
    status.active = [
      ...(status.active ?? []),
      { apiVersion: 'batch/v1', kind: 'Job', name, namespace, uid, resourceVersion },
    ];
  status.lastScheduleTime = formatTime(due);
}

export const cronJobController = defineController({
  name: 'cronjob-controller',
  account: 'cronjob-controller',
  inputs,
  outputs: ['create,delete,get jobs.batch', 'update cronjobs/status.batch'],
  workers: concurrency('cron-job'),
  triggers: {
    cronJobs: 'self',
    jobs: (job, deps: D) => ownerKeys(job, KIND.kind, deps.informers.cronJobs),
  },
  async reconcile(key, deps: D): Promise<Result | void> {
    const { informers, expectations, clock, client } = deps;
    const { name, namespace } = splitKey(key);
    const cron = informers.cronJobs.get(name, namespace);
    if (!cron) return expectations.forget(key);
    if (!expectations.satisfied(key)) return;
    const children = controlledBy(informers.jobs, meta(cron).uid);
    const now = clock.now();
    const status: Status = { ...body<Status>(cron.status ?? {}) };
    await review(deps, cron, children, status);
    let wait: number | undefined;
    const zone = cron.spec?.timeZone;
    let failure: unknown;
    if (!isDeleting(cron)) {
      if (zone !== undefined && !isTimeZone(zone))
        event(
          deps,
          cron,
          'Warning',
          'UnknownTimeZone',
          `invalid timeZone: ${JSON.stringify(zone)}: unknown time zone ${zone}`,
        );
      else if (!cron.spec?.suspend) {
        let schedule: Schedule | undefined;
        try {
          schedule = parseSchedule(cron.spec?.schedule ?? '', zone);
        } catch (error) {
          event(
            deps,
            cron,
            'Warning',
            'UnparseableSchedule',
            `unparseable schedule: ${JSON.stringify(cron.spec?.schedule)} : ${errorText(error)}`,
          );
        }
        if (schedule) {
          try {
            await startDue(deps, cron, status, schedule, now);
          } catch (error) {
            failure = error;
          }
          wait = waitFor(cron, status, schedule, now);
        }
      }
    }
    await trimHistory(deps, cron, children);
    if (!semanticEqual(cron.status ?? {}, status)) {
      const written = await client.updateStatus(cronJobs, { ...body<CronJob>(cron), status });
      expectations.wrote(key, informers.cronJobs as unknown as Informer<object>, written);
    }
    if (failure !== undefined) throw failure;
    return wait === undefined ? undefined : { requeueAfterMs: wait };
  },
});
