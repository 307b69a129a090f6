/** PersistentVolumes and PersistentVolumeClaims. */
import { deepCopy, semanticEqual } from '../../../api/meta.ts';
import type { DeepReadonly, PersistentVolume, PersistentVolumeClaim } from '../../../api/types.ts';
import { formatTime } from '../../../base/clock.ts';
import { define, statusEndpoint } from '../define.ts';
import { roundResources, sharedSourceDefaults } from '../pods/defaults.ts';
import { termWarnings } from '../pods/warnings.ts';
import { rules, statusRules } from '../rules.ts';
import { age, nameOf, UNSET } from '../table.ts';
import { Field } from '../validation/field.ts';
import { qualifiedName } from '../validation/names.ts';
import { isNativeResource, labelSelector, quantity, resourceQuantity } from '../validation/values.ts';
import { claimSpec, normalizeDataSources, type ClaimSpec } from './claim-spec.ts';
import { SOURCE_NAMES, volumeSpec } from './volume-spec.ts';

type OldVolume = DeepReadonly<PersistentVolume>;
type OldClaim = DeepReadonly<PersistentVolumeClaim>;
type List = Record<string, string>;

const BETA_CLASS = 'volume.beta.kubernetes.io/storage-class';
const SHORT: Record<string, string> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};
const modesCell = (modes: readonly string[] | undefined) =>
  Object.keys(SHORT)
    .filter((m) => modes?.includes(m))
    .map((m) => SHORT[m])
    .join(',');
const classCell = (object: OldVolume | OldClaim) =>
  object.metadata?.annotations?.[BETA_CLASS] ?? object.spec?.storageClassName ?? '';
const phaseCell = (object: OldVolume | OldClaim) =>
  object.metadata?.deletionTimestamp ? 'Terminating' : (object.status?.phase ?? '');

/** Labels of zones and the like may move from their beta names to their final ones. */
const FINAL_LABELS: Record<string, string> = {
  'failure-domain.beta.kubernetes.io/zone': 'topology.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region': 'topology.kubernetes.io/region',
  'beta.kubernetes.io/os': 'kubernetes.io/os',
  'beta.kubernetes.io/arch': 'kubernetes.io/arch',
  'beta.kubernetes.io/instance-type': 'node.kubernetes.io/instance-type',
};
const finalLabels = (affinity: unknown) =>
  JSON.parse(JSON.stringify(affinity ?? null), (k, v: unknown) =>
    k === 'key' && typeof v === 'string' ? (FINAL_LABELS[v] ?? v) : v,
  ) as unknown;

function volumeUpdate(f: Field<PersistentVolume>, old: OldVolume): void {
  const spec = f.get('spec');
  const now = spec.value as Record<string, unknown>;
  const before = old.spec as Record<string, unknown>;
  const sources = (s: Record<string, unknown>) => {
    const out: Record<string, unknown> = {};
    for (const k of SOURCE_NAMES) if (s[k] !== undefined) out[k] = s[k];
    return out;
  };
  const mine = sources(now);
  const csi = mine['csi'] as { controllerExpandSecretRef?: unknown } | undefined;
  const oldCsi = before['csi'] as { controllerExpandSecretRef?: unknown } | undefined;
  // A secret for expansion may be added later.
  if (csi?.controllerExpandSecretRef && oldCsi && !oldCsi.controllerExpandSecretRef)
    mine['csi'] = { ...csi, controllerExpandSecretRef: undefined };
  if (!semanticEqual(mine, sources(before)))
    spec.named('persistentvolumesource').forbidden('spec.persistentvolumesource is immutable after creation');
  f.named('volumeMode', spec.value?.volumeMode).immutable(old.spec?.volumeMode);
  const affinity = spec.value?.nodeAffinity;
  if (
    old.spec?.nodeAffinity &&
    !semanticEqual(affinity, old.spec.nodeAffinity) &&
    !semanticEqual(affinity, finalLabels(old.spec.nodeAffinity))
  ) {
    f.named('nodeAffinity', affinity).invalid('field is immutable, except for updating from beta label to GA');
  }
  if (old.spec?.volumeAttributesClassName !== undefined && spec.value?.volumeAttributesClassName === undefined) {
    spec.get('volumeAttributesClassName').forbidden('update from non-nil value to nil is forbidden');
  }
}

