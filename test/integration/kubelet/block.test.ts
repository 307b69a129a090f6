/** Local volumes on a block device: a loop device here. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import { createExec } from '../../../base/exec.ts';
import { silentLogger } from '../../../base/log.ts';
import type { PersistentVolume } from '../../../api/types.ts';
import { isBlockDevice, mountDevice } from '../../../kubelet/volumes/block.ts';
import { mountClaim } from '../../../kubelet/volumes/claims.ts';

describe('a file system on a block device', function () {
  const exec = createExec({ clock: systemClock, logger: silentLogger });
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { encoding: 'utf8' }).trim();
  let dir = '';
  let device = '';
  let mounted: string[] = [];
  const mount = async (name: string, type?: string) => {
    const at = join(dir, name);
    await mountDevice(exec, device, at, type, []);
    mounted.push(at);
    return at;
  };
  const unmount = () => {
    for (const at of mounted) execFileSync('umount', ['-q', at], { stdio: 'ignore' });
    mounted = [];
  };
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'block-test-'));
    const file = join(dir, 'disk');
    writeFileSync(file, '');
    truncateSync(file, 32 << 20);
    device = run('losetup', '--find', '--show', file);
  });
  after(() => {
    unmount();
    if (device) run('losetup', '-d', device);
    rmSync(dir, { recursive: true, force: true });
  });

  it('is told from folders', async () => {
    assert.equal(await isBlockDevice(device), true);
    assert.equal(await isBlockDevice(dir), false);
    assert.equal(await isBlockDevice(join(dir, 'nothing')), false);
  });

  it('is made once, for all pods that come at the same time', async () => {
    const [a, b] = await Promise.all([mount('a'), mount('b')]);
    writeFileSync(join(a, 'hello'), 'there');
    assert.equal(readFileSync(join(b, 'hello'), 'utf8'), 'there');
    assert.match(readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(`${b} .* ext4 `));
  });

  it('stays as it is when it is mounted again', async () => {
    unmount();
    assert.equal(readFileSync(join(await mount('a'), 'hello'), 'utf8'), 'there');
    unmount();
    await assert.rejects(mount('a', 'xfs'), /mount/);
  });

  it('is the default one when an empty type is named', async () => {
    unmount();
    run('wipefs', '-qa', device);
    const at = await mount('a', '');
    assert.match(readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(`${at} .* ext4 `));
  });

  it('is not put over a partition table', async () => {
    unmount();
    run('wipefs', '-qa', device);
    // one partition of Linux, from sector 2048 on
    const sector = Buffer.alloc(512);
    sector.set([0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0], 446);
    sector.set([0x55, 0xaa], 510);
    writeFileSync(device, sector, { flag: 'r+' });
    await assert.rejects(mount('a'), /partition table/);
  });

  it('is what a claim for a device must lead to', async () => {
    const claimed = (spec: Partial<NonNullable<PersistentVolume['spec']>>) =>
      mountClaim(
        {
          exec,
          logger: silentLogger,
          growth: undefined,
          csi: undefined,
          claim: async () => ({ metadata: { uid: 'c' }, spec: { volumeName: 'pv' }, status: { phase: 'Bound' } }),
          persistentVolume: async () => ({ metadata: { name: 'pv' }, spec: { claimRef: { uid: 'c' }, ...spec } }),
        },
        { metadata: { name: 'p', namespace: 'n', uid: 'u' }, spec: { containers: [] } },
        join(dir, 'volumes'),
        { volume: 'v', claim: 'c', readOnly: false, ownedByPod: false },
        { mounts: new Set(), devices: new Set(['v']) },
      );
    const volumeMode = 'Block';
    assert.equal((await claimed({ volumeMode, local: { path: device } })).path, device);
    await assert.rejects(claimed({ volumeMode, local: { path: dir } }), /is no block device/);
    await assert.rejects(claimed({ volumeMode, hostPath: { path: device } }), /can't be a device/);
  });
});
