/** What the kubelet keeps on disk of a CSI volume (vol_data.json), and where its folders lie. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Fields as in upstream's vol_data.json, so that either kubelet can take a pod's volumes down. */
export interface VolumeRecord {
  specVolID: string;
  volumeHandle: string;
  driverName: string;
  nodeName: string;
  attachmentID: string;
  volumeLifecycleMode: 'Persistent' | 'Ephemeral';
  volumeMode: 'Filesystem' | 'Block';
}

const PLUGIN = 'kubernetes.io~csi';
const FILE = 'vol_data.json';
const FOLDERS = ['volumes', 'volumeDevices'] as const;

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** As node status and VolumeAttachments name it. */
export const uniqueVolumeName = (driver: string, handle: string): string => `kubernetes.io/csi/${driver}^${handle}`;
export const attachmentName = (handle: string, driver: string, node: string): string =>
  `csi-${sha256(`${handle}${driver}${node}`)}`;
/** The handle of a volume that lives as long as its pod. */
export const ephemeralHandle = (uid: string, volume: string): string => `csi-${sha256(`${uid}${volume}`)}`;

export interface CsiPaths {
  /** The pod's folder for this volume; it holds the record. */
  record(uid: string, r: Pick<VolumeRecord, 'specVolID' | 'volumeMode'>): string;
  /** What the driver publishes at. */
  target(uid: string, r: Pick<VolumeRecord, 'specVolID' | 'volumeMode'>): string;
  /** What the driver stages at. */
  staging(r: VolumeRecord): string;
}

export function csiPaths(rootDir: string): CsiPaths {
  const own = join(rootDir, 'plugins', 'kubernetes.io', 'csi');
  const record: CsiPaths['record'] = (uid, r) =>
    join(rootDir, 'pods', uid, r.volumeMode === 'Block' ? 'volumeDevices' : 'volumes', PLUGIN, r.specVolID);
  return {
    record,
    target: (uid, r) =>
      r.volumeMode === 'Block'
        ? join(own, 'volumeDevices', 'publish', r.specVolID, uid)
        : join(record(uid, r), 'mount'),
    staging: (r) =>
      r.volumeMode === 'Block'
        ? join(own, 'volumeDevices', 'staging', r.specVolID)
        : join(own, r.driverName, sha256(r.volumeHandle), 'globalmount'),
  };
}

export async function writeRecord(dir: string, record: VolumeRecord): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o750 });
  await writeFile(join(dir, `${FILE}.new`), JSON.stringify(record));
  await rename(join(dir, `${FILE}.new`), join(dir, FILE));
}

/** The CSI volumes that a pod has on this node. */
export async function podRecords(rootDir: string, uid: string): Promise<VolumeRecord[]> {
  const out: VolumeRecord[] = [];
  for (const folder of FOLDERS) {
    const dir = join(rootDir, 'pods', uid, folder, PLUGIN);
    for (const name of await readdir(dir).catch(() => [] as string[])) {
      const text = await readFile(join(dir, name, FILE), 'utf8').catch(() => undefined);
      if (text === undefined) continue;
      const mode = folder === 'volumeDevices' ? 'Block' : 'Filesystem';
      out.push({ ...(JSON.parse(text) as VolumeRecord), specVolID: name, volumeMode: mode });
    }
  }
  return out;
}

/** All records of the node, by pod UID. */
export async function allRecords(rootDir: string): Promise<Map<string, VolumeRecord[]>> {
  const out = new Map<string, VolumeRecord[]>();
  for (const uid of await readdir(join(rootDir, 'pods')).catch(() => [] as string[])) {
    const records = await podRecords(rootDir, uid);
    if (records.length) out.set(uid, records);
  }
  return out;
}
