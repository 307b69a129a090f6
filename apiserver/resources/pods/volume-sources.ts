/** The sources a volume can come from, shared by pods and persistent volumes. */
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../../api/types.ts';
import type { Field, Rule } from '../validation/field.ts';
import { absolutePath, descendingPath, localPath, noBacksteps } from '../validation/formats.ts';
import { dns1123Label, dns1123Subdomain } from '../validation/names.ts';
import { quantity } from '../validation/values.ts';

/** A rule that these members are there. */
export const needs =
  <T>(...names: (keyof T & string)[]): Rule<T> =>
  (f) =>
    names.forEach((n) => f.get(n).required());

export const fileMode = (f: Field<number>) =>
  f.check(
    f.value === undefined || (f.value >= 0 && f.value <= 0o777),
    'must be a number between 0 and 0777 (octal), both inclusive',
  );

/** A key and the relative path of its file. */
export function keyToPath(item: Field<Json<k8s.V1KeyToPath>>): void {
  item.get('key').required();
  item.get('path').required().formatAll(localPath);
  fileMode(item.get('mode'));
}

type HostPath = Json<k8s.V1HostPathVolumeSource>;
const HOST_PATH_TYPES = [
  '',
  'DirectoryOrCreate',
  'Directory',
  'FileOrCreate',
  'File',
  'Socket',
  'CharDevice',
  'BlockDevice',
];
export const hostPath: Rule<HostPath> = (f) => {
  if (!f.get('path').need()) return;
  f.get('path').format(noBacksteps);
  f.get('type').oneOf(HOST_PATH_TYPES);
};

const partition = (f: Field<number>) =>
  f.check((f.value ?? 0) >= 0 && (f.value ?? 0) <= 255, 'must be between 1 and 255, inclusive');
export const gcePersistentDisk: Rule<Json<k8s.V1GCEPersistentDiskVolumeSource>> = (f) => {
  f.get('pdName').required();
  partition(f.get('partition'));
};
export const awsElasticBlockStore: Rule<Json<k8s.V1AWSElasticBlockStoreVolumeSource>> = (f) => {
  f.get('volumeID').required();
  partition(f.get('partition'));
};
export const nfs: Rule<Json<k8s.V1NFSVolumeSource>> = (f) => {
  f.get('server').required();
  f.get('path').required().formatAll(absolutePath);
};

const IQN = /iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$/;
const initiator = (f: Field<string>) => {
  const v = f.value ?? '';
  const ok = v.startsWith('iqn') ? IQN.test(v) : /^eui.[A-Za-z0-9]{16}$/.test(v) || /^naa.[A-Za-z0-9]{32}$/.test(v);
  f.check(ok, 'must be valid format starting with iqn, eui, or naa');
};
/** An iSCSI target; persistent volumes name the secret by namespace too. */
export const iscsi: Rule<Json<k8s.V1ISCSIVolumeSource> | Json<k8s.V1ISCSIPersistentVolumeSource>> = (f) => {
  f.get('targetPortal').required();
  if (f.get('iqn').need()) initiator(f.get('iqn'));
  const lun = f.get('lun');
  lun.check((lun.value ?? 0) >= 0 && (lun.value ?? 0) <= 255, 'must be between 0 and 255, inclusive');
  if (f.value?.chapAuthDiscovery || f.value?.chapAuthSession) {
    if (!f.get('secretRef').isSet) f.get('secretRef').missing();
  }
  if (f.get('initiatorName').isSet) initiator(f.named('initiatorname', f.value?.initiatorName));
};
export const iscsiPortalLimit =
  'Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.';

