/** A job's spec, alone or in a CronJob. */
import type * as k8s from '@kubernetes/client-node';
import type { Job, Json, PodTemplateSpec } from '../../../api/types.ts';
import { nonNegative } from '../apps/workload.ts';
import { podSpecDefaults } from '../pods/defaults.ts';
import { podTemplate } from '../pods/template.ts';
import type { Field } from '../validation/field.ts';
import { qualifiedName } from '../validation/names.ts';
import { domainPrefixedPath } from '../validation/values.ts';

export type JobSpec = NonNullable<Job['spec']>;

const MAX_INDEXED = 100_000;
const MAX_WITH_MANY_COMPLETIONS = 10_000;

function counts(s: Field<JobSpec>): void {
  nonNegative(
    s,
    'parallelism',
    'completions',
    'activeDeadlineSeconds',
    'backoffLimit',
    'ttlSecondsAfterFinished',
    'backoffLimitPerIndex',
    'maxFailedIndexes',
  );
  const { completions, parallelism = 0, maxFailedIndexes, backoffLimitPerIndex, completionMode } = s.value!;
  const perIndex = s.get('backoffLimitPerIndex');
  const failed = s.get('maxFailedIndexes');
  if (failed.isSet && !perIndex.isSet) perIndex.missing('when maxFailedIndexes is specified');
  s.get('completionMode').oneOf(['NonIndexed', 'Indexed']);
  if (completionMode === 'Indexed') {
    if (completions === undefined) s.get('completions').missing('when completion mode is Indexed');
    if (parallelism > MAX_INDEXED)
      s.get('parallelism').invalid(`must be less than or equal to ${MAX_INDEXED} when completion mode is Indexed`);
    if (maxFailedIndexes !== undefined) {
      if (completions !== undefined && maxFailedIndexes > completions)
        failed.invalid('must be less than or equal to completions');
      if (maxFailedIndexes > MAX_INDEXED) failed.invalid(`must be less than or equal to ${MAX_INDEXED}`);
    }
    if ((completions ?? 0) > MAX_INDEXED && backoffLimitPerIndex !== undefined) {
      const limit = `must be less than or equal to ${MAX_WITH_MANY_COMPLETIONS} when completions are above ${MAX_INDEXED} and used with backoff limit per index`;
      if (maxFailedIndexes === undefined) failed.missing(`must be specified when completions is above ${MAX_INDEXED}`);
      else if (maxFailedIndexes > MAX_WITH_MANY_COMPLETIONS) failed.invalid(limit);
      if (parallelism > MAX_WITH_MANY_COMPLETIONS) s.get('parallelism').invalid(limit);
    }
  }
  if (completionMode === undefined || completionMode === 'NonIndexed') {
    for (const f of [perIndex, failed]) if (f.isSet) f.invalid('requires indexed completion mode');
  }
}

type FailureRule = Json<k8s.V1PodFailurePolicyRule>;
const ACTIONS = ['Count', 'FailIndex', 'FailJob', 'Ignore'];

function failureRule(r: Field<FailureRule>, s: JobSpec): void {
  const action = r.get('action');
  action.enumerated(ACTIONS);
  if (action.value === 'FailIndex' && s.backoffLimitPerIndex === undefined)
    action.invalid('requires the backoffLimitPerIndex to be set');
  const codes = r.get('onExitCodes');
  const conditions = r.get('onPodConditions');
  if (codes.isSet) exitCodes(codes, s);
  conditions.maxItems(20).each((c) => {
    c.get('type').formatAll(qualifiedName);
    c.get('status').enumerated(['False', 'True', 'Unknown']);
  });
  if (codes.isSet && !conditions.isEmpty) r.invalid('specifying both OnExitCodes and OnPodConditions is not supported');
  if (!codes.isSet && conditions.isEmpty) r.invalid('specifying one of OnExitCodes and OnPodConditions is required');
}

function exitCodes(f: Field<Json<k8s.V1PodFailurePolicyOnExitCodesRequirement>>, s: JobSpec): void {
  f.get('operator').enumerated(['In', 'NotIn']);
  const pod = s.template?.spec;
  const names = [...(pod?.containers ?? []), ...(pod?.initContainers ?? [])].map((c) => c.name);
  const container = f.get('containerName');
  if (container.isSet && !names.includes(container.value!))
    container.invalid('must be one of the container or initContainer names in the pod template');
  const values = f.get('values');
  values.check(!values.isEmpty, 'at least one value is required').maxItems(255);
  const seen = new Set<number>();
  values.each((v) => {
    const n = v.value as number;
    if (f.value?.operator === 'In' && n === 0) v.invalid('must not be 0 for the In operator');
    if (seen.has(n)) v.duplicate();
    seen.add(n);
  });
  const list = (values.value ?? []) as number[];
  if (list.some((n, i) => i > 0 && list[i - 1]! > n)) values.invalid('must be ordered');
}

/** Counts the indexes of a text such as `1,3-5`; a string says what is wrong. */
export function countIndexes(text: string, completions: number): number | string {
  if (text === '') return 0;
  let total = 0;
  let last = -1;
  for (const part of text.split(',')) {
    const interval = parseInterval(part, completions);
    if (typeof interval === 'string') return interval;
    const [from, to] = interval;
    if (last >= from) return `non-increasing order, previous: ${last}, current: ${from}`;
    total += to - from + 1;
    last = to;
  }
  return total;
}

