import assert from 'node:assert/strict';
import { newCycle, prepare } from '../../../scheduler/core/cycle.ts';
import { compileBudgets, leastHarm, selectVictims, splitByBudgets } from '../../../scheduler/core/victims.ts';
import { emptyListers, fixedLister } from '../../../scheduler/listers.ts';
import { interPodAffinity } from '../../../scheduler/plugins/inter-pod-affinity.ts';
import { nodeResourcesFit } from '../../../scheduler/plugins/node-resources-fit.ts';
import { podTopologySpread } from '../../../scheduler/plugins/pod-topology-spread.ts';
import { nodeVolumeLimits } from '../../../scheduler/plugins/node-volume-limits.ts';
import { volumeRestrictions } from '../../../scheduler/plugins/volume-restrictions.ts';
import { volumeZone } from '../../../scheduler/plugins/volume-zone.ts';
import { node, pod, scores, verdicts, world, type NodeShape, type PodShape } from './world.ts';

const ZONE = 'topology.kubernetes.io/zone';
const HOST = 'kubernetes.io/hostname';
const zones: Record<string, NodeShape> = {
  a1: { labels: { [ZONE]: 'a' } },
  a2: { labels: { [ZONE]: 'a' } },
  b1: { labels: { [ZONE]: 'b' } },
};
const web: PodShape = { labels: { app: 'web' } };
const selects = { matchLabels: { app: 'web' } };
const SKEWED = "node(s) didn't match pod topology spread constraints";

describe('PodTopologySpread', () => {
  const plugin = podTopologySpread({}, emptyListers());
  const constraint = (more: object = {}) => ({
    topologySpreadConstraints: [
      { maxSkew: 1, topologyKey: ZONE, whenUnsatisfiable: 'DoNotSchedule', labelSelector: selects, ...more },
    ],
  });
  const three = { a1: [pod(web), pod(web)], b1: [pod(web)] };

  it('counts living pods of the namespace that the selector means', () => {
    const dying = pod({ ...web, meta: { deletionTimestamp: '2026-01-01T00:00:00Z' } });
    const cache = world(zones, { a1: [pod(web), pod({ ...web, namespace: 'other' }), dying, pod()] });
    assert.deepEqual(verdicts(plugin, pod({ ...web, ...constraint() }), cache), { a1: SKEWED, a2: SKEWED, b1: '' });
  });
  it('counts the pod itself only when its own selector means it', () => {
    const cache = world(zones, three);
    assert.deepEqual(verdicts(plugin, pod({ ...web, ...constraint() }), cache), { a1: SKEWED, b1: '', a2: SKEWED });
    assert.deepEqual(verdicts(plugin, pod(constraint()), cache), { a1: '', b1: '', a2: '' });
  });
  it('leaves out nodes without the label', () => {
    const cache = world({ ...zones, c: {} });
    assert.equal(verdicts(plugin, pod(constraint()), cache)['c'], `${SKEWED} (missing required label)`);
  });
  it('asks for as many domains as it says', () => {
    const cache = world(zones, three);
    assert.deepEqual(verdicts(plugin, pod({ ...web, ...constraint({ minDomains: 3 }) }), cache), {
      a1: SKEWED,
      b1: SKEWED,
      a2: SKEWED,
    });
  });
  it('heeds affinity and, when told, taints in what it counts', () => {
    const tainted = { ...zones, b1: { ...zones['b1'], taints: [{ key: 'k', effect: 'NoSchedule' }] } };
    const cache = world(tainted, { a1: [pod(web)] });
    assert.equal(verdicts(plugin, pod({ ...web, ...constraint() }), cache)['a2'], SKEWED);
    assert.equal(verdicts(plugin, pod({ ...web, ...constraint({ nodeTaintsPolicy: 'Honor' }) }), cache)['a2'], '');
    assert.equal(verdicts(plugin, pod({ ...web, nodeSelector: { [ZONE]: 'a' }, ...constraint() }), cache)['a2'], '');
  });
  it('tells revisions apart by matchLabelKeys', () => {
    const cache = world(zones, { a1: [pod({ labels: { app: 'web', rev: '1' } })] });
    const p = pod({ labels: { app: 'web', rev: '2' }, ...constraint({ matchLabelKeys: ['rev'] }) });
    assert.equal(verdicts(plugin, p, cache)['a2'], '');
  });
  it('scores softly, and by default for pods that a service selects', () => {
    const soft = pod({ ...web, ...constraint({ whenUnsatisfiable: 'ScheduleAnyway' }) });
    const s = scores(plugin, soft, world(zones, three))!;
    assert.ok(s['b1']! > s['a1']! && s['a1'] === s['a2']);
    const service = { metadata: { name: 's', namespace: 'ns' }, spec: { selector: { app: 'web' } } };
    const defaults = podTopologySpread({}, { ...emptyListers(), services: fixedLister([service]) });
    const d = scores(defaults, pod(web), world(zones, three))!;
    // By host a2 is better, by zone b1 is: both rank before a1.
    assert.deepEqual(d, { a1: 75, b1: 100, a2: 100 });
    assert.equal(scores(defaults, pod(), world(zones, three)), undefined);
  });
  it('follows trials', () => {
    const cache = world(zones, three);
    const p = pod({ ...web, ...constraint() });
    const { filters } = prepare(newCycle(p, cache), [plugin]);
    const a1 = cache.get('a1')!;
    const trial = filters.clone();
    const copy = a1.clone();
    trial.removePod(copy.pods[0]!, copy);
    assert.equal(trial.filter(copy), undefined);
    assert.ok(filters.filter(a1));
  });
});

