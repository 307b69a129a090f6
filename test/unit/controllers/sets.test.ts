import assert from 'node:assert/strict';
import type { DaemonSet, Node, PersistentVolumeClaim, Pod, StatefulSet } from '../../../api/types.ts';
import { pinnedAffinity, placement, targetNode } from '../../../controllers/daemonset/placement.ts';
import { limits, planUpdate } from '../../../controllers/daemonset/update.ts';
import { templateHash } from '../../../controllers/lib/hash.ts';
import { affinityFits, tolerates } from '../../../controllers/lib/nodes.ts';
import { compareForDeletion, nextAvailability } from '../../../controllers/lib/pods.ts';
import { templatePatch } from '../../../controllers/lib/revisions.ts';
import { labelSelector } from '../../../controllers/lib/selectors.ts';
import { replicaSetStatus, statusDiffers } from '../../../controllers/replicaset/status.ts';
import { claimOwners, claimsFor, newPod } from '../../../controllers/statefulset/identity.ts';
import { planStatefulSet } from '../../../controllers/statefulset/plan.ts';

const T0 = '2026-01-01T00:00:00Z';
const NOW = Date.parse('2026-01-01T01:00:00Z');

const pod = (
  name: string,
  o: {
    ready?: boolean;
    phase?: string;
    deleting?: boolean;
    node?: string;
    labels?: Record<string, string>;
    created?: string;
    cost?: string;
  } = {},
): Pod => ({
  metadata: {
    name,
    namespace: 'ns',
    uid: name,
    labels: o.labels,
    creationTimestamp: o.created ?? T0,
    annotations: o.cost ? { 'controller.kubernetes.io/pod-deletion-cost': o.cost } : {},
    ...(o.deleting ? { deletionTimestamp: T0 } : {}),
  },
  spec: { containers: [], nodeName: o.node ?? 'n1' },
  status: {
    phase: o.phase ?? 'Running',
    conditions: [{ type: 'Ready', status: (o.ready ?? true) ? 'True' : 'False', lastTransitionTime: T0 }],
  },
});

describe('replicaset', () => {
  it('gives up the least useful pods first', () => {
    const rank = new Map<string, number>([['crowded', 5]]);
    const pods = [
      pod('ready'),
      pod('crowded'),
      pod('cheap', { cost: '-10' }),
      pod('sick', { ready: false }),
      pod('pending', { phase: 'Pending', ready: false }),
      pod('free', { node: '', phase: 'Pending', ready: false }),
    ];
    pods[5]!.spec!.nodeName = undefined;
    assert.deepEqual(
      pods.toSorted((a, b) => compareForDeletion(a, b, rank, NOW)).map((p) => p.metadata?.name),
      ['free', 'pending', 'sick', 'cheap', 'crowded', 'ready'],
    );
  });

  it('counts its pods', () => {
    const spec = { replicas: 3, minReadySeconds: 7200, templateLabels: { a: 'b' } };
    const s = replicaSetStatus(
      undefined,
      spec,
      4,
      [pod('a', { labels: { a: 'b' } }), pod('b', { ready: false })],
      1,
      undefined,
      NOW,
    );
    assert.deepEqual(s, {
      replicas: 2,
      fullyLabeledReplicas: 1,
      readyReplicas: 1,
      availableReplicas: 0,
      terminatingReplicas: 1,
      observedGeneration: 4,
    });
    assert.equal(nextAvailability([pod('a')], 7200, NOW), 3600_000);
    assert.equal(statusDiffers({ ...s }, s), false);
    assert.equal(statusDiffers({ ...s, readyReplicas: 2 }, s), true);
    const failed = replicaSetStatus(undefined, spec, 4, [], 0, { reason: 'FailedCreate', message: 'no' }, NOW);
    assert.equal(failed.conditions?.[0]?.reason, 'FailedCreate');
  });

  it('hashes templates by content, not by order of keys', () => {
    assert.equal(templateHash({ a: 1, b: { c: [] } }), templateHash({ b: { c: [] }, a: 1 }));
    assert.notEqual(templateHash({ a: 1 }), templateHash({ a: 2 }));
    assert.notEqual(templateHash({ a: 1 }), templateHash({ a: 1 }, 1));
    assert.match(templateHash({ a: 1 }), /^[bcdfghjklmnpqrstvwxz2456789]+$/);
  });

  it('understands label selectors', () => {
    const s = labelSelector({
      matchLabels: { a: '1' },
      matchExpressions: [
        { key: 'b', operator: 'NotIn', values: ['x'] },
        { key: 'c', operator: 'Exists' },
      ],
    });
    assert.equal(s.matches({ a: '1', c: '' }), true);
    assert.equal(s.matches({ a: '1', b: 'x', c: '' }), false);
    assert.equal(s.text, 'a=1,b notin (x),c');
    assert.equal(labelSelector(undefined).matches({}), false);
    assert.equal(labelSelector({}).matches(undefined), true);
  });
});

