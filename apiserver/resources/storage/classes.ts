/** Storage classes, CSI drivers and what they report, attachments. */
import type * as k8s from '@kubernetes/client-node';
import { deepCopy, semanticEqual } from '../../../api/meta.ts';
import type { Json } from '../../../api/types.ts';
import { bumpGeneration, define, statusEndpoint } from '../define.ts';
import { csiDriverName } from '../pods/volume-sources.ts';
import { deprecatedNodeLabel } from '../pods/warnings.ts';
import { rules } from '../rules.ts';
import { age, nameOf, NONE, UNSET } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { dns1123Subdomain, qualifiedName } from '../validation/names.ts';
import { labelSelector, nonNegativeQuantity } from '../validation/values.ts';
import { volumeSpec } from './volume-spec.ts';

const GROUP = 'storage.k8s.io';
const LIMIT = 256 * 1024;
type Parameters = Record<string, string>;

function provisioner(f: Field<string>): void {
  if (f.need()) for (const m of qualifiedName(f.value!.toLowerCase())) f.invalid(m);
}

function parameters(f: Field<Parameters>, needed: boolean): void {
  const all = Object.entries(f.value ?? {});
  if (all.length > 512) return void f.tooLong(512);
  for (const [k] of all) if (k === '') f.invalid('field can not be empty.', k);
  if (all.reduce((n, [k, v]) => n + Buffer.byteLength(k) + Buffer.byteLength(v), 0) > LIMIT) f.tooLong(LIMIT);
  if (needed && all.length === 0) f.missing('must contain at least one key/value pair');
}

type StorageClass = Json<k8s.V1StorageClass>;

function topologies(f: Field<Json<k8s.V1TopologySelectorTerm>[]>): void {
  const terms: string[] = [];
  f.each((t) => {
    const list = t.get('matchLabelExpressions');
    const keys = new Set<string>();
    const seen: Record<string, string[]> = {};
    list.each((e) => {
      const { key, values } = e.value!;
      const v = e.get('values');
      v.required();
      v.unique((x: string) => x);
      e.get('key').formatAll(qualifiedName);
      if (keys.has(key)) e.get('key').duplicate();
      keys.add(key);
      seen[key] = [...(values ?? [])].sort();
    });
    const id = JSON.stringify(
      Object.keys(seen)
        .sort()
        .map((k) => [k, seen[k]]),
    );
    if (terms.includes(id) || id === '[]') list.duplicate('');
    terms.push(id);
  });
}

export const storageClasses = define<StorageClass>(GROUP, 'storageclasses', 'StorageClass', 'Cluster', {
  returnDeletedObject: true,
  strategy: {
    defaults(c) {
      c.reclaimPolicy ??= 'Delete';
      c.volumeBindingMode ??= 'Immediate';
    },
    ...rules<StorageClass>({
      scope: 'Cluster',
      always(f) {
        provisioner(f.get('provisioner'));
        parameters(f.get('parameters') as Field<Parameters>, false);
        if (f.value?.reclaimPolicy) f.get('reclaimPolicy').oneOf(['Delete', 'Retain']);
        f.get('volumeBindingMode').oneOf(['Immediate', 'WaitForFirstConsumer']);
        topologies(f.get('allowedTopologies'));
      },
      update(f, old) {
        for (const k of ['parameters', 'provisioner', 'reclaimPolicy', 'volumeBindingMode'] as const)
          f.get(k).immutable(old[k]);
      },
    }),
    warnings: (c) =>
      (c.allowedTopologies ?? []).flatMap((t, i) =>
        (t.matchLabelExpressions ?? []).flatMap((e, j) => {
          const m = deprecatedNodeLabel(e.key);
          return m ? [`allowedTopologies[${i}].matchLabelExpressions[${j}].key: ${m}`] : [];
        }),
      ),
  },
  table: {
    cells(c, now) {
      const isDefault = [
        'storageclass.kubernetes.io/is-default-class',
        'storageclass.beta.kubernetes.io/is-default-class',
      ].some((k) => c.metadata?.annotations?.[k] === 'true');
      return [
        nameOf(c) + (isDefault ? ' (default)' : ''),
        c.provisioner,
        c.reclaimPolicy ?? 'Delete',
        c.volumeBindingMode ?? 'Immediate',
        c.allowVolumeExpansion ?? false,
        age(c, now),
      ];
    },
  },
});

type AttributesClass = Json<k8s.V1VolumeAttributesClass>;

