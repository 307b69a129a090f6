/** Jobs and CronJobs. */
import { deepCopy, semanticEqual } from '../../../api/meta.ts';
import type { CronJob, DeepReadonly, Job, PodTemplateSpec } from '../../../api/types.ts';
import { podNameWarning, templateWarnings, wideCells, type WorkloadSpec } from '../apps/workload.ts';
import { define, specAndStatus, statusEndpoint } from '../define.ts';
import { rules, statusRules } from '../rules.ts';
import { age, humanDuration, nameOf, NONE, since, UNSET } from '../table.ts';
import { Field } from '../validation/field.ts';
import { dns1123Label } from '../validation/names.ts';
import { labelSelector, selectorMatches, type Labels } from '../validation/values.ts';
import { jobDefaults, jobSpec, jobTemplateDefaults, jobWarnings, type JobSpec } from './job-spec.ts';
import { hasCondition, jobStatus } from './job-status.ts';
import { isTimeZone, scheduleError } from './schedule.ts';

type Old = DeepReadonly<Job>;
const UID_LABELS = ['controller-uid', 'batch.kubernetes.io/controller-uid'];
const NAME_LABELS = ['job-name', 'batch.kubernetes.io/job-name'];

/** Pods of a job are found by its uid, unless people choose the selector themselves. */
function generateSelector(job: Job): void {
  const spec = job.spec!;
  if (spec.manualSelector) return;
  const labels = ((spec.template.metadata ??= {}).labels ??= {});
  for (const k of NAME_LABELS) labels[k] ??= job.metadata?.name ?? '';
  for (const k of UID_LABELS) labels[k] ??= job.metadata?.uid ?? '';
  const match = ((spec.selector ??= {}).matchLabels ??= {});
  match[UID_LABELS[1]!] ??= job.metadata?.uid ?? '';
}

/** What is no selector matches nothing, and is complained of as such only. */
function isSelector(f: Field<unknown>): boolean {
  const errors: Field<unknown>['errors'] = [];
  labelSelector(new Field(f.value, errors) as never);
  return errors.length === 0;
}

function generatedSelector(f: Field<Job>, old: Old | undefined): void {
  const job = f.value!;
  if (job.spec?.manualSelector || !job.spec?.selector) return;
  const had = (k: string) => !old || old.spec?.template?.metadata?.labels?.[k] !== undefined;
  const prefixed = had(UID_LABELS[1]!) && had(NAME_LABELS[1]!);
  const labels = job.spec.template?.metadata?.labels as Labels | undefined;
  const at = f.get('spec').named('template').named('metadata').named('labels');
  const expected: Labels = {};
  const want = (k: string, v: string) => {
    expected[k] = v;
    if (labels?.[k] === undefined) at.key(k, '').missing(`must be '${v}'`);
    else if (labels[k] !== v) at.key(k, labels).invalid(`must be '${v}'`);
  };
  for (const k of prefixed ? UID_LABELS : UID_LABELS.slice(0, 1)) want(k, job.metadata?.uid ?? '');
  for (const k of prefixed ? NAME_LABELS : NAME_LABELS.slice(0, 1)) want(k, job.metadata?.name ?? '');
  if (isSelector(f.get('spec').get('selector')) && !selectorMatches(job.spec.selector as never, expected))
    f.get('spec').get('selector').invalid('`selector` not auto-generated');
}

function always(f: Field<Job>, old: Old | undefined): void {
  generatedSelector(f, old);
  const s = f.get('spec') as Field<JobSpec>;
  jobSpec(s);
  const selector = s.get('selector');
  if (!selector.isSet) selector.missing();
  labelSelector(selector as never);
  const labels = s.value?.template?.metadata?.labels as Labels | undefined;
  if (!selector.isSet || (isSelector(selector) && !selectorMatches(selector.value as never, labels))) {
    s.named('template')
      .named('metadata')
      .named('labels', labels ?? {})
      .invalid('`selector` does not match template `labels`');
  }
  const { completionMode, completions = 0 } = s.value!;
  if (
    completionMode === 'Indexed' &&
    completions > 0 &&
    dns1123Label(`${nameOf(f.value!)}-${completions - 1}`).length > 0
  ) {
    f.get('metadata')
      .get('name')
      .invalid(`will not able to create pod with invalid DNS label: ${nameOf(f.value!)}-${completions - 1}`);
  }
}

