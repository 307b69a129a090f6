import assert from 'node:assert/strict';
import { rank, type Candidate } from '../../../kubelet/eviction/rank.ts';
import { trackThresholds } from '../../../kubelet/eviction/thresholds.ts';
import { formatBinary, overLimit, type PodDisk } from '../../../kubelet/eviction/usage.ts';
import { underPressure, victimsFor } from '../../../kubelet/pods/preemption.ts';
import { parseQuantity } from '../../../kubelet/quantity.ts';
import { pod } from './pods.ts';

const asks = (name: string, requests: Record<string, string>, more = {}, limits: Record<string, string> = {}) =>
  pod({ containers: [{ name: 'c', image: 'i', resources: { requests, limits } }], ...more }, { name, uid: name });
const candidate = (p: Candidate['pod'], used: Partial<Candidate>): Candidate => ({
  pod: p,
  memory: 0,
  disk: 0,
  inodes: 0,
  processes: 0,
  ...used,
});
const names = (list: readonly { metadata?: { name?: string } }[] | undefined) => list?.map((p) => p.metadata!.name);

describe('kubelet eviction', () => {
  it('ranks by request, then priority, then use', () => {
    const list = [
      candidate(asks('in', { memory: '1Gi' }, { priority: 0 }), { memory: 100 }),
      candidate(asks('over-high', {}, { priority: 10 }), { memory: 100 }),
      candidate(asks('over-low', {}, { priority: 0 }), { memory: 50 }),
      candidate(asks('system', {}, { priority: 2_000_001_000 }), { memory: 900 }),
    ];
    assert.deepEqual(names(rank(list, 'memory.available').map((c) => c.pod)), ['over-low', 'over-high', 'in']);
    const disks = [
      candidate(asks('small', {}), { disk: 10, processes: 9 }),
      candidate(asks('large', { 'ephemeral-storage': '5' }), { disk: 100, processes: 1 }),
      candidate(asks('within', { 'ephemeral-storage': '1Gi' }), { disk: 1000, processes: 5 }),
    ];
    assert.deepEqual(names(rank(disks, 'nodefs.available').map((c) => c.pod)), ['large', 'small', 'within']);
    assert.deepEqual(names(rank(disks, 'pid.available').map((c) => c.pod)), ['small', 'within', 'large']);
  });

  it('evicts at once below a hard threshold, and below a soft one after its grace period', () => {
    const tracker = trackThresholds({
      evictionHard: { 'memory.available': '100', 'nodefs.available': '10%' },
      evictionSoft: { 'memory.available': '200' },
      evictionSoftGracePeriod: { 'memory.available': '30s' },
      evictionMaxPodGracePeriod: 7,
      evictionMinimumReclaim: { 'nodefs.available': '50' },
    });
    const memory = (available: number) => ({ 'memory.available': { available, capacity: 1000 } });
    const disk = (available: number) => ({ 'nodefs.available': { available, capacity: 1000 } });
    assert.deepEqual(tracker.observe(memory(300), 0), { crossed: [], due: [] });
    const soft = tracker.observe(memory(150), 1000);
    assert.deepEqual([soft.crossed.length, soft.due.length], [1, 0]);
    assert.equal(tracker.observe(memory(150), 30_000).due.length, 0);
    assert.deepEqual(tracker.observe(memory(150), 31_000).due, [
      { signal: 'memory.available', limit: 200, available: 150, graceSeconds: 7 },
    ]);
    tracker.observe(memory(250), 32_000);
    assert.equal(tracker.observe(memory(150), 40_000).due.length, 0, 'begins anew');
    assert.equal(tracker.observe(memory(50), 41_000).due[0]!.graceSeconds, undefined);
    assert.equal(tracker.observe(disk(99), 50_000).due.length, 1);
    assert.equal(tracker.observe(disk(120), 51_000).due.length, 1, 'until the minimum is reclaimed');
    assert.equal(tracker.observe(disk(150), 52_000).due.length, 0);
    assert.equal(tracker.observe(disk(120), 53_000).due.length, 0);
  });

  it('holds pods to their own limits', () => {
    const disk = (volume: number, container: number): PodDisk => ({
      bytes: volume + container,
      inodes: 0,
      volumes: new Map([['v', { bytes: volume, inodes: 0 }]]),
      containers: new Map([['c', { bytes: container, inodes: 0 }]]),
    });
    const p = asks(
      'p',
      {},
      { volumes: [{ name: 'v', emptyDir: { sizeLimit: '1Ki' } }] },
      { 'ephemeral-storage': '2Ki' },
    );
    assert.equal(overLimit(p, disk(1000, 1000), parseQuantity), undefined);
    assert.equal(
      overLimit(p, disk(1025, 0), parseQuantity)?.message,
      'Usage of EmptyDir volume "v" exceeds the limit "1Ki". ',
    );
    assert.equal(
      overLimit(p, disk(1000, 1500), parseQuantity)?.message,
      'Pod ephemeral local storage usage exceeds the total limit of containers 2Ki. ',
    );
    const two = pod({ containers: [p.spec!.containers[0]!, { name: 'd', image: 'i' }] });
    assert.equal(
      overLimit(two, disk(0, 2049), parseQuantity)?.message,
      'Container c exceeded its local ephemeral storage limit "2Ki". ',
    );
    assert.deepEqual([0, 1000, 2048, 3 << 20].map(formatBinary), ['0', '1000', '2Ki', '3Mi']);
  });

  it('finds the pods that make way for a critical one', () => {
    const critical = asks('critical', { cpu: '2' }, { priority: 2_000_000_000 });
    const best = asks('best', {});
    const small = asks('small', { cpu: '500m' }, {}, { cpu: '1' });
    const large = asks('large', { cpu: '1500m' }, {}, { cpu: '2' });
    const system = asks('system', { cpu: '1' }, { priority: 2_000_000_000 });
    const allocatable = { cpu: '4', pods: '10' };
    assert.deepEqual(names(victimsFor(critical, [best, small, large, system], allocatable)), ['large']);
    assert.deepEqual(names(victimsFor(critical, [small, large], allocatable)), []);
    assert.equal(victimsFor(critical, [system, best], { cpu: '2', pods: '10' }), undefined);
    assert.deepEqual(names(victimsFor(critical, [best, small], { cpu: '4', pods: '2' })), ['best']);
  });

  it('refuses pods under pressure, except those that stand it', () => {
    const none = { memory: false, disk: false, pid: false };
    const best = asks('best', {});
    const burstable = asks('burstable', { memory: '1' });
    assert.equal(underPressure(best, none), undefined);
    assert.deepEqual(underPressure(best, { ...none, memory: true }), {
      reason: 'Evicted',
      message: 'The node had condition: [MemoryPressure]. ',
    });
    assert.equal(underPressure(burstable, { ...none, memory: true }), undefined);
    const tolerant = asks(
      't',
      {},
      { tolerations: [{ key: 'node.kubernetes.io/memory-pressure', operator: 'Exists' }] },
    );
    assert.equal(underPressure(tolerant, { ...none, memory: true }), undefined);
    assert.ok(underPressure(burstable, { ...none, disk: true }));
    assert.equal(underPressure(asks('s', {}, { priority: 2_000_000_000 }), { ...none, disk: true }), undefined);
  });
});
