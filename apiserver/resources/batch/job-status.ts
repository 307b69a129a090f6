/** What a job's status may say; jobs may be run by other controllers than the own one, so all of it is checked. */
import type { DeepReadonly, Job } from '../../../api/types.ts';
import { semanticEqual } from '../../../api/meta.ts';
import { nonNegative } from '../apps/workload.ts';
import type { Field } from '../validation/field.ts';
import { countIndexes, parseInterval } from './job-spec.ts';

type Old = DeepReadonly<Job>;
export const hasCondition = (job: Old, type: string, status = 'True') =>
  job.status?.conditions?.some((c) => c.type === type && c.status === status) ?? false;
const isFinished = (job: Old) => hasCondition(job, 'Complete') || hasCondition(job, 'Failed');
const time = (t: string | undefined) => (t === undefined ? undefined : Date.parse(t));

function overlap(completed: string, failed: string, completions: number): boolean {
  const read = (text: string) =>
    text
      .split(',')
      .map((p) => parseInterval(p, completions))
      .filter((p) => typeof p !== 'string');
  return read(completed).some(([a, b]) => read(failed).some(([c, d]) => a <= d && c <= b));
}

/** Rules about changed parts only: what was stored may stay. */
export function jobStatus(f: Field<Job>, old: Old): void {
  const job = f.value!;
  const s = f.get('status');
  const status = job.status ?? {};
  const before = old.status ?? {};
  const spec = job.spec!;
  nonNegative(s, 'active', 'succeeded', 'failed', 'ready', 'terminating');
  const seen = new Set<string>();
  for (const k of ['succeeded', 'failed'] as const) {
    s.get('uncountedTerminatedPods')
      .get(k)
      .each((uid) => {
        if (!uid.value) uid.invalid('must not be empty');
        else if (seen.has(uid.value)) uid.duplicate();
        seen.add(uid.value!);
      });
  }
  const conditions = s.get('conditions');
  const is = (type: string) => hasCondition(job, type);
  const flipped = (type: string) => is(type) !== hasCondition(old, type);
  const finished = isFinished(job);
  const finishChanged = finished !== isFinished(old);
  const changed = (k: keyof typeof status) => !semanticEqual(status[k], before[k]);
  const complain = (when: boolean, condition: boolean, detail: string) => {
    if (when && condition) conditions.invalid(detail, undefined);
  };
  complain(
    flipped('Complete') || flipped('Failed'),
    is('Complete') && is('Failed'),
    'cannot set Complete=True and Failed=true conditions',
  );
  complain(
    flipped('Complete') || flipped('FailureTarget'),
    is('Complete') && is('FailureTarget'),
    'cannot set Complete=True and FailureTarget=true conditions',
  );
  const completion = s.get('completionTime');
  if (flipped('Complete') || changed('completionTime')) {
    if (completion.isSet && !is('Complete'))
      completion.invalid('cannot set completionTime when there is no Complete=True condition');
    if (!completion.isSet && is('Complete')) completion.missing('completionTime is required for Complete jobs');
  }
  if (changed('startTime') || changed('completionTime')) {
    const [start, end] = [time(status.startTime), time(status.completionTime)];
    if (start !== undefined && end !== undefined && end < start)
      completion.invalid('must be equal to or after `startTime`');
  }
  complain(
    flipped('Failed') || changed('failedIndexes'),
    is('Failed') && !is('FailureTarget'),
    'cannot set Failed=True condition without the FailureTarget=true condition',
  );
  complain(
    flipped('Complete') || flipped('SuccessCriteriaMet'),
    is('Complete') && !is('SuccessCriteriaMet'),
    'cannot set Complete=True condition without the SuccessCriteriaMet=true condition',
  );
  if ((finishChanged || changed('active')) && finished && (status.active ?? 0) > 0)
    s.get('active').invalid('active>0 is invalid for finished job');
  const idle = spec.suspend && spec.completions === 0;
  if ((finishChanged || changed('startTime')) && !idle && finished && !status.startTime)
    s.get('startTime').missing('startTime is required for finished job');
  const uncounted = status.uncountedTerminatedPods;
  if (
    (finishChanged || changed('uncountedTerminatedPods')) &&
    finished &&
    (uncounted?.failed?.length ?? 0) + (uncounted?.succeeded?.length ?? 0) > 0
  ) {
    s.get('uncountedTerminatedPods').invalid('must be empty for finished job');
  }
  indexes(f, old);
  if ((finishChanged || changed('terminating')) && finished && (status.terminating ?? 0) > 0)
    s.get('terminating').invalid('terminating>0 is invalid for finished job');
  if ((changed('ready') || changed('active')) && status.ready !== undefined && status.ready > (status.active ?? 0))
    s.get('ready').invalid('cannot set more ready pods than active');
  complain(
    true,
    is('SuccessCriteriaMet') && is('Failed'),
    'cannot set SuccessCriteriaMet=True and Failed=true conditions',
  );
  complain(
    true,
    is('SuccessCriteriaMet') && is('FailureTarget'),
    'cannot set SuccessCriteriaMet=True and FailureTarget=true conditions',
  );
  complain(
    !!spec.successPolicy,
    !is('SuccessCriteriaMet') && is('Complete'),
    'cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True',
  );
  transitions(f, old);
}

