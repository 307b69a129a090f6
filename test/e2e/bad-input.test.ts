/** Mistakes get one clear sentence and change nothing. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import https from 'node:https';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { generateKey, keyToPem, signCertificate } from '../../base/pki.ts';
import { loadCluster, serverUrl } from '../../deploy/cluster/config.ts';
import { CLUSTER, HOME, inNamespace, k8ts, Kubectl, ROOT, tryK8ts, withFolder } from './cluster.ts';

describe('bad input', function () {
  let k: Kubectl;
  before(async () => {
    k = await inNamespace('bad-input');
  });
  after(async () => {
    await new Kubectl('default').try(['delete', 'namespace', 'bad-input', '--wait=false']);
  });

  it('names an unknown field', async () => {
    const r = await k.try(['apply', '-f', '-'], {
      input: 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b, imagee: c}]}\n',
    });
    assert.equal(r.code, 1);
    assert.match(r.stderr, /unknown field "(spec\.containers\[0\]\.)?imagee"/);
    assert.match(r.stderr, /strict decoding error|error validating data/);
    assert.equal((await k.run('get', 'pods', '-o', 'name')).trim(), '');
  });

  it('names a wrong type', async () => {
    const r = await k.try(['create', '--validate=false', '-f', '-'], {
      input: 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: "many"}\n',
    });
    assert.equal(r.code, 1);
    assert.match(r.stderr, /BadRequest/);
    assert.match(r.stderr, /replicas/);
  });

  it('names an invalid value', async () => {
    const r = await k.try(['create', '-f', '-'], {
      input: 'apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}\nspec: {containers: []}\n',
    });
    assert.equal(r.code, 1);
    assert.match(r.stderr, /^The Pod "A_b" is invalid/);
    assert.match(r.stderr, /spec\.containers: Required value/);
  });

  for (const [what, args, sentence] of [
    ['an unknown flag', ['up', '--bogus'], /unknown option '--bogus'/],
    ['an unknown command', ['fly'], /unknown command 'fly'/],
    ['a bad number of nodes', ['up', '--nodes', '0'], /whole number from 1 to 100/],
    ['a bad cluster name', ['up', '--name', 'A b'], /must be lower-case letters/],
    ['a cluster that is not there', ['kubeconfig', '--name', 'nosuch'], /there is no cluster nosuch/],
    [
      'a malformed token',
      ['agent', '--server', 'https://127.0.0.1:1', '--token', 'x', '--data-dir', '/tmp/k8ts-never'],
      /must look like abcdef\.0123456789abcdef/,
    ],
  ] as const)
    it(`refuses ${what}`, async () => {
      const r = await tryK8ts(...args);
      assert.notEqual(r.code, 0);
      assert.match(r.stderr, sentence);
      assert.ok(!/\n\s+at /.test(r.stderr), `a stack trace: ${r.stderr}`);
    });

  it('refuses a port that somebody else uses', async () => {
    const other = createServer().listen(0);
    try {
      const { port } = other.address() as { port: number };
      const r = await tryK8ts(
        'server',
        '--port',
        String(port),
        '--data-dir',
        '/tmp/k8ts-never',
        '--address',
        '127.0.0.1',
      );
      assert.equal(r.code, 1);
      assert.match(r.stderr, new RegExp(`port ${port} \\(apiserver\\) is in use on this machine`));
    } finally {
      other.close();
      rmSync('/tmp/k8ts-never', { recursive: true, force: true });
    }
  });

  for (const command of ['up', 'down', 'server', 'agent'])
    it(`refuses ${command} to who is not root`, () => {
      const args = command === 'agent' ? ['--server=https://127.0.0.1:1', '--token=abcdef.0123456789abcdef'] : [];
      const name = command === 'up' || command === 'down' ? ['--name', 'e2e-nobody'] : [];
      // in a user namespace of its own, where this user is nobody
      const run = [process.execPath, join(ROOT, 'deploy/main.ts'), command, ...args, ...name];
      const r = spawnSync('unshare', ['--user', ...run], { encoding: 'utf8', timeout: 30_000 });
      assert.equal(r.status, 1);
      assert.match(r.stderr, new RegExp(`k8ts: k8ts ${command} .* needs root: run it with sudo\n$`));
      assert.ok(!existsSync(join(HOME, 'e2e-nobody')));
    });

  it('names what an older cluster left behind, and takes it down', async () => {
    const name = 'e2e-left';
    execFileSync('ip', ['netns', 'add', `k8ts-${name}.switch`]);
    try {
      const up = await tryK8ts('up', '--name', name);
      assert.equal(up.code, 1);
      assert.match(
        up.stderr,
        /k8ts: an earlier cluster e2e-left left something behind: run k8ts down --name e2e-left first/,
      );
      assert.ok(!existsSync(join(HOME, name)));
    } finally {
      k8ts('down', '--name', name);
    }
    assert.ok(!existsSync(`/var/run/netns/k8ts-${name}.switch`));
  });

  it('does not change the store of a cluster that is there', async () => {
    const store = loadCluster(CLUSTER)!.store;
    const r = await tryK8ts('up', '--name', CLUSTER, '--store', store === 'lmdb' ? 'etcd' : 'lmdb');
    assert.equal(r.code, 1);
    assert.match(r.stderr, new RegExp(`cluster ${CLUSTER} stores its objects in ${store}; take it down before`));
  });

  describe('of a machine that wants to join', () => {
    const upstream = () => new URL(serverUrl(loadCluster(CLUSTER)!));
    const join = (dir: string, server: string, token: string) =>
      tryK8ts('agent', '--server', server, '--token', token, '--data-dir', dir, '--node-name', 'never');
    async function refused(server: string, token: string, sentence: RegExp): Promise<void> {
      await withFolder(async (dir) => {
        const r = await join(dir, server, token);
        assert.equal(r.code, 1);
        assert.match(r.stderr, sentence);
        assert.deepEqual(readdirSync(dir), []);
      });
      assert.equal((await k.try(['get', 'node', 'never'])).code, 1);
    }

    it('names a token with a wrong secret', async () => {
      const token = k8ts('token', 'create', '--name', CLUSTER).trim();
      const wrong = token.slice(0, -1) + (token.endsWith('x') ? 'z' : 'x');
      await refused(upstream().origin, wrong, /doesn't hold the secret of token \w{6}: wrong token or wrong server/);
    });

    it('names a server whose certificate another authority has signed', async () => {
      const token = k8ts('token', 'create', '--name', CLUSTER).trim();
      const key = generateKey();
      const validity = { notBefore: Date.now() - 3600_000, notAfter: Date.now() + 3600_000 };
      const cert = signCertificate(
        { subject: { commonName: 'other' }, altNames: { ip: ['127.0.0.1'] }, ca: true, ...validity },
        key,
        key,
      );
      // it hands everything on to the real server: even so it isn't trusted
      const between = https.createServer({ cert, key: keyToPem(key) }, (req, res) => {
        const { hostname, port } = upstream();
        const { url: path, method, headers } = req;
        const on = https.request({ hostname, port, path, method, headers, rejectUnauthorized: false }, (answer) => {
          res.writeHead(answer.statusCode!, answer.headers);
          answer.pipe(res);
        });
        on.on('error', () => res.destroy());
        req.pipe(on);
      });
      await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
      try {
        const url = `https://127.0.0.1:${(between.address() as AddressInfo).port}`;
        await refused(url, token, /the certificate of https:\S+ isn't signed by the cluster's CA/);
      } finally {
        between.close();
        between.closeAllConnections();
      }
    });
  });
});