const node = (
  name: string,
  o: { labels?: Record<string, string>; taints?: { key: string; effect: string; value?: string }[] } = {},
): Node => ({ metadata: { name, labels: o.labels }, spec: { taints: o.taints } });
const daemons = (spec: object = {}, strategy?: NonNullable<DaemonSet['spec']>['updateStrategy']): DaemonSet => ({
  metadata: { name: 'd' },
  spec: { selector: {}, template: { spec: { containers: [], ...spec } }, updateStrategy: strategy },
});

describe('daemonset: placement', () => {
  it('runs on sick nodes, not on tainted ones', () => {
    assert.deepEqual(
      placement(daemons(), node('n', { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' }] })),
      { run: true, stay: true },
    );
    assert.deepEqual(
      placement(daemons(), node('n', { taints: [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }] })),
      { run: true, stay: true },
    );
    assert.deepEqual(placement(daemons(), node('n', { taints: [{ key: 'x', effect: 'NoSchedule' }] })), {
      run: false,
      stay: true,
    });
    assert.deepEqual(placement(daemons(), node('n', { taints: [{ key: 'x', effect: 'NoExecute' }] })), {
      run: false,
      stay: false,
    });
    assert.deepEqual(
      placement(
        daemons({ tolerations: [{ operator: 'Exists' }] }),
        node('n', { taints: [{ key: 'x', effect: 'NoExecute' }] }),
      ),
      { run: true, stay: true },
    );
  });

  it('follows node selector and affinity', () => {
    assert.equal(placement(daemons({ nodeSelector: { a: 'b' } }), node('n')).run, false);
    assert.equal(placement(daemons({ nodeSelector: { a: 'b' } }), node('n', { labels: { a: 'b' } })).run, true);
    const spec = {
      containers: [],
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [
              { matchExpressions: [{ key: 'n', operator: 'Gt', values: ['3'] }] },
              { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['m'] }] },
            ],
          },
        },
      },
    };
    assert.deepEqual(
      [
        affinityFits(spec, node('x', { labels: { n: '4' } })),
        affinityFits(spec, node('m')),
        affinityFits(spec, node('x')),
      ],
      [true, true, false],
    );
  });

  it('pins a pod to its node', () => {
    const affinity = pinnedAffinity(
      {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Exists' }] }],
          },
        },
      },
      'n7',
    );
    assert.equal(targetNode({ spec: { containers: [], affinity } }), 'n7');
    assert.equal(
      affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]?.matchExpressions
        ?.length,
      1,
    );
  });

  it('reads tolerations as the scheduler does', () => {
    const taint = { key: 'k', value: 'v', effect: 'NoExecute' };
    assert.equal(tolerates({ key: 'k', value: 'v' }, taint), true);
    assert.equal(tolerates({ key: 'k', value: 'w' }, taint), false);
    assert.equal(tolerates({ key: 'k', operator: 'Exists', effect: 'NoSchedule' }, taint), false);
    assert.equal(tolerates({ operator: 'Exists' }, taint), true);
  });
});

