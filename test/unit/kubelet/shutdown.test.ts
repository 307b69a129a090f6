import assert from 'node:assert/strict';
import { completeConfiguration } from '../../../kubelet/config.ts';
import { shutdownGroups, shutdownOrder } from '../../../kubelet/shutdown/order.ts';
import { pod } from './pods.ts';

const named = (name: string, priority?: number) => pod({ priority }, { name, uid: name });
const plan = (fields: Record<string, unknown>) =>
  shutdownOrder(
    [named('system', 2_000_001_000), named('plain'), named('low', -5), named('high', 500)],
    shutdownGroups(completeConfiguration(fields)),
  ).map((g) => [g.seconds, g.pods.map((p) => p.metadata!.name)]);

describe('graceful node shutdown', () => {
  it('leaves critical pods for the end', () => {
    assert.deepEqual(plan({ shutdownGracePeriod: '30s', shutdownGracePeriodCriticalPods: '10s' }), [
      [20, ['plain', 'low', 'high']],
      [10, ['system']],
    ]);
  });
  it('ends pods by the priorities that are given', () => {
    const shutdownGracePeriodByPodPriority = [
      { priority: 1000, shutdownGracePeriodSeconds: 7 },
      { priority: 0, shutdownGracePeriodSeconds: 60 },
      { priority: 100, shutdownGracePeriodSeconds: 30 },
    ];
    assert.deepEqual(plan({ shutdownGracePeriodByPodPriority }), [
      [60, ['plain', 'low']],
      [30, ['high']],
      [7, ['system']],
    ]);
  });
  it('does nothing when nothing is asked for', () => {
    assert.deepEqual(shutdownGroups(completeConfiguration({})), []);
  });
});
