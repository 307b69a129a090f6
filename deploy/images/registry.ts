/**
 * The cluster's own registry (docker-registry): every node's containerd asks it first for every image, so that
 * what is loaded into it once is there on all nodes and pulls are real.
 */
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Exec } from '../../base/exec.ts';
import type { BuiltImage, Descriptor } from './build.ts';

/** An image name in its parts, with Docker Hub's short forms written out. */
export function parseImageName(name: string): { registry: string; repository: string; tag: string } {
  const at = name.indexOf('@');
  const plain = at < 0 ? name : name.slice(0, at);
  const colon = plain.lastIndexOf(':');
  const hasTag = colon > plain.lastIndexOf('/');
  const path = hasTag ? plain.slice(0, colon) : plain;
  const tag = hasTag ? plain.slice(colon + 1) : 'latest';
  const first = path.split('/')[0]!;
  const isHost = path.includes('/') && (first.includes('.') || first.includes(':') || first === 'localhost');
  const registry = isHost ? first : 'docker.io';
  let repository = isHost ? path.slice(first.length + 1) : path;
  if (registry === 'docker.io' && !repository.includes('/')) repository = `library/${repository}`;
  return { registry, repository, tag };
}

interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

function send(
  url: string,
  method: string,
  headers: Record<string, string | number> = {},
  body?: Buffer | string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = http.request(url, { method, headers }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (c: Buffer) => chunks.push(c));
      res.on('error', reject);
      res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks) }));
    });
    req.on('error', reject);
    if (typeof body === 'string') createReadStream(body).pipe(req);
    else req.end(body);
  });
}

async function expect(answer: Promise<Answer>, what: string, ...codes: number[]): Promise<Answer> {
  const a = await answer;
  if (!codes.includes(a.status))
    throw new Error(`registry: ${what}: HTTP ${a.status} ${a.body.toString('utf8').slice(0, 200)}`);
  return a;
}

async function pushBlob(base: string, repository: string, blob: Descriptor, file: string): Promise<void> {
  const head = await send(`${base}/v2/${repository}/blobs/${blob.digest}`, 'HEAD');
  if (head.status === 200) return;
  const begun = await expect(
    send(`${base}/v2/${repository}/blobs/uploads/`, 'POST', { 'Content-Length': 0 }),
    'upload',
    202,
  );
  const location = new URL(begun.headers.location!, base);
  location.searchParams.set('digest', blob.digest);
  const headers = { 'Content-Type': 'application/octet-stream', 'Content-Length': blob.size };
  await expect(send(location.href, 'PUT', headers, file), 'blob', 201);
}

/** Pushes a built image under all its names; blobs that are there already are not sent again. */
export async function pushImage(base: string, image: BuiltImage): Promise<void> {
  const blobFile = (d: Descriptor) => join(image.dir, 'blobs', 'sha256', d.digest.slice(7));
  for (const name of image.names) {
    const { repository, tag } = parseImageName(name);
    for (const blob of image.blobs) await pushBlob(base, repository, blob, blobFile(blob));
    const manifest = readFileSync(blobFile(image.manifest));
    const headers = { 'Content-Type': image.manifest.mediaType, 'Content-Length': manifest.length };
    await expect(
      send(`${base}/v2/${repository}/manifests/${tag}`, 'PUT', headers, manifest),
      `manifest of ${name}`,
      201,
    );
  }
}

interface IndexEntry extends Descriptor {
  annotations?: Record<string, string>;
  platform?: { architecture?: string; os?: string };
}
interface Manifest {
  mediaType?: string;
  config?: Descriptor;
  layers?: Descriptor[];
  manifests?: IndexEntry[];
}

