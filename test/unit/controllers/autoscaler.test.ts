import assert from 'node:assert/strict';
import type { Pod } from '../../../api/types.ts';
import { attachmentName, isShareable, wantedAttachments } from '../../../controllers/attachdetach/plan.ts';
import { decide, newHistory, noteChange, type Autoscaler } from '../../../controllers/podautoscaler/behavior.ts';
import { milli, requestOf } from '../../../controllers/podautoscaler/metrics.ts';
import {
  groupPods,
  replicasByAverage,
  replicasByUse,
  replicasByValue,
  type Sample,
} from '../../../controllers/podautoscaler/replicas.ts';
import { bestMatch, mismatch } from '../../../controllers/persistentvolume/match.ts';
import { localVolume } from '../../../controllers/persistentvolume/localpath.ts';
import { pickAddress } from '../../../controllers/servicelb/controller.ts';

const NOW = Date.parse('2026-01-01T01:00:00Z');
const timing = { now: NOW, cpuInitializationMs: 300_000, initialReadinessMs: 30_000 };
const tolerance = { up: 0.1, down: 0.1 };
const pod = (name: string, o: { phase?: string; ready?: string; start?: string; changed?: string } = {}): Pod => ({
  metadata: { name },
  status: {
    phase: o.phase ?? 'Running',
    startTime: o.start ?? '2026-01-01T00:00:00Z',
    conditions: [{ type: 'Ready', status: o.ready ?? 'True', lastTransitionTime: o.changed ?? '2026-01-01T00:00:10Z' }],
  },
});
const samples = (o: Record<string, number>) =>
  new Map<string, Sample>(Object.entries(o).map(([k, value]) => [k, { value, at: NOW, window: 60_000 }]));
const all = (ready: string[], unready: string[] = [], missing: string[] = []) => ({ ready, unready, missing });

describe('autoscaler: replicas', () => {
  const use = (n: number, groups: ReturnType<typeof all>, s: ReturnType<typeof samples>) =>
    replicasByUse(
      n,
      groups,
      s,
      () => 100,
      () => 100,
      tolerance,
    ).replicas;

  it('grows and shrinks in proportion, beyond the tolerance', () => {
    assert.equal(use(2, all(['a', 'b']), samples({ a: 200, b: 200 })), 4);
    assert.equal(use(2, all(['a', 'b']), samples({ a: 105, b: 105 })), 2);
    assert.equal(use(4, all(['a', 'b', 'c', 'd']), samples({ a: 50, b: 50, c: 50, d: 50 })), 2);
    assert.throws(() => use(2, all([]), samples({})), /did not receive metrics/);
  });

  it('assumes the worst of what it does not know', () => {
    assert.equal(use(3, all(['a'], ['b', 'c']), samples({ a: 400 })), 4);
    assert.equal(use(3, all(['a', 'b'], [], ['c']), samples({ a: 20, b: 20 })), 2);
    assert.equal(use(2, all(['a'], ['b']), samples({ a: 150 })), 2);
  });

  it('knows which pods are not ready to be measured', () => {
    const young = pod('young', { start: '2026-01-01T00:59:00Z', changed: '2026-01-01T00:59:30Z' });
    const groups = groupPods(
      [
        pod('a'),
        pod('p', { phase: 'Pending' }),
        pod('m'),
        pod('sick', { ready: 'False', changed: '2026-01-01T00:00:20Z' }),
        young,
        pod('f', { phase: 'Failed' }),
      ],
      samples({ a: 1, sick: 1, young: 1, f: 1 }),
      true,
      timing,
    );
    assert.deepEqual(groups, { ready: ['a'], unready: ['p', 'sick', 'young'], missing: ['m'] });
  });

  it('scales by one value for all', () => {
    assert.equal(replicasByValue(3, 300, 100, 3, tolerance), 9);
    assert.equal(replicasByAverage(3, 500, 100, 3, tolerance), 5);
    assert.equal(replicasByAverage(0, 500, 100, 0, tolerance), 5);
    assert.equal(replicasByValue(0, 250, 100, 0, tolerance), 3);
  });

  it('reads requests and quantities', () => {
    assert.equal(milli('250m'), 250);
    assert.equal(milli('2'), 2000);
    const p: Pod = {
      metadata: { name: 'p' },
      spec: {
        containers: [
          { name: 'a', resources: { requests: { cpu: '100m' } } },
          { name: 'b', resources: { requests: { cpu: '1' } } },
        ],
      },
    };
    assert.equal(requestOf(p, 'cpu'), 1100);
    assert.equal(requestOf(p, 'cpu', 'a'), 100);
    assert.throws(() => requestOf(p, 'memory'), /missing request for memory in container a of Pod p/);
  });
});