describe('InterPodAffinity', () => {
  const term = (topologyKey: string, more: object = {}) => ({ topologyKey, labelSelector: selects, ...more });
  const near = (t: object): PodShape => ({
    affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [t as never] } },
  });
  const away = (t: object): PodShape => ({
    affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [t as never] } },
  });
  const check = (p: PodShape, placed: Record<string, PodShape[]>) => {
    const cache = world(zones, Object.fromEntries(Object.entries(placed).map(([n, l]) => [n, l.map(pod)])));
    return verdicts(interPodAffinity({}, cache), pod(p), cache);
  };
  const NEAR = "node(s) didn't match pod affinity rules";
  const AWAY = "node(s) didn't match pod anti-affinity rules";
  const EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules";

  it('wants to be near, in the same domain', () => {
    assert.deepEqual(check(near(term(ZONE)), { a1: [web] }), { a1: '', a2: '', b1: NEAR });
    assert.deepEqual(check(near(term(HOST)), { a1: [web] }), { a1: '', a2: NEAR, b1: NEAR });
    assert.deepEqual(check(near(term(HOST)), { a1: [{ ...web, namespace: 'other' }] }), {
      a1: NEAR,
      a2: NEAR,
      b1: NEAR,
    });
    assert.deepEqual(check(near(term(HOST, { namespaces: ['other'] })), { a1: [{ ...web, namespace: 'other' }] }), {
      a1: '',
      a2: NEAR,
      b1: NEAR,
    });
  });
  it('may be the first of its own kind', () => {
    assert.deepEqual(check({ ...web, ...near(term(ZONE)) }, {}), { a1: '', a2: '', b1: '' });
    assert.deepEqual(check(near(term(ZONE)), {}), { a1: NEAR, a2: NEAR, b1: NEAR });
  });
  it('wants to be away, as placed pods may of it', () => {
    assert.deepEqual(check(away(term(ZONE)), { a1: [web] }), { a1: AWAY, a2: AWAY, b1: '' });
    assert.deepEqual(check(web, { b1: [away(term(ZONE))] }), { a1: '', a2: '', b1: EXISTING });
    assert.deepEqual(check({}, { b1: [away(term(ZONE))] }), { a1: '', a2: '', b1: '' });
  });
  it('forgets the wishes of pods that are gone, and follows nodes whose labels change', () => {
    const shy = pod(away(term(ZONE)));
    const cache = world(zones, { b1: [shy] });
    const plugin = interPodAffinity({}, cache);
    cache.setNode(node('b1', { labels: { [ZONE]: 'a' } }));
    assert.deepEqual(verdicts(plugin, pod(web), cache), { a1: EXISTING, a2: EXISTING, b1: EXISTING });
    cache.forget(shy);
    assert.deepEqual(verdicts(plugin, pod(web), cache), { a1: '', a2: '', b1: '' });
  });
  it('scores what either side prefers', () => {
    const prefers = (sign: 'podAffinity' | 'podAntiAffinity', weight: number): PodShape => ({
      affinity: {
        [sign]: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight, podAffinityTerm: term(HOST) }] },
      },
    });
    const of = (p: PodShape, placed: Record<string, PodShape[]>) => {
      const cache = world(zones, Object.fromEntries(Object.entries(placed).map(([n, l]) => [n, l.map(pod)])));
      return scores(interPodAffinity({}, cache), pod(p), cache);
    };
    assert.deepEqual(of(prefers('podAffinity', 10), { a1: [web, web], a2: [web] }), { a1: 100, a2: 50, b1: 0 });
    assert.deepEqual(of(prefers('podAntiAffinity', 10), { a1: [web] }), { a1: 0, a2: 100, b1: 100 });
    assert.deepEqual(of(web, { b1: [prefers('podAffinity', 3)] }), { a1: 0, a2: 0, b1: 100 });
    assert.deepEqual(of(web, { b1: [near(term(HOST))] }), { a1: 0, a2: 0, b1: 100 });
    assert.equal(of({}, { b1: [prefers('podAffinity', 3)] }), undefined);
  });
  it('follows trials', () => {
    const blocker = pod(web);
    const cache = world(zones, { a1: [blocker] });
    const p = pod(away(term(HOST)));
    const { filters } = prepare(newCycle(p, cache), [interPodAffinity({}, cache)]);
    const copy = cache.get('a1')!.clone();
    const trial = filters.clone();
    trial.removePod(blocker, copy);
    assert.equal(trial.filter(copy), undefined);
    trial.addPod(pod({ ...away(term(HOST)), ...web }), copy);
    assert.ok(trial.filter(copy));
    assert.ok(filters.filter(cache.get('a1')!));
  });
});

