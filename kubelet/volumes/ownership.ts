/** fsGroup: a volume's files belong to a group that all containers of the pod are in. */
import { chmod, lchown, lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

const SETGID = 0o2000;

async function apply(path: string, gid: number, readOnly: boolean): Promise<void> {
  const s = await lstat(path);
  await lchown(path, s.uid, gid);
  if (s.isSymbolicLink()) return;
  let mask = readOnly ? 0o440 : 0o660;
  if (s.isDirectory()) mask |= SETGID | 0o110;
  await chmod(path, (s.mode & 0o7777) | mask);
}

/** Gives `gid` to all below `path`; with `onlyIfNeeded` not when the top folder is right already. */
export async function setGroup(
  path: string,
  gid: number,
  options: { readOnly: boolean; onlyIfNeeded?: boolean },
): Promise<void> {
  if (options.onlyIfNeeded) {
    const s = await lstat(path);
    const want = (options.readOnly ? 0o440 : 0o660) | SETGID | 0o110;
    if (s.gid === gid && (s.mode & want) === want) return;
  }
  const walk = async (at: string): Promise<void> => {
    const s = await lstat(at);
    if (s.isDirectory()) for (const e of await readdir(at)) await walk(join(at, e));
    await apply(at, gid, options.readOnly);
  };
  await walk(path);
}
