/** Turns a recipe into an OCI image layout on disk: no Docker engine, no root needed. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  cpSync,
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createGunzip } from 'node:zlib';
import type { Exec } from '../../base/exec.ts';
import { underLock } from '../../base/lock.ts';
import { SELF, type ImageConfig, type LayerRecipe, type Recipe } from './recipes.ts';
import { TarWriter } from './tar.ts';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** The parts of k8ts and of its packages that run inside containers. */
const SELF_FOLDERS = ['api', 'base', 'client', 'proxy'];
const SELF_MODULES = ['yaml', 'ws', 're2js'];
const OMIT =
  /^(usr\/share\/(doc|man|lintian|locale|info|bug|gdb)|etc\/(init\.d|logrotate\.d|ufw|default)|lib\/systemd|usr\/lib\/systemd)(\/|$)/;

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

/** A built image: blobs in `dir`/blobs/sha256, named by digest. */
export interface BuiltImage {
  dir: string;
  names: string[];
  manifest: Descriptor;
  blobs: Descriptor[];
}

const sha256 = (b: Buffer | string) => createHash('sha256').update(b).digest('hex');

/** Fetches packages into the cache (an index update only when a package isn't known) and returns the .deb files. */
async function fetchPackages(exec: Exec, cache: string, packages: readonly string[]): Promise<string[]> {
  mkdirSync(cache, { recursive: true });
  const have = (p: string) => readdirSync(cache).find((f) => f.startsWith(`${p}_`) && f.endsWith('.deb'));
  const missing = packages.filter((p) => !have(p));
  if (missing.length) {
    const get = () => exec('apt-get', ['download', '-q', ...missing], { cwd: cache, timeoutMs: 300_000 });
    try {
      await get();
    } catch {
      await exec('apt-get', ['update', '-q'], { timeoutMs: 300_000 });
      await get();
    }
  }
  return packages.map((p) => join(cache, have(p)!));
}

/** The packages of a layer, with their dependencies if it wants them (resolved once, then kept in the cache). */
async function packagesOf(exec: Exec, cache: string, layer: LayerRecipe): Promise<string[]> {
  if (!layer.dependencies) return layer.packages;
  const kept = join(cache, `dependencies-${sha256(JSON.stringify([layer.packages, layer.dependencies])).slice(0, 16)}`);
  if (existsSync(kept)) return readFileSync(kept, 'utf8').split('\n');
  const not = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map((d) => `--no-${d}`);
  const out = await exec('apt-cache', ['depends', '--recurse', ...not, ...layer.packages]);
  const except = new Set(layer.dependencies.except);
  // a line that isn't indented names a package; <...> is a virtual one
  const found = out.split('\n').filter((l) => /^[a-z0-9]/.test(l) && !l.includes(':') && !except.has(l));
  const all = [...new Set([...layer.packages, ...found])].sort();
  mkdirSync(cache, { recursive: true });
  writeFileSync(kept, all.join('\n'));
  return all;
}

/** What tells one state of a layer from another. */
const layerKey = (layer: LayerRecipe, debs: readonly string[]) => ({
  layer,
  debs: debs.map((d) => d.split('/').pop()),
  files: layer.files?.map(([, file]) => [statSync(file).size, statSync(file).mtimeMs]),
});

function selfFingerprint(): string {
  const h = createHash('sha256');
  const visit = (dir: string) => {
    for (const e of readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(dir, e.name);
      if (e.isDirectory()) visit(path);
      else h.update(path.slice(ROOT.length)).update(readFileSync(path));
    }
  };
  for (const f of SELF_FOLDERS) visit(join(ROOT, f));
  h.update(readFileSync(join(ROOT, 'package-lock.json')));
  return h.digest('hex');
}

/** Builds (or finds in the cache) one image; whoever else builds in that cache waits meanwhile. */
export function buildImage(exec: Exec, cache: string, name: string, recipe: Recipe): Promise<BuiltImage> {
  mkdirSync(cache, { recursive: true });
  return underLock(join(cache, '.images'), () => build(exec, cache, name, recipe));
}

