import assert from 'node:assert/strict';
import type { Node, Pod } from '../../../api/types.ts';
import { createCsr, generateKey, parseCsr } from '../../../base/pki.ts';
import { detachedSignature, readToken } from '../../../controllers/bootstrap/controllers.ts';
import { deleteAt } from '../../../controllers/certificates/cleaner.ts';
import {
  KUBELET_CLIENT,
  kubeletClientProblem,
  kubeletServingProblem,
  SIGNERS,
  validity,
  type CSR,
} from '../../../controllers/certificates/signers.ts';
import { aggregatedRules } from '../../../controllers/clusterroleaggregation/controller.ts';
import { budgetStatus, countHealthy, disrupted, expectedPods } from '../../../controllers/disruption/budget.ts';
import { namespaceConditions } from '../../../controllers/namespace/conditions.ts';
import { nodeTaints, noExecuteKey, silentConditions, zoneStates } from '../../../controllers/nodelifecycle/health.ts';
import { ttlFor } from '../../../controllers/nodettl/controller.ts';
import { surplus } from '../../../controllers/podgc/controller.ts';
import { orphanedBy } from '../../../controllers/servicecidr/controller.ts';
import { patience } from '../../../controllers/tainteviction/controller.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const node = (ready: string | undefined, spec: Node['spec'] = {}, zone?: string): Node => ({
  metadata: {
    name: 'n',
    creationTimestamp: '2026-01-01T00:00:00Z',
    labels: zone ? { 'topology.kubernetes.io/zone': zone } : {},
  },
  spec,
  status: { conditions: ready ? [{ type: 'Ready', status: ready }] : [] },
});
const keys = (taints: { key: string; effect: string }[] | undefined) =>
  taints?.map((t) => `${t.key.split('/')[1]}:${t.effect}`);