export const volumeAttributesClasses = define<AttributesClass>(
  GROUP,
  'volumeattributesclasses',
  'VolumeAttributesClass',
  'Cluster',
  {
    returnDeletedObject: true,
    strategy: rules<AttributesClass>({
      scope: 'Cluster',
      always(f) {
        provisioner(f.get('driverName'));
        parameters(f.get('parameters') as Field<Parameters>, true);
      },
      update(f, old) {
        if (f.value?.driverName !== old.driverName)
          f.get('driverName').forbidden('updates to driverName are forbidden.');
        if (!semanticEqual(f.value?.parameters, old.parameters))
          f.get('parameters').forbidden('updates to parameters are forbidden.');
      },
    }),
    table: { cells: (c, now) => [nameOf(c), c.driverName, age(c, now)] },
  },
);

type Driver = Json<k8s.V1CSIDriver>;
type DriverSpec = Driver['spec'] & {
  serviceAccountTokenInSecrets?: boolean;
  nodeAllocatableUpdatePeriodSeconds?: number;
};

function driverSpec(f: Field<Driver>): void {
  const s = f.get('spec') as Field<DriverSpec>;
  s.get('fsGroupPolicy').oneOf(['ReadWriteOnceWithFSType', 'File', 'None']);
  const audiences = new Set<string>();
  s.get('tokenRequests').each((t) => {
    const audience = t.value?.audience ?? '';
    if (audiences.has(audience)) return void t.get('audience').duplicate(audience);
    audiences.add(audience);
    const seconds = t.get('expirationSeconds');
    if (!seconds.isSet) return;
    seconds.check(seconds.value! >= 600, 'may not specify a duration less than 10 minutes');
    seconds.check(seconds.value! <= 2 ** 32, 'may not specify a duration larger than 2^32 seconds');
  });
  const modes = s.get('volumeLifecycleModes');
  for (const m of modes.value ?? [])
    if (m !== 'Persistent' && m !== 'Ephemeral') modes.notSupported(['Persistent', 'Ephemeral'], m);
  const period = s.get('nodeAllocatableUpdatePeriodSeconds');
  if (period.isSet) period.check(period.value! >= 10, 'must be greater than or equal to 10 seconds');
  const inSecrets = s.get('serviceAccountTokenInSecrets');
  if (inSecrets.isSet && s.get('tokenRequests').isEmpty)
    inSecrets.invalid('serviceAccountTokenInSecrets is set but no tokenRequests are specified');
}

export const csiDrivers = define<Driver>(GROUP, 'csidrivers', 'CSIDriver', 'Cluster', {
  allowUnconditionalUpdate: false,
  returnDeletedObject: true,
  strategy: {
    defaults(d) {
      const s = (d.spec ??= {});
      s.attachRequired ??= true;
      s.podInfoOnMount ??= false;
      s.storageCapacity ??= false;
      s.fsGroupPolicy ??= 'ReadWriteOnceWithFSType';
      if (!s.volumeLifecycleModes?.length) s.volumeLifecycleModes = ['Persistent'];
      s.requiresRepublish ??= false;
      s.seLinuxMount ??= false;
    },
    prepareForCreate: (d) =>
      void delete (d.spec as { preventPodSchedulingIfMissing?: boolean }).preventPodSchedulingIfMissing,
    prepareForUpdate(d, old) {
      bumpGeneration(d, old);
      if (!d.metadata?.generation) delete d.metadata?.generation;
    },
    ...rules<Driver>({
      scope: 'Cluster',
      anyGenerateName: 'update',
      always: driverSpec,
      update(f, old) {
        const s = f.get('spec');
        s.named('attachedRequired', s.value?.attachRequired).immutable(old.spec?.attachRequired);
        s.get('volumeLifecycleModes').immutable(old.spec?.volumeLifecycleModes);
      },
    }),
    warnings(d, old) {
      const s = d.spec as DriverSpec;
      const changed = !old || !semanticEqual(s.tokenRequests, old.spec.tokenRequests);
      if (!changed || !s.tokenRequests?.length || s.serviceAccountTokenInSecrets !== undefined) return [];
      return [
        'spec.tokenRequests: consider setting spec.serviceAccountTokenInSecrets so that tokens are not passed in the volume context',
      ];
    },
  },
  table: {
    cells: (d, now) => [
      nameOf(d),
      d.spec?.attachRequired ?? true,
      d.spec?.podInfoOnMount ?? false,
      d.spec?.storageCapacity ?? false,
      d.spec?.tokenRequests === undefined ? UNSET : d.spec.tokenRequests.map((t) => t.audience).join(','),
      d.spec?.requiresRepublish ?? false,
      d.spec?.volumeLifecycleModes?.join(',') || NONE,
      age(d, now),
    ],
  },
});

type CSINode = Json<k8s.V1CSINode>;

