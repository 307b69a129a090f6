/**
 * Files that change all at once: they lie in a dated folder that `..data` points at, and the visible names point
 * through `..data`. A reader sees either the old set or the new one.
 */
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface FileContent {
  data: Buffer;
  mode: number;
  /** Owner; root when absent. */
  uid?: number;
}

/** Relative paths to what they hold. */
export type Payload = ReadonlyMap<string, FileContent>;

const DATA = '..data';
const DATA_TMP = '..data_tmp';

/** Refuses paths that leave the volume. */
function checkPath(path: string): void {
  if (path === '' || path.startsWith('/')) throw new Error(`invalid path: must be relative path: ${path}`);
  if (path.split('/').includes('..') || path.startsWith('..'))
    throw new Error(`invalid path: must not contain '..': ${path}`);
}

async function same(dir: string, payload: Payload): Promise<boolean> {
  const seen: string[] = [];
  const walk = async (at: string, prefix: string): Promise<void> => {
    for (const e of await readdir(at, { withFileTypes: true })) {
      if (e.isDirectory()) await walk(join(at, e.name), `${prefix}${e.name}/`);
      else seen.push(prefix + e.name);
    }
  };
  await walk(dir, '');
  if (seen.length !== payload.size) return false;
  for (const path of seen) {
    const want = payload.get(path);
    if (!want) return false;
    const file = join(dir, path);
    if (!want.data.equals(await readFile(file))) return false;
    const s = await stat(file);
    // a group may have been given rights afterwards
    if (((s.mode & 0o777) | want.mode) !== (s.mode & 0o777)) return false;
  }
  return true;
}

/**
 * Writes the payload into `target` (which exists); true when something changed. `stamp` names the new folder and is
 * unique per call. `prepare` may change ownership in the new folder before it is shown.
 */
export async function writeAtomically(
  target: string,
  payload: Payload,
  stamp: string,
  prepare?: (dir: string) => Promise<void>,
): Promise<boolean> {
  for (const path of payload.keys()) checkPath(path);
  const old = await readlink(join(target, DATA)).catch(() => undefined);
  if (old !== undefined && (await same(join(target, old), payload).catch(() => false))) return false;

  const name = `..${stamp}`;
  const fresh = join(target, name);
  await mkdir(fresh, { mode: 0o755 });
  await chmod(fresh, 0o755);
  for (const [path, content] of payload) {
    const file = join(fresh, path);
    await mkdir(dirname(file), { recursive: true, mode: 0o755 });
    await writeFile(file, content.data, { mode: content.mode });
    await chmod(file, content.mode); // whatever the umask says
    if (content.uid !== undefined) await chown(file, content.uid, -1);
  }
  await prepare?.(fresh);
  await rm(join(target, DATA_TMP), { force: true });
  await symlink(name, join(target, DATA_TMP));
  await rename(join(target, DATA_TMP), join(target, DATA));

  const tops = new Set([...payload.keys()].map((p) => p.split('/')[0]!));
  for (const top of tops) {
    const link = join(target, top);
    if ((await lstat(link).catch(() => undefined)) === undefined) await symlink(join(DATA, top), link);
  }
  for (const e of await readdir(target))
    if (!e.startsWith('..') && !tops.has(e)) await unlink(join(target, e)).catch(() => {});
  if (old !== undefined && old !== name) await rm(join(target, old), { recursive: true, force: true });
  return true;
}
