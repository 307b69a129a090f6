import assert from 'node:assert/strict';
import type { Deployment, ReplicaSet } from '../../../api/types.ts';
import { lastRevision, newestAnnotations, sameTemplate, splitSets } from '../../../controllers/deployment/revisions.ts';
import {
  fenceposts,
  maxUnavailable,
  newSetSize,
  proportionalSizes,
  shrinkOldSets,
  type RolloutSpec,
  type SetSize,
} from '../../../controllers/deployment/rollout.ts';
import { deadlineCheck, isComplete, rolloutStatus } from '../../../controllers/deployment/status.ts';

const spec = (
  replicas: number,
  maxSurge: number | string = '25%',
  max: number | string = '25%',
  rolling = true,
): RolloutSpec => ({ replicas, rolling, maxSurge, maxUnavailable: max });
const set = (name: string, replicas: number, available = replicas, created = 0, maxReplicas?: number): SetSize => ({
  name,
  replicas,
  available,
  created,
  maxReplicas,
});
const sizes = (m: ReadonlyMap<string, number>) => Object.fromEntries(m);

describe('deployment: rollout arithmetic', () => {
  it('rounds surge up and unavailability down', () => {
    assert.deepEqual(fenceposts(spec(10)), { surge: 3, unavailable: 2 });
    assert.deepEqual(fenceposts(spec(1)), { surge: 1, unavailable: 0 });
  });

  it('never stands still when both round to nothing', () => {
    assert.deepEqual(fenceposts(spec(2, 0, '1%')), { surge: 0, unavailable: 1 });
    assert.equal(maxUnavailable(spec(1, 0, 5)), 1);
    assert.equal(maxUnavailable(spec(5, 1, 1, false)), 0);
  });

  it('grows the new set as far as the surge lets it', () => {
    assert.equal(newSetSize(spec(10), [set('old', 10), set('new', 0)], 0), 3);
    assert.equal(newSetSize(spec(10), [set('old', 13), set('new', 0)], 0), 0);
    assert.equal(newSetSize(spec(10), [set('old', 0), set('new', 9)], 9), 10);
    assert.equal(newSetSize(spec(3), [set('new', 5)], 5), 3);
    assert.equal(newSetSize(spec(4, 0, 0, false), [set('new', 0)], 0), 4);
  });

  it('takes sick old pods first, then as many healthy ones as may be missing', () => {
    assert.deepEqual(sizes(shrinkOldSets(spec(10), set('new', 3, 0), [set('old', 10)])), { old: 8 });
    assert.deepEqual(sizes(shrinkOldSets(spec(10), set('new', 3, 3), [set('old', 10)])), { old: 5 });
    assert.deepEqual(sizes(shrinkOldSets(spec(10, 0, 2), set('new', 2, 2), [set('a', 4, 2, 1), set('b', 4, 4, 2)])), {
      a: 2,
    });
    assert.deepEqual(sizes(shrinkOldSets(spec(10, 1, 0), set('new', 1, 0), [set('old', 10)])), {});
    assert.deepEqual(sizes(shrinkOldSets(spec(3), set('new', 3), [])), {});
    // Four of the fourteen are on their way out: that they are still counted must not cost four more.
    assert.deepEqual(sizes(shrinkOldSets(spec(9, 1, 1), set('new', 0), [set('old', 10, 14)])), { old: 8 });
  });

  it('shares a change of size among the sets by their part', () => {
    const got = proportionalSizes(spec(20, 0, 0), 10, [set('a', 8, 8, 2, 10), set('b', 2, 2, 1, 10)]);
    assert.deepEqual(sizes(got), { a: 16, b: 4 });
    const down = proportionalSizes(spec(5, 0, 0), 10, [set('a', 5, 5, 2, 10), set('b', 5, 5, 1, 10)]);
    assert.equal(
      [...down.values()].reduce((x, y) => x + y),
      5,
    );
    assert.deepEqual(sizes(proportionalSizes(spec(0), 10, [set('a', 7), set('b', 3)])), { a: 0, b: 0 });
  });
});