describe('controller revisions', () => {
  it('hold the template with sorted keys, to be compared as bytes', () => {
    const template = {
      spec: { containers: [{ name: 'c', image: 'i', resources: {} }] },
      metadata: { labels: { b: '', a: '' } },
    };
    assert.equal(
      JSON.stringify(templatePatch(template)),
      '{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"","b":""}},' +
        '"spec":{"containers":[{"image":"i","name":"c","resources":{}}]}}}}',
    );
  });
});

describe('daemonset: update', () => {
  const isUpdated = (p: { readonly metadata?: { readonly name?: string } }) =>
    p.metadata?.name?.startsWith('new') ?? false;
  const plan = (strategy: NonNullable<DaemonSet['spec']>['updateStrategy'], pods: Record<string, Pod[]>) => {
    const p = planUpdate({
      set: daemons({}, strategy),
      podsByNode: new Map(Object.entries(pods)),
      desired: new Set(Object.keys(pods)),
      isUpdated,
      now: NOW,
    });
    return { remove: p.remove.map((x) => x.metadata?.name), surge: p.surge };
  };

  it('takes as many as may be unavailable', () => {
    const three = { n1: [pod('old1')], n2: [pod('old2')], n3: [pod('old3')] };
    assert.deepEqual(plan({ rollingUpdate: { maxUnavailable: 1 } }, three).remove, ['old1']);
    assert.deepEqual(plan({ rollingUpdate: { maxUnavailable: '67%' } }, three).remove, ['old1', 'old2', 'old3']);
    assert.deepEqual(
      plan({ rollingUpdate: { maxUnavailable: 1 } }, { ...three, n4: [pod('new4', { ready: false })] }).remove,
      [],
    );
    assert.deepEqual(
      plan({ rollingUpdate: { maxUnavailable: 1 } }, { n1: [pod('old1', { ready: false })], n2: [pod('old2')] }).remove,
      ['old1'],
    );
  });

  it('puts new pods beside the old ones when surging', () => {
    const s = { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
    assert.deepEqual(plan(s, { n1: [pod('old1')], n2: [pod('old2')] }), { remove: [], surge: ['n1'] });
    assert.deepEqual(plan(s, { n1: [pod('old1'), pod('new1')], n2: [pod('old2')] }), {
      remove: ['old1'],
      surge: ['n2'],
    });
    assert.deepEqual(plan(s, { n1: [pod('old1'), pod('new1', { ready: false })], n2: [pod('old2')] }), {
      remove: [],
      surge: [],
    });
  });

  it('never stands still', () => {
    assert.deepEqual(limits(daemons({}, { rollingUpdate: { maxUnavailable: 0, maxSurge: 0 } }), 3), {
      maxUnavailable: 1,
      maxSurge: 0,
    });
  });
});

const stateful = (spec: Partial<NonNullable<StatefulSet['spec']>> = {}): StatefulSet => ({
  metadata: { name: 's', namespace: 'ns', uid: 'set' },
  spec: {
    serviceName: 's',
    replicas: 3,
    selector: { matchLabels: { app: 's' } },
    template: { spec: { containers: [] } },
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
    ...spec,
  },
});
const member = (i: number, revision = 'r1', o: Parameters<typeof pod>[1] = {}) =>
  pod(`s-${i}`, { ...o, labels: { 'controller-revision-hash': revision } });

describe('statefulset: plan', () => {
  const plan = (set: StatefulSet, pods: Pod[], r = { current: 'r1', update: 'r1' }) => {
    const p = planStatefulSet(set, pods, r, NOW);
    return { create: p.create.map((c) => c.ordinal), remove: p.remove.map((x) => x.metadata?.name) };
  };

  it('makes one member after the other, or all at once', () => {
    assert.deepEqual(plan(stateful(), []), { create: [0], remove: [] });
    assert.deepEqual(plan(stateful(), [member(0)]), { create: [1], remove: [] });
    assert.deepEqual(plan(stateful(), [member(0, 'r1', { ready: false })]), { create: [], remove: [] });
    assert.deepEqual(plan(stateful({ podManagementPolicy: 'Parallel' }), [member(1)]).create, [0, 2]);
    assert.deepEqual(plan(stateful({ ordinals: { start: 5 } }), []).create, [5]);
  });

  it('scales down from the end, waiting for health', () => {
    const set = stateful({ replicas: 1 });
    assert.deepEqual(plan(set, [member(0), member(1), member(2)]), { create: [], remove: ['s-2'] });
    assert.deepEqual(plan(set, [member(0), member(1), member(2, 'r1', { deleting: true })]), {
      create: [],
      remove: [],
    });
    assert.deepEqual(plan(set, [member(0, 'r1', { ready: false }), member(1)]).remove, []);
    assert.deepEqual(plan(stateful({ replicas: 0, podManagementPolicy: 'Parallel' }), [member(0), member(1)]).remove, [
      's-1',
      's-0',
    ]);
  });

  it('updates from the end to the partition', () => {
    const r = { current: 'r1', update: 'r2' };
    assert.deepEqual(plan(stateful(), [member(0), member(1), member(2)], r).remove, ['s-2']);
    assert.deepEqual(plan(stateful(), [member(0), member(1), member(2, 'r2')], r).remove, ['s-1']);
    assert.deepEqual(plan(stateful(), [member(0), member(1), member(2, 'r2', { ready: false })], r).remove, []);
    assert.deepEqual(
      plan(
        stateful({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } } }),
        [member(0), member(1), member(2, 'r2')],
        r,
      ).remove,
      [],
    );
    assert.deepEqual(
      plan(stateful({ updateStrategy: { type: 'OnDelete' } }), [member(0), member(1), member(2)], r).remove,
      [],
    );
    assert.deepEqual(
      plan(
        stateful({
          podManagementPolicy: 'Parallel',
          updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 2 } },
        }),
        [member(0), member(1), member(2)],
        r,
      ).remove,
      ['s-2', 's-1'],
    );
  });

  it('replaces failed members', () => {
    assert.deepEqual(plan(stateful({ replicas: 1 }), [member(0, 'r1', { phase: 'Failed' })]), {
      create: [],
      remove: ['s-0'],
    });
  });
});

