/** What a persistent volume is and where it comes from. */
import type * as k8s from '@kubernetes/client-node';
import { posix } from 'node:path';
import type { Json, PersistentVolume } from '../../../api/types.ts';
import { nodeSelector } from '../pods/scheduling.ts';
import * as source from '../pods/volume-sources.ts';
import type { Field, Rule } from '../validation/field.ts';
import { dns1123Label, dns1123Subdomain } from '../validation/names.ts';
import { positiveQuantity, quantity } from '../validation/values.ts';
import { accessModes, VOLUME_MODES } from './claim-spec.ts';

export type VolumeSpec = NonNullable<PersistentVolume['spec']>;
type Reference = Json<k8s.V1SecretReference>;

const RECLAIM = ['Delete', 'Recycle', 'Retain'];
const nameAndNamespace = (f: Field<{ name?: string; namespace?: string }>) => {
  f.get('name').required();
  f.get('namespace').required();
};
const secretReference: Rule<Reference> = (f) => {
  f.get('name').requiredFormat(dns1123Subdomain);
  f.get('namespace').requiredFormat(dns1123Label);
};
const SECRETS = [
  'controllerPublishSecretRef',
  'controllerExpandSecretRef',
  'nodePublishSecretRef',
  'nodeExpandSecretRef',
] as const;

type Entry = [rule: Rule<never>, as?: string];
const entry = <T>(rule: Rule<T>, as?: string): Entry => [rule as unknown as Rule<never>, as];

/** In the order in which a second source is refused. */
const SOURCES: Record<string, Entry> = {
  hostPath: entry(source.hostPath),
  gcePersistentDisk: entry(source.gcePersistentDisk, 'persistentDisk'),
  awsElasticBlockStore: entry(source.awsElasticBlockStore),
  glusterfs: entry<Json<k8s.V1GlusterfsPersistentVolumeSource>>((f) => {
    (source.glusterfs as Rule<never>)(f as never);
    f.get('endpointsNamespace').with((n) => {
      if (n.value === '') n.invalid('if the endpointnamespace is set, it must be a valid namespace name');
      else n.format(dns1123Label);
    });
  }),
  flocker: entry(source.flocker),
  nfs: entry(source.nfs),
  rbd: entry(source.rbd),
  quobyte: entry(source.quobyte),
  cephfs: entry(source.cephfs),
  iscsi: entry<Json<k8s.V1ISCSIPersistentVolumeSource>>((f) => {
    source.iscsi(f as never);
    f.get('secretRef').with((s) => s.get('name').required());
  }),
  cinder: entry<Json<k8s.V1CinderPersistentVolumeSource>>((f) => {
    f.get('volumeID').required();
    f.get('secretRef').with((s) => nameAndNamespace(s as never));
  }),
  fc: entry(source.fc),
  flexVolume: entry(source.flexVolume),
  azureFile: entry<Json<k8s.V1AzureFilePersistentVolumeSource>>((f) => {
    source.azureFile(f as never);
    f.get('secretNamespace').with((n) => n.required());
  }),
  vsphereVolume: entry(source.vsphereVolume),
  photonPersistentDisk: entry(source.photonPersistentDisk),
  portworxVolume: entry(source.portworxVolume),
  azureDisk: entry(source.azureDisk),
  scaleIO: entry(source.scaleIO),
  local: entry(source.local),
  storageos: entry<Json<k8s.V1StorageOSPersistentVolumeSource>>((f) => {
    f.get('volumeName').requiredFormat(dns1123Label);
    f.get('volumeNamespace').format(dns1123Label);
    f.get('secretRef').with((s) => nameAndNamespace(s as never));
  }),
  csi: entry<Json<k8s.V1CSIPersistentVolumeSource>>((f) => {
    source.csiDriverName(f.get('driver'));
    f.get('volumeHandle').required();
    for (const k of SECRETS) f.get(k).with(secretReference);
  }),
};
export const SOURCE_NAMES = Object.keys(SOURCES);

/** Checks the source; says which it is. */
function sources(f: Field<VolumeSpec>, name: string): string | undefined {
  const spec = f.value as Record<string, unknown>;
  let count = 0;
  let chosen: string | undefined;
  for (const [k, [rule, as]] of Object.entries(SOURCES)) {
    if (spec[k] === undefined || spec[k] === null) continue;
    if (count++ > 0 && k !== 'flexVolume')
      f.named(k === 'cephfs' ? 'cephFS' : k).forbidden('may not specify more than 1 volume type');
    else {
      chosen = k;
      rule(f.named(as ?? k, spec[k]) as never);
    }
  }
  if (count === 0) f.missing('must specify a volume type');
  const { iscsi } = f.value!;
  if (iscsi?.initiatorName !== undefined && `${name}:${iscsi.targetPortal}`.length > 64) {
    f.get('iscsi').named('targetportal', iscsi.targetPortal).invalid(source.iscsiPortalLimit);
  }
  return chosen;
}

/** The spec alone; inline specs (in attachments) may say less. */
export function volumeSpec(
  f: Field<VolumeSpec>,
  name: string,
  inline: boolean,
  options: { allowInvalidAffinityValues?: boolean } = {},
): void {
  const s = f.value!;
  const no = 'may not be specified in the context of inline volumes';
  if (inline) {
    for (const k of ['claimRef', 'capacity', 'nodeAffinity', 'storageClassName'] as const)
      if (k === 'claimRef' || k === 'nodeAffinity' ? f.get(k).isSet : !f.get(k).isEmpty) f.get(k).forbidden(no);
    if (!f.get('csi').isSet) f.get('csi').missing('has to be specified in the context of inline volumes');
  }
  f.get('accessModes').required();
  accessModes(f.get('accessModes'));
  if (!inline) {
    const capacity = f.get('capacity') as Field<Record<string, string>>;
    capacity.required();
    if (s.capacity?.['storage'] === undefined || Object.keys(s.capacity).length > 1) capacity.notSupported(['storage']);
    capacity.eachKey((q) => {
      positiveQuantity(q as Field<string>);
      q.check(quantity(q.value).sign >= 0, 'must be a valid resource quantity');
    });
  }
  const reclaim = f.get('persistentVolumeReclaimPolicy');
  if (reclaim.value) {
    if (!inline) reclaim.oneOf(RECLAIM);
    else if (reclaim.value !== 'Retain') reclaim.forbidden('may only be Retain in the context of inline volumes');
  }
  const required = f.get('nodeAffinity').get('required');
  if (!inline && f.get('nodeAffinity').isSet) {
    if (required.isSet) nodeSelector(required, options.allowInvalidAffinityValues);
    else required.missing('must specify required node constraints');
  }
  const chosen = sources(f, name);
  if (chosen === 'local' && !s.nodeAffinity) f.get('nodeAffinity').missing('Local volume requires node affinity');
  if (s.hostPath && posix.normalize(s.hostPath.path) === '/' && reclaim.value === 'Recycle')
    reclaim.forbidden("may not be 'recycle' for a hostPath mount of '/'");
  if (!inline) f.get('storageClassName').format(dns1123Subdomain);
  const mode = f.get('volumeMode');
  if (!inline) mode.oneOf(VOLUME_MODES);
  else if (mode.isSet && mode.value !== 'Filesystem')
    mode.forbidden('may not specify volumeMode other than Filesystem in the context of inline volumes');
  const attributes = f.get('volumeAttributesClassName');
  if (attributes.isSet && !inline) {
    attributes.requiredFormat(dns1123Subdomain);
    if (!s.csi) f.get('csi').missing('has to be specified when using volumeAttributesClassName');
  }
}
