/** What a volume claim asks for; also in templates (StatefulSets, ephemeral volumes). */
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';
import { dns1123Label, dns1123Subdomain } from '../validation/names.ts';
import { annotations, labels, labelSelector, positiveQuantity, type Labels } from '../validation/values.ts';

export type ClaimSpec = Json<k8s.V1PersistentVolumeClaimSpec>;
const ACCESS_MODES = ['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOncePod'];
export const VOLUME_MODES = ['Block', 'Filesystem'];

/** What the stored claim already has and so may keep. */
export interface ClaimOptions {
  allowInvalidSelectorValues?: boolean;
  allowInvalidAPIGroup?: boolean;
}

/** Modes that exist; ReadWriteOncePod goes with no other. */
export function accessModes(f: Field<string[]>): void {
  const modes = f.value ?? [];
  for (const m of modes) if (!ACCESS_MODES.includes(m)) f.notSupported(ACCESS_MODES, m);
  if (modes.includes('ReadWriteOncePod') && modes.some((m) => m !== 'ReadWriteOncePod' && ACCESS_MODES.includes(m))) {
    f.forbidden('may not use ReadWriteOncePod with other access modes');
  }
}

type Source = { apiGroup?: string; kind: string; name: string; namespace?: string };

function dataSource(f: Field<Source>, options: ClaimOptions): void {
  f.get('name').required();
  f.get('kind').required();
  if (!f.value?.apiGroup && f.value?.kind !== 'PersistentVolumeClaim') {
    f.invalid("must be 'PersistentVolumeClaim' when referencing the default apiGroup", f.value?.kind);
  }
  if (!options.allowInvalidAPIGroup) f.get('apiGroup').format(dns1123Subdomain);
  f.get('namespace').format(dns1123Label);
}

export function claimSpec(f: Field<ClaimSpec>, options: ClaimOptions = {}): void {
  f.get('accessModes').required('at least 1 access mode is required');
  accessModes(f.get('accessModes'));
  labelSelector(f.get('selector'), { allowInvalidValues: options.allowInvalidSelectorValues });
  const storage = f.get('resources').key('storage', f.value?.resources?.requests?.['storage']);
  if (storage.need()) positiveQuantity(storage as Field<string>);
  f.get('storageClassName').format(dns1123Subdomain);
  f.get('volumeMode').oneOf(VOLUME_MODES);
  const { dataSource: source, dataSourceRef: ref } = f.value ?? {};
  f.get('dataSource').with((s) => dataSource(s as Field<Source>, options));
  f.get('dataSourceRef').with((s) => dataSource(s as Field<Source>, options));
  if (source && ref?.namespace) f.invalid('may not be specified when dataSourceRef.namespace is specified');
  else if (
    source &&
    ref &&
    !(source.apiGroup === ref.apiGroup && source.kind === ref.kind && source.name === ref.name)
  ) {
    f.invalid('must match dataSourceRef');
  }
  f.get('volumeAttributesClassName').format(dns1123Subdomain);
}

/** A template inside a pod: only labels and annotations may be given. */
export function claimTemplate(f: Field<Json<k8s.V1PersistentVolumeClaimTemplate>>): void {
  const meta = f.get('metadata');
  annotations(meta.get('annotations') as Field<Labels>);
  labels(meta.get('labels') as Field<Labels>);
  for (const k of Object.keys(meta.value ?? {})) {
    if (k === 'annotations' || k === 'labels') continue;
    meta.get(k as 'name').absent('cannot be set');
  }
  claimSpec(f.get('spec'));
}

/** Both old and new forms of a data source say the same, as far as one can say what the other does. */
export function normalizeDataSources(spec: ClaimSpec): void {
  if (spec.dataSource && !spec.dataSourceRef) spec.dataSourceRef = { ...spec.dataSource };
  else if (!spec.dataSource && spec.dataSourceRef && !spec.dataSourceRef.namespace) {
    const { apiGroup, kind, name } = spec.dataSourceRef;
    spec.dataSource = { ...(apiGroup === undefined ? {} : { apiGroup }), kind, name };
  }
}
