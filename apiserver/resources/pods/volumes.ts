/** A pod's volumes. */
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../../api/types.ts';
import { claimTemplate } from '../storage/claim-spec.ts';
import { clean, type Field, type Rule } from '../validation/field.ts';
import { localPath } from '../validation/formats.ts';
import { dns1123Label, dns1123Subdomain } from '../validation/names.ts';
import { labelSelector } from '../validation/values.ts';
import { clusterTrustBundleName, signerName, userAnnotations } from '../validation/signers.ts';
import { fieldSelector, resourceFieldSelector, VOLUME_FIELDS } from './downward.ts';
import * as source from './volume-sources.ts';
import type { PodOptions } from './options.ts';

export type Volume = Json<k8s.V1Volume>;
type Sources = Omit<Volume, 'name'>;

const MORE_THAN_ONE = 'may not specify more than 1 volume type';

function downwardFile(f: Field<Json<k8s.V1DownwardAPIVolumeFile>>): void {
  f.get('path').required().formatAll(localPath);
  if (f.get('fieldRef').isSet) {
    fieldSelector(f.get('fieldRef'), VOLUME_FIELDS);
    if (f.get('resourceFieldRef').isSet)
      f.invalid('fieldRef and resourceFieldRef can not be specified simultaneously', 'resource');
  } else if (f.get('resourceFieldRef').isSet) {
    resourceFieldSelector(f.get('resourceFieldRef'), true);
  } else {
    f.missing('one of fieldRef and resourceFieldRef is required');
  }
  source.fileMode(f.get('mode'));
}

type Projection = Json<k8s.V1VolumeProjection>;

