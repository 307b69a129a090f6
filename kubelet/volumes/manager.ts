/** Makes a pod's volumes ready on the node and takes them away again. */
import { chmod, lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { formatTime, type Clock, type Ids } from '../../base/clock.ts';
import type { Exec } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, PersistentVolume, PersistentVolumeClaim, Pod } from '../../api/types.ts';
import { podPaths } from '../pods/identity.ts';
import { parseQuantity } from '../quantity.ts';
import { writeAtomically } from './atomic-writer.ts';
import type { Runtime } from '../cri/types.ts';
import { mountImage, releaseImages, type EnsureImage } from './image.ts';
import { pageSize } from './huge-pages.ts';
import { mountHugePages, mountTmpfs, removeTree } from './mounts.ts';
import type { CsiVolumes } from '../csi/types.ts';
import { mountClaim, mountNfs, type VolumeUses } from './claims.ts';
import { checkHostPath } from './host-path.ts';
import { setGroup } from './ownership.ts';
import type { KubeletMetrics } from '../metrics/families.ts';
import { pluginOf } from './plugin-names.ts';
import { volumeFiles, type PayloadSources } from './payload.ts';
import { VolumeError, type ClaimGrowth, type MountedVolume } from './types.ts';

type ReadPod = DeepReadonly<Pod>;
type Volume = NonNullable<NonNullable<ReadPod['spec']>['volumes']>[number];

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
  metrics: KubeletMetrics | undefined;
  ensureImage: EnsureImage;
  claim(namespace: string, name: string): Promise<PersistentVolumeClaim | undefined>;
  persistentVolume(name: string): Promise<PersistentVolume | undefined>;
  /** Undefined on a node without an API server, as is the next. */
  csi: CsiVolumes | undefined;
  growth: ClaimGrowth | undefined;
}

const PLUGIN_FOLDERS = {
  configMap: 'kubernetes.io~configmap',
  secret: 'kubernetes.io~secret',
  downwardAPI: 'kubernetes.io~downward-api',
  projected: 'kubernetes.io~projected',
  emptyDir: 'kubernetes.io~empty-dir',
} as const;

/** Names of the volumes that some container takes as a folder, and as a device: others are not needed. */
function volumeUses(pod: ReadPod): VolumeUses {
  const containers = [
    ...(pod.spec!.initContainers ?? []),
    ...pod.spec!.containers,
    ...(pod.spec!.ephemeralContainers ?? []),
  ];
  return {
    mounts: new Set(containers.flatMap((c) => (c.volumeMounts ?? []).map((m) => m.name))),
    devices: new Set(containers.flatMap((c) => (c.volumeDevices ?? []).map((d) => d.name))),
  };
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
    const there = await lstat(dir).catch(() => undefined);
    if (e.medium?.startsWith('HugePages')) await mountHugePages(exec, dir, pageSize(pod, e.medium, v.name));
    else if (e.medium === 'Memory') {
      const limit = e.sizeLimit ? parseQuantity(e.sizeLimit) : 0;
      const memory = pod.spec!.containers.every((c) => c.resources?.limits?.['memory'])
        ? pod.spec!.containers.reduce((n, c) => n + parseQuantity(c.resources!.limits!['memory']), 0)
        : 0;
      const sizes = [limit, memory].filter((n) => n > 0);
      await mountTmpfs(exec, dir, sizes.length ? Math.floor(Math.min(...sizes)) : undefined);
    } else if (!there) await mkdir(dir, { recursive: true, mode: 0o750 });
    if (!there) {
      // a tmpfs comes with its sticky bit, which stays
      await chmod(dir, ((await lstat(dir)).mode & 0o7000) | 0o777);
      const group = pod.spec!.securityContext?.fsGroup;
      if (group !== undefined) await setGroup(dir, group, { readOnly: false });
    }
    return { path: dir, readOnly: false };
  }

  async function one(pod: ReadPod, v: Volume, uses: VolumeUses): Promise<MountedVolume> {
    for (const kind of ['configMap', 'secret', 'downwardAPI', 'projected'] as const)
      if (v[kind]) return files(pod, v, kind);
    if (v.emptyDir) return emptyDir(pod, v);
    if (v.hostPath) {
      await checkHostPath(v.hostPath.path, v.hostPath.type);
      return { path: v.hostPath.path, readOnly: false };
    }
    const claimed = v.persistentVolumeClaim;
    if (claimed) {
      const wish = { volume: v.name, claim: claimed.claimName, readOnly: claimed.readOnly ?? false, ownedByPod: false };
      return mountClaim(options, pod, paths(pod).volumes, wish, uses);
    }
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
    if (v.ephemeral) {
      const claim = `${pod.metadata!.name}-${v.name}`;
      return mountClaim(
        options,
        pod,
        paths(pod).volumes,
        { volume: v.name, claim, readOnly: false, ownedByPod: true },
        uses,
      );
    }
    if (v.csi) {
      if (!options.csi) throw new VolumeError('there is no API server to ask for the CSI driver');
      return options.csi.mountInline(pod, v.name, v.csi);
    }
    if (v.nfs) return mountNfs(exec, paths(pod).volumes, v.name, v.nfs, v.nfs.readOnly ?? false);
    throw new VolumeError(`no volume plugin matched for volume ${v.name}`);
  }

  return {
    async mount(pod) {
      const uses = volumeUses(pod);
      const volumes = (pod.spec!.volumes ?? []).filter((v) => uses.mounts.has(v.name) || uses.devices.has(v.name));
      const out = new Map<string, MountedVolume>();
      // none is left under way when one has failed: what comes next may be to take them all down
      const results = await Promise.allSettled(
        volumes.map(async (v) => {
          const began = clock.monotonic();
          const done = (plugin: string, failed: boolean) =>
            options.metrics?.storage(plugin, 'volume_mount', began, failed);
          try {
            const mounted = await one(pod, v, uses);
            out.set(v.name, mounted);
            done(mounted.plugin ?? pluginOf(v), false);
          } catch (error) {
            // what is only waited for has not failed
            if (!(error instanceof VolumeError) || error.waitMs === undefined) done(pluginOf(v), true);
            if (error instanceof VolumeError) throw error;
            throw new VolumeError(
              `MountVolume.SetUp failed for volume ${JSON.stringify(v.name)} : ${(error as Error).message}`,
            );
          }
        }),
      );
      const failures = results.flatMap((r) => (r.status === 'rejected' ? [r.reason as VolumeError] : []));
      // a failure says more than that something is still waited for
      const failed = failures.find((e) => e.waitMs === undefined) ?? failures[0];
      if (failed) throw failed;
      return out;
    },
    async remove(pod) {
      sources.tokens.forget(pod.metadata!.uid!);
      const root = paths(pod).root;
      const began = clock.monotonic();
      let failed = true;
      try {
        await options.csi?.unmount(pod.metadata!.uid!);
        await releaseImages(options, pod.metadata!.uid!, root, paths(pod).volumes);
        await removeTree(exec, root);
        failed = false;
      } finally {
        // they go together
        for (const v of pod.spec?.volumes ?? []) options.metrics?.storage(pluginOf(v), 'volume_unmount', began, failed);
      }
      logger.debug('removed the pod folder', { root });
    },
  };
}