const DEPRECATED: Record<string, string> = {
  cephfs: 'deprecated in v1.28, non-functional in v1.31+',
  photonPersistentDisk: 'deprecated in v1.11, non-functional in v1.16+',
  scaleIO: 'deprecated in v1.16, non-functional in v1.22+',
  storageos: 'deprecated in v1.22, non-functional in v1.25+',
  glusterfs: 'deprecated in v1.25, non-functional in v1.26+',
  rbd: 'deprecated in v1.28, non-functional in v1.31+',
};

function volumeWarnings(v: PersistentVolume): string[] {
  const out: string[] = [];
  const notes = v.metadata?.annotations ?? {};
  if (notes[BETA_CLASS] !== undefined)
    out.push(`metadata.annotations[${BETA_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead`);
  const mount = 'volume.beta.kubernetes.io/mount-options';
  if (notes[mount] !== undefined)
    out.push(`metadata.annotations[${mount}]: deprecated since v1.31; use "mountOptions" attribute instead`);
  if (v.spec?.persistentVolumeReclaimPolicy === 'Recycle') {
    out.push(
      'spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.',
    );
  }
  v.spec?.nodeAffinity?.required?.nodeSelectorTerms?.forEach((t, i) =>
    out.push(...termWarnings(t, `spec.nodeAffinity.required.nodeSelectorTerms[${i}]`, false)),
  );
  for (const [k, text] of Object.entries(DEPRECATED)) {
    if ((v.spec as Record<string, unknown> | undefined)?.[k] !== undefined)
      out.push(`spec.${k === 'storageos' ? 'storageOS' : k}: ${text}`);
  }
  return out;
}

export const persistentVolumes = define<PersistentVolume>('', 'persistentvolumes', 'PersistentVolume', 'Cluster', {
  returnDeletedObject: true,
  strategy: {
    resetFields: [['status']],
    defaults(v) {
      (v.status ??= {}).phase ||= 'Pending';
      const s = (v.spec ??= {});
      s.persistentVolumeReclaimPolicy ||= 'Retain';
      s.volumeMode ??= 'Filesystem';
      if (s.hostPath) s.hostPath.type ??= '';
      sharedSourceDefaults(s as never);
      if (s.scaleIO) {
        s.scaleIO.storageMode ||= 'ThinProvisioned';
        s.scaleIO.fsType ||= 'xfs';
      }
      roundResources(s.capacity as List);
    },
    prepareForCreate: (v, ctx) =>
      void (v.status = { phase: 'Pending', lastPhaseTransitionTime: formatTime(ctx.clock.now()) }),
    prepareForUpdate: (v, old) => void (v.status = deepCopy(old.status) as PersistentVolume['status']),
    ...rules<PersistentVolume>({
      scope: 'Cluster',
      always: (f) => volumeSpec(f.get('spec'), f.value?.metadata?.name ?? '', false),
      update: volumeUpdate,
    }),
    warnings: volumeWarnings,
  },
  subresources: {
    status: statusEndpoint<PersistentVolume>({
      prepareForUpdate(v, old, ctx) {
        const status = (v.status ??= {});
        const before = old.status ?? {};
        const time = before.lastPhaseTransitionTime as string | undefined;
        if (status.phase === before.phase) status.lastPhaseTransitionTime ??= time;
        else if (!status.lastPhaseTransitionTime || status.lastPhaseTransitionTime === time) {
          status.lastPhaseTransitionTime = formatTime(ctx.clock.now());
        }
      },
      ...statusRules<PersistentVolume>(),
    }),
  },
  selectableFields: (v) => ({ name: v.metadata?.name ?? '' }),
  table: {
    cells: (v, now) => [
      nameOf(v),
      String(v.spec?.capacity?.['storage'] ?? '0'),
      modesCell(v.spec?.accessModes),
      v.spec?.persistentVolumeReclaimPolicy ?? '',
      phaseCell(v),
      v.spec?.claimRef ? `${v.spec.claimRef.namespace ?? ''}/${v.spec.claimRef.name ?? ''}` : '',
      classCell(v),
      v.spec?.volumeAttributesClassName ?? UNSET,
      v.status?.reason ?? '',
      age(v, now),
      v.spec?.volumeMode ?? UNSET,
    ],
  },
});