describe('choosing victims', () => {
  const now = 0;
  const none = { on: () => [] };
  const cpu = (n: string, priority: number, more: PodShape = {}) => pod({ requests: { cpu: n }, priority, ...more });
  const select = (placed: ReturnType<typeof pod>[], budgets: Parameters<typeof compileBudgets>[0] = []) => {
    const cache = world({ a: {} }, { a: placed });
    const p = cpu('2', 10);
    const { filters } = prepare(newCycle(p, cache), [nodeResourcesFit()]);
    return selectVictims(p, cache.get('a')!, filters.clone(), compileBudgets(budgets), none, now);
  };
  const names = (r: ReturnType<typeof select>) => ('pods' in r ? r.pods.map((p) => p.name) : r.reasons);
  const budget = (disruptionsAllowed: number) => [
    {
      metadata: { namespace: 'ns' },
      spec: { selector: selects },
      status: { disruptionsAllowed, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 },
    },
  ];

  it('spares the more important ones', () => {
    assert.deepEqual(names(select([cpu('2', 1, { name: 'low' }), cpu('2', 5, { name: 'high' })])), ['low']);
  });
  it('spares those with a budget', () => {
    const kept = cpu('2', 1, { name: 'kept', ...web });
    assert.deepEqual(names(select([kept, cpu('2', 5, { name: 'free' })], budget(0))), ['free']);
    assert.deepEqual(names(select([cpu('2', 1, { name: 'kept', ...web }), cpu('2', 5, { name: 'free' })], budget(1))), [
      'kept',
    ]);
  });
  it('never ends pods of the same or a higher priority', () => {
    assert.deepEqual(names(select([cpu('4', 10)])), ['No preemption victims found for incoming pod']);
    assert.deepEqual(names(select([cpu('3', 11), cpu('1', 1)])), ['Insufficient cpu']);
  });
  it('counts budgets down pod by pod', () => {
    const list = [pod({ ...web, name: 'x' }), pod({ ...web, name: 'y' }), pod({ name: 'z' })];
    const [violating, others] = splitByBudgets(list, compileBudgets(budget(1)));
    assert.deepEqual([violating.map((p) => p.name), others.map((p) => p.name)], [['y'], ['x', 'z']]);
  });
  it('prefers the least harm', () => {
    const v = (name: string, priorities: number[], violations = 0, started?: string) => ({
      node: name,
      violations,
      pods: priorities.map((priority) => pod({ priority, status: started ? { startTime: started } : undefined })),
    });
    assert.equal(leastHarm([v('a', [1], 1), v('b', [5])], now).node, 'b');
    assert.equal(leastHarm([v('a', [5]), v('b', [4, 4])], now).node, 'b');
    assert.equal(leastHarm([v('a', [5, 1]), v('b', [5])], now).node, 'b');
    assert.equal(
      leastHarm([v('a', [5], 0, '2020-01-01T00:00:00Z'), v('b', [5], 0, '2021-01-01T00:00:00Z')], now).node,
      'b',
    );
  });
});

