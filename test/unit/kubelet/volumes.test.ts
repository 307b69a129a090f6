import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, readlink, rm, stat, symlink, writeFile, lstat, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createExec } from '../../../base/exec.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { writeAtomically, type FileContent } from '../../../kubelet/volumes/atomic-writer.ts';
import { checkHostPath } from '../../../kubelet/volumes/host-path.ts';
import { bindSubPath } from '../../../kubelet/volumes/mounts.ts';
import { setGroup } from '../../../kubelet/volumes/ownership.ts';
import { volumeFiles, type PayloadSources } from '../../../kubelet/volumes/payload.ts';
import { pod } from './pods.ts';

const files = (o: Record<string, string>, mode = 0o644) =>
  new Map<string, FileContent>(Object.entries(o).map(([k, v]) => [k, { data: Buffer.from(v), mode }]));

describe('kubelet volumes', () => {
  let dir: string;
  beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), 'kubelet-volumes-'))));
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('changes all files at once and removes what went away', async () => {
    assert.equal(await writeAtomically(dir, files({ a: '1', 'deep/b': '2' }), 'one'), true);
    assert.equal(await readFile(join(dir, 'deep/b'), 'utf8'), '2');
    assert.equal(await readlink(join(dir, 'a')), '..data/a');
    assert.equal(await writeAtomically(dir, files({ a: '1', 'deep/b': '2' }), 'two'), false, 'same content');
    assert.equal(await writeAtomically(dir, files({ a: '3' }, 0o600), 'three'), true);
    assert.equal(await readFile(join(dir, 'a'), 'utf8'), '3');
    assert.equal((await stat(join(dir, 'a'))).mode & 0o777, 0o600);
    assert.deepEqual((await readdir(dir)).sort(), ['..data', '..three', 'a']);
  });

  it('refuses paths that lead out', async () => {
    for (const bad of ['../x', '/x', 'a/../../x', '..x'])
      await assert.rejects(writeAtomically(dir, files({ [bad]: '' }), 's'), /invalid path/, bad);
  });

  it('checks hostPath types', async () => {
    await writeFile(join(dir, 'f'), '');
    await checkHostPath(join(dir, 'f'), 'File');
    await assert.rejects(checkHostPath(join(dir, 'f'), 'Directory'), /is not a directory/);
    await assert.rejects(checkHostPath(join(dir, 'none'), 'File'), /is not a file/);
    await checkHostPath(join(dir, 'new/deep'), 'DirectoryOrCreate');
    assert.ok((await stat(join(dir, 'new/deep'))).isDirectory());
    await checkHostPath(join(dir, 'anything'), '');
  });

  it('gives a group read access and the setgid bit on folders', async function () {
    if (process.getuid?.() !== 0) return this.skip();
    await mkdir(join(dir, 'v/sub'), { recursive: true });
    await writeFile(join(dir, 'v/f'), '', { mode: 0o600 });
    await setGroup(join(dir, 'v'), 1234, { readOnly: false });
    const f = await stat(join(dir, 'v/f'));
    assert.deepEqual([f.gid, f.mode & 0o7777], [1234, 0o660]);
    assert.equal((await stat(join(dir, 'v/sub'))).mode & 0o2070, 0o2070);
  });

  it('refuses a subPath that leads out of the volume', async () => {
    const exec = createExec({ clock: systemClock, logger: silentLogger });
    await mkdir(join(dir, 'vol'));
    await symlink('/etc', join(dir, 'vol/evil'));
    await assert.rejects(bindSubPath(exec, join(dir, 'vol'), 'evil/passwd', join(dir, 't')), /not within volume path/);
    await assert.rejects(bindSubPath(exec, join(dir, 'vol'), '../x', join(dir, 't')), /must be relative/);
    assert.equal(await lstat(join(dir, 't')).catch(() => undefined), undefined);
  });

  it('fills projected volumes from all their sources', async () => {
    const sources: PayloadSources = {
      objects: {
        configMap: async (_ns, name) =>
          name === 'cm' ? { data: { k: 'v' }, binaryData: { bin: Buffer.from([1, 2]).toString('base64') } } : undefined,
        secret: async () => ({ data: { s: Buffer.from('x').toString('base64') } }),
        track() {},
        untrack() {},
        stop() {},
      },
      tokens: { get: async (_p, audience) => `token for ${audience}`, expiry: () => undefined, forget() {} },
      network: () => ({ podIPs: ['10.0.0.5'], hostIPs: ['192.0.2.1'] }),
      allocatable: () => ({}),
      trustBundle: async () => undefined,
    };
    const p = pod({ securityContext: { runAsUser: 7 } }, { labels: { b: 'x"y', a: '1' } });
    const got = await volumeFiles(
      p,
      {
        name: 'v',
        projected: {
          defaultMode: 0o440,
          sources: [
            { configMap: { name: 'cm', items: [{ key: 'bin', path: 'x/bin', mode: 0o400 }] } },
            { secret: { name: 's' } },
            { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
            { serviceAccountToken: { path: 'token', audience: 'me' } },
            { configMap: { name: 'none', optional: true } },
          ],
        },
      },
      sources,
    );
    const shown = [...got!].map(([path, f]) => [path, f.data.toString('latin1'), f.mode, f.uid]);
    assert.deepEqual(shown, [
      ['x/bin', '\u0001\u0002', 0o400, undefined],
      ['s', 'x', 0o440, undefined],
      ['labels', 'a="1"\nb="x\\"y"', 0o440, undefined],
      ['token', 'token for me', 0o600, 7],
    ]);
    await assert.rejects(
      volumeFiles(p, { name: 'v', configMap: { name: 'none' } }, sources),
      /configmap "none" not found/,
    );
    await assert.rejects(
      volumeFiles(p, { name: 'v', configMap: { name: 'cm', items: [{ key: 'zz', path: 'a' }] } }, sources),
      /references non-existent config key: zz/,
    );
  });
});