/** Kinds that every driver knows as data sources; others may only be named in dataSourceRef. */
function isKnownSource(s: { apiGroup?: string; kind?: string }): boolean {
  return (
    (s.kind === 'PersistentVolumeClaim' && !s.apiGroup) ||
    (s.kind === 'VolumeSnapshot' && s.apiGroup === 'snapshot.storage.k8s.io')
  );
}

function prepareSources(spec: ClaimSpec | undefined, old: DeepReadonly<ClaimSpec> | undefined): void {
  if (!spec) return;
  const inUse = old?.dataSource !== undefined || old?.dataSourceRef !== undefined;
  if (!inUse && spec.dataSource && !isKnownSource(spec.dataSource)) delete spec.dataSource;
  // Sources in other namespaces are a feature that is off (CrossNamespaceVolumeDataSource).
  if (!inUse && spec.dataSourceRef?.namespace) delete spec.dataSourceRef;
  normalizeDataSources(spec);
}

function storageOptions(old: OldClaim | undefined): {
  allowInvalidAPIGroup?: boolean;
  allowInvalidSelectorValues?: boolean;
} {
  if (!old) return {};
  const f = new Field(old.spec?.selector, []);
  labelSelector(f as never);
  return {
    allowInvalidAPIGroup:
      old.spec?.dataSource?.apiGroup !== undefined || old.spec?.dataSourceRef?.apiGroup !== undefined,
    allowInvalidSelectorValues: f.errors.length > 0,
  };
}

function claimUpdate(f: Field<PersistentVolumeClaim>, old: OldClaim): void {
  const spec = f.get('spec');
  const now = deepCopy(spec.value) as ClaimSpec;
  const before = deepCopy(old.spec) as ClaimSpec;
  normalizeDataSources(before);
  if (!before.volumeName) before.volumeName = now.volumeName;
  const notes = f.value?.metadata?.annotations ?? {};
  const oldNotes = old.metadata?.annotations ?? {};
  const fromAnnotation =
    oldNotes[BETA_CLASS] !== undefined &&
    before.storageClassName === undefined &&
    now.storageClassName === oldNotes[BETA_CLASS] &&
    (notes[BETA_CLASS] === undefined || notes[BETA_CLASS] === oldNotes[BETA_CLASS]);
  if (fromAnnotation) delete now.storageClassName;
  else {
    if ((notes[BETA_CLASS] ?? '') !== (oldNotes[BETA_CLASS] ?? ''))
      f.get('metadata')
        .named('annotations')
        .named(BETA_CLASS, notes[BETA_CLASS] ?? '')
        .invalid('field is immutable');
    const fromNothing =
      now.storageClassName !== undefined &&
      before.storageClassName === undefined &&
      (oldNotes[BETA_CLASS] === undefined || now.storageClassName === oldNotes[BETA_CLASS]);
    if (fromNothing) delete now.storageClassName;
  }
  const asked = spec.value?.resources?.requests?.['storage'];
  const had = old.spec?.resources?.requests?.['storage'];
  if (f.value?.status?.phase === 'Bound') {
    if (now.resources?.requests) now.resources.requests['storage'] = had as never;
    now.volumeAttributesClassName = before.volumeAttributesClassName;
  }
  if (!semanticEqual(now, before)) {
    spec.forbidden(
      'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
    );
  }
  const shrunk = quantity(asked ?? '0').compare(quantity(had ?? '0')) < 0;
  if (shrunk && quantity(asked ?? '0').compare(quantity(old.status?.capacity?.['storage'] ?? '0')) <= 0) {
    spec.get('resources').named('requests').named('storage').forbidden('field can not be less than status.capacity');
  }
  f.named('volumeMode', spec.value?.volumeMode).immutable(old.spec?.volumeMode);
  const attributes = spec.get('volumeAttributesClassName');
  if (
    attributes.value !== old.spec?.volumeAttributesClassName &&
    old.status?.currentVolumeAttributesClassName !== undefined
  ) {
    if (!attributes.isSet)
      attributes.forbidden('update to nil is forbidden when status.currentVolumeAttributesClassName is not nil');
    else if (attributes.value === '')
      attributes.forbidden(
        'update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil',
      );
  }
}