describe('volume plugins', () => {
  const claim = (name: string, spec: object = {}) => ({ metadata: { name, namespace: 'ns' }, spec });
  const uses = (claimName: string): PodShape => ({ volumes: [{ name: 'v', persistentVolumeClaim: { claimName } }] });

  it('keeps a claim for one pod', () => {
    const listers = {
      ...emptyListers(),
      persistentVolumeClaims: fixedLister([claim('c', { accessModes: ['ReadWriteOncePod'] })]),
    };
    const cache = world({ a: {}, b: {} }, { a: [pod(uses('c'))] });
    const reason =
      'node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod';
    assert.deepEqual(verdicts(volumeRestrictions(listers), pod(uses('c')), cache), { a: reason, b: reason });
    assert.deepEqual(verdicts(volumeRestrictions(listers), pod(uses('none')), cache), {
      '*': 'persistentvolumeclaim "none" not found',
    });
  });
  it('keeps a disk for one node', () => {
    const disk = (readOnly: boolean): PodShape => ({
      volumes: [{ name: 'v', gcePersistentDisk: { pdName: 'd', readOnly } }],
    });
    const cache = world({ a: {}, b: {} }, { a: [pod(disk(true))] });
    assert.deepEqual(verdicts(volumeRestrictions(emptyListers()), pod(disk(false)), cache), {
      a: 'node(s) had no available disk',
      b: '',
    });
    assert.deepEqual(verdicts(volumeRestrictions(emptyListers()), pod(disk(true)), cache), { a: '', b: '' });
  });
  it('keeps pods in the zones of their volumes', () => {
    const pv = { metadata: { name: 'pv', labels: { 'failure-domain.beta.kubernetes.io/zone': 'a__c' } } };
    const listers = {
      ...emptyListers(),
      persistentVolumeClaims: fixedLister([claim('c', { volumeName: 'pv' }), claim('open')]),
      persistentVolumes: fixedLister([pv]),
    };
    const cache = world({ ...zones, none: {} });
    assert.deepEqual(verdicts(volumeZone(listers), pod(uses('c')), cache), {
      a1: '',
      a2: '',
      b1: 'node(s) had no available volume zone',
      none: '',
    });
    assert.deepEqual(verdicts(volumeZone(listers), pod(uses('open')), cache), {
      '*': 'PersistentVolumeClaim had no pv name and storageClass name',
    });
  });
  it('counts the volumes that a driver can attach', () => {
    const pv = (name: string) => ({ metadata: { name }, spec: { csi: { driver: 'd', volumeHandle: name } } });
    const listers = {
      ...emptyListers(),
      persistentVolumeClaims: fixedLister(['x', 'y'].map((n) => claim(n, { volumeName: n }))),
      persistentVolumes: fixedLister([pv('x'), pv('y')]),
      csiNodes: fixedLister([
        { metadata: { name: 'a' }, spec: { drivers: [{ name: 'd', nodeID: 'a', allocatable: { count: 1 } }] } },
      ]),
    };
    const cache = world({ a: {}, b: {} }, { a: [pod(uses('x'))] });
    assert.deepEqual(verdicts(nodeVolumeLimits(listers), pod(uses('y')), cache), {
      a: 'node(s) exceed max volume count',
      b: '',
    });
    assert.deepEqual(verdicts(nodeVolumeLimits(listers), pod(uses('x')), cache), { a: '', b: '' });
  });
});