async function build(exec: Exec, cache: string, name: string, recipe: Recipe): Promise<BuiltImage> {
  const { names, config: imageConfig, self, layers: more = [], ...first } = recipe;
  const parts: { layer: LayerRecipe; debs: string[] }[] = [];
  const packages = join(cache, 'packages');
  for (const layer of [first, ...more])
    parts.push({ layer, debs: await fetchPackages(exec, packages, await packagesOf(exec, packages, layer)) });
  const keys = parts.map((p) => layerKey(p.layer, p.debs));
  const key = sha256(JSON.stringify([3, names, imageConfig, keys, self ? selfFingerprint() : ''])).slice(0, 16);
  const dir = join(cache, 'images', `${name}-${key}`);
  const index = join(dir, 'image.json');
  if (existsSync(index)) return { ...(JSON.parse(readFileSync(index, 'utf8')) as BuiltImage), dir };

  const work = `${dir}.new`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(join(work, 'blobs', 'sha256'), { recursive: true });
  const layers: Descriptor[] = [];
  for (const { layer, debs } of parts) {
    const root = join(work, 'root');
    mkdirSync(root, { recursive: true });
    for (const deb of debs) await exec('dpkg-deb', ['-x', deb, root], { timeoutMs: 120_000 });
    layers.push(writeLayer(work, (tar) => fileLayer(tar, root, layer)));
    rmSync(root, { recursive: true, force: true });
  }
  if (recipe.self) {
    const root = join(work, 'root');
    await stageSelf(exec, root);
    layers.push(
      writeLayer(work, nodeLayer),
      writeLayer(work, (tar) => tar.tree('', root)),
    );
    rmSync(root, { recursive: true, force: true });
  }

  const image = { ...writeImage(work, recipe.names, recipe.config, layers), dir };
  writeFileSync(join(work, 'image.json'), JSON.stringify(image));
  rmSync(dir, { recursive: true, force: true });
  renameSync(work, dir);
  return image;
}

/** Writes what makes layers an image: configuration, manifest, layout. */
function writeImage(work: string, names: string[], settings: ImageConfig, layers: Descriptor[]): BuiltImage {
  const config = writeBlob(work, 'application/vnd.oci.image.config.v1+json', {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: settings,
    rootfs: { type: 'layers', diff_ids: layers.map((l) => l.digest) },
    history: layers.map(() => ({ created: '1970-01-01T00:00:00Z', created_by: 'k8ts' })),
  });
  const manifest = writeBlob(work, 'application/vnd.oci.image.manifest.v1+json', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config,
    layers,
  });
  writeFileSync(join(work, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(work, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      manifests: names.map((n) => ({
        ...manifest,
        annotations: { 'io.containerd.image.name': n, 'org.opencontainers.image.ref.name': n },
      })),
    }),
  );
  return { dir: work, names, manifest, blobs: [...layers, config] };
}

/**
 * Makes an image of one layer in the empty folder `work` out of a tar of a root file system (`docker export`, a
 * backup), plain or compressed with gzip. @throws when the file is no tar.
 */
export async function imageFromTar(
  exec: Exec,
  work: string,
  file: string,
  name: string,
  settings: ImageConfig,
): Promise<BuiltImage> {
  if (!existsSync(file)) throw new Error(`there is no file ${file}`);
  await exec('tar', ['-tf', file], { timeoutMs: 300_000 }).catch(() => {
    throw new Error(`${file} is no tar archive`);
  });
  const blobs = join(work, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  const hash = createHash('sha256');
  const layer = join(work, 'layer.tar');
  const input = createReadStream(file);
  const magic = readStart(file, 2);
  const plain = magic[0] === 0x1f && magic[1] === 0x8b ? input.pipe(createGunzip()) : input;
  await pipeline(
    plain,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        yield chunk;
      }
    },
    createWriteStream(layer),
  );
  const hex = hash.digest('hex');
  const { size } = statSync(layer);
  renameSync(layer, join(blobs, hex));
  const mediaType = 'application/vnd.oci.image.layer.v1.tar';
  return writeImage(work, [name], settings, [{ mediaType, digest: `sha256:${hex}`, size }]);
}

