/** hostPath volumes: a place on the node, checked by its type. */
import { lstat, mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VolumeError } from './types.ts';

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
