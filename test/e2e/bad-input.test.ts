/** Mistakes get one clear sentence and change nothing. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { inNamespace, Kubectl, tryK8ts } from './cluster.ts';

describe('bad input', function () {
  this.timeout(60_000);
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
    assert.match(r.stderr, /unknown field "spec\.containers\[0\]\.imagee"/);
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
});