export const fc: Rule<Json<k8s.V1FCVolumeSource>> = (f) => {
  const wwns = f.get('targetWWNs');
  if (wwns.isEmpty && f.get('wwids').isEmpty) wwns.missing('must specify either targetWWNs or wwids, but not both');
  if (wwns.isEmpty) return;
  if (!f.get('wwids').isEmpty) wwns.invalid('targetWWNs and wwids can not be specified simultaneously');
  if (!f.get('lun').isSet) f.get('lun').missing('lun is required if targetWWNs is specified');
  else f.get('lun').range(0, 255);
};
export const flocker: Rule<Json<k8s.V1FlockerVolumeSource>> = (f) => {
  const { datasetName = '', datasetUUID = '' } = f.value ?? {};
  if (!datasetName && !datasetUUID) f.missing('one of datasetName and datasetUUID is required');
  if (datasetName && datasetUUID)
    f.invalid('datasetName and datasetUUID can not be specified simultaneously', 'resource');
  if (datasetName.includes('/')) f.get('datasetName').invalid("must not contain '/'");
};
const hostPort = /^(\[[^\]]*\]|[^:[\]]*):[^:]*$/;
export const quobyte: Rule<Json<k8s.V1QuobyteVolumeSource>> = (f) => {
  const detail = 'must be a host:port pair or multiple pairs separated by commas';
  const registry = f.get('registry');
  if (registry.isEmpty) registry.missing(detail);
  else if ((f.value?.tenant ?? '').length >= 65)
    f.get('tenant').missing('must be a UUID and may not exceed a length of 64 characters');
  else for (const pair of (registry.value ?? '').split(',')) registry.check(hostPort.test(pair), detail);
  f.get('volume').required();
};
export const cephfs: Rule<{ monitors: string[] }> = needs('monitors');
export const rbd: Rule<{ monitors: string[]; image: string }> = needs('monitors', 'image');
export const glusterfs: Rule<{ endpoints: string; path: string }> = needs('endpoints', 'path');
export const scaleIO: Rule<{ gateway: string; system: string; volumeName: string }> = needs(
  'gateway',
  'system',
  'volumeName',
);
export const vsphereVolume: Rule<Json<k8s.V1VsphereVirtualDiskVolumeSource>> = needs('volumePath');
export const photonPersistentDisk: Rule<Json<k8s.V1PhotonPersistentDiskVolumeSource>> = needs('pdID');
export const portworxVolume: Rule<Json<k8s.V1PortworxVolumeSource>> = needs('volumeID');
export const cinder: Rule<Json<k8s.V1CinderVolumeSource>> = (f) => {
  f.get('volumeID').required();
  f.get('secretRef').with((s) => s.get('name').required());
};
export const storageos: Rule<Json<k8s.V1StorageOSVolumeSource>> = (f) => {
  f.get('volumeName').requiredFormat(dns1123Label);
  f.get('volumeNamespace').format(dns1123Label);
  f.get('secretRef').with((s) => s.get('name').required());
};
export const flexVolume: Rule<{ driver: string; options?: Record<string, string> }> = (f) => {
  f.get('driver').required();
  for (const k of Object.keys(f.value?.options ?? {})) {
    const domain = `.${(k.split('/')[0] ?? '').toLowerCase()}`;
    if (domain.endsWith('.kubernetes.io') || domain.endsWith('.k8s.io')) {
      f.get('options').key(k, k).invalid('kubernetes.io and k8s.io namespaces are reserved');
    }
  }
};
export const azureFile: Rule<{ secretName: string; shareName: string }> = needs('secretName', 'shareName');
export const azureDisk: Rule<Json<k8s.V1AzureDiskVolumeSource>> = (f) => {
  needs<Json<k8s.V1AzureDiskVolumeSource>>('diskName', 'diskURI')(f);
  f.get('cachingMode').oneOf(['None', 'ReadOnly', 'ReadWrite']);
  f.get('kind').oneOf(['Shared', 'Dedicated', 'Managed']);
  const { kind, diskURI = '' } = f.value ?? {};
  const managed = '/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}';
  const blob = 'https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd';
  if (kind === 'Managed' && !diskURI.startsWith('/subscriptions/')) f.get('diskURI').notSupported([managed]);
  if (kind !== undefined && kind !== 'Managed' && !diskURI.startsWith('https://'))
    f.get('diskURI').notSupported([blob]);
};
export const gitRepo: Rule<Json<k8s.V1GitRepoVolumeSource>> = (f) => {
  f.get('repository').required();
  f.get('directory').format(descendingPath);
};

/** A CSI driver's name: a domain of at most 63 characters, in any case. */
export function csiDriverName(f: Field<string>): void {
  if (!f.need()) return;
  f.maxLength(63);
  f.format((v) => dns1123Subdomain(v.toLowerCase()));
}
export const csi: Rule<Json<k8s.V1CSIVolumeSource>> = (f) => {
  csiDriverName(f.get('driver'));
  f.get('nodePublishSecretRef').with((s) => {
    if (s.get('name').need()) f.named('name', s.value?.name).format(dns1123Subdomain);
  });
};
export const emptyDir: Rule<Json<k8s.V1EmptyDirVolumeSource>> = (f) => {
  const limit = f.get('sizeLimit');
  if (limit.isSet && quantity(limit.value).sign < 0)
    limit.forbidden('SizeLimit field must be a valid resource quantity');
};
export const secret: Rule<Json<k8s.V1SecretVolumeSource>> = (f) => {
  f.get('secretName').required();
  fileMode(f.get('defaultMode'));
  f.get('items').each(keyToPath);
};
export const configMap: Rule<Json<k8s.V1ConfigMapVolumeSource>> = (f) => {
  f.get('name').required();
  fileMode(f.get('defaultMode'));
  f.get('items').each(keyToPath);
};
export const local: Rule<Json<k8s.V1LocalVolumeSource>> = (f) => {
  if (f.get('path').need()) f.get('path').format(noBacksteps);
};
