import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { CLUSTER, eventually, inNamespace, k8ts, ROOT, tryK8ts, type Kubectl } from './cluster.ts';

describe('logs of many pods', function () {
  let kubectl: Kubectl;

  before(async () => {
    kubectl = await inNamespace('many-logs');
    await kubectl.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: { name: choir }
spec:
  replicas: 2
  selector: { matchLabels: { app: choir } }
  template:
    metadata: { labels: { app: choir } }
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{ name: voice, image: busybox, command: [sh, -c, 'echo hello from $HOSTNAME; sleep 3600'] }]
`);
    await kubectl.run('rollout', 'status', 'deployment/choir', '--timeout=180s');
  });
  after(() => kubectl.run('delete', 'namespace', 'many-logs', '--wait=false'));

  const args = ['logs', '--name', CLUSTER, '-n', 'many-logs', '-l', 'app=choir'];
  const heard = (text: string) => new Set(text.match(/^(\S+)\s+hello from \1$/gm));

  it('come as one, each line under the name of its pod', () => {
    assert.equal(heard(k8ts(...args)).size, 2);
  });

  it('go on with pods that start later', async () => {
    const child = spawn(process.execPath, [join(ROOT, 'deploy/bin/run.mjs'), ...args, '--follow'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    try {
      await eventually(async () => (heard(text).size === 2 ? undefined : 'lines of the first two'));
      await kubectl.run('scale', 'deployment/choir', '--replicas=3');
      await eventually(async () => (heard(text).size === 3 ? undefined : 'lines of the third'));
      assert.equal(text.match(/hello from/g)?.length, 3, 'a line came twice');
    } finally {
      child.kill('SIGINT');
    }
    assert.equal(await ended, 0, 'an interruption is an ordinary end');
  });

  it('need to be told which', async () => {
    const r = await tryK8ts('logs', '--name', CLUSTER);
    assert.equal(r.code, 1);
    assert.match(r.stderr, /name a program .* or pods with --all or -l/);
  });
});
