/** A machine that knows only the server's URL and a token joins, is drained and leaves again. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bornIn, cgroupProcesses, createCgroup, removeCgroup } from '../../deploy/cluster/cgroup.ts';
import { cgroupOf, loadCluster, nodeAddress, serverUrl, type Cluster } from '../../deploy/cluster/config.ts';
import { enter, ensureMachine, machineDir, podCgroup, systemCgroup } from '../../deploy/cluster/machine.ts';
import { removeHost } from '../../deploy/cluster/network.ts';
import { systemClock } from '../../base/clock.ts';
import { createExec } from '../../base/exec.ts';
import { silentLogger } from '../../base/log.ts';
import { CLUSTER, eventually, inNamespace, k8ts, Kubectl, ROOT } from './cluster.ts';

const NAME = 'guest';

describe('a machine from elsewhere', function () {
  const exec = createExec({ clock: systemClock, logger: silentLogger });
  let cluster: Cluster;
  let agent: ChildProcess | undefined;
  let k: Kubectl;
  const admin = new Kubectl('default');

  /** Starts `k8ts agent` on the machine; what it says ends up in `said`. */
  function startAgent(token: string, server: string): { said: () => string; ended: Promise<number | null> } {
    const [command, ...inside] = enter(cluster, NAME) as [string, ...string[]];
    const args = [
      ...inside,
      process.execPath,
      join(ROOT, 'deploy/main.ts'),
      'agent',
      `--server=${server}`,
      `--token=${token}`,
    ];
    const own = [
      '--node-name',
      NAME,
      '--node-address',
      nodeAddress(cluster, 40),
      '--data-dir',
      join(machineDir(cluster, NAME), 'agent'),
      '--cgroup-root',
      podCgroup(cluster, NAME),
    ];
    let said = '';
    agent = bornIn(systemCgroup(cluster, NAME), () =>
      spawn(command, [...args, ...own], { stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    const log = createWriteStream(join(machineDir(cluster, NAME), 'agent.log'));
    for (const s of [agent.stdout!, agent.stderr!])
      s.on('data', (c: Buffer) => {
        said += c.toString();
        log.write(c);
      });
    const ended = new Promise<number | null>((resolve) => agent!.once('exit', resolve));
    return { said: () => said, ended };
  }

  before(async () => {
    cluster = loadCluster(CLUSTER)!;
    k = await inNamespace('join');
    mkdirSync(machineDir(cluster, NAME), { recursive: true });
    createCgroup(systemCgroup(cluster, NAME));
    await ensureMachine({ exec, clock: systemClock }, cluster, NAME, nodeAddress(cluster, 40));
  });
  after(async () => {
    await admin.try(['delete', 'namespace', 'join', '--wait=false']);
    for (let i = 0; i < 100 && cgroupProcesses(`${cgroupOf(cluster)}/${NAME}`).length; i++) {
      for (const pid of cgroupProcesses(`${cgroupOf(cluster)}/${NAME}`)) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // ended meanwhile
        }
      }
      await new Promise((r) => setTimeout(r, 50));
    }
    await removeHost(exec, cluster, NAME);
    removeCgroup(`${cgroupOf(cluster)}/${NAME}`);
    rmSync(machineDir(cluster, NAME), { recursive: true, force: true });
  });

  it('is told when its token is wrong, and nothing changes', async () => {
    const a = startAgent('aaaaaa.0123456789abcdef', serverUrl(cluster));
    await eventually(async () => (/doesn't know the token aaaaaa/.test(a.said()) ? undefined : `it says: ${a.said()}`));
    agent!.kill('SIGTERM');
    assert.equal((await admin.try(['get', 'node', NAME])).code, 1);
  });

  it('joins with the URL and a token, and runs pods', async () => {
    const token = k8ts('token', 'create', '--name', CLUSTER).trim();
    startAgent(token, serverUrl(cluster));
    await eventually(async () => {
      const status = await admin.path(`node ${NAME}`, '{.status.conditions[?(@.type=="Ready")].status}');
      return status === 'True' ? undefined : `the node is not Ready: ${status}`;
    }, 90_000);
    await k.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - { weight: 100, preference: { matchExpressions: [{ key: kubernetes.io/hostname, operator: In, values: [${NAME}] }] } }
      containers: [{ name: c, image: nginx, imagePullPolicy: IfNotPresent, ports: [{ containerPort: 80 }] }]
`);
    await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
    assert.equal(await k.path('pods', '{.items[*].spec.nodeName}'), `${NAME} ${NAME}`);
    // reachable from a pod of another node
    const ip = await k.path('pods', '{.items[0].status.podIP}');
    await k.run(
      'run',
      'asker',
      '--image=busybox',
      '--restart=Never',
      '--image-pull-policy=IfNotPresent',
      '--overrides={"spec":{"nodeName":"node1"}}',
      '--',
      'wget',
      '-q',
      '-O',
      '-',
      `http://${ip}`,
    );
    await eventually(async () =>
      (await k.path('pod asker', '{.status.phase}')) === 'Succeeded' ? undefined : 'asker has not succeeded',
    );
  });

  it('is drained and removed, and its pods run elsewhere', async () => {
    await admin.run('drain', NAME, '--ignore-daemonsets', '--delete-emptydir-data', '--force', '--timeout=180s');
    await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
    assert.doesNotMatch(await k.path('pods -l app=web', '{.items[*].spec.nodeName}'), new RegExp(NAME));
    agent!.kill('SIGTERM');
    await admin.run('delete', 'node', NAME);
    await eventually(async () =>
      (await admin.try(['get', 'node', NAME])).code === 1 ? undefined : 'the node is still there',
    );
    assert.ok(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }).includes(NAME));
  });
});
