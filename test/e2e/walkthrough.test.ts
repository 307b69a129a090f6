/** kubectl as people use it, in every version this machine has. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, inNamespace, Kubectl, kubectls, withFolder } from './cluster.ts';

const get = (url: string) =>
  new Promise<string>((resolve, reject) => {
    http
      .get(url, { agent: false, timeout: 30_000 }, (res) => {
        let text = '';
        res.on('data', (c) => (text += String(c)));
        res.on('end', () => resolve(text));
      })
      .on('error', reject);
  });

for (const binary of kubectls())
  describe(`kubectl walk-through (${binary.split('/').slice(-3).join('/')})`, function () {
    let k: Kubectl;
    before(async () => {
      k = new Kubectl((await inNamespace('walk')).namespace, binary);
      await k.run('create', 'deployment', 'web', '--image=nginx', '--replicas=2');
      await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
    });
    after(async () => {
      await new Kubectl('default').try(['delete', 'namespace', 'walk', '--wait=true'], { timeoutMs: 90_000 });
    });
    const firstPod = async () => (await k.path('pods -l app=web', '{.items[0].metadata.name}')).trim();

    it('gets as a table, wide, yaml and json', async () => {
      const table = await k.run('get', 'pods');
      assert.match(table, /^NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE/);
      assert.match(table, /web-\S+\s+1\/1\s+Running\s+0/);
      assert.match(await k.run('get', 'pods', '-o', 'wide'), /IP\s+NODE\s+NOMINATED NODE/);
      assert.match(await k.run('get', 'deployment', 'web', '-o', 'yaml'), /^kind: Deployment$/m);
      assert.equal((await k.json<{ kind: string }>('get', 'deployment', 'web')).kind, 'Deployment');
      assert.match(await k.run('get', 'all'), /deployment\.apps\/web\s+2\/2/);
    });
    it('describes', async () => {
      assert.match(await k.run('describe', 'pod', await firstPod()), /Successfully assigned walk\//);
      assert.match(await k.run('describe', 'deployment', 'web'), /2 desired \| 2 updated \| 2 total \| 2 available/);
      assert.match(await k.run('describe', 'node', 'node1'), /Allocated resources/);
    });
    it('executes, with input and exit codes', async () => {
      const pod = await firstPod();
      assert.equal((await k.run('exec', pod, '--', 'sh', '-c', 'echo out; echo err >&2')).trim(), 'out');
      const piped = await k.try(['exec', '-i', pod, '--', 'cat'], { input: 'through the pipe' });
      assert.equal(piped.stdout, 'through the pipe');
      assert.equal((await k.try(['exec', pod, '--', 'sh', '-c', 'exit 7'])).code, 7);
    });
    it('copies both ways', () =>
      withFolder(async (dir) => {
        const pod = await firstPod();
        writeFileSync(join(dir, 'in.txt'), 'copied\n');
        await k.apply(
          'apiVersion: v1\nkind: Pod\nmetadata: {name: box}\nspec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "3600"]}]}\n',
        );
        await k.run('wait', '--for=condition=Ready', 'pod/box', '--timeout=180s');
        assert.ok(pod);
        await k.run('cp', join(dir, 'in.txt'), 'box:/tmp/there.txt');
        await k.run('cp', 'box:/tmp/there.txt', join(dir, 'back.txt'));
        assert.equal(readFileSync(join(dir, 'back.txt'), 'utf8'), 'copied\n');
      }));
    it('reads and follows logs', async () => {
      await k.run(
        'run',
        'talker',
        '--image=busybox',
        '--restart=Never',
        '--image-pull-policy=IfNotPresent',
        '--',
        'sh',
        '-c',
        'for i in 1 2 3; do echo line $i; sleep 1; done',
      );
      await eventually(async () =>
        (await k.path('pod talker', '{.status.phase}')) === 'Pending' ? 'pending' : undefined,
      );
      assert.equal(await k.run('logs', '-f', 'talker'), 'line 1\nline 2\nline 3\n');
      assert.equal(await k.run('logs', '--tail=1', 'talker'), 'line 3\n');
    });
    it('forwards a port', async () => {
      const forward = k.spawn('port-forward', 'deployment/web', ':80');
      try {
        let said = '';
        forward.stdout!.on('data', (c) => (said += String(c)));
        await eventually(async () => (/127\.0\.0\.1:(\d+)/.test(said) ? undefined : `not forwarding: ${said}`));
        const port = /127\.0\.0\.1:(\d+)/.exec(said)![1];
        assert.match(await get(`http://127.0.0.1:${port}/`), /It works/);
        assert.match(await get(`http://127.0.0.1:${port}/`), /It works/);
      } finally {
        forward.kill();
      }
    });
    it('scales, labels, annotates, patches, edits', async () => {
      await k.run('scale', 'deployment/web', '--replicas=3');
      await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
      assert.equal(await k.path('deployment web', '{.status.readyReplicas}'), '3');
      await k.run('label', 'deployment', 'web', 'tier=front');
      assert.match(await k.run('get', 'deployments', '-l', 'tier=front'), /web/);
      await k.run('annotate', 'deployment', 'web', 'why=because');
      await k.run('patch', 'deployment', 'web', '-p', '{"spec":{"replicas":1}}');
      await k.run('set', 'env', 'deployment/web', 'COLOUR=blue');
      await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
      assert.match(await k.run('rollout', 'history', 'deployment/web'), /\n2\s/);
      await k.run('rollout', 'restart', 'deployment/web');
      await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
    });
    it('explains and lists resources', async () => {
      assert.match(await k.run('api-resources'), /deployments\s+deploy\s+apps\/v1\s+true\s+Deployment/);
      assert.match(await k.run('explain', 'deployment.spec.replicas'), /replicas/);
      assert.match(await k.run('auth', 'can-i', 'create', 'pods'), /yes/);
    });
    it('deletes', async () => {
      await k.run('delete', 'deployment', 'web');
      await eventually(async () =>
        (await k.run('get', 'pods', '-l', 'app=web', '-o', 'name')).trim() === '' ? undefined : 'pods are left',
      );
      const gone = await k.try(['get', 'deployment', 'web']);
      assert.equal(gone.code, 1);
      assert.match(gone.stderr, /Error from server \(NotFound\): deployments\.apps "web" not found/);
    });
  });