/** Complains when two projected files would have one path; the complaint is about the whole volume. */
class ProjectedPaths {
  readonly #seen = new Set<string>();
  readonly #volume: Field<unknown>;
  constructor(volume: Field<unknown>) {
    this.#volume = volume;
  }
  take(path: string | undefined): void {
    if (!path) return;
    if (this.#seen.has(path)) this.#volume.invalid('conflicting duplicate paths', path);
    this.#seen.add(path);
  }
}

const PROJECTIONS: {
  [K in keyof Projection]?: (
    f: Field<NonNullable<Projection[K]>>,
    volume: Field<unknown>,
    paths: ProjectedPaths,
  ) => void;
} = {
  secret: (f, _v, paths) => keys(f as Field<Keyed>, paths),
  configMap: (f, _v, paths) => keys(f as Field<Keyed>, paths),
  downwardAPI: (f, _v, paths) =>
    // Complaints name the projection, not the item.
    f.get('items').value?.forEach((item) => {
      downwardFile(f.named('', item));
      paths.take(item.path);
    }),
  serviceAccountToken: (f, volume) => {
    const seconds = f.get('expirationSeconds');
    const n = seconds.value ?? 0;
    seconds.check(n >= 600, 'may not specify a duration less than 10 minutes');
    seconds.check(n <= 2 ** 32, 'may not specify a duration larger than 2^32 seconds');
    volume.named('path', f.value?.path).requiredFormat(localPath);
  },
  clusterTrustBundle: (f, _v, paths) => {
    const { name, signerName: signer, path } = f.value ?? {};
    if (name !== undefined && signer !== undefined) f.invalid('only one of name and signerName may be used');
    else if (name !== undefined) {
      f.get('name').required('must be a valid object name').formatAll(clusterTrustBundleName);
      if (f.get('labelSelector').isSet)
        f.get('labelSelector').invalid('labelSelector must be unset if name is specified');
    } else if (signer !== undefined) {
      f.get('signerName').required('must be a valid signer name').formatAll(signerName);
      labelSelector(f.get('labelSelector'));
    } else f.missing('either name or signerName must be specified');
    f.get('path').required().formatAll(localPath);
    paths.take(path);
  },
  podCertificate: (f, _v, paths) => {
    f.get('signerName').formatAll(signerName);
    userAnnotations(
      f.named<Record<string, string>>(
        'userAnnotations',
        (f.value as { userAnnotations?: Record<string, string> }).userAnnotations,
      ),
    );
    const types = ['RSA3072', 'RSA4096', 'ECDSAP256', 'ECDSAP384', 'ECDSAP521', 'ED25519'];
    if (!types.includes(f.value?.keyType ?? '')) f.get('keyType').notSupported(types);
    const max = f.value?.signerName?.startsWith('kubernetes.io/') ? 86_400 : 7_862_400;
    f.get('maxExpirationSeconds').with((s) =>
      s.check(s.value! >= 3600 && s.value! <= max, `must be between 3600 and ${max}, inclusive`),
    );
    const names = ['credentialBundlePath', 'keyPath', 'certificateChainPath'] as const;
    for (const n of names) {
      f.get(n).format(localPath);
      paths.take(f.value?.[n]);
    }
    if (names.every((n) => !f.value?.[n]))
      f.missing('specify at least one of credentialBundlePath, keyPath, and certificateChainPath');
  },
};

interface Keyed {
  name?: string;
  items?: Json<k8s.V1KeyToPath>[];
}
function keys(f: Field<Keyed>, paths: ProjectedPaths): void {
  f.get('name').required();
  f.get('items').each((item) => {
    source.keyToPath(item);
    paths.take(item.value?.path);
  });
}

const projected: Rule<Json<k8s.V1ProjectedVolumeSource>> = (f) => {
  source.fileMode(f.get('defaultMode'));
  const paths = new ProjectedPaths(f);
  f.get('sources').each((s) => {
    let count = 0;
    for (const name of Object.keys(PROJECTIONS) as (keyof Projection)[]) {
      if (!s.get(name).isSet) continue;
      count++;
      (PROJECTIONS[name] as (f: Field<unknown>, v: Field<unknown>, p: ProjectedPaths) => void)(
        s.get(name) as Field<unknown>,
        f,
        paths,
      );
    }
    if (count > 1) s.forbidden('may not specify more than 1 volume type per source');
  });
};

const downwardAPI: Rule<Json<k8s.V1DownwardAPIVolumeSource>> = (f) => {
  source.fileMode(f.get('defaultMode'));
  f.value?.items?.forEach((item) => downwardFile(f.named('', item)));
};
const ephemeral: Rule<Json<k8s.V1EphemeralVolumeSource>> = (f) => {
  const template = f.get('volumeClaimTemplate');
  if (!template.isSet) template.missing();
  else claimTemplate(template);
};

/** In the order in which a second source is refused; a pair gives other names for complaints. */
const SOURCES: {
  [K in keyof Sources]-?:
    | Rule<NonNullable<Sources[K]>>
    | [rule: Rule<NonNullable<Sources[K]>>, as: string, second?: string];
} = {
  emptyDir: source.emptyDir,
  hostPath: source.hostPath,
  gitRepo: source.gitRepo,
  gcePersistentDisk: [source.gcePersistentDisk, 'persistentDisk', 'gcePersistentDisk'],
  awsElasticBlockStore: source.awsElasticBlockStore,
  secret: source.secret,
  nfs: source.nfs,
  iscsi: source.iscsi as Rule<Json<k8s.V1ISCSIVolumeSource>>,
  glusterfs: source.glusterfs as Rule<Json<k8s.V1GlusterfsVolumeSource>>,
  flocker: source.flocker,
  persistentVolumeClaim: source.needs('claimName'),
  rbd: source.rbd as Rule<Json<k8s.V1RBDVolumeSource>>,
  cinder: source.cinder,
  cephfs: [source.cephfs as Rule<Json<k8s.V1CephFSVolumeSource>>, 'cephfs', 'cephFS'],
  quobyte: source.quobyte,
  downwardAPI: [downwardAPI, 'downwardAPI', 'downwarAPI'],
  fc: source.fc,
  flexVolume: source.flexVolume as Rule<Json<k8s.V1FlexVolumeSource>>,
  configMap: source.configMap,
  azureFile: source.azureFile as Rule<Json<k8s.V1AzureFileVolumeSource>>,
  vsphereVolume: source.vsphereVolume,
  photonPersistentDisk: source.photonPersistentDisk,
  portworxVolume: source.portworxVolume,
  azureDisk: source.azureDisk,
  storageos: source.storageos,
  projected,
  scaleIO: source.scaleIO as Rule<Json<k8s.V1ScaleIOVolumeSource>>,
  csi: source.csi,
  ephemeral,
  image: () => undefined,
};

const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'];

function volumeSource(v: Field<Volume>, pod: PodOptions): void {
  let count = 0;
  for (const name of Object.keys(SOURCES) as (keyof Sources)[]) {
    if (!v.get(name).isSet) continue;
    const entry = SOURCES[name] as Rule<unknown> | [Rule<unknown>, string, string?];
    const [rule, as, second] = Array.isArray(entry) ? entry : [entry, name];
    if (count++ > 0 && name !== 'emptyDir') v.named(second ?? as).forbidden(MORE_THAN_ONE);
    else rule(v.named<unknown>(as, v.value?.[name]));
  }
  if (count === 0) v.missing('must specify a volume type');
  const { iscsi, name, image } = v.value ?? { name: '' };
  if (iscsi?.initiatorName !== undefined && `${name}:${iscsi.targetPortal}`.length > 64)
    v.get('name').invalid(source.iscsiPortalLimit);
  if (image !== undefined) {
    // On update the volumes may not change anyway.
    if (pod.isPod && !pod.allow) v.get('image').get('reference').required();
    v.get('image').get('pullPolicy').enumerated(PULL_POLICIES);
  }
  if (v.value?.ephemeral && pod.name && name) {
    for (const m of dns1123Subdomain(`${pod.name}-${name}`))
      v.get('name').invalid(`PVC name "${pod.name}-${name}": ${m}`);
  }
}

/** Checks volumes and returns the sound ones by name, to match mounts against. */
export function volumes(list: Field<Volume[]>, pod: PodOptions): Map<string, Volume> {
  const sound = new Map<string, Volume>();
  const created = new Set(
    (list.value ?? []).filter((v) => v.ephemeral && pod.name).map((v) => `${pod.name}-${v.name}`),
  );
  list.each((v) => {
    const name = v.value?.name ?? '';
    const ok = clean(v, () => {
      volumeSource(v, pod);
      v.get('name').requiredFormat(dns1123Label);
      if (sound.has(name)) v.get('name').duplicate();
    });
    if (ok) sound.set(name, v.value!);
    const claim = v.value?.persistentVolumeClaim?.claimName ?? '';
    if (created.has(claim)) {
      v.named('persistentVolumeClaim')
        .named('claimName', claim)
        .invalid('must not reference a PVC that gets created for an ephemeral volume');
    }
  });
  return sound;
}
