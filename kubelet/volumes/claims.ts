/** Volumes by claim: from the PersistentVolumeClaim to what lies on the node. */
import { chmod, lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Exec } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, PersistentVolume, PersistentVolumeClaim, Pod } from '../../api/types.ts';
import { LOCAL_PATH_PROVISIONER } from '../../api/local-path.ts';
import type { CsiVolumes } from '../csi/types.ts';
import { growFileSystem, isBlockDevice, mountDevice } from './block.ts';
import { checkHostPath } from './host-path.ts';
import { mountsBelow } from './mounts.ts';
import { setGroup } from './ownership.ts';
import { pluginOf } from './plugin-names.ts';
import { VolumeError, type ClaimGrowth, type MountedVolume } from './types.ts';

type ReadPod = DeepReadonly<Pod>;
type Nfs = { readonly server: string; readonly path: string; readonly readOnly?: boolean };

const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by';

export interface ClaimDeps {
  exec: Exec;
  logger: Logger;
  /** Undefined on a node without an API server. */
  growth: ClaimGrowth | undefined;
  csi: CsiVolumes | undefined;
  claim(namespace: string, name: string): Promise<PersistentVolumeClaim | undefined>;
  persistentVolume(name: string): Promise<PersistentVolume | undefined>;
}

/** What a volume of a pod wants of a claim. */
export interface ClaimWish {
  /** The volume's name in the pod. */
  volume: string;
  claim: string;
  readOnly: boolean;
  /** A generic ephemeral volume's claim: the pod must be its controller. */
  ownedByPod: boolean;
}

/** Names of the pod's volumes that its containers mount as folders, and that they take as devices. */
export interface VolumeUses {
  mounts: ReadonlySet<string>;
  devices: ReadonlySet<string>;
}

/** @throws when containers take the volume as what it isn't: a device as a folder, or a folder as a device. */
function checkMode(pv: PersistentVolume, volume: string, uses: VolumeUses): void {
  const mode = pv.spec!.volumeMode ?? 'Filesystem';
  const wrong = mode === 'Block' ? uses.mounts : uses.devices;
  if (wrong.has(volume))
    throw new VolumeError(
      `volume ${volume} has volumeMode ${mode}, but is specified in ${mode === 'Block' ? 'volumeMounts' : 'volumeDevices'}`,
    );
}

/** Mounts an NFS export below the pod's folder. */
export async function mountNfs(
  exec: Exec,
  volumes: string,
  name: string,
  nfs: Nfs,
  readOnly: boolean,
  mountOptions: readonly string[] = [],
): Promise<MountedVolume> {
  const dir = join(volumes, 'kubernetes.io~nfs', name);
  const ro = readOnly || (nfs.readOnly ?? false);
  if ((await mountsBelow(dir)).length === 0) {
    await mkdir(dir, { recursive: true, mode: 0o750 });
    const source = `${nfs.server.includes(':') ? `[${nfs.server}]` : nfs.server}:${nfs.path}`;
    const options = [...(ro ? ['ro'] : []), ...mountOptions];
    await exec('mount', ['-t', 'nfs', ...(options.length ? ['-o', options.join(',')] : []), source, dir], {
      timeoutMs: 120_000,
    });
  }
  return { path: dir, readOnly: ro };
}

/** The claim with its volume, when the pod may use them. */
async function lookUp(deps: ClaimDeps, pod: ReadPod, name: string, ownedByPod: boolean) {
  const ns = pod.metadata!.namespace!;
  const claim = await deps.claim(ns, name);
  if (!claim) throw new VolumeError(`error getting PVC "${ns}/${name}": could not find PVC`);
  if (ownedByPod && !claim.metadata?.ownerReferences?.some((o) => o.controller && o.uid === pod.metadata!.uid))
    throw new VolumeError(`PVC ${ns}/${name} is not owned by the pod`);
  if (claim.metadata?.deletionTimestamp)
    throw new VolumeError(`error processing PVC ${ns}/${name}: PVC is being deleted`);
  if (claim.status?.phase !== 'Bound' || !claim.spec?.volumeName)
    throw new VolumeError(`error processing PVC ${ns}/${name}: PVC is not bound`);
  const pv = await deps.persistentVolume(claim.spec.volumeName);
  if (!pv) throw new VolumeError(`error getting PV ${claim.spec.volumeName} of PVC ${ns}/${name}: not found`);
  if (pv.spec?.claimRef?.uid !== claim.metadata?.uid)
    throw new VolumeError(`PVC ${ns}/${name} is not bound to PV ${claim.spec.volumeName}`);
  return { claim, pv };
}

