import assert from 'node:assert/strict';
import { MetricsRegistry } from '../../../base/metrics.ts';
import { createKubeletMetrics, imageSizeLabel } from '../../../kubelet/metrics/families.ts';
import { createNodeStartup } from '../../../kubelet/metrics/node-startup.ts';
import { manualClock } from '../../support/clock.ts';

const EPOCH = Date.parse('2030-01-01T00:00:00Z');
const pod = (volumes: object[] = [], status: object = {}) => ({
  metadata: { name: 'p', namespace: 'd', uid: 'u', creationTimestamp: '2030-01-01T00:00:00Z' },
  spec: { containers: [{ name: 'c' }], initContainers: [{ name: 'i' }], volumes: volumes as never },
  status,
});
const RUNNING = {
  phase: 'Running',
  containerStatuses: [{ name: 'c', state: { running: {} } }],
  initContainerStatuses: [
    { name: 'i', state: { terminated: { startedAt: '2030-01-01T00:00:01Z', finishedAt: '2030-01-01T00:00:03Z' } } },
  ],
};

describe('kubelet metrics', () => {
  const world = () => {
    const clock = manualClock(EPOCH);
    const registry = new MetricsRegistry();
    return { clock, registry, metrics: createKubeletMetrics(registry, clock) };
  };

  it('leave pulls and init containers out of the time that a pod took to start', () => {
    const { clock, registry, metrics } = world();
    metrics.starts.seen(pod());
    clock.advance(1000);
    const began = clock.monotonic();
    clock.advance(4000);
    // two pulls at once
    metrics.starts.pulled('u', began);
    metrics.starts.pulled('u', began + 1000);
    clock.advance(5000);
    metrics.starts.running('u');
    metrics.starts.observed(pod([], RUNNING));
    metrics.starts.observed(pod([], RUNNING));
    const text = registry.text();
    assert.match(text, /^kubelet_pod_start_duration_seconds_sum 10$/m);
    assert.match(text, /^kubelet_pod_start_total_duration_seconds_sum 10$/m);
    assert.match(text, /^kubelet_pod_start_sli_duration_seconds_sum 4$/m);
    assert.match(text, /^kubelet_pod_start_sli_duration_seconds_count 1$/m);
    assert.match(text, /^kubelet_first_network_pod_start_sli_duration_seconds 4$/m);
  });

  it('count no pod with a lasting volume, none that waited for a node and none that ended', () => {
    for (const [p, total] of [
      [pod([{ name: 'v', hostPath: { path: '/x' } }], RUNNING), 1],
      [pod([{ name: 'v', emptyDir: {} }], { ...RUNNING, conditions: [{ type: 'PodScheduled', status: 'False' }] }), 0],
      [pod([], { phase: 'Failed' }), 0],
      [pod([], { phase: 'Running', containerStatuses: [{ name: 'c', state: { waiting: {} } }] }), 0],
    ] as const) {
      const { registry, metrics } = world();
      metrics.starts.seen(p as never);
      metrics.starts.observed(p as never);
      const shown = registry.text().split('\n');
      assert.equal(shown.includes('kubelet_pod_start_total_duration_seconds_count 1'), total === 1);
      assert.ok(!shown.some((l) => l.startsWith('kubelet_pod_start_sli_duration_seconds_count')));
    }
  });

  it('put images in classes of size', () => {
    const mib = 2 ** 20;
    assert.deepEqual([0, 10 * mib - 1, 10 * mib, 600 * mib, 2000 * 1024 * mib].map(imageSizeLabel), [
      '0-10MB',
      '0-10MB',
      '10MB-100MB',
      '500MB-1GB',
      'GT100GB',
    ]);
  });

  it('tell of a new node how long each part of its start took, and nothing of one that was there', () => {
    const clock = manualClock(EPOCH);
    const node = { status: { conditions: [{ type: 'Ready', status: 'True' }] } } as never;
    const old = new MetricsRegistry();
    const before = createNodeStartup(old, clock, 60_000);
    before.registering();
    before.seen(node);
    assert.doesNotMatch(old.text(), /^kubelet_node_startup\S* /m);

    const registry = new MetricsRegistry();
    const startup = createNodeStartup(registry, clock, 60_000);
    clock.advance(1000);
    startup.registering();
    clock.advance(2000);
    startup.registered();
    startup.seen({ status: {} });
    clock.advance(3000);
    startup.seen(node);
    const shown = registry.text().split('\n');
    for (const [part, seconds] of [
      ['pre_kubelet_', 60],
      ['pre_registration_', 1],
      ['registration_', 2],
      ['post_registration_', 3],
      ['', 66],
    ] as const)
      assert.ok(shown.includes(`kubelet_node_startup_${part}duration_seconds ${seconds}`), part);
  });
});