/** Reads an image archive (docker save, OCI) and pushes what it holds; resolves with the names. */
export async function loadArchive(exec: Exec, base: string, file: string, as?: string): Promise<string[]> {
  if (!existsSync(file)) throw new Error(`there is no file ${file}`);
  const dir = mkdtempSync(join(tmpdir(), 'k8ts-image-'));
  try {
    await exec('tar', ['-C', dir, '-xf', file], { timeoutMs: 300_000 });
    if (existsSync(join(dir, 'index.json'))) return await loadLayout(base, dir, as);
    if (existsSync(join(dir, 'manifest.json'))) return await loadDockerArchive(base, dir, as);
    throw new Error(`${file} is no image archive (docker save, podman save, skopeo, k8ts)`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The form of docker save before Docker 25: a manifest.json that names a configuration and layer files. */
async function loadDockerArchive(base: string, dir: string, as: string | undefined): Promise<string[]> {
  const images = JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8')) as {
    Config: string;
    RepoTags: string[] | null;
    Layers: string[];
  }[];
  const blobs = join(dir, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  /** Puts a file under its digest. */
  const blobOf = async (file: string, mediaType: string): Promise<Descriptor> => {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(join(dir, file))) hash.update(chunk as Buffer);
    const hex = hash.digest('hex');
    copyFileSync(join(dir, file), join(blobs, hex));
    return { mediaType, digest: `sha256:${hex}`, size: statSync(join(dir, file)).size };
  };
  const names: string[] = [];
  for (const image of images) {
    const tags = as ? [as] : (image.RepoTags ?? []);
    if (tags.length === 0) throw new Error('the archive names no image; say which with --as NAME');
    const config = await blobOf(image.Config, 'application/vnd.oci.image.config.v1+json');
    const layers: Descriptor[] = [];
    for (const l of image.Layers) layers.push(await blobOf(l, 'application/vnd.oci.image.layer.v1.tar'));
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    writeFileSync(join(dir, 'oci-manifest'), JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
    const manifest = await blobOf('oci-manifest', mediaType);
    await pushImage(base, { dir, names: tags, manifest, blobs: [...layers, config] });
    names.push(...tags);
  }
  return names;
}

async function loadLayout(base: string, dir: string, as: string | undefined): Promise<string[]> {
  const read = (d: Descriptor) =>
    JSON.parse(readFileSync(join(dir, 'blobs', 'sha256', d.digest.slice(7)), 'utf8')) as Manifest;
  const index = JSON.parse(readFileSync(join(dir, 'index.json'), 'utf8')) as Manifest;
  const names: string[] = [];
  const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
  for (const entry of index.manifests ?? []) {
    const name =
      as ?? entry.annotations?.['io.containerd.image.name'] ?? entry.annotations?.['org.opencontainers.image.ref.name'];
    if (!name) throw new Error('the archive names no image; say which with --as NAME');
    let descriptor: Descriptor = entry;
    let manifest = read(entry);
    if (manifest.manifests) {
      const found = manifest.manifests.find((m) => m.platform?.architecture === arch && m.platform.os === 'linux');
      if (!found) throw new Error(`${name} has no linux/${arch} image`);
      descriptor = found;
      manifest = read(found);
    }
    await pushImage(base, {
      dir,
      names: [name],
      manifest: descriptor,
      blobs: [...(manifest.layers ?? []), manifest.config!],
    });
    names.push(name);
  }
  return names;
}

/** The names of all images in the registry. */
export async function listImages(base: string): Promise<string[]> {
  const catalog = await expect(send(`${base}/v2/_catalog?n=1000`, 'GET'), 'catalog', 200);
  const { repositories } = JSON.parse(catalog.body.toString('utf8')) as { repositories: string[] | null };
  const names: string[] = [];
  for (const repository of repositories ?? []) {
    const tags = await expect(send(`${base}/v2/${repository}/tags/list`, 'GET'), 'tags', 200, 404);
    if (tags.status === 404) continue;
    const list = JSON.parse(tags.body.toString('utf8')) as { tags: string[] | null };
    for (const tag of list.tags ?? []) names.push(`${repository}:${tag}`);
  }
  return names.sort();
}

/** Forgets an image; says whether it was there. Its layers go when the registry's garbage collection runs. */
export async function removeImage(base: string, name: string): Promise<boolean> {
  const { repository, tag } = parseImageName(name);
  const at = `${base}/v2/${repository}/manifests`;
  const accept = ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json'];
  const head = await expect(send(`${at}/${tag}`, 'HEAD', { Accept: accept.join(', ') }), 'look-up', 200, 404);
  const digest = head.headers['docker-content-digest'];
  if (head.status === 404 || typeof digest !== 'string') return false;
  await expect(send(`${at}/${digest}`, 'DELETE'), `removal of ${name}`, 202, 404);
  return true;
}
