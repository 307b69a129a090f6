/** Mounting and unmounting below the kubelet's own folder. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { chmod, lstat, mkdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { Exec } from '../../base/exec.ts';

const O_PATH = 0o10000000;

/** Undoes the octal escapes of mountinfo. */
const unescape = (s: string): string =>
  s.replace(/\\(\d{3})/g, (_, o: string) => String.fromCharCode(Number.parseInt(o, 8)));

/** Mount points at or below a folder, deepest first. */
export async function mountsBelow(dir: string): Promise<string[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const out: string[] = [];
  for (const line of lines) {
    const at = unescape(line.split(' ')[4] ?? '');
    if (at === dir || at.startsWith(`${dir}/`)) out.push(at);
  }
  return out.sort((a, b) => b.length - a.length);
}

/** True when another file system begins here. */
export async function isMountPoint(dir: string): Promise<boolean> {
  try {
    const [own, parent] = await Promise.all([stat(dir), stat(dirname(dir))]);
    return own.dev !== parent.dev;
  } catch {
    return false;
  }
}

/** Makes the folder; nothing happens where something is mounted already. */
export async function mountTmpfs(exec: Exec, dir: string, sizeBytes?: number): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o750 });
  if (await isMountPoint(dir)) return;
  await exec('mount', ['-t', 'tmpfs', ...(sizeBytes ? ['-o', `size=${sizeBytes}`] : []), 'tmpfs', dir]);
}

/** A file system of huge pages of one size ("2Mi"). */
export async function mountHugePages(exec: Exec, dir: string, size: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o750 });
  if (await isMountPoint(dir)) return;
  await exec('mount', ['-t', 'hugetlbfs', '-o', `pagesize=${size}`, 'nodev', dir]);
}

/** Unmounts all at and below a folder. */
export async function unmountBelow(exec: Exec, dir: string): Promise<void> {
  for (const at of await mountsBelow(dir)) await exec('umount', [at]).catch(() => exec('umount', ['-l', at]));
  const left = await mountsBelow(dir);
  if (left.length) throw new Error(`still mounted: ${left.join(', ')}`);
}

/** Unmounts all below a folder and removes it; never follows a mount that would not go. */
export async function removeTree(exec: Exec, dir: string): Promise<void> {
  await unmountBelow(exec, dir);
  await rm(dir, { recursive: true, force: true });
}

/** Opens a path below `root` step by step, refusing symbolic links: what is opened can't lie elsewhere. */
function openBelow(root: string, path: string): number {
  let fd = openSync(root, O_PATH | constants.O_DIRECTORY);
  try {
    for (const part of relative(root, path).split('/').filter(Boolean)) {
      const next = openSync(`/proc/self/fd/${fd}/${part}`, O_PATH | constants.O_NOFOLLOW);
      closeSync(fd);
      fd = next;
      if (fstatSync(fd).isSymbolicLink()) throw new Error(`subPath ${path} was changed meanwhile`);
    }
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Binds `subPath` of a volume to `target`, making it when it is missing. The path may hold links inside the volume;
 * one that leads out of it is refused, also when it is swapped at the last moment.
 */
export async function bindSubPath(exec: Exec, volume: string, subPath: string, target: string): Promise<string> {
  if (subPath.split('/').includes('..') || subPath.startsWith('/'))
    throw new Error(`subPath ${JSON.stringify(subPath)} must be relative and not contain '..'`);
  const root = await realpath(volume);
  const inside = (p: string) => p === root || p.startsWith(`${root}/`);
  let at = root;
  for (const part of subPath.split('/').filter(Boolean)) {
    const next = join(at, part);
    if (!(await lstat(next).catch(() => undefined))) {
      const mode = (await stat(root)).mode & 0o7777;
      await mkdir(next, { mode });
      await chmod(next, mode);
    }
    at = await realpath(next);
    if (!inside(at))
      throw new Error(`subpath ${JSON.stringify(subPath)} not within volume path ${JSON.stringify(volume)}`);
  }
  const fd = openBelow(root, at);
  try {
    if (fstatSync(fd).isDirectory()) await mkdir(target, { recursive: true, mode: 0o750 });
    else {
      await mkdir(dirname(target), { recursive: true, mode: 0o750 });
      await writeFile(target, '', { flag: 'a' });
    }
    if ((await mountsBelow(target)).length) await exec('umount', [target]);
    await exec('mount', ['--bind', `/proc/${process.pid}/fd/${fd}`, target]);
  } finally {
    closeSync(fd);
  }
  return target;
}
