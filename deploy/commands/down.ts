/** `k8ts down`: removes every process, namespace, mount, interface, cgroup and file of a cluster, however it ended. */
import { existsSync, rmSync } from 'node:fs';
import { cgroupProcesses, removeCgroup } from '../cluster/cgroup.ts';
import { cgroupOf, checkName, loadCluster, newCluster, type Cluster } from '../cluster/config.ts';
import { removeMountPoints } from '../cluster/machine.ts';
import { hostsOf, removeNetwork } from '../cluster/network.ts';
import { requireRoot, UserError, withLock, type Context } from './context.ts';

/** Also of a cluster that was made by halves; says so when there is none. */
export async function down(ctx: Context, options: { name: string; keepData?: boolean }): Promise<void> {
  checkName(options.name);
  requireRoot('k8ts down');
  await withLock(options.name, async () => {
    const known = loadCluster(options.name);
    const cluster = known ?? newCluster(options.name, { store: 'lmdb' }, new Set());
    if (
      !known &&
      hostsOf(cluster).length === 0 &&
      cgroupProcesses(cgroupOf(cluster)).length === 0 &&
      !existsSync(cluster.dir)
    ) {
      ctx.say(`There is no cluster ${options.name}.`);
      return;
    }
    await endProcesses(ctx, cluster);
    await removeNetwork(ctx.exec, cluster);
    for (let tries = 0; !removeCgroup(cgroupOf(cluster)); tries++) {
      if (tries > 50)
        throw new UserError(`the cgroup ${cgroupOf(cluster)} can't be removed: something still runs in it`);
      await ctx.clock.sleep(100);
    }
    removeMountPoints(cluster);
    rmSync(cluster.dir, { recursive: true, force: true, maxRetries: 5 });
    ctx.say(`Cluster ${cluster.name} is gone.`);
  });
}

/** Ends every process of the cluster. Their namespaces and the mounts in them go with them. */
async function endProcesses(ctx: Context, cluster: Cluster): Promise<void> {
  const until = ctx.clock.monotonic() + 30_000;
  for (let left = cgroupProcesses(cgroupOf(cluster)); left.length > 0; left = cgroupProcesses(cgroupOf(cluster))) {
    for (const pid of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // ended meanwhile
      }
    }
    if (ctx.clock.monotonic() > until)
      throw new UserError(`processes ${left.slice(0, 10).join(', ')} of cluster ${cluster.name} don't end`);
    await ctx.clock.sleep(50);
  }
}