/** A suspended job that has no pods may still be placed elsewhere and given other resources. */
function templateMayChange(old: Old): boolean {
  return !!old.spec?.suspend && (!old.status?.startTime || hasCondition(old, 'Suspended')) && !old.status?.active;
}

function update(f: Field<Job>, old: Old): void {
  const s = f.get('spec') as Field<JobSpec>;
  const before = old.spec as JobSpec;
  const now = s.value!;
  const completions = s.get('completions');
  if (now.completionMode !== 'Indexed') completions.immutable(before.completions);
  else if (
    now.completions !== undefined &&
    now.completions !== before.completions &&
    now.completions !== now.parallelism
  ) {
    completions.invalid('can only be modified in tandem with spec.parallelism');
  }
  for (const k of [
    'selector',
    'completionMode',
    'podFailurePolicy',
    'backoffLimitPerIndex',
    'managedBy',
    'successPolicy',
  ] as const)
    s.get(k).immutable(before[k]);
  const template = s.get('template') as Field<PodTemplateSpec>;
  const mutable = templateMayChange(old);
  const expected = mutable ? withDirectives(before.template, now.template) : before.template;
  if (!before.suspend || !mutable) template.immutable(expected);
  else if (!semanticEqual(withResources(expected, now.template).spec, now.template.spec))
    s.named('template.spec', now.template.spec).invalid('field is immutable');
}

/** The old template with the new one's scheduling directives. */
function withDirectives(old: PodTemplateSpec, now: PodTemplateSpec): PodTemplateSpec {
  const copy = deepCopy(old) as PodTemplateSpec;
  const spec = copy.spec!;
  const { nodeSelector, tolerations, schedulingGates, affinity } = now.spec ?? { containers: [] };
  const { nodeAffinity: _old, ...others } = spec.affinity ?? {};
  const node = affinity?.nodeAffinity ? { nodeAffinity: affinity.nodeAffinity } : {};
  if (affinity || Object.keys(others).length > 0) spec.affinity = { ...others, ...node };
  else delete spec.affinity;
  Object.assign(spec, { nodeSelector, tolerations, schedulingGates });
  copy.metadata = { ...copy.metadata, labels: now.metadata?.labels, annotations: now.metadata?.annotations };
  return copy;
}

function withResources(old: PodTemplateSpec, now: PodTemplateSpec): PodTemplateSpec {
  const copy = deepCopy(old) as PodTemplateSpec;
  for (const list of ['containers', 'initContainers'] as const) {
    const [a, b] = [copy.spec?.[list], now.spec?.[list]];
    if (a?.length !== b?.length) continue;
    a?.forEach((c, i) => {
      if (c.name === b?.[i]?.name) c.resources = b[i].resources;
    });
  }
  return copy;
}

function jobState(job: Old): string {
  if (hasCondition(job, 'Complete')) return 'Complete';
  if (hasCondition(job, 'Failed')) return 'Failed';
  if (job.metadata?.deletionTimestamp) return 'Terminating';
  return ['Suspended', 'FailureTarget', 'SuccessCriteriaMet'].find((t) => hasCondition(job, t)) ?? 'Running';
}

const base = specAndStatus<Job>();

export const jobs = define<Job>('batch', 'jobs', 'Job', 'Namespaced', {
  defaultPropagation: 'Orphan',
  strategy: {
    ...base,
    defaults: jobDefaults,
    prepareForCreate(job, ctx) {
      generateSelector(job);
      base.prepareForCreate?.(job, ctx);
      // Its labels are the template's, which has some now.
      jobDefaults(job);
    },
    ...rules<Job>({ scope: 'Namespaced', always: (f, _ctx, old) => always(f, old), update }),
    warnings: (job, old) =>
      old && old.metadata?.generation === job.metadata?.generation
        ? []
        : [
            ...(old ? [] : podNameWarning(job.metadata?.name)),
            ...jobWarnings(job.spec, 'spec'),
            ...templateWarnings(job.spec?.template, 'spec.template'),
          ],
  },
  subresources: { status: statusEndpoint<Job>(statusRules<Job>(jobStatus)) },
  selectableFields: (job) => ({ 'status.successful': String(job.status?.succeeded ?? 0) }),
  table: {
    cells(job, now) {
      const { startTime, completionTime, succeeded = 0 } = job.status ?? {};
      const { completions, parallelism = 0 } = job.spec ?? {};
      const goal = completions !== undefined ? `${completions}` : parallelism > 1 ? `1 of ${parallelism}` : '1';
      const end = completionTime ? Date.parse(completionTime) : now;
      return [
        nameOf(job),
        jobState(job),
        `${succeeded}/${goal}`,
        startTime ? humanDuration(end - Date.parse(startTime)) : '',
        age(job, now),
        ...wideCells(job.spec as DeepReadonly<WorkloadSpec>),
      ];
    },
  },
});