describe('node lifecycle', () => {
  it('makes a silent node Unknown, once', () => {
    const c = silentConditions(node('True'), NOW);
    assert.deepEqual(
      c?.map((x) => [x.type, x.status, x.reason]),
      [
        ['Ready', 'Unknown', 'NodeStatusUnknown'],
        ['MemoryPressure', 'Unknown', 'NodeStatusNeverUpdated'],
        ['DiskPressure', 'Unknown', 'NodeStatusNeverUpdated'],
        ['PIDPressure', 'Unknown', 'NodeStatusNeverUpdated'],
      ],
    );
    assert.equal(silentConditions({ ...node(undefined), status: { conditions: c } }, NOW), undefined);
  });

  it('taints by condition and leaves the taints of others', () => {
    assert.deepEqual(keys(nodeTaints(node('False'), noExecuteKey(node('False')), NOW)), [
      'not-ready:NoSchedule',
      'not-ready:NoExecute',
    ]);
    assert.deepEqual(keys(nodeTaints(node('Unknown'), undefined, NOW)), ['unreachable:NoSchedule']);
    assert.deepEqual(keys(nodeTaints(node('True', { unschedulable: true }), undefined, NOW)), [
      'unschedulable:NoSchedule',
    ]);
    const back = node('True', {
      taints: [
        { key: 'mine/x', effect: 'NoSchedule' },
        { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' },
      ],
    });
    assert.deepEqual(keys(nodeTaints(back, noExecuteKey(back), NOW)), ['x:NoSchedule']);
    assert.equal(nodeTaints(node('True'), undefined, NOW), undefined);
  });

  it('sees how ill a zone is', () => {
    const states = zoneStates(
      [
        node('True', {}, 'a'),
        node('False', {}, 'a'),
        node('False', {}, 'b'),
        ...Array.from({ length: 3 }, () => node('False', {}, 'c')),
        node('True', {}, 'c'),
      ],
      0.55,
    );
    assert.deepEqual(
      [...states.values()].map((s) => s.state),
      ['Normal', 'FullDisruption', 'PartialDisruption'],
    );
  });

  it('gives pods the time that they tolerate', () => {
    const taints = [
      { key: 'a', effect: 'NoExecute' },
      { key: 'b', effect: 'NoExecute' },
    ];
    assert.equal(patience(taints, [{ key: 'a', operator: 'Exists' }]), 0);
    assert.equal(patience(taints, [{ operator: 'Exists' }]), undefined);
    assert.equal(
      patience(taints, [
        { key: 'a', operator: 'Exists', tolerationSeconds: 30 },
        { key: 'b', operator: 'Exists', tolerationSeconds: 5 },
      ]),
      5000,
    );
  });

  it('lets caches live longer in large clusters', () => {
    assert.deepEqual([1, 101, 501, 5000].map(ttlFor), [0, 15, 30, 300]);
  });
});

describe('pod gc', () => {
  it('takes the oldest finished pods beyond the threshold', () => {
    const pods: Pod[] = ['c', 'a', 'b'].map((name, i) => ({
      metadata: { name, uid: name, creationTimestamp: `2026-01-0${i + 1}T00:00:00Z` },
      status: { phase: 'Succeeded' },
    }));
    assert.deepEqual(
      surplus(pods, 1).map((p) => p.metadata?.name),
      ['c', 'a'],
    );
    assert.deepEqual(surplus(pods, 0), []);
  });
});

describe('certificates', () => {
  const csr = (cn: string, org: string, altNames = {}) =>
    parseCsr(createCsr({ subject: { commonName: cn, organizations: [org] }, altNames }, generateKey()));

  it('knows a kubelet by its subject and usages', () => {
    const good = csr('system:node:n', 'system:nodes');
    assert.equal(kubeletClientProblem(good, ['digital signature', 'client auth']), undefined);
    assert.equal(kubeletClientProblem(good, ['digital signature', 'key encipherment', 'client auth']), undefined);
    assert.match(kubeletClientProblem(good, ['client auth'])!, /usages did not match/);
    assert.match(
      kubeletClientProblem(csr('system:node:n', 'system:masters'), ['digital signature', 'client auth'])!,
      /organization/,
    );
    assert.match(
      kubeletClientProblem(csr('eve', 'system:nodes'), ['digital signature', 'client auth'])!,
      /common name/,
    );
    assert.match(
      kubeletClientProblem(csr('system:node:n', 'system:nodes', { dns: ['x'] }), ['digital signature', 'client auth'])!,
      /DNS/,
    );
  });

  it('wants a name in serving certificates', () => {
    const usages = ['digital signature', 'server auth'];
    assert.equal(kubeletServingProblem(csr('system:node:n', 'system:nodes', { ip: ['10.0.0.1'] }), usages), undefined);
    assert.match(kubeletServingProblem(csr('system:node:n', 'system:nodes'), usages)!, /required/);
    assert.match(SIGNERS['kubernetes.io/kube-apiserver-client']!(csr('a', 'b'), ['server auth'])!, /invalid usage/);
  });

  it('is valid for as long as asked, within bounds', () => {
    const year = 8760 * 3600_000;
    assert.deepEqual(validity(NOW, year, 3600, Infinity), { notBefore: NOW - 300_000, notAfter: NOW + 3600_000 });
    assert.equal(validity(NOW, year, 1, Infinity).notAfter, NOW + 600_000);
    assert.equal(validity(NOW, year, undefined, NOW + 1000).notAfter, NOW + 1000);
    assert.equal(validity(NOW, year, undefined, Infinity).notAfter, NOW + year - 300_000);
  });

  it('is deleted when nobody needs it', () => {
    const request = (type?: string, certificate?: string): CSR => ({
      metadata: { creationTimestamp: '2026-01-01T00:00:00Z' },
      spec: { request: '', signerName: KUBELET_CLIENT },
      status: {
        certificate,
        conditions: type ? [{ type, status: 'True', lastUpdateTime: '2026-01-01T00:30:00Z' }] : [],
      },
    });
    assert.equal(deleteAt(request()), NOW + 24 * 3600_000);
    assert.equal(deleteAt(request('Denied')), NOW + 90 * 60_000);
    assert.equal(deleteAt(request('Approved', 'eA==')), NOW + 90 * 60_000);
  });
});

describe('bootstrap tokens', () => {
  it('signs the cluster info so that a joiner can check it', () => {
    const [header = '', body, signature] = detachedSignature('text', 'abcdef', 'secret').split('.');
    assert.deepEqual(JSON.parse(Buffer.from(header, 'base64url').toString()), { alg: 'HS256', kid: 'abcdef' });
    assert.equal(body, '');
    assert.equal(Buffer.from(signature!, 'base64url').length, 32);
  });

  it('reads only well-formed token secrets', () => {
    const b64 = (s: string) => Buffer.from(s).toString('base64');
    const secret = {
      metadata: { name: 'bootstrap-token-abcdef' },
      type: 'bootstrap.kubernetes.io/token',
      data: {
        'token-id': b64('abcdef'),
        'token-secret': b64('s'),
        expiration: b64('2026-01-01T00:00:00Z'),
        'usage-bootstrap-signing': b64('true'),
      },
    };
    assert.deepEqual(readToken(secret), { id: 'abcdef', secret: 's', signs: true, expires: NOW });
    assert.equal(readToken({ ...secret, metadata: { name: 'other' } }), undefined);
  });
});

describe('disruption budgets', () => {
  const budget = (spec: object, status = {}) => ({
    metadata: { name: 'b', generation: 1 },
    spec,
    status: { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0, ...status },
  });

  it('works out what is expected and what must be healthy', () => {
    assert.deepEqual(expectedPods(budget({ minAvailable: 2 }), 5, 0), { expected: 5, desired: 2 });
    assert.deepEqual(expectedPods(budget({ minAvailable: '50%' }), 5, 7), { expected: 7, desired: 4 });
    assert.deepEqual(expectedPods(budget({ maxUnavailable: '30%' }), 5, 10), { expected: 10, desired: 7 });
    assert.deepEqual(expectedPods(budget({ maxUnavailable: 20 }), 5, 10), { expected: 10, desired: 0 });
  });

  it('counts evictions under way as unhealthy until they are overdue', () => {
    const pods: Pod[] = ['a', 'b'].map((name) => ({
      metadata: { name, uid: name },
      status: { conditions: [{ type: 'Ready', status: 'True' }] },
    }));
    const b = budget({}, { disruptedPods: { a: '2026-01-01T00:00:00Z' } });
    const soon = disrupted(b, pods, NOW + 1000);
    assert.deepEqual([countHealthy(pods, soon.pending), soon.recheckAt], [1, NOW + 120_000]);
    const late = disrupted(b, pods, NOW + 200_000);
    assert.deepEqual([countHealthy(pods, late.pending), late.overdue.length], [2, 1]);
  });

  it('says whether an eviction is allowed', () => {
    const s = budgetStatus(budget({}), { healthy: 3, desired: 2, expected: 3 }, {}, NOW);
    assert.deepEqual([s.disruptionsAllowed, s.conditions?.[0]?.reason], [1, 'SufficientPods']);
    const none = budgetStatus(budget({}), { healthy: 1, desired: 2, expected: 3 }, {}, NOW);
    assert.deepEqual([none.disruptionsAllowed, none.conditions?.[0]?.reason], [0, 'InsufficientPods']);
  });
});

describe('namespaces, roles and ranges', () => {
  it('says what holds a namespace up', () => {
    const c = namespaceConditions(
      [],
      { errors: [], remaining: new Map([['pods.', 2]]), finalizers: new Map([['x/y', 1]]) },
      NOW,
    )!;
    const by = (type: string) => c.find((x) => x.type === type);
    assert.equal(
      by('NamespaceContentRemaining')?.message,
      'Some resources are remaining: pods. has 2 resource instances',
    );
    assert.equal(
      by('NamespaceFinalizersRemaining')?.message,
      'Some content in the namespace has finalizers remaining: x/y in 1 resource instances',
    );
    assert.equal(by('NamespaceDeletionContentFailure')?.status, 'False');
    assert.equal(c.length, 5);
    assert.equal(
      namespaceConditions(
        c,
        { errors: [], remaining: new Map([['pods.', 2]]), finalizers: new Map([['x/y', 1]]) },
        NOW,
      ),
      undefined,
    );
  });

  it('aggregates rules once and in order', () => {
    const rule = { apiGroups: [''], resources: ['pods'], verbs: ['get'] };
    const role = (name: string, rules: (typeof rule)[]) => ({ metadata: { name, labels: { agg: 'yes' } }, rules });
    const top = { ...role('z', []), aggregationRule: { clusterRoleSelectors: [{ matchLabels: { agg: 'yes' } }] } };
    assert.deepEqual(
      aggregatedRules(top, [role('b', [rule]), role('a', [{ ...rule, verbs: ['list'] }, rule]), top]).map(
        (r) => r.verbs,
      ),
      [['list'], ['get']],
    );
  });

  it('keeps a service range that is still in use', () => {
    const cidr = (name: string, range: string) => ({ metadata: { name }, spec: { cidrs: [range] } });
    const a = cidr('a', '10.0.0.0/24');
    assert.deepEqual(orphanedBy(a, [a, cidr('b', '10.1.0.0/24')], ['10.0.0.5', '10.1.0.5']), ['10.0.0.5']);
    assert.deepEqual(orphanedBy(a, [a, cidr('b', '10.0.0.0/16')], ['10.0.0.5']), []);
  });
});
