/** Several clusters side by side; nothing stays behind, however one ended. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { tagOf } from '../../deploy/cluster/config.ts';
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
  for (const t of execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }).split('\n'))
    if (t.endsWith(` k8ts-${name}`)) found.push(t);
  if (existsSync(join(HOME, name))) found.push(`folder ${join(HOME, name)}`);
  return found;
}

/** A namespace that stands for the world outside this machine; its server answers with the address that asks. */
const OUTSIDE = { netns: `${CLUSTER}-outside`, link: 'k8ts-outside', ours: '198.51.100.1', theirs: '198.51.100.2' };

async function serveOutside(): Promise<() => Promise<void>> {
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const remove = () => {
    try {
      ip('netns', 'del', OUTSIDE.netns); // and with it the link
    } catch {
      // not there
    }
  };
  remove();
  ip('netns', 'add', OUTSIDE.netns);
  ip('link', 'add', OUTSIDE.link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', OUTSIDE.netns);
  ip('addr', 'add', `${OUTSIDE.ours}/30`, 'dev', OUTSIDE.link);
  ip('link', 'set', OUTSIDE.link, 'up');
  ip('-n', OUTSIDE.netns, 'addr', 'add', `${OUTSIDE.theirs}/30`, 'dev', 'eth0');
  ip('-n', OUTSIDE.netns, 'link', 'set', 'eth0', 'up');
  const program = `require('node:http').createServer((q, r) => r.end(q.socket.remoteAddress)).listen(8080, '0.0.0.0', () => console.log('on'))`;
  const server = spawn('ip', ['netns', 'exec', OUTSIDE.netns, process.execPath, '-e', program]);
  await once(server.stdout, 'data');
  return async () => {
    server.kill('SIGKILL');
    await once(server, 'exit'); // a namespace lasts as long as its processes
    remove();
  };
}

/** '1' when this machine passes packets on between its networks. */
const machineForwards = () => readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim();

describe('clusters side by side', function () {
  const link = () => `k8ts-${tagOf(NAME)}` in networkInterfaces();
  const config = join(HOME, NAME, 'kubeconfig');
  const first = new Kubectl('default');
  after(() => {
    k8ts('down', '--name', NAME);
  });

  let forwarding = '';
  it('brings up a second one, which knows nothing of the first', () => {
    forwarding = machineForwards();
    k8ts('up', '--name', NAME, '--nodes', '1', '--egress');
    assert.ok(link());
    const nodes = execFileSync('kubectl', ['--kubeconfig', config, 'get', 'nodes', '-o', 'name'], { encoding: 'utf8' });
    assert.equal(nodes, 'node/node1\n');
    assert.match(k8ts('status', '--name', NAME), /node node1: Ready/);
    assert.match(k8ts('image', 'ls', '--name', NAME), /library\/busybox:latest/);
  });

  it('lets the pods of one out that was made so, behind the address of this machine, and no others', async () => {
    const close = await serveOutside();
    const ask = ['run', 'asks', '--image=busybox', '--restart=Never', '--image-pull-policy=IfNotPresent', '--'];
    const wget = ['wget', '-q', '-O', '-', `http://${OUTSIDE.theirs}:8080/`];
    const phase = ['get', 'pod', 'asks', '-o', 'jsonpath={.status.phase}'];
    try {
      const at = ['--kubeconfig', config];
      const run = async (where: string[], ...args: string[]) => (await first.try([...where, ...args])).stdout;
      for (const [where, end] of [
        [at, 'Succeeded'],
        [[], 'Failed'],
      ] as const) {
        await eventually(async () =>
          (await run([...where], ...ask, ...wget)).includes('created') ? undefined : 'the pod was not made',
        );
        await eventually(async () => {
          const now = await run([...where], ...phase);
          return now === end ? undefined : `the pod is ${now}, not ${end}`;
        });
      }
      assert.equal(await run(at, 'logs', 'asks'), OUTSIDE.ours);
      await first.run('delete', 'pod', 'asks', '--wait=false');
    } finally {
      await close();
    }
  });

  it('takes it down without a trace, and the first goes on', async () => {
    // as if it had been the first on this machine, and had made what all use
    const file = join(HOME, NAME, 'cluster.json');
    const facts = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...facts, createdFolders: ['/run/k8ts', '/var/lib/cni'] }));
    k8ts('down', '--name', NAME);
    assert.deepEqual(traces(NAME), []);
    assert.ok(!link());
    assert.equal(machineForwards(), forwarding);
    assert.match(k8ts('image', 'ls', '--name', CLUSTER), /library\/busybox:latest/);
    assert.match(await first.run('get', 'nodes'), /node1\s+Ready/);
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
