import assert from 'node:assert/strict';
import type { Client } from '../../../client/client.ts';
import { completeConfiguration } from '../../../kubelet/config.ts';
import { limitWrites } from '../../../kubelet/event-limit.ts';
import { wrongKernelSettings } from '../../../kubelet/node/kernel.ts';
import { containerResources } from '../../../kubelet/pods/container-config.ts';
import { memoryHigh } from '../../../kubelet/pods/memory-qos.ts';
import { manualClock } from '../../support/clock.ts';

const MIB = 2 ** 20;

describe('settings of the kubelet', () => {
  it('refuse bounds that are none', () => {
    for (const bad of [
      { eventRecordQPS: -1 },
      { eventBurst: -1 },
      { memoryThrottlingFactor: 0 },
      { memoryThrottlingFactor: 1.1 },
    ])
      assert.throws(() => completeConfiguration(bad), /must (not )?be/);
  });

  it('hold back events beyond a rate (eventRecordQPS, eventBurst)', async () => {
    const clock = manualClock();
    let written = 0;
    const client = { create: async () => void written++, patch: async () => void written++ } as unknown as Client;
    const limited = limitWrites(client, clock, 2, 3);
    for (let i = 0; i < 3; i++) void limited.create(undefined as never, {});
    for (let i = 0; i < 3; i++) void limited.patch(undefined as never, 'e', 'merge', {});
    await clock.advanceAsync(0);
    assert.equal(written, 3);
    await clock.advanceAsync(500);
    assert.equal(written, 4);
    await clock.advanceAsync(1000);
    assert.equal(written, 6);
  });

  it('tell which parts of the kernel are set otherwise (protectKernelDefaults)', () => {
    const kernel: Record<string, string> = {
      'vm/overcommit_memory': '1\n',
      'vm/panic_on_oom': '0\n',
      'kernel/panic': '10\n',
      'kernel/panic_on_oops': '1\n',
      'kernel/keys/root_maxkeys': '1000000\n',
      'kernel/keys/root_maxbytes': '25000000\n',
    };
    assert.deepEqual(
      wrongKernelSettings((name) => kernel[name]!),
      [],
    );
    kernel['kernel/panic'] = '0\n';
    assert.deepEqual(
      wrongKernelSettings((name) => kernel[name]!),
      ['invalid kernel flag: kernel/panic, expected value: 10, actual value: 0'],
    );
  });

  it('throttle memory between request and limit (MemoryQoS, memoryThrottlingFactor)', () => {
    const qos = { factor: 0.5, allocatable: () => 1000 * MIB };
    assert.equal(memoryHigh(100 * MIB, 200 * MIB, qos), String(150 * MIB));
    assert.equal(memoryHigh(100 * MIB, 0, qos), String(550 * MIB));
    assert.equal(memoryHigh(200 * MIB, 200 * MIB, qos), 'max');
    assert.equal(memoryHigh(0, 0, qos), 'max');
    assert.equal(memoryHigh(4096, 8191, qos), 'max', 'less than a page above');
    const container = { name: 'c', resources: { requests: { memory: '100Mi' }, limits: { memory: '200Mi' } } };
    const pod = { metadata: { name: 'p' }, spec: { containers: [container] } };
    const deps = { memoryCapacity: 2 ** 34, quotaPeriodMicros: 100_000, enforceQuota: true, oomGroups: false };
    const high = (memoryQos: typeof qos | undefined) =>
      containerResources(pod, container, { ...deps, swap: undefined, memoryQos }).unified?.['memory.high'];
    assert.equal(high(qos), String(150 * MIB));
    assert.equal(high(undefined), undefined);
  });
});
