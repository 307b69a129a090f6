/** Makes a pod's volumes ready on the node and takes them away again. */
import { chmod, lstat, mkdir, open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { formatTime, type Clock, type Ids } from '../../base/clock.ts';
import type { Exec } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, PersistentVolume, PersistentVolumeClaim, Pod } from '../../api/types.ts';
import { podPaths } from '../pods/identity.ts';
import { parseQuantity } from '../quantity.ts';
import { writeAtomically } from './atomic-writer.ts';
import type { Runtime } from '../cri/types.ts';
import { mountImage, releaseImages, type EnsureImage } from './image.ts';
import { mountTmpfs, removeTree } from './mounts.ts';
import { setGroup } from './ownership.ts';
import { volumeFiles, type PayloadSources } from './payload.ts';

type ReadPod = DeepReadonly<Pod>;
type Volume = NonNullable<NonNullable<ReadPod['spec']>['volumes']>[number];

export interface MountedVolume {
  /** Where it lies on the node. */
  path: string;
  readOnly: boolean;
  /** A group that the volume itself asks for (pv.beta.kubernetes.io/gid). */
  gid?: number;
}

/** A volume can't be made ready: `reason` is the event's. */
export class VolumeError extends Error {
  readonly reason: string;
  constructor(message: string, reason = 'FailedMount') {
    super(message);
    this.reason = reason;
  }
}

export interface VolumeManager {
  /** Makes all volumes ready or brings their content up to date; by volume name. */
  mount(pod: ReadPod): Promise<Map<string, MountedVolume>>;
  /** Unmounts and removes all that the pod had on this node, except its logs. */
  remove(pod: ReadPod): Promise<void>;
}

export interface VolumeOptions {
  rootDir: string;
  clock: Clock;
  ids: Ids;
  exec: Exec;
  logger: Logger;
  sources: PayloadSources;
  runtime: Runtime;
  ensureImage: EnsureImage;
  claim(namespace: string, name: string): Promise<PersistentVolumeClaim | undefined>;
  persistentVolume(name: string): Promise<PersistentVolume | undefined>;
}

const PLUGIN_FOLDERS = {
  configMap: 'kubernetes.io~configmap',
  secret: 'kubernetes.io~secret',
  downwardAPI: 'kubernetes.io~downward-api',
  projected: 'kubernetes.io~projected',
  emptyDir: 'kubernetes.io~empty-dir',
} as const;

/** Names of the volumes that some container mounts: others are not needed. */
export function usedVolumes(pod: ReadPod): Set<string> {
  const out = new Set<string>();
  for (const c of [
    ...(pod.spec!.initContainers ?? []),
    ...pod.spec!.containers,
    ...(pod.spec!.ephemeralContainers ?? []),
  ]) {
    for (const m of c.volumeMounts ?? []) out.add(m.name);
    for (const d of c.volumeDevices ?? []) out.add(d.name);
  }
  return out;
}

/** hostPath's check of what is there, by its type. */
export async function checkHostPath(path: string, type: string | undefined): Promise<void> {
  if (!type) return;
  const found = await stat(path).catch(() => undefined);
  if (type === 'DirectoryOrCreate' && !found) return void (await mkdir(path, { recursive: true, mode: 0o755 }));
  if (type === 'FileOrCreate' && !found) {
    if (!(await lstat(dirname(path)).catch(() => undefined)))
      throw new VolumeError(`hostPath type check failed: parent of ${path} does not exist`);
    const file = await open(path, 'a', 0o644);
    await file.close();
    return;
  }
  const fits: Record<string, [boolean | undefined, string]> = {
    DirectoryOrCreate: [found?.isDirectory(), 'a directory'],
    Directory: [found?.isDirectory(), 'a directory'],
    FileOrCreate: [found?.isFile(), 'a file'],
    File: [found?.isFile(), 'a file'],
    Socket: [found?.isSocket(), 'a socket file'],
    CharDevice: [found?.isCharacterDevice(), 'a character device'],
    BlockDevice: [found?.isBlockDevice(), 'a block device'],
  };
  const want = fits[type];
  if (!want) throw new VolumeError(`${type} is an invalid volume type`);
  if (!want[0]) throw new VolumeError(`hostPath type check failed: ${path} is not ${want[1]}`);
}

