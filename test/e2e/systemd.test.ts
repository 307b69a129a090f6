/** The units that `k8ts server --install` and `k8ts agent --install` write are what systemd takes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unitText } from '../../deploy/systemd.ts';
import { tryK8ts, withFolder } from './cluster.ts';

describe('systemd units', function () {
  for (const [role, args] of [
    ['server', ['--data-dir', '/var/lib/k8ts/a b', '--pod-cidr=10.0.0.0/8']],
    ['agent', ['--server', 'https://10.0.0.1:6443', '--token', 'abcdef.0123456789abcdef', '--node-name', '50%$HOME']],
  ] as const)
    it(`of a ${role} pass systemd's own check`, () =>
      withFolder(async (dir) => {
        const file = join(dir, `k8ts-${role}.service`);
        writeFileSync(file, unitText(role, args));
        const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' });
        // what it says of the machine's other units is not ours to mend
        assert.deepEqual([status, stderr.split('\n').filter((l) => l.includes('k8ts'))], [0, []], stderr);
      }));

  it('are refused in one sentence where systemd does not run', async function () {
    if (existsSync('/run/systemd/system')) return;
    const r = await tryK8ts('server', '--install', '--address', '127.0.0.1');
    assert.equal(r.code, 1);
    assert.match(
      r.stderr,
      /^k8ts: systemd does not run on this machine: start k8ts by other means, without --install\n$/,
    );
  });
});