/** Makes a claim's volume ready for a pod whose folder for volumes is `volumes`. */
export async function mountClaim(
  deps: ClaimDeps,
  pod: ReadPod,
  volumes: string,
  wish: ClaimWish,
  uses: VolumeUses,
): Promise<MountedVolume> {
  const { claim, pv } = await lookUp(deps, pod, wish.claim, wish.ownedByPod);
  checkMode(pv, wish.volume, uses);
  const { readOnly } = wish;
  const spec = pv.spec!;
  const gid = pv.metadata?.annotations?.['pv.beta.kubernetes.io/gid'];
  const group = gid ? { gid: Number(gid) } : {};
  if (spec.csi) {
    if (!deps.csi) throw new VolumeError('there is no API server to attach volumes');
    const mounted = await deps.csi.mountClaim(pod, pv, claim, readOnly);
    return { ...mounted, ...group, plugin: pluginOf(spec) };
  }
  const asDevice = spec.volumeMode === 'Block';
  if (asDevice && !spec.local)
    throw new VolumeError(`PersistentVolume ${pv.metadata?.name} is of a kind that can't be a device`);
  if (spec.nfs)
    return {
      ...(await mountNfs(deps.exec, volumes, pv.metadata!.name!, spec.nfs, readOnly, spec.mountOptions)),
      ...group,
      plugin: pluginOf(spec),
    };
  if (spec.hostPath) {
    await checkHostPath(spec.hostPath.path, spec.hostPath.type);
    return { path: spec.hostPath.path, readOnly, ...group, plugin: pluginOf(spec) };
  }
  if (!spec.local) throw new VolumeError(`no volume plugin matched for PersistentVolume ${pv.metadata?.name}`);
  let { path } = spec.local;
  if (!(await lstat(path).catch(() => undefined))) {
    if (pv.metadata?.annotations?.[PROVISIONED_BY] !== LOCAL_PATH_PROVISIONER)
      throw new VolumeError(`path ${JSON.stringify(path)} does not exist`);
    await mkdir(path, { recursive: true });
    // whoever the pod runs as is to write there
    await chmod(path, 0o777);
  }
  const device = await isBlockDevice(path);
  if (asDevice && !device) throw new VolumeError(`path ${JSON.stringify(path)} is no block device`);
  if (device && !asDevice) {
    const dir = join(volumes, 'kubernetes.io~local-volume', pv.metadata!.name!);
    await mountDevice(deps.exec, path, dir, spec.local.fsType, spec.mountOptions ?? []);
    if (!readOnly && deps.growth?.grew(claim, pv) !== undefined) await grow(deps, deps.growth, claim, pv, dir);
    path = dir;
  }
  const sc = pod.spec!.securityContext;
  if (sc?.fsGroup !== undefined && !readOnly && !asDevice)
    await setGroup(path, sc.fsGroup, { readOnly: false, onlyIfNeeded: sc.fsGroupChangePolicy === 'OnRootMismatch' });
  return { path, readOnly, ...group, plugin: pluginOf(spec) };
}

async function grow(
  deps: ClaimDeps,
  growth: ClaimGrowth,
  claim: PersistentVolumeClaim,
  pv: PersistentVolume,
  dir: string,
): Promise<void> {
  try {
    await growFileSystem(deps.exec, pv.spec!.local!.path, dir);
    await growth.expanded(claim, pv.spec!.capacity!['storage']!);
  } catch (error) {
    // the volume is usable as it is
    deps.logger.warn('a file system could not be made larger', { volume: pv.metadata?.name, error });
  }
}