describe('deployment: revisions', () => {
  const template = (image: string, hash?: string) => ({
    metadata: { labels: { app: 'a', ...(hash ? { 'pod-template-hash': hash } : {}) } },
    spec: { containers: [{ name: 'c', image }] },
  });
  const d = {
    metadata: { name: 'd', annotations: { note: 'x', 'deployment.kubernetes.io/revision': '1' } },
    spec: { replicas: 1, selector: {}, template: template('x:1') },
  } as Deployment;
  const rs = (name: string, image: string, revision: string) =>
    ({
      metadata: {
        name,
        creationTimestamp: '2026-01-01T00:00:00Z',
        annotations: { 'deployment.kubernetes.io/revision': revision },
      },
      spec: { selector: {}, template: template(image, name) },
    }) as ReplicaSet;

  it('knows the newest set by its template without the hash', () => {
    const sets = [rs('a', 'x:1', '1'), rs('b', 'x:2', '2')];
    const { newest, old } = splitSets(d, sets);
    assert.equal(newest?.metadata?.name, 'a');
    assert.deepEqual(
      old.map((s) => s.metadata?.name),
      ['b'],
    );
    assert.equal(sameTemplate(template('x', 'h'), template('x')), true);
    assert.equal(sameTemplate(template('x'), template('y')), false);
  });

  it('does not take an empty object for none', () => {
    const volumes = (v: object) => ({ spec: { containers: [], volumes: [{ name: 'v', ...v }] } });
    assert.equal(sameTemplate(volumes({ emptyDir: {} }), volumes({})), false);
    assert.equal(sameTemplate({ metadata: {}, spec: { containers: [] } }, { spec: { containers: [] } }), true);
  });

  it('finds the revision before the last', () => {
    assert.equal(lastRevision([rs('a', '', '1'), rs('b', '', '3'), rs('c', '', '2')]), 2n);
    assert.equal(lastRevision([rs('a', '', '1')]), 0n);
  });

  it('moves the revision on and remembers the old one', () => {
    const a = newestAnnotations(d, { 'deployment.kubernetes.io/revision': '1' }, 3n);
    assert.equal(a['deployment.kubernetes.io/revision'], '3');
    assert.equal(a['deployment.kubernetes.io/revision-history'], '1');
    assert.equal(a['note'], 'x');
    assert.equal(
      newestAnnotations(d, { 'deployment.kubernetes.io/revision': '5' }, 3n)['deployment.kubernetes.io/revision'],
      '5',
    );
  });

  it('counts revisions beyond what a double holds exactly', () => {
    const large = 3546343826724305832n;
    const a = newestAnnotations(d, { 'deployment.kubernetes.io/revision': String(large) }, large + 1n);
    assert.equal(a['deployment.kubernetes.io/revision'], '3546343826724305833');
  });
});

describe('deployment: status', () => {
  const now = Date.parse('2026-01-01T00:10:00Z');
  const d = {
    metadata: { name: 'd', generation: 2 },
    spec: {
      replicas: 2,
      selector: {},
      template: {},
      progressDeadlineSeconds: 60,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    },
  } as Deployment;
  const rs = (name: string, n: number) =>
    ({
      metadata: { name },
      spec: { replicas: n, selector: {} },
      status: { replicas: n, readyReplicas: n, availableReplicas: n },
    }) as ReplicaSet;
  const condition = (s: ReturnType<typeof rolloutStatus>, type: string) => s.conditions?.find((c) => c.type === type);

  it('is complete when only new pods are left', () => {
    const newest = rs('n', 2);
    const s = rolloutStatus(d, {}, newest, [newest], now);
    assert.equal(condition(s, 'Progressing')?.reason, 'NewReplicaSetAvailable');
    assert.equal(condition(s, 'Progressing')?.message, 'ReplicaSet "n" has successfully progressed.');
    assert.equal(condition(s, 'Available')?.status, 'True');
    assert.equal(isComplete(d, s), true);
  });

  it('runs into its deadline without progress', () => {
    const newest = rs('n', 1);
    const old = {
      type: 'Progressing',
      status: 'True',
      reason: 'ReplicaSetUpdated',
      lastUpdateTime: '2026-01-01T00:00:00Z',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    const base = { replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1, conditions: [old] };
    const s = rolloutStatus({ ...d, status: base } as Deployment, base, newest, [newest], now);
    assert.equal(condition(s, 'Progressing')?.reason, 'ProgressDeadlineExceeded');
    assert.equal(condition(s, 'Progressing')?.status, 'False');
    assert.equal(deadlineCheck(d, s, now), undefined);
    assert.equal(deadlineCheck(d, { conditions: [{ ...old, lastUpdateTime: '2026-01-01T00:09:30Z' }] }, now), 31_000);
  });

  it('shows the failure of a set', () => {
    const bad = rs('n', 0);
    bad.status!.conditions = [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: 'quota' }];
    const s = rolloutStatus(d, {}, bad, [bad], now);
    assert.equal(condition(s, 'ReplicaFailure')?.reason, 'FailedCreate');
    assert.equal(condition(s, 'Available')?.status, 'False');
  });
});
