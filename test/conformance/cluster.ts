/** The cluster a run is made on: brought up and taken down as a person would, with the test images in its registry. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Exec } from '../../base/exec.ts';
import { loadCluster, serverAddress, type Cluster } from '../../deploy/cluster/config.ts';
import { enter, machineDir } from '../../deploy/cluster/machine.ts';
import { buildImage, type BuiltImage } from '../../deploy/images/build.ts';
import type { Recipe } from '../../deploy/images/recipes.ts';
import { pushImage } from '../../deploy/images/registry.ts';
import { CONTAINERD_SOCKET } from '../../deploy/node/options.ts';
import { ROOT } from '../../deploy/paths.ts';
import { REGISTRY_PORT } from '../../deploy/server/options.ts';

function k8ts(...args: string[]): void {
  const run = spawnSync(process.execPath, [join(ROOT, 'deploy', 'bin', 'run.mjs'), ...args], {
    stdio: ['ignore', 2, 2],
    timeout: 600_000,
  });
  if (run.status !== 0) throw new Error(`k8ts ${args.join(' ')} failed`);
}

/** Brings up a cluster, or takes the one that is there; `fresh` tells which. */
export function bringUp(name: string, nodes: number): { cluster: Cluster; fresh: boolean } {
  const fresh = loadCluster(name) === undefined;
  if (fresh) k8ts('up', '--name', name, '--nodes', String(nodes));
  return { cluster: loadCluster(name)!, fresh };
}

export const takeDown = (name: string) => k8ts('down', '--name', name);

/** Makes the images, serves them from the cluster's registry and pulls them on every node. */
export async function distribute(
  exec: Exec,
  cluster: Cluster,
  cache: string,
  recipes: Record<string, Recipe>,
  say: (line: string) => void,
): Promise<void> {
  const base = `http://${serverAddress(cluster)}:${REGISTRY_PORT}`;
  const images: BuiltImage[] = [];
  for (const [name, recipe] of Object.entries(recipes)) {
    const image = await buildImage(exec, cache, name, recipe);
    await pushImage(base, image);
    images.push(image);
  }
  say(`images: ${images.length} in the registry`);
  // a first pull of a large image takes longer than some specs wait
  await Promise.all(cluster.nodes.map((node) => pullAll(exec, cluster, node, images)));
  say(`images: pulled on ${cluster.nodes.join(', ')}`);
}

async function pullAll(exec: Exec, cluster: Cluster, node: string, images: readonly BuiltImage[]): Promise<void> {
  const [command, ...inside] = enter(cluster, node) as [string, ...string[]];
  const hosts = join(machineDir(cluster, node), 'agent', 'certs.d');
  const ctr = ['ctr', '-a', CONTAINERD_SOCKET, '-n', 'k8s.io', 'images'];
  const there = await exec(command, [...inside, ...ctr, 'ls']);
  const have = new Set(there.split('\n').map((l) => l.split(/\s+/).slice(0, 3).join(' ')));
  for (const { names, manifest } of images)
    for (const name of names)
      if (!have.has(`${name} ${manifest.mediaType} ${manifest.digest}`))
        await exec(command, [...inside, ...ctr, 'pull', '--hosts-dir', hosts, name], { timeoutMs: 180_000 });
}
