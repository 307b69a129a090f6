/** How full the volumes of pods are: what the driver says, else their file system, else what lies in them. Looked at once a minute at most. */
import { formatTime, type Clock } from '../../base/clock.ts';
import type { VolumeNumbers } from '../csi/usage.ts';
import { diskUsage } from '../eviction/usage.ts';
import { fsStats } from '../node/machine.ts';
import type { PodDeps } from '../pods/deps.ts';
import type { PodWorker } from '../pods/worker.ts';

export interface VolumeStats extends VolumeNumbers {
  name: string;
  time: string;
  pvcRef?: { name: string; namespace: string };
  volumeHealthStats?: { abnormal: boolean };
}

const FRESH_MS = 60_000;
const CSI_NAME = /\/kubernetes\.io~csi\/([^/]+)\//;

export interface VolumeStatsReader {
  of(worker: PodWorker): Promise<VolumeStats[]>;
}

export function createVolumeStats(options: { clock: Clock; deps: PodDeps }): VolumeStatsReader {
  const { clock, deps } = options;
  const cache = new Map<string, { at: number; stats: Promise<VolumeStats[]> }>();

  async function look(worker: PodWorker): Promise<VolumeStats[]> {
    const pod = worker.pod;
    const m = pod.metadata!;
    const out: VolumeStats[] = [];
    for (const v of pod.spec!.volumes ?? []) {
      const mounted = worker.volumes?.get(v.name);
      // what belongs to the node is not the pod's to count
      if (!mounted || v.hostPath || v.image) continue;
      const claim = v.persistentVolumeClaim?.claimName ?? (v.ephemeral ? `${m.name}-${v.name}` : undefined);
      const head: VolumeStats = {
        name: v.name,
        time: formatTime(clock.now()),
        ...(claim === undefined ? {} : { pvcRef: { name: claim, namespace: m.namespace! } }),
      };
      try {
        const csi = CSI_NAME.exec(mounted.path)?.[1];
        const said = csi === undefined ? undefined : await deps.csi?.volumes.stats(worker.uid, csi);
        if (said) {
          const { abnormal, ...numbers } = said;
          out.push({ ...head, ...numbers, ...(abnormal === undefined ? {} : { volumeHealthStats: { abnormal } }) });
          continue;
        }
        const fs = fsStats(mounted.path);
        const stats: VolumeStats = {
          ...head,
          usedBytes: fs.usedBytes,
          availableBytes: fs.availableBytes,
          capacityBytes: fs.capacityBytes,
          inodesUsed: fs.inodes - fs.inodesFree,
          inodesFree: fs.inodesFree,
          inodes: fs.inodes,
        };
        if ((v.emptyDir && !v.emptyDir.medium) || v.configMap) {
          const own = await diskUsage(deps.exec, mounted.path);
          stats.usedBytes = own.bytes;
          stats.inodesUsed = own.inodes;
        }
        out.push(stats);
      } catch (error) {
        deps.logger.debug('no volume statistics', { pod: m.name, volume: v.name, error });
      }
    }
    return out;
  }

  return {
    of(worker) {
      const have = cache.get(worker.uid);
      if (have && clock.monotonic() - have.at < FRESH_MS) return have.stats;
      if (cache.size > 1000) cache.clear();
      const stats = look(worker);
      cache.set(worker.uid, { at: clock.monotonic(), stats });
      return stats;
    },
  };
}

/** Names and meanings of the metrics, with the field they show. */
export const VOLUME_METRICS: readonly (readonly [name: string, help: string, field: keyof VolumeNumbers])[] = [
  ['kubelet_volume_stats_capacity_bytes', 'Capacity in bytes of the volume', 'capacityBytes'],
  ['kubelet_volume_stats_available_bytes', 'Number of available bytes in the volume', 'availableBytes'],
  ['kubelet_volume_stats_used_bytes', 'Number of used bytes in the volume', 'usedBytes'],
  ['kubelet_volume_stats_inodes', 'Maximum number of inodes in the volume', 'inodes'],
  ['kubelet_volume_stats_inodes_free', 'Number of free inodes in the volume', 'inodesFree'],
  ['kubelet_volume_stats_inodes_used', 'Number of used inodes in the volume', 'inodesUsed'],
];
