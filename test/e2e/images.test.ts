/** Images that a person brings: loaded once, pulled by every node. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { createExec } from '../../base/exec.ts';
import { silentLogger } from '../../base/log.ts';
import { buildImage, exportArchive } from '../../deploy/images/build.ts';
import { RECIPES } from '../../deploy/images/recipes.ts';
import { CLUSTER, eventually, HOME, inNamespace, k8ts, Kubectl, tryK8ts, withFolder } from './cluster.ts';

describe('images', function () {
  const exec = createExec({ clock: systemClock, logger: silentLogger });
  let k: Kubectl;
  before(async () => {
    k = await inNamespace('images');
  });
  after(async () => {
    await new Kubectl('default').try(['delete', 'namespace', 'images', '--wait=false']);
  });
  const words = 'these are my own words\n';
  const mine = (name: string) => ({ ...RECIPES['busybox']!, names: [name], texts: [['words', words] as const] });

  async function runs(image: string, pod: string): Promise<void> {
    await k.run('run', pod, `--image=${image}`, '--restart=Never', '--', 'cat', '/words');
    await k.succeeded(pod);
    assert.equal(await k.run('logs', pod), words);
  }

  it('come from an OCI archive', () =>
    withFolder(async (dir) => {
      const image = await buildImage(exec, join(HOME, '.cache'), 'mine', mine('example.org/team/mine:v1'));
      await exportArchive(exec, image, join(dir, 'mine.tar'));
      assert.match(k8ts('image', 'load', join(dir, 'mine.tar'), '--name', CLUSTER), /example\.org\/team\/mine:v1/);
      assert.match(k8ts('image', 'ls', '--name', CLUSTER), /^team\/mine:v1$/m);
      await runs('example.org/team/mine:v1', 'oci');
    }));

  it('come from the older form of docker save', () =>
    withFolder(async (dir) => {
      const image = await buildImage(exec, join(HOME, '.cache'), 'mine', mine('docker.io/library/other:v2'));
      const blob = (digest: string) => readFileSync(join(image.dir, 'blobs', 'sha256', digest.slice(7)));
      const [layer, config] = image.blobs;
      mkdirSync(join(dir, 'layer'));
      writeFileSync(join(dir, 'layer', 'layer.tar'), blob(layer!.digest));
      const text = blob(config!.digest);
      const name = `${createHash('sha256').update(text).digest('hex')}.json`;
      writeFileSync(join(dir, name), text);
      writeFileSync(
        join(dir, 'manifest.json'),
        JSON.stringify([{ Config: name, RepoTags: ['other:v2'], Layers: ['layer/layer.tar'] }]),
      );
      await exec('tar', ['-C', dir, '-cf', join(dir, '..', `${CLUSTER}-docker.tar`), 'manifest.json', name, 'layer']);
      renameSync(join(dir, '..', `${CLUSTER}-docker.tar`), join(dir, 'docker.tar'));
      k8ts('image', 'load', join(dir, 'docker.tar'), '--name', CLUSTER);
      await runs('other:v2', 'docker');
    }));

  it('are made of a root file system in a tar, and forgotten', async () => {
    const image = await buildImage(exec, join(HOME, '.cache'), 'mine', mine('example.org/team/mine:v1'));
    const layer = join(image.dir, 'blobs', 'sha256', image.blobs[0]!.digest.slice(7));
    const name = 'example.org/team/tarred:v1';
    const args = ['--as', name, '--name', CLUSTER, '--cmd', 'cat', '/words'];
    k8ts('image', 'build', layer, ...args);
    await k.run('run', 'tarred', `--image=${name}`, '--restart=Never');
    await k.succeeded('tarred');
    assert.equal(await k.run('logs', 'tarred'), words);
    k8ts('image', 'rm', name, '--name', CLUSTER);
    assert.doesNotMatch(k8ts('image', 'ls', '--name', CLUSTER), /tarred/);
    await k.run('run', 'late', `--image=${name}`, '--restart=Never', '--image-pull-policy=IfNotPresent');
    const reason = '{.status.containerStatuses[0].state.waiting.reason}';
    await eventually(async () =>
      /^(ErrImagePull|ImagePullBackOff)$/.test(await k.path('pod/late', reason)) ? undefined : 'still pulled',
    );
    assert.match((await tryK8ts('image', 'rm', name, '--name', CLUSTER)).stderr, /there is no image/);
    assert.match((await tryK8ts('image', 'build', '/etc/passwd', ...args)).stderr, /is no tar archive/);
  });

  it('that are not there, and archives that are none, are named in one sentence', async () => {
    const missing = await tryK8ts('image', 'load', '/nowhere.tar', '--name', CLUSTER);
    assert.match(missing.stderr, /there is no file \/nowhere\.tar/);
    await withFolder(async (dir) => {
      writeFileSync(join(dir, 'x'), 'x');
      await exec('tar', ['-C', dir, '-cf', join(dir, 'x.tar'), 'x']);
      assert.match(
        (await tryK8ts('image', 'load', join(dir, 'x.tar'), '--name', CLUSTER)).stderr,
        /is no image archive/,
      );
    });
  });
});
