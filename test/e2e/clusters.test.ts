/** Several clusters side by side; nothing stays behind, however one ended. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { CLUSTER, eventually, HOME, k8ts, Kubectl, ROOT, tryK8ts } from './cluster.ts';

const NAME = `${CLUSTER}-other`;

/** Everything on this machine that bears the cluster's name. */
function traces(name: string): string[] {
  const found: string[] = [];
  const cgroups = existsSync('/sys/fs/cgroup/cgroup.controllers') ? [''] : readdirSync('/sys/fs/cgroup');
  for (const h of cgroups) if (existsSync(join('/sys/fs/cgroup', h, `k8ts-${name}`))) found.push(`cgroup ${h}`);
  if (existsSync('/var/run/netns'))
    for (const n of readdirSync('/var/run/netns')) if (n.startsWith(`k8ts-${name}.`)) found.push(`netns ${n}`);
  for (const l of readFileSync('/proc/mounts', 'utf8').split('\n'))
    if (l.includes(`/${name}/`) || l.includes(`k8ts-${name}.`)) found.push(`mount ${l}`);
  for (const pid of readdirSync('/proc').filter((p) => /^\d+$/.test(p))) {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      if (line.includes(join(HOME, name) + '/')) found.push(`process ${line}`);
    } catch {
      // ended meanwhile
    }
  }
  if (existsSync(join(HOME, name))) found.push(`folder ${join(HOME, name)}`);
  return found;
}

describe('clusters side by side', function () {
  this.timeout(240_000);
  after(() => {
    k8ts('down', '--name', NAME);
  });

  it('brings up a second one, which knows nothing of the first, and takes it down without a trace', async () => {
    const before = Object.keys(networkInterfaces()).length;
    k8ts('up', '--name', NAME, '--nodes', '1');
    assert.equal(Object.keys(networkInterfaces()).length, before + 1);
    const config = join(HOME, NAME, 'kubeconfig');
    const nodes = execFileSync('kubectl', ['--kubeconfig', config, 'get', 'nodes', '-o', 'name'], { encoding: 'utf8' });
    assert.equal(nodes, 'node/node1\n');
    assert.match(k8ts('status', '--name', NAME), /node node1: Ready/);
    assert.match(k8ts('image', 'ls', '--name', NAME), /library\/busybox:latest/);
    // as if it had been the first on this machine, and had made what all use
    const file = join(HOME, NAME, 'cluster.json');
    const facts = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...facts, createdFolders: ['/run/k8ts', '/var/lib/cni'] }));
    k8ts('down', '--name', NAME);
    assert.deepEqual(traces(NAME), []);
    assert.equal(Object.keys(networkInterfaces()).length, before);
    // the first goes on
    assert.match(k8ts('image', 'ls', '--name', CLUSTER), /library\/busybox:latest/);
    assert.match(await new Kubectl('default').run('get', 'nodes'), /node1\s+Ready/);
  });

  it('cleans up after an up that was killed half way', async () => {
    const up = spawn(process.execPath, [join(ROOT, 'deploy/bin/run.mjs'), 'up', '--name', NAME, '--nodes', '1'], {
      stdio: 'ignore',
      detached: true,
    });
    await eventually(
      async () =>
        existsSync(join(HOME, NAME, 'server', 'run', 'server.pid')) ? undefined : 'the server has not been started',
      60_000,
      20,
    );
    process.kill(-up.pid!, 'SIGKILL');
    const r = await tryK8ts('down', '--name', NAME);
    assert.equal(r.code, 0, r.stderr);
    assert.deepEqual(traces(NAME), []);
  });
});