function indexes(f: Field<Job>, old: Old): void {
  const s = f.get('status');
  const { completedIndexes = '', failedIndexes } = f.value?.status ?? {};
  const { completions, completionMode, backoffLimitPerIndex } = f.value?.spec ?? {};
  const completedChanged = completedIndexes !== (old.status?.completedIndexes ?? '');
  const failedChanged = failedIndexes !== old.status?.failedIndexes;
  if (completedChanged) {
    const n = completions === undefined ? 0 : countIndexes(completedIndexes, completions);
    if (typeof n === 'string') s.get('completedIndexes').invalid(`error parsing completedIndexes: ${n}`);
    if (completedIndexes !== '' && completionMode !== 'Indexed')
      s.get('completedIndexes').invalid('cannot set non-empty completedIndexes when non-indexed completion mode');
  }
  if (failedChanged && failedIndexes !== undefined) {
    const n =
      completions === undefined || backoffLimitPerIndex === undefined ? 0 : countIndexes(failedIndexes, completions);
    if (typeof n === 'string') s.get('failedIndexes').invalid(`error parsing failedIndexes: ${n}`);
    if (backoffLimitPerIndex === undefined)
      s.get('failedIndexes').invalid('cannot set non-null failedIndexes when backoffLimitPerIndex is null');
  }
  if (
    (completedChanged || failedChanged) &&
    completions !== undefined &&
    failedIndexes &&
    completedIndexes &&
    overlap(completedIndexes, failedIndexes, completions)
  ) {
    s.get('failedIndexes').invalid('failedIndexes and completedIndexes overlap');
  }
}

function transitions(f: Field<Job>, old: Old): void {
  const s = f.get('status');
  const job = f.value!;
  const status = job.status ?? {};
  const before = old.status ?? {};
  const spec = job.spec!;
  for (const type of ['Failed', 'Complete', 'FailureTarget', 'SuccessCriteriaMet']) {
    if (hasCondition(old, type) && !hasCondition(job, type))
      s.get('conditions').invalid(`cannot disable the terminal ${type}=True condition`, undefined);
  }
  if ((status.failed ?? 0) < (before.failed ?? 0))
    s.get('failed').invalid('cannot decrease the failed counter', status.failed ?? 0);
  const elastic = spec.completionMode === 'Indexed' && spec.completions === spec.parallelism;
  if (!elastic && (status.succeeded ?? 0) < (before.succeeded ?? 0))
    s.get('succeeded').invalid('cannot decrease the succeeded counter', status.succeeded ?? 0);
  if (status.completionTime && before.completionTime && time(status.completionTime) !== time(before.completionTime))
    s.get('completionTime').invalid('field is immutable');
  const resuming = hasCondition(old, 'Suspended') && hasCondition(job, 'Suspended', 'False');
  if (before.startTime && time(before.startTime) !== time(status.startTime) && !spec.suspend && !resuming) {
    s.get('startTime').invalid('field is immutable for unsuspended job once set');
  }
  if (
    hasCondition(old, 'Complete') &&
    !hasCondition(old, 'SuccessCriteriaMet') &&
    hasCondition(job, 'SuccessCriteriaMet')
  ) {
    s.get('conditions').invalid(
      'cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions',
      undefined,
    );
  }
}