const MAX_CRON_NAME = 52;

function timeZone(f: Field<string>): void {
  if (!f.isSet) return;
  const v = f.value!;
  if (v === '') return void f.invalid('timeZone must be nil or non-empty string');
  const wellFormed = v
    .split('/')
    .every((p) => p !== '.' && p !== '..' && !p.startsWith('-') && /^[A-Za-z.\-_0-9+]{1,14}$/.test(p));
  if (!wellFormed) return void f.invalid(`unknown time zone ${v}`);
  if (v.toLowerCase() === 'local')
    f.invalid('timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones');
  else if (!isTimeZone(v)) f.invalid(`unknown time zone ${v}`);
}

function cronSpec(f: Field<CronJob>, old: DeepReadonly<CronJob> | undefined): void {
  const s = f.get('spec');
  const schedule = s.get('schedule');
  if (schedule.need()) {
    const error = scheduleError(schedule.value!);
    if (error) schedule.invalid(error);
    const hadZone = old?.spec?.schedule?.includes('TZ');
    if (schedule.value!.includes('TZ')) {
      if (!hadZone) schedule.invalid('cannot use TZ or CRON_TZ in schedule, use timeZone field instead');
      else if (s.get('timeZone').isSet)
        schedule.invalid('cannot use both timeZone field and TZ or CRON_TZ in schedule');
    }
  }
  for (const k of ['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'] as const)
    s.get(k).nonNegative();
  if (!old || old.spec?.timeZone !== s.value?.timeZone) timeZone(s.get('timeZone'));
  s.get('concurrencyPolicy').enumerated(['Allow', 'Forbid', 'Replace']);
  const job = s.get('jobTemplate').get('spec') as Field<JobSpec>;
  jobSpec(job);
  if (job.get('selector').isSet) job.get('selector').invalid('`selector` will be auto-generated');
  if (job.value?.manualSelector) job.get('manualSelector').notSupported(['nil', 'false']);
}

export const cronJobs = define<CronJob>('batch', 'cronjobs', 'CronJob', 'Namespaced', {
  strategy: {
    ...specAndStatus<CronJob>(),
    defaults(c) {
      const s = (c.spec ??= {} as NonNullable<CronJob['spec']>);
      s.concurrencyPolicy ||= 'Allow';
      s.suspend ??= false;
      s.successfulJobsHistoryLimit ??= 3;
      s.failedJobsHistoryLimit ??= 1;
      jobTemplateDefaults(((s.jobTemplate ??= {}).spec ??= {} as JobSpec));
    },
    ...rules<CronJob>({
      scope: 'Namespaced',
      anyGenerateName: 'update',
      always: (f, _ctx, old) => cronSpec(f, old),
      create(f) {
        if (nameOf(f.value!).length > MAX_CRON_NAME)
          f.get('metadata').get('name').invalid(`must be no more than ${MAX_CRON_NAME} characters`);
      },
    }),
    warnings(c, old) {
      const template = c.spec?.jobTemplate?.spec;
      const changed = !old || old.metadata?.generation !== c.metadata?.generation;
      return [
        ...(old ? [] : podNameWarning(c.metadata?.name)),
        ...(changed
          ? [
              ...jobWarnings(template, 'spec.jobTemplate.spec'),
              ...templateWarnings(template?.template, 'spec.jobTemplate.spec.template'),
            ]
          : []),
        ...(old && c.spec?.schedule?.includes('TZ')
          ? [
              'cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details',
            ]
          : []),
      ];
    },
  },
  subresources: { status: statusEndpoint<CronJob>(statusRules<CronJob>()) },
  table: {
    cells: (c, now) => [
      nameOf(c),
      c.spec?.schedule ?? '',
      c.spec?.timeZone ?? NONE,
      c.spec?.suspend === undefined ? UNSET : c.spec.suspend ? 'True' : 'False',
      c.status?.active?.length ?? 0,
      c.status?.lastScheduleTime ? since(c.status.lastScheduleTime, now) : NONE,
      age(c, now),
      ...wideCells(c.spec?.jobTemplate?.spec as DeepReadonly<WorkloadSpec>),
    ],
  },
});