const RESIZE = [
  'ControllerResizeInProgress',
  'ControllerResizeInfeasible',
  'NodeResizePending',
  'NodeResizeInProgress',
  'NodeResizeInfeasible',
];

/** A name in the lists of what is being resized; complaints are about the list. */
function resizeKey(list: Field<unknown>, name: string): boolean {
  const errors = qualifiedName(name);
  for (const m of errors) list.invalid(m, name);
  if (errors.length > 0) return false;
  if (isNativeResource(name) && name !== 'storage') {
    list.notSupported(['storage'], name);
    return false;
  }
  return true;
}

function claimStatus(f: Field<PersistentVolumeClaim>): void {
  if (f.get('spec').get('accessModes').isEmpty) f.named('Spec').named('accessModes').missing();
  const s = f.get('status');
  const negative = (q: Field<string>) => q.check(quantity(q.value).sign >= 0, 'must be a valid resource quantity');
  (s.get('capacity') as Field<List>).eachKey((q) => void negative(q as Field<string>));
  const statuses = s.get('allocatedResourceStatuses') as Field<List>;
  for (const [k, v] of Object.entries(statuses.value ?? {})) {
    resizeKey(statuses, k);
    if (!RESIZE.includes(v)) statuses.notSupported(RESIZE, k);
  }
  const allocated = s.get('allocatedResources') as Field<List>;
  allocated.eachKey((q, k) => {
    if (!resizeKey(allocated, k)) return;
    if (quantity(q.value).sign < 0) negative(q as Field<string>);
    else resourceQuantity(q as Field<string>, 'storage');
  });
}

export const persistentVolumeClaims = define<PersistentVolumeClaim>(
  '',
  'persistentvolumeclaims',
  'PersistentVolumeClaim',
  'Namespaced',
  {
    returnDeletedObject: true,
    strategy: {
      resetFields: [['status']],
      defaults(c) {
        (c.status ??= {}).phase ||= 'Pending';
        const s = (c.spec ??= {});
        s.volumeMode ??= 'Filesystem';
        roundResources(s.resources?.limits as List);
        roundResources(s.resources?.requests as List);
        roundResources(c.status.capacity as List);
      },
      prepareForCreate(c) {
        c.status = { phase: 'Pending' };
        prepareSources(c.spec, undefined);
      },
      prepareForUpdate(c, old) {
        c.status = deepCopy(old.status) as PersistentVolumeClaim['status'];
        prepareSources(c.spec, old.spec as DeepReadonly<ClaimSpec> | undefined);
      },
      ...rules<PersistentVolumeClaim>({
        scope: 'Namespaced',
        always: (f, _ctx, old) => claimSpec(f.get('spec'), storageOptions(old)),
        update: claimUpdate,
      }),
      warnings(c) {
        const beta = c.metadata?.annotations?.[BETA_CLASS] !== undefined;
        const out = beta
          ? [`metadata.annotations[${BETA_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead`]
          : [];
        for (const k of ['requests', 'limits'] as const) {
          const v = c.spec?.resources?.[k]?.['storage'];
          if (v !== undefined && quantity(v).asMilli() % 1000n !== 0n) {
            out.push(
              `spec.resources.${k}[storage]: fractional byte value ${JSON.stringify(v)} is invalid, must be an integer`,
            );
          }
        }
        return out;
      },
    },
    subresources: { status: statusEndpoint<PersistentVolumeClaim>(statusRules<PersistentVolumeClaim>(claimStatus)) },
    selectableFields: (c) => ({ name: c.metadata?.name ?? '' }),
    table: {
      cells(c, now) {
        const bound = !!c.spec?.volumeName;
        return [
          nameOf(c),
          phaseCell(c),
          c.spec?.volumeName ?? '',
          bound ? String(c.status?.capacity?.['storage'] ?? '0') : '',
          bound ? modesCell(c.status?.accessModes) : '',
          classCell(c),
          c.spec?.volumeAttributesClassName ?? UNSET,
          age(c, now),
          c.spec?.volumeMode ?? UNSET,
        ];
      },
    },
  },
);