describe('autoscaler: behaviour', () => {
  const hpa = (spec: Partial<NonNullable<Autoscaler['spec']>> = {}): Autoscaler => ({
    metadata: { name: 'h' },
    spec: { scaleTargetRef: { kind: 'Deployment', name: 'd' }, minReplicas: 1, maxReplicas: 20, ...spec },
  });

  it('shrinks only to the highest of the recent recommendations', () => {
    const h = newHistory();
    assert.equal(decide(hpa(), 10, 10, h, NOW, 300_000).replicas, 10);
    const d = decide(hpa(), 10, 2, h, NOW + 60_000, 300_000);
    assert.deepEqual([d.replicas, d.stabilized?.reason], [10, 'ScaleDownStabilized']);
    assert.equal(decide(hpa(), 10, 2, h, NOW + 301_000, 300_000).replicas, 2);
  });

  it('grows no faster than the policies allow', () => {
    const h = newHistory();
    const d = decide(hpa(), 3, 20, h, NOW, 300_000);
    assert.deepEqual([d.replicas, d.limited?.reason], [7, 'ScaleUpLimit']);
    noteChange(h, 3, 7, NOW);
    assert.equal(decide(hpa(), 7, 20, h, NOW + 1000, 300_000).replicas, 7);
    assert.equal(decide(hpa(), 7, 20, h, NOW + 16_000, 300_000).replicas, 14);
  });

  it('stays between min and max', () => {
    assert.deepEqual(
      [
        decide(hpa({ maxReplicas: 4 }), 3, 9, newHistory(), NOW, 0).limited?.reason,
        decide(hpa({ minReplicas: 2 }), 3, 0, newHistory(), NOW, 0).limited?.reason,
      ],
      ['TooManyReplicas', 'TooFewReplicas'],
    );
    const off = hpa({ behavior: { scaleDown: { selectPolicy: 'Disabled' } } });
    assert.equal(decide(off, 5, 1, newHistory(), NOW, 0).replicas, 5);
  });
});

describe('volumes and addresses', () => {
  const volume = (name: string, storage: string, spec = {}) => ({
    metadata: { name },
    spec: { capacity: { storage }, accessModes: ['ReadWriteOnce'], storageClassName: 'c', ...spec },
    status: { phase: 'Available' },
  });
  const claim = {
    metadata: { name: 'x', namespace: 'ns', uid: 'u1' },
    spec: { storageClassName: 'c', accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '2Gi' } } },
  };

  it('takes the smallest volume that suits, or the one that names the claim', () => {
    const list = [
      volume('big', '10Gi'),
      volume('fit', '3Gi'),
      volume('small', '1Gi'),
      volume('other', '2Gi', { storageClassName: 'd' }),
    ];
    assert.equal(bestMatch(claim, list, false)?.metadata?.name, 'fit');
    assert.equal(bestMatch(claim, list, true), undefined);
    const named = volume('named', '10Gi', { claimRef: { name: 'x', namespace: 'ns' } });
    assert.equal(bestMatch(claim, [...list, named], true)?.metadata?.name, 'named');
    assert.equal(mismatch(volume('small', '1Gi'), claim), 'requested PV is too small');
    assert.equal(mismatch(volume('b', '3Gi', { volumeMode: 'Block' }), claim), 'incompatible volumeMode');
  });

  it('makes local volumes that stay on their node', () => {
    const v = localVolume(claim, { metadata: { name: 'c' }, provisioner: 'x' }, 'n1', '/data/');
    assert.equal(v.spec?.local?.path, '/data/pvc-u1_ns_x');
    assert.deepEqual(v.spec?.nodeAffinity?.required?.nodeSelectorTerms[0]?.matchExpressions?.[0]?.values, ['n1']);
  });

  it('picks free addresses of the pool', () => {
    assert.equal(pickAddress(['10.9.0.0/30'], ['10.9.0.0', '10.9.0.1']), '10.9.0.2');
    assert.equal(pickAddress(['10.9.0.0/31'], ['10.9.0.0', '10.9.0.1']), undefined);
    assert.equal(pickAddress(['10.9.0.0/30'], [], '10.9.0.3'), '10.9.0.3');
    assert.equal(pickAddress(['10.9.0.0/30'], [], '10.8.0.3'), undefined);
  });
});

describe('attachments', () => {
  const volume = {
    metadata: { name: 'pv' },
    spec: { csi: { driver: 'd.io', volumeHandle: 'h' }, claimRef: { uid: 'c' }, accessModes: ['ReadWriteOnce'] },
  };
  const look = (required = true) => ({
    claim: (_ns: string, name: string) =>
      name === 'claim' ? { metadata: { name, uid: 'c' }, spec: { volumeName: 'pv' } } : undefined,
    volume: (name: string) => (name === 'pv' ? volume : undefined),
    attachable: () => required,
  });
  const user = (name: string, phase: string): Pod => ({
    metadata: { name, namespace: 'ns', uid: name },
    spec: { containers: [], volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'claim' } }] },
    status: { phase },
  });

  it('wants one attachment for all pods of a node that use a volume', () => {
    const w = wantedAttachments('n1', [user('a', 'Running'), user('b', 'Pending'), user('c', 'Succeeded')], look());
    assert.equal(w.size, 1);
    const [[name, only] = ['', undefined]] = [...w];
    assert.equal(name, attachmentName('h', 'd.io', 'n1'));
    assert.match(name, /^csi-[0-9a-f]{64}$/);
    assert.deepEqual([only?.uniqueName, only?.pods.length], ['kubernetes.io/csi/d.io^h', 2]);
    assert.equal(wantedAttachments('n1', [user('a', 'Running')], look(false)).size, 0);
    assert.equal(isShareable(volume), false);
  });
});