export const csiNodes = define<CSINode>(GROUP, 'csinodes', 'CSINode', 'Cluster', {
  allowUnconditionalUpdate: false,
  returnDeletedObject: true,
  strategy: {
    ...rules<CSINode>({
      scope: 'Cluster',
      always(f) {
        const names = new Set<string>();
        f.get('spec')
          .get('drivers')
          .each((d) => {
            const { name, nodeID } = d.value!;
            csiDriverName(d.get('name'));
            d.get('nodeID')
              .required()
              .check((nodeID ?? '').length <= 256, 'must be 256 characters or less');
            d.get('allocatable').get('count').nonNegative();
            if (names.has(name)) d.get('name').duplicate();
            names.add(name);
            const keys = new Set<string>();
            for (const k of d.value?.topologyKeys ?? []) {
              if (k === '') d.missing(k);
              if (keys.has(k)) d.duplicate(k);
              keys.add(k);
              for (const m of qualifiedName(k)) d.invalid(m, k);
            }
          });
      },
      update(f, old) {
        const list = f.get('spec').get('drivers');
        for (const o of old.spec?.drivers ?? []) {
          const now = list.value?.find((d) => d.name === o.name);
          if (now && !semanticEqual({ ...now, allocatable: null }, { ...o, allocatable: null }))
            list.invalid('field is immutable', now);
        }
      },
    }),
  },
  table: { cells: (n, now) => [nameOf(n), n.spec?.drivers?.length ?? 0, age(n, now)] },
});

type Capacity = Json<k8s.V1CSIStorageCapacity>;

export const csiStorageCapacities = define<Capacity>(
  GROUP,
  'csistoragecapacities',
  'CSIStorageCapacity',
  'Namespaced',
  {
    allowUnconditionalUpdate: false,
    strategy: rules<Capacity>({
      scope: 'Namespaced',
      always(f) {
        labelSelector(f.get('nodeTopology') as never);
        f.get('storageClassName').formatAll(dns1123Subdomain);
        nonNegativeQuantity(f.get('capacity') as Field<string>);
      },
      update(f, old) {
        f.get('nodeTopology').immutablePointer(old.nodeTopology);
        f.get('storageClassName').immutable(old.storageClassName);
      },
    }),
    table: { cells: (c) => [nameOf(c), c.metadata?.creationTimestamp ?? ''] },
  },
);

type Attachment = Json<k8s.V1VolumeAttachment>;

function attachment(f: Field<Attachment>): void {
  const s = f.get('spec');
  csiDriverName(s.get('attacher'));
  const source = s.get('source');
  const { inlineVolumeSpec, persistentVolumeName: name } = source.value ?? {};
  const one = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName';
  if (inlineVolumeSpec === undefined && name === undefined) source.missing(one);
  else if (inlineVolumeSpec !== undefined && name !== undefined) source.forbidden(one);
  else if (name !== undefined)
    source.get('persistentVolumeName').required('must specify non empty persistentVolumeName');
  else volumeSpec(source.get('inlineVolumeSpec') as never, '', true);
  s.get('nodeName').formatAll(dns1123Subdomain);
  if (name !== undefined) f.named('spec.source.persistentVolumeName', name).formatAll(dns1123Subdomain);
  const status = f.get('status');
  const size = Object.entries(status.value?.attachmentMetadata ?? {}).reduce((n, [k, v]) => n + k.length + v.length, 0);
  if (size > LIMIT) status.get('attachmentMetadata').tooLong(LIMIT);
  for (const k of ['attachError', 'detachError'] as const) {
    const message = status.get(k).get('message');
    if ((message.value ?? '').length > 1024) message.tooLong(LIMIT);
    status
      .get(k)
      .get('errorCode')
      .check((status.value?.[k]?.errorCode ?? 0) >= 0, 'must be between 0 and 2147483647, inclusive');
  }
}

const attachmentRules = rules<Attachment>({
  scope: 'Cluster',
  always: attachment,
  update: (f, old) => f.get('spec').immutable(old.spec),
});
const unattached = () => ({ attached: false });

export const volumeAttachments = define<Attachment>(GROUP, 'volumeattachments', 'VolumeAttachment', 'Cluster', {
  allowUnconditionalUpdate: false,
  returnDeletedObject: true,
  strategy: {
    resetFields: [['status']],
    prepareForCreate: (a) => void (a.status = unattached()),
    prepareForUpdate: (a, old) => void (a.status = deepCopy(old.status) as Attachment['status']),
    ...attachmentRules,
  },
  subresources: {
    status: statusEndpoint<Attachment>({
      resetFields: [['metadata'], ['spec']],
      prepareForUpdate(a, old) {
        const { resourceVersion, managedFields } = a.metadata ?? {};
        a.metadata = { ...(deepCopy(old.metadata) as Attachment['metadata']), resourceVersion, managedFields };
      },
      validateUpdate: attachmentRules.validateUpdate,
    }),
  },
  table: {
    cells: (a, now) => [
      nameOf(a),
      a.spec?.attacher ?? '',
      a.spec?.source?.persistentVolumeName ?? '',
      a.spec?.nodeName ?? '',
      a.status?.attached ?? false,
      age(a, now),
    ],
  },
});
