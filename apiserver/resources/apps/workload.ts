/** What workloads have in common: a selector, a pod template, counts in their status. */
import { formatLabelSelector } from '../../../api/selectors.ts';
import type { DeepReadonly, KubeObject, LabelSelector, PodTemplateSpec } from '../../../api/types.ts';
import type { SubresourceDefinition } from '../../registry/definition.ts';
import { podTemplate, templateOptions } from '../pods/template.ts';
import { podWarnings } from '../pods/warnings.ts';
import { containerCells, selectorCell } from '../table.ts';
import { Field } from '../validation/field.ts';
import { dns1123Label } from '../validation/names.ts';
import { isEmptySelector, labelSelector, selectorMatches, type Labels } from '../validation/values.ts';

export interface WorkloadSpec {
  selector?: LabelSelector;
  template?: PodTemplateSpec;
  replicas?: number;
  minReadySeconds?: number;
  revisionHistoryLimit?: number;
}

/** Whether a selector can be read at all. */
export function isReadable(selector: LabelSelector | undefined): boolean {
  const f = new Field(selector, []);
  labelSelector(f);
  return f.errors.length === 0;
}

interface TemplateRules {
  /** What the complaint about an empty selector calls the kind. */
  kind: string;
  /** An absent selector is reported as missing. */
  selectorRequired?: boolean;
  /** The template to check when it isn't the one that stands there (claims of StatefulSets become volumes). */
  template?: PodTemplateSpec;
  /** The stored template was invalid already: its own rules are not applied again. */
  skipTemplate?: boolean;
}

/** Selector, template, and that one selects the other. */
export function selectorAndTemplate(spec: Field<WorkloadSpec>, rules: TemplateRules): void {
  const selector = spec.get('selector');
  if (!selector.isSet) {
    if (rules.selectorRequired !== false) selector.missing();
  } else {
    labelSelector(selector);
    if (isEmptySelector(selector.value)) selector.invalid(`empty selector is invalid for ${rules.kind}`);
  }
  const readable = isReadable(selector.value);
  if (!readable && rules.selectorRequired !== false) selector.invalid('invalid label selector');
  const template = spec.named('template', rules.template ?? spec.value?.template) as Field<PodTemplateSpec>;
  if (readable) {
    const labels = template.value?.metadata?.labels as Labels | undefined;
    // No selector selects nothing, an empty one everything.
    const mismatch =
      selector.value === undefined || (!isEmptySelector(selector.value) && !selectorMatches(selector.value!, labels));
    if (mismatch)
      template
        .named('metadata')
        .named('labels', labels ?? {})
        .invalid('`selector` does not match template `labels`');
    if (!rules.skipTemplate) podTemplate(template, templateOptions);
  }
  if (readable || rules.kind !== 'deployment')
    alwaysRestarts(spec.get('template') as Field<PodTemplateSpec>, rules.kind);
}

/** Pods of workloads that keep them running are always restarted. */
export function alwaysRestarts(template: Field<PodTemplateSpec>, kind: string): void {
  const pod = template.get('spec');
  if (pod.value?.restartPolicy !== 'Always')
    pod.get('restartPolicy').notSupported(['Always'], pod.value?.restartPolicy ?? '');
  if (pod.get('activeDeadlineSeconds').isSet)
    pod.get('activeDeadlineSeconds').forbidden(`activeDeadlineSeconds in ${kind} is not Supported`);
}

/** Counts that can't be negative. */
export function nonNegative<T>(f: Field<T>, ...names: (keyof T & string)[]): void {
  for (const n of names) (f.get(n) as Field<number>).nonNegative();
}

/** Counts that can't exceed another; absent ones are 0. */
export function notAbove<T>(f: Field<T>, limit: keyof T & string, ...names: (keyof T & string)[]): void {
  const max = Number(f.value?.[limit] ?? 0);
  for (const n of names) {
    if (Number(f.value?.[n] ?? 0) > max)
      f.get(n).invalid(`cannot be greater than ${limit === 'replicas' ? 'status.replicas' : limit}`);
  }
}

interface ReplicaCounts {
  replicas?: number;
  fullyLabeledReplicas?: number;
  readyReplicas?: number;
  availableReplicas?: number;
  terminatingReplicas?: number;
  observedGeneration?: number;
}

/** The status of what keeps a number of equal pods. */
export function replicaCounts(f: Field<ReplicaCounts>): void {
  nonNegative(
    f,
    'replicas',
    'fullyLabeledReplicas',
    'readyReplicas',
    'availableReplicas',
    'observedGeneration',
    'terminatingReplicas',
  );
  notAbove(f, 'replicas', 'fullyLabeledReplicas', 'readyReplicas', 'availableReplicas');
  notAbove(f, 'readyReplicas', 'availableReplicas');
}

/** A count of hash collisions only grows. */
export function collisions(f: Field<{ collisionCount?: number }>, old: number | undefined): void {
  const now = f.value?.collisionCount;
  if (old !== undefined && (now === undefined || now < old))
    f.get('collisionCount').invalid('cannot be decremented', now ?? 0);
}

/** The scale subresource by the usual paths. */
export const scale = <T extends KubeObject>(
  selector: (object: DeepReadonly<T>) => LabelSelector | undefined,
): SubresourceDefinition<T> => ({
  type: 'scale',
  specReplicas: ['spec', 'replicas'],
  statusReplicas: ['status', 'replicas'],
  selector: (object) => {
    const s = selector(object);
    return s === undefined ? '' : formatLabelSelector(s);
  },
});

/** Warnings of the template, on create and whenever it changes. */
export function templateWarnings(template: PodTemplateSpec | undefined, path: string): string[] {
  return podWarnings(template?.spec, template?.metadata as { annotations?: Labels } | undefined, path);
}

interface WithTemplate extends KubeObject {
  spec?: { template?: PodTemplateSpec };
}

/** The template's warnings, on create and when the spec has changed. */
export const changedTemplateWarnings = (object: WithTemplate, old: DeepReadonly<KubeObject> | undefined): string[] =>
  old && old.metadata?.generation === object.metadata?.generation
    ? []
    : templateWarnings(object.spec?.template, 'spec.template');

/** Those of the name as well, which stays what it is. */
export const nameAndTemplateWarnings = (object: WithTemplate, old: DeepReadonly<KubeObject> | undefined): string[] => [
  ...(old ? [] : podNameWarning(object.metadata?.name)),
  ...changedTemplateWarnings(object, old),
];

/** Names that end up in host names. */
export function podNameWarning(name: string | undefined): string[] {
  const errors = dns1123Label(name ?? '');
  return errors.length === 0
    ? []
    : [
        `metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [${errors.join(' ')}]`,
      ];
}

/** Containers, images and selector, the wide columns of workloads. */
export const wideCells = (spec: DeepReadonly<WorkloadSpec> | undefined): [string, string, string] => [
  ...containerCells(spec?.template?.spec),
  selectorCell(spec?.selector),
];