describe('statefulset: identity', () => {
  const set = stateful({
    volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'] } }],
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Delete' },
  });
  const claim = (
    refs: NonNullable<PersistentVolumeClaim['metadata']>['ownerReferences'] = [],
  ): PersistentVolumeClaim => ({ metadata: { name: 'data-s-0', ownerReferences: refs } });

  it('gives members names, hosts and claims of their own', () => {
    const p = newPod(set, 1, { metadata: { name: 'rev' }, revision: 1 });
    assert.equal(p.metadata?.name, 's-1');
    assert.deepEqual([p.spec?.hostname, p.spec?.subdomain], ['s-1', 's']);
    assert.equal(p.metadata?.labels?.['apps.kubernetes.io/pod-index'], '1');
    assert.equal(p.spec?.volumes?.[0]?.persistentVolumeClaim?.claimName, 'data-s-1');
    assert.equal(claimsFor(set, 's-1')[0]?.metadata?.labels?.['app'], 's');
  });

  it('lets claims go with the set, or with a member that is scaled away', () => {
    assert.deepEqual(
      claimOwners(set, claim(), member(0))?.map((r) => r.kind),
      ['StatefulSet'],
    );
    assert.deepEqual(
      claimOwners(set, claim(), member(7))?.map((r) => r.kind),
      ['Pod'],
    );
    const right = claimOwners(set, claim(), member(0));
    assert.equal(claimOwners(set, claim(right), member(0)), undefined);
    assert.equal(claimOwners(stateful(), claim(), member(0)), undefined);
    assert.deepEqual(claimOwners(stateful(), claim(right), member(0)), []);
  });
});
