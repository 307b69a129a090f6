/** A file system on a block device of the node: made when there is none, then mounted for each pod. */
import { mkdir, realpath, stat } from 'node:fs/promises';
import { CommandError, type Exec } from '../../base/exec.ts';
import { isMountPoint } from './mounts.ts';
import { VolumeError } from './types.ts';

const DEFAULT_TYPE = 'ext4';
const FORMAT_MS = 600_000;
/** blkid's exit code for a device that holds nothing it knows. */
const NOTHING_FOUND = 2;

/** Two pods that come at once must not both find the device empty. */
const busy = new Map<string, Promise<unknown>>();

/** Whether the path leads to a block device. */
export async function isBlockDevice(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isBlockDevice() ?? false;
}

/** The type of the file system on a device; undefined when it is empty. @throws when it is parted, not formatted. */
async function typeOn(exec: Exec, device: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await exec('blkid', ['-p', '-s', 'TYPE', '-s', 'PTTYPE', '-o', 'export', device]);
  } catch (error) {
    if (error instanceof CommandError && error.exitCode === NOTHING_FOUND) return undefined;
    throw error;
  }
  const type = /^TYPE=(.+)$/m.exec(text)?.[1];
  if (type === undefined && /^PTTYPE=/m.test(text))
    throw new VolumeError(`${device} holds a partition table: it is not formatted over`);
  return type;
}

/**
 * Mounts the device at `dir`. What it holds stays: only when it is empty is it formatted, as `type`, or as ext4 when
 * that is missing or empty.
 */
export async function mountDevice(
  exec: Exec,
  path: string,
  dir: string,
  type: string | undefined,
  options: readonly string[],
): Promise<void> {
  const device = await realpath(path);
  const work = (busy.get(device) ?? Promise.resolve()).then(async () => {
    if (await isMountPoint(dir)) return;
    const found = await typeOn(exec, device);
    const wanted = type || found || DEFAULT_TYPE;
    if (found === undefined) {
      // ext's tools ask before they take a whole disk, and keep a share for root that volumes have no use for
      const quiet = wanted.startsWith('ext') ? ['-F', '-m0'] : [];
      await exec(`mkfs.${wanted}`, [...quiet, device], { timeoutMs: FORMAT_MS });
    }
    await mkdir(dir, { recursive: true, mode: 0o750 });
    await exec('mount', ['-t', wanted, ...(options.length ? ['-o', options.join()] : []), device, dir], {
      timeoutMs: FORMAT_MS,
    });
  });
  const settled = work.catch(() => {});
  busy.set(device, settled);
  void settled.then(() => void (busy.get(device) === settled && busy.delete(device)));
  await work;
}

/** Makes the file system that is mounted at `dir` as large as its device has become. */
export async function growFileSystem(exec: Exec, path: string, dir: string): Promise<void> {
  const device = await realpath(path);
  const type = (await typeOn(exec, device)) ?? '';
  if (type.startsWith('ext')) await exec('resize2fs', [device], { timeoutMs: FORMAT_MS });
  else if (type === 'xfs') await exec('xfs_growfs', [dir], { timeoutMs: FORMAT_MS });
  else if (type === 'btrfs') await exec('btrfs', ['filesystem', 'resize', 'max', dir], { timeoutMs: FORMAT_MS });
  else throw new VolumeError(`a file system of type ${type} can't be made larger`);
}
