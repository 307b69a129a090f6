// `node compile.mjs [ROOT [FOLDERS...]]`: imports every module there once, unless none has changed since the last time, so
// that Node's compile cache (NODE_COMPILE_CACHE) holds them before a program starts. A program that finds one of its modules
// missing there loads the type stripper: 30 MiB that it never gives back, and twice the time to start. Importing does
// nothing else: no module of ours works before it is called.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { getCompileCacheDir } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const PROGRAMS = [
  'api',
  'base',
  'client',
  'apiserver',
  'scheduler',
  'controllers',
  'kubelet',
  'insight',
  'proxy',
  'dashboard',
  'deploy',
];
const FOR_BROWSERS = /\/dashboard\/ui\//;

const [root = dirname(dirname(dirname(fileURLToPath(import.meta.url)))), ...folders] = process.argv.slice(2);
const cache = getCompileCacheDir();
if (cache) {
  const files = (folders.length ? folders : PROGRAMS)
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !FOR_BROWSERS.test(file))
    .sort();
  const state = createHash('sha256');
  for (const file of [...files, join(root, 'package.json')]) {
    const { mtimeMs, size } = statSync(file);
    state.update(`${file} ${mtimeMs} ${size}\n`);
  }
  const want = state.digest('hex');
  const stamp = join(cache, 'sources');
  let have;
  try {
    have = readFileSync(stamp, 'utf8');
  } catch {}
  if (have !== want) {
    // a module that can't be imported is told of by the program that needs it
    for (const file of files) await import(pathToFileURL(file).href).catch(() => {});
    writeFileSync(stamp, want);
  }
}
