/** Limits of tracked connections, set in a network namespace of their own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { parseFlags } from '../../../proxy/options.ts';

const PROXY = join(import.meta.dirname, '..', '..', '..', 'proxy');

describe('limits of tracked connections', () => {
  it('reach the kernel', () => {
    const script = `
      import { readFileSync } from 'node:fs';
      import { silentLogger } from '${PROXY}/../base/log.ts';
      import { applyConntrackSettings, conntrackSettings } from '${PROXY}/limits.ts';
      import { parseFlags } from '${PROXY}/options.ts';
      const { conntrack } = parseFlags(['--kubeconfig=k', '--conntrack-udp-timeout=45s'], 'n');
      applyConntrackSettings(conntrackSettings(conntrack, 2), silentLogger);
      const read = (n) => Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_' + n, 'utf8'));
      console.log(JSON.stringify([read('tcp_timeout_established'), read('tcp_timeout_close_wait'), read('udp_timeout')]));`;
    const out = execFileSync('unshare', ['-n', process.execPath, '--input-type=module-typescript', '-e', script], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.deepEqual(JSON.parse(out), [86_400, 3_600, 45]);
  });

  it('that make no sense are refused', () => {
    const flags = (flag: string) => () => parseFlags(['--kubeconfig=k', flag], 'n');
    assert.throws(flags('--conntrack-tcp-timeout-close-wait=an hour'), /is no duration/);
    assert.throws(flags('--conntrack-min=many'), /is no whole number/);
    assert.equal(flags('--conntrack-max-per-core=0')().conntrack.maxPerCore, 0);
  });
});
