/** `k8ts image`: the images of a cluster's own registry. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serverAddress, type Cluster } from '../cluster/config.ts';
import { enter } from '../cluster/machine.ts';
import { imageFromTar } from '../images/build.ts';
import type { ImageConfig } from '../images/recipes.ts';
import { listImages, loadArchive, parseImageName, pushImage, removeImage } from '../images/registry.ts';
import { CONTAINERD_SOCKET } from '../node/options.ts';
import { REGISTRY_PORT } from '../server/options.ts';
import { UserError, type Context } from './context.ts';
import { existingCluster } from './inspect.ts';

const registryUrl = (cluster: Cluster) => `http://${serverAddress(cluster)}:${REGISTRY_PORT}`;

export async function imageLoad(ctx: Context, file: string, options: { name: string; as?: string }): Promise<void> {
  for (const n of await loadArchive(ctx.exec, registryUrl(existingCluster(options.name)), file, options.as))
    ctx.say(`${n} can be pulled on every node`);
}

export interface BuildOptions {
  name: string;
  as: string;
  entrypoint?: string[];
  cmd?: string[];
  env?: string[];
  user?: string;
  workdir?: string;
}

/** Makes an image of a root file system in a tar and serves it. */
export async function imageBuild(ctx: Context, file: string, options: BuildOptions): Promise<void> {
  const cluster = existingCluster(options.name);
  const settings: ImageConfig = {
    Entrypoint: options.entrypoint,
    Cmd: options.cmd,
    Env: options.env,
    User: options.user,
    WorkingDir: options.workdir,
  };
  const work = mkdtempSync(join(tmpdir(), 'k8ts-image-'));
  try {
    await pushImage(registryUrl(cluster), await imageFromTar(ctx.exec, work, file, options.as, settings));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  ctx.say(`${options.as} can be pulled on every node`);
}

export async function imageList(ctx: Context, options: { name: string }): Promise<void> {
  for (const n of await listImages(registryUrl(existingCluster(options.name)))) ctx.say(n);
}

/** Forgets an image in the registry and on this machine's nodes; containers that run from it go on. */
export async function imageRemove(ctx: Context, image: string, options: { name: string }): Promise<void> {
  const cluster = existingCluster(options.name);
  if (!(await removeImage(registryUrl(cluster), image)))
    throw new UserError(`there is no image ${image} in the registry; see: k8ts image ls`);
  const { registry, repository, tag } = parseImageName(image);
  const full = `${registry}/${repository}:${tag}`;
  for (const node of cluster.nodes) {
    const [nsenter, ...inside] = enter(cluster, node) as [string, ...string[]];
    const ctr = ['ctr', '--address', CONTAINERD_SOCKET, '--namespace', 'k8s.io', 'images', 'rm', full];
    await ctx.exec(nsenter, [...inside, ...ctr], { timeoutMs: 30_000 }).catch((error: unknown) => {
      ctx.progress(`${node}: ${(error as Error).message.split('\n')[0]}`);
    });
  }
  ctx.say(`${full} is gone`);
}
