/** Pod templates, as every workload has one. */
import type { Field } from '../validation/field.ts';
import type { PodSpec, PodTemplateSpec } from '../../../api/types.ts';
import { annotations, labels, type Labels } from '../validation/values.ts';
import { podAnnotations, profilesMatch } from './annotations.ts';
import type { PodOptions } from './options.ts';
import { podSpec } from './spec.ts';

export const templateOptions: PodOptions = { isPod: false };

export function podTemplate(f: Field<PodTemplateSpec>, options: PodOptions = templateOptions): void {
  const meta = f.value?.metadata;
  const spec = (f.value?.spec ?? {}) as PodSpec;
  // A template's metadata is inlined in complaints.
  labels(f.named('labels', meta?.labels as Labels | undefined) as Field<Labels>);
  const notes = f.named('annotations', meta?.annotations as Labels | undefined) as Field<Labels>;
  annotations(notes);
  podAnnotations(notes, spec, options);
  podSpec(f.get('spec') as Field<PodSpec>, options);
  profilesMatch(f.get('spec') as Field<PodSpec>, (meta?.annotations ?? {}) as Labels);
  f.get('spec').get('ephemeralContainers').absent('ephemeral containers not allowed in pod template');
}