function readStart(file: string, bytes: number): Buffer {
  const start = Buffer.alloc(bytes);
  const fd = openSync(file, 'r');
  try {
    readSync(fd, start, 0, bytes, 0);
  } finally {
    closeSync(fd);
  }
  return start;
}

function fileLayer(tar: TarWriter, root: string, layer: LayerRecipe): void {
  const own = new Set([...(layer.texts ?? []), ...(layer.links ?? []), ...(layer.files ?? [])].map((t) => t[0]));
  for (const [path, mode] of layer.folders ?? []) tar.directory(path, mode);
  if (layer.pick) for (const [from, to] of layer.pick) tar.file(to, join(root, from));
  else tar.tree('', root, (p) => !OMIT.test(p) && !own.has(p));
  for (const [path, target] of layer.links ?? []) tar.symlink(path, target);
  for (const [path, content, mode] of layer.texts ?? []) tar.bytes(path, content, mode);
  for (const [path, file, mode] of layer.files ?? []) tar.file(path, file, mode);
}

function nodeLayer(tar: TarWriter): void {
  tar.file('usr/bin/node', join(ROOT, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node'), 0o755);
}

/** Lays k8ts out below `root` as it lies in images, with the code that Node compiled of it. */
async function stageSelf(exec: Exec, root: string): Promise<void> {
  const home = join(root, SELF.root);
  const copy = (path: string, keep?: (from: string) => boolean) =>
    cpSync(join(ROOT, path), join(home, path), { recursive: true, filter: keep });
  for (const path of ['package.json', ...SELF_FOLDERS]) copy(path);
  for (const m of SELF_MODULES) copy(`node_modules/${m}`, (p) => !/\.(map|md|d\.ts)$/.test(p));
  await exec(process.execPath, [join(ROOT, 'deploy/bin/compile.mjs'), home, ...SELF_FOLDERS], {
    env: { NODE_COMPILE_CACHE: join(root, SELF.compileCache), NODE_COMPILE_CACHE_PORTABLE: '1' },
  });
}

function writeLayer(work: string, fill: (tar: TarWriter) => void): Descriptor {
  const tmp = join(work, 'layer.tar');
  const fd = openSync(tmp, 'w');
  const hash = createHash('sha256');
  const tar = new TarWriter((chunk) => {
    hash.update(chunk);
    writeSync(fd, chunk);
  });
  try {
    fill(tar);
    tar.end();
  } finally {
    closeSync(fd);
  }
  const hex = hash.digest('hex');
  const size = statSync(tmp).size;
  renameSync(tmp, join(work, 'blobs', 'sha256', hex));
  return { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: `sha256:${hex}`, size };
}

function writeBlob(work: string, mediaType: string, content: object): Descriptor {
  const bytes = Buffer.from(JSON.stringify(content));
  const hex = sha256(bytes);
  writeFileSync(join(work, 'blobs', 'sha256', hex), bytes);
  return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
}

/** Writes the image as an OCI archive that `k8ts image load`, skopeo, podman and ctr read. */
export async function exportArchive(exec: Exec, image: BuiltImage, file: string): Promise<void> {
  const staging = `${file}.d`;
  rmSync(staging, { recursive: true, force: true });
  cpSync(image.dir, staging, { recursive: true, filter: (f) => !f.endsWith('image.json') });
  await exec('tar', ['-C', staging, '-cf', file, 'oci-layout', 'index.json', 'blobs'], { timeoutMs: 120_000 });
  rmSync(staging, { recursive: true, force: true });
}