/** `3` or `2-5`, both ends within; the text of the complaint for what is neither. */
export function parseInterval(part: string, completions: number): [number, number] | string {
  const limits = part.split('-');
  if (limits.length > 2) return `the fragment ${JSON.stringify(part)} has more than two parts separated by '-'`;
  const numbers: number[] = [];
  for (const l of limits) {
    if (!/^\+?\d+$/.test(l)) return `cannot convert string to integer for index: ${JSON.stringify(l)}`;
    if (Number(l) >= completions) return `too large index: ${JSON.stringify(l)}`;
    numbers.push(Number(l));
  }
  const [from, to = from] = numbers as [number, number?];
  if (limits.length === 2 && from >= to!) return `non-increasing order, previous: ${from}, current: ${to}`;
  return [from, to!];
}

function successPolicy(f: Field<Json<k8s.V1SuccessPolicy>>, s: JobSpec): void {
  if (s.completionMode !== 'Indexed') return void f.invalid('requires indexed completion mode');
  const completions = s.completions ?? 0;
  const list = f.get('rules');
  list.required('at least one rules must be specified when the successPolicy is specified');
  list.maxItems(20).each((r) => {
    const count = r.get('succeededCount');
    const indexes = r.get('succeededIndexes');
    if (!count.isSet && !indexes.isSet)
      r.missing('at least one of succeededCount or succeededIndexes must be specified');
    let total = 0;
    if (indexes.isSet) {
      indexes.maxLength(64 * 1024);
      const n = countIndexes(indexes.value!, completions);
      if (typeof n === 'string') indexes.invalid(`error parsing succeededIndexes: ${n}`);
      else total = n;
    }
    if (!count.isSet) return;
    count.nonNegative();
    if (count.value! > completions)
      count.invalid(`must be less than or equal to ${completions} (the number of specified completions)`);
    if (indexes.isSet && count.value! > total)
      count.invalid(
        `must be less than or equal to ${total} (the number of indexes in the specified succeededIndexes field)`,
      );
  });
}

/** All rules that don't depend on the selector. */
export function jobSpec(s: Field<JobSpec>): void {
  const value = s.value!;
  counts(s);
  const manager = s.get('managedBy');
  if (manager.isSet) {
    domainPrefixedPath(manager);
    manager.maxLength(63);
  }
  s.get('podFailurePolicy').with((p) =>
    p
      .get('rules')
      .maxItems(20)
      .each((r) => failureRule(r, value)),
  );
  s.get('successPolicy').with((p) => successPolicy(p, value));
  s.get('podReplacementPolicy').oneOf(value.podFailurePolicy ? ['Failed'] : ['Failed', 'TerminatingOrFailed']);
  const template = s.get('template') as Field<PodTemplateSpec>;
  podTemplate(template);
  const policy = template.get('spec').get('restartPolicy');
  if (!policy.value || policy.value === 'Always') policy.missing('valid values: "OnFailure", "Never"');
  else if (policy.value !== 'OnFailure' && policy.value !== 'Never') policy.notSupported(['OnFailure', 'Never']);
  else if (value.podFailurePolicy && policy.value !== 'Never')
    policy.invalid('only "Never" is supported when podFailurePolicy is specified');
}

/** Defaults of a job's spec; in a CronJob only the pod template has any. */
export function jobTemplateDefaults(s: JobSpec): void {
  podSpecDefaults(((s.template ??= {} as PodTemplateSpec).spec ??= { containers: [] }));
  for (const r of s.podFailurePolicy?.rules ?? []) for (const c of r.onPodConditions ?? []) c.status ||= 'True';
}

/** Defaults that depend on other fields. */
export function jobDefaults(job: Job): void {
  const s = (job.spec ??= {} as JobSpec);
  if (s.completions === undefined && s.parallelism === undefined) s.completions = 1;
  s.parallelism ??= 1;
  s.backoffLimit ??= s.backoffLimitPerIndex === undefined ? 6 : 2147483647;
  const labels = s.template?.metadata?.labels;
  if (labels && Object.keys(job.metadata?.labels ?? {}).length === 0) (job.metadata ??= {}).labels = { ...labels };
  s.completionMode ??= 'NonIndexed';
  s.suspend ??= false;
  s.podReplacementPolicy ??= s.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed';
  s.manualSelector ??= false;
  jobTemplateDefaults(s);
}

/** Warnings that jobs have besides those of their pods. */
export function jobWarnings(s: JobSpec | undefined, path: string): string[] {
  const { completions = 0, parallelism = 0, completionMode } = s ?? {};
  if (completionMode !== 'Indexed' || completions <= MAX_INDEXED || parallelism <= MAX_WITH_MANY_COMPLETIONS) return [];
  return [
    `${path}: In Indexed Jobs with a number of completions higher than ${MAX_INDEXED} and a parallelism higher than ${MAX_WITH_MANY_COMPLETIONS} the completed indexes may not be tracked correctly`,
  ];
}
