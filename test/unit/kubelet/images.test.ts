import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createExec } from '../../../base/exec.ts';
import { silentLogger } from '../../../base/log.ts';
import { systemClock, systemIds, type Clock } from '../../../base/clock.ts';
import type { Secret } from '../../../api/types.ts';
import { createHollowRuntime } from '../../../kubelet/cri/hollow.ts';
import { credentialsFor, matchesRegistry } from '../../../kubelet/images/credentials.ts';
import { createImageManager, ImageError } from '../../../kubelet/images/manager.ts';
import { defaultPullPolicy, parseImage, pullName } from '../../../kubelet/images/names.ts';
import { createProviders, loadProviders } from '../../../kubelet/images/providers.ts';
import { createPulledImages, type VerificationPolicy } from '../../../kubelet/images/pulled.ts';
import { createThrottle } from '../../../kubelet/images/throttle.ts';
import { createBackoff } from '../../../kubelet/pods/backoff.ts';
import { pod } from './pods.ts';

describe('kubelet images', () => {
  it('reads names', () => {
    assert.deepEqual(parseImage('nginx'), {
      domain: 'docker.io',
      path: 'library/nginx',
      tag: undefined,
      digest: undefined,
    });
    assert.deepEqual(parseImage('r.example:5000/a/b:1'), {
      domain: 'r.example:5000',
      path: 'a/b',
      tag: '1',
      digest: undefined,
    });
    for (const bad of ['', 'A', 'a:b:c', 'a@sha256:12', 'a/:x', 'x y']) assert.equal(parseImage(bad), undefined, bad);
    assert.equal(pullName('nginx'), 'nginx:latest');
    assert.equal(pullName('nginx:1'), 'nginx:1');
    assert.equal(defaultPullPolicy('nginx'), 'Always');
    assert.equal(defaultPullPolicy('nginx:1'), 'IfNotPresent');
  });

  it('finds credentials for a registry, the longest pattern first', () => {
    assert.equal(matchesRegistry('*.example.com', 'a.example.com/x:1'), true);
    assert.equal(matchesRegistry('*.example.com', 'b.a.example.com/x:1'), false);
    assert.equal(matchesRegistry('https://index.docker.io/v1/', 'nginx'), true);
    assert.equal(matchesRegistry('r.example/team', 'r.example/other/x'), false);
    const config = {
      auths: {
        'r.example': { auth: Buffer.from('u:p:w').toString('base64') },
        'r.example/team': { username: 'team', password: 't' },
      },
    };
    const secret: Secret = {
      type: 'kubernetes.io/dockerconfigjson',
      data: { '.dockerconfigjson': Buffer.from(JSON.stringify(config)).toString('base64') },
    };
    assert.deepEqual(
      credentialsFor('r.example/team/x', [secret]).map((a) => [a.username, a.password]),
      [
        ['team', 't'],
        ['u', 'p:w'],
      ],
    );
  });

  it('pulls by policy, backs off after a failure, and says so in events', async () => {
    let now = 1_000_000;
    const clock: Clock = { ...systemClock, now: () => now };
    const runtime = createHollowRuntime({ clock, ids: systemIds, missingImage: (n) => n.includes('missing') });
    const events: string[] = [];
    const images = createImageManager({
      runtime,
      clock,
      serialize: false,
      secret: async () => undefined,
      event: (_p, c, _t, reason) => void events.push(`${c} ${reason}`),
    });
    const ensure = (image: string, imagePullPolicy?: string) =>
      images.ensure(pod(), { name: 'c', image, imagePullPolicy }, undefined);
    const reason = async (p: Promise<unknown>) =>
      (
        (await p.then(
          () => new Error('worked'),
          (e: unknown) => e,
        )) as ImageError
      ).reason;

    assert.equal(await reason(ensure('ok:1', 'Never')), 'ErrImageNeverPull');
    await ensure('ok:1');
    await ensure('ok:1', 'Never');
    assert.deepEqual(events, ['c ErrImageNeverPull', 'c Pulling', 'c Pulled', 'c Pulled']);
    assert.equal(await reason(ensure('BAD::')), 'InvalidImageName');
    assert.equal(await reason(ensure('missing:1')), 'ErrImagePull');
    assert.equal(await reason(ensure('missing:1')), 'ImagePullBackOff');
    now += 10_001;
    assert.equal(await reason(ensure('missing:1')), 'ErrImagePull');
    now += 10_001;
    assert.equal(await reason(ensure('missing:1')), 'ImagePullBackOff', 'the second wait is twice as long');
  });

  it('doubles waits up to the limit and forgets after a quiet time', () => {
    let now = 0;
    const b = createBackoff({ clock: { ...systemClock, now: () => now }, initialMs: 10, maxMs: 40 });
    const waits = [1, 2, 3, 4].map(() => {
      b.next('k');
      return b.remaining('k');
    });
    assert.deepEqual(waits, [10, 20, 40, 40]);
    now += 1000;
    assert.equal(b.remaining('k'), 0);
    b.next('k');
    assert.equal(b.remaining('k'), 10);
  });

  it('asks credential provider plugins and keeps their answers', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'providers-'));
    try {
      const log = join(dir, 'asked');
      writeFileSync(
        join(dir, 'vault'),
        `#!/bin/sh\ncat >> ${log}; echo >> ${log}\necho '{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry","cacheDuration":"1h","auth":{"r.example":{"username":"'$WHO'","password":"p"}}}'\n`,
        { mode: 0o755 },
      );
      const configFile = join(dir, 'config.yaml');
      const provider = {
        name: 'vault',
        apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
        matchImages: ['r.example'],
        defaultCacheDuration: '0s',
        env: [{ name: 'WHO', value: 'me' }],
        tokenAttributes: { serviceAccountTokenAudience: 'registry', requireServiceAccount: true },
      };
      writeFileSync(configFile, JSON.stringify({ kind: 'CredentialProviderConfig', providers: [provider] }));
      const providers = createProviders({
        configFile,
        binDir: dir,
        clock: systemClock,
        exec: createExec({ clock: systemClock, logger: silentLogger }),
        logger: silentLogger,
        token: async (_pod, audience) => `token for ${audience}`,
        serviceAccount: async () => ({ uid: 'u', annotations: {} }),
      });
      const [got] = await providers.credentials('r.example/a:1', pod());
      assert.deepEqual([got!.auth.username, got!.auth.password], ['me', 'p']);
      assert.equal((await providers.credentials('r.example/b:1', pod())).length, 1);
      assert.deepEqual(await providers.credentials('other.example/b:1', pod()), []);
      const asked = readFileSync(log, 'utf8').trim().split('\n');
      assert.equal(asked.length, 1, 'the second answer comes from the cache');
      assert.equal((JSON.parse(asked[0]!) as Record<string, string>)['serviceAccountToken'], 'token for registry');
      writeFileSync(
        configFile,
        JSON.stringify({ kind: 'CredentialProviderConfig', providers: [{ ...provider, name: 'no' }] }),
      );
      assert.throws(() => loadProviders(configFile, dir), /did not exist/);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('keeps images that were pulled with credentials from pods without', () => {
    const dir = mkdtempSync(join(tmpdir(), 'pulled-'));
    const make = (policy: VerificationPolicy, allowlist: string[] = []) =>
      createPulledImages({ dir, policy, allowlist });
    const mine = { username: 'me', password: 'p' };
    try {
      const p = make('NeverVerifyPreloadedImages');
      assert.equal(p.allowed('id', 'r.example/a:1', []), true, 'it was here before us');
      p.pulling('r.example/a:1');
      assert.equal(p.allowed('id', 'r.example/a:1', []), false, 'we began to pull it');
      p.pulled('id', 'r.example/a:1', mine);
      const again = make('NeverVerifyPreloadedImages');
      assert.equal(again.allowed('id', 'r.example/a:2', []), false);
      assert.equal(again.allowed('id', 'r.example/a:2', [mine]), true);
      assert.equal(again.allowed('id', 'r.example/b:1', [mine]), false, 'another repository');
      assert.equal(make('NeverVerify').allowed('id', 'r.example/a:1', []), true);
      again.pulled('id', 'r.example/a:1', undefined);
      assert.equal(again.allowed('id', 'r.example/a:1', []), true, 'it is public after all');
      assert.equal(make('AlwaysVerify').allowed('new', 'r.example/x', []), false);
      const listed = make('NeverVerifyAllowlistedImages', ['r.example/team/*']);
      assert.equal(listed.allowed('new', 'r.example/team/x:1', []), true);
      assert.equal(listed.allowed('new', 'r.example/other', []), false);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('bounds how often pulls begin', () => {
    let now = 0;
    const may = createThrottle({ ...systemClock, monotonic: () => now }, 5, 2);
    assert.deepEqual([may(), may(), may()], [true, true, false]);
    now = 200;
    assert.deepEqual([may(), may()], [true, false]);
    assert.equal(createThrottle(systemClock, 0, 0)(), true);
  });
});