export function createVolumeManager(options: VolumeOptions): VolumeManager {
  const { clock, ids, exec, logger, sources } = options;
  const paths = (pod: ReadPod) => podPaths(options.rootDir, '/', pod);

  async function files(pod: ReadPod, v: Volume, kind: keyof typeof PLUGIN_FOLDERS): Promise<MountedVolume> {
    const dir = join(paths(pod).volumes, PLUGIN_FOLDERS[kind], v.name);
    const payload = (await volumeFiles(pod, v, sources))!;
    if (kind === 'configMap') await mkdir(dir, { recursive: true, mode: 0o755 });
    else await mountTmpfs(exec, dir);
    await chmod(dir, 0o777);
    const group = pod.spec!.securityContext?.fsGroup;
    const stamp = `${formatTime(clock.now()).replaceAll(/[-:]/g, '_').replace('T', '_').replace('Z', '')}.${ids.suffix(9)}`;
    const changed = await writeAtomically(
      dir,
      payload,
      stamp,
      group === undefined ? undefined : (fresh) => setGroup(fresh, group, { readOnly: true }),
    );
    if (changed && group !== undefined) await setGroup(dir, group, { readOnly: true });
    return { path: dir, readOnly: false };
  }

  async function emptyDir(pod: ReadPod, v: Volume): Promise<MountedVolume> {
    const e = v.emptyDir!;
    const dir = join(paths(pod).volumes, PLUGIN_FOLDERS.emptyDir, v.name);
    if (e.medium?.startsWith('HugePages')) throw new VolumeError(`volume ${v.name}: huge pages are not supported here`);
    const there = await lstat(dir).catch(() => undefined);
    if (e.medium === 'Memory') {
      const limit = e.sizeLimit ? parseQuantity(e.sizeLimit) : 0;
      const memory = pod.spec!.containers.every((c) => c.resources?.limits?.['memory'])
        ? pod.spec!.containers.reduce((n, c) => n + parseQuantity(c.resources!.limits!['memory']), 0)
        : 0;
      const sizes = [limit, memory].filter((n) => n > 0);
      await mountTmpfs(exec, dir, sizes.length ? Math.floor(Math.min(...sizes)) : undefined);
    } else if (!there) await mkdir(dir, { recursive: true, mode: 0o750 });
    if (!there) {
      await chmod(dir, 0o777);
      const group = pod.spec!.securityContext?.fsGroup;
      if (group !== undefined) await setGroup(dir, group, { readOnly: false });
    }
    return { path: dir, readOnly: false };
  }

  async function claim(pod: ReadPod, name: string, readOnly: boolean, ownedByPod: boolean): Promise<MountedVolume> {
    const ns = pod.metadata!.namespace!;
    const pvc = await options.claim(ns, name);
    if (!pvc) throw new VolumeError(`error getting PVC "${ns}/${name}": could not find PVC`);
    if (ownedByPod && !pvc.metadata?.ownerReferences?.some((o) => o.controller && o.uid === pod.metadata!.uid))
      throw new VolumeError(`PVC ${ns}/${name} is not owned by the pod`);
    if (pvc.metadata?.deletionTimestamp)
      throw new VolumeError(`error processing PVC ${ns}/${name}: PVC is being deleted`);
    if (pvc.status?.phase !== 'Bound' || !pvc.spec?.volumeName)
      throw new VolumeError(`error processing PVC ${ns}/${name}: PVC is not bound`);
    const pv = await options.persistentVolume(pvc.spec.volumeName);
    if (!pv) throw new VolumeError(`error getting PV ${pvc.spec.volumeName} of PVC ${ns}/${name}: not found`);
    if (pv.spec?.claimRef?.uid !== pvc.metadata?.uid)
      throw new VolumeError(`PVC ${ns}/${name} is not bound to PV ${pvc.spec.volumeName}`);
    const source = pv.spec?.hostPath ?? pv.spec?.local;
    if (!source) throw new VolumeError(`no volume plugin matched for PersistentVolume ${pv.metadata?.name}`);
    if (pv.spec?.hostPath) await checkHostPath(pv.spec.hostPath.path, pv.spec.hostPath.type);
    else if (!(await lstat(source.path).catch(() => undefined)))
      throw new VolumeError(`path ${JSON.stringify(source.path)} does not exist`);
    const sc = pod.spec!.securityContext;
    if (pv.spec?.local && sc?.fsGroup !== undefined && !readOnly)
      await setGroup(source.path, sc.fsGroup, {
        readOnly: false,
        onlyIfNeeded: sc.fsGroupChangePolicy === 'OnRootMismatch',
      });
    const gid = pv.metadata?.annotations?.['pv.beta.kubernetes.io/gid'];
    return { path: source.path, readOnly, ...(gid ? { gid: Number(gid) } : {}) };
  }

  async function one(pod: ReadPod, v: Volume): Promise<MountedVolume> {
    for (const kind of ['configMap', 'secret', 'downwardAPI', 'projected'] as const)
      if (v[kind]) return files(pod, v, kind);
    if (v.emptyDir) return emptyDir(pod, v);
    if (v.hostPath) {
      await checkHostPath(v.hostPath.path, v.hostPath.type);
      return { path: v.hostPath.path, readOnly: false };
    }
    if (v.persistentVolumeClaim)
      return claim(pod, v.persistentVolumeClaim.claimName, v.persistentVolumeClaim.readOnly ?? false, false);
    if (v.image) {
      const path = await mountImage(
        options,
        pod,
        paths(pod).volumes,
        v.name,
        v.image.reference ?? '',
        v.image.pullPolicy,
      );
      return { path, readOnly: true };
    }
    if (v.ephemeral) return claim(pod, `${pod.metadata!.name}-${v.name}`, false, true);
    throw new VolumeError(`no volume plugin matched for volume ${v.name}`);
  }

  return {
    async mount(pod) {
      const used = usedVolumes(pod);
      const volumes = (pod.spec!.volumes ?? []).filter((v) => used.has(v.name));
      const out = new Map<string, MountedVolume>();
      await Promise.all(
        volumes.map(async (v) => {
          try {
            out.set(v.name, await one(pod, v));
          } catch (error) {
            if (error instanceof VolumeError) throw error;
            throw new VolumeError(
              `MountVolume.SetUp failed for volume ${JSON.stringify(v.name)} : ${(error as Error).message}`,
            );
          }
        }),
      );
      return out;
    },
    async remove(pod) {
      sources.tokens.forget(pod.metadata!.uid!);
      const root = paths(pod).root;
      const release = await releaseImages(options.runtime, pod.metadata!.uid!, paths(pod).volumes);
      await removeTree(exec, root);
      await release();
      logger.debug('removed the pod folder', { root });
    },
  };
}
