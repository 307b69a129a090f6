/** How full a volume is. */
import type { CsiDriver } from './drivers.ts';

/** Bytes and inodes of a volume, under the names of the kubelet's summary. */
export interface VolumeNumbers {
  usedBytes?: number;
  availableBytes?: number;
  capacityBytes?: number;
  inodesUsed?: number;
  inodesFree?: number;
  inodes?: number;
}

/** What the driver counts, and whether it finds the volume unwell. */
export interface VolumeUsage extends VolumeNumbers {
  abnormal?: boolean;
}

/** Asks the driver of the volume that is mounted at `path`. */
export async function volumeUsage(driver: CsiDriver, handle: string, path: string): Promise<VolumeUsage> {
  const answer = await driver.call<{
    usage: { unit: string; used: number; available: number; total: number }[];
    volume_condition?: { abnormal: boolean } | null;
  }>('NodeGetVolumeStats', {
    volume_id: handle,
    volume_path: path,
    staging_target_path: '',
  });
  const out: VolumeUsage = {};
  for (const u of answer.usage)
    if (u.unit === 'BYTES')
      Object.assign(out, { usedBytes: u.used, availableBytes: u.available, capacityBytes: u.total });
    else if (u.unit === 'INODES') Object.assign(out, { inodesUsed: u.used, inodesFree: u.available, inodes: u.total });
  if (answer.volume_condition) out.abnormal = answer.volume_condition.abnormal;
  return out;
}
