/** The kernel's own cgroups: what is kept back for the node's programs bounds them. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock, systemIds } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { createCgroupManager } from '../../../kubelet/cgroups/manager.ts';
import { enforceReserved } from '../../../kubelet/cgroups/reserved.ts';
import { completeConfiguration } from '../../../kubelet/config.ts';

describe('what is kept back for the node', () => {
  const name = `/kubelet-test-${systemIds.suffix(8)}`;
  const cgroups = createCgroupManager({
    cgroupRoot: name,
    driver: 'cgroupfs',
    quotaPeriodMicros: 100_000,
    enforceQuota: true,
    pidsLimit: -1,
    clock: systemClock,
    logger: silentLogger,
  });
  const at = (controller: string) => join('/sys/fs/cgroup', cgroups.version === 2 ? '' : controller, name);
  const folders = () => [...new Set(['cpu', 'memory', 'pids'].map(at))];
  const config = (enforce: string[], kubeReservedCgroup = name) =>
    completeConfiguration({
      enforceNodeAllocatable: enforce,
      kubeReservedCgroup,
      kubeReserved: { cpu: '250m', memory: '64Mi', pid: '99' },
    });
  const memory = () =>
    readFileSync(join(at('memory'), cgroups.version === 2 ? 'memory.max' : 'memory.limit_in_bytes'), 'utf8').trim();
  const pids = () => readFileSync(join(at('pids'), 'pids.max'), 'utf8').trim();
  before(() => {
    if (cgroups.version === 2) writeFileSync('/sys/fs/cgroup/cgroup.subtree_control', '+cpu +memory +pids');
  });
  beforeEach(() => {
    for (const f of folders()) mkdirSync(f);
  });
  afterEach(() => {
    for (const f of folders()) if (existsSync(f)) rmdirSync(f);
  });

  it('bounds their cgroup', async () => {
    await enforceReserved(config(['kube-reserved']), cgroups);
    assert.deepEqual([memory(), pids()], [String(64 << 20), '99']);
    if (cgroups.version === 1) assert.equal(readFileSync(join(at('cpu'), 'cpu.shares'), 'utf8').trim(), '256');
  });

  it('bounds nothing but the CPU where only that is wanted', async () => {
    const before = [memory(), pids()];
    await enforceReserved(config(['pods', 'kube-reserved-compressible']), cgroups);
    assert.deepEqual([memory(), pids()], before);
  });

  it('fails when there is no such cgroup', async () => {
    await assert.rejects(enforceReserved(config(['kube-reserved'], `${name}-not`), cgroups), /there is no cgroup/);
  });
});
