import assert from 'node:assert/strict';
import { systemClock, systemIds, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { parseConfig } from '../../../scheduler/config.ts';
import { choose, findFeasible, newCycle, nodesToFind } from '../../../scheduler/core/cycle.ts';
import { describe as tell } from '../../../scheduler/core/diagnosis.ts';
import { Explanations } from '../../../scheduler/explain.ts';
import { parseFlags } from '../../../scheduler/flags.ts';
import { emptyListers } from '../../../scheduler/listers.ts';
import { buildProfile } from '../../../scheduler/profile.ts';
import type { PluginDeps } from '../../../scheduler/registry.ts';
import type { ProfileConfig } from '../../../scheduler/config.ts';
import type { Cache } from '../../../scheduler/core/cache.ts';
import { node, pod, world } from './world.ts';

const unused = () => Promise.reject(new Error('not in this test'));
const deps = (cache: Cache): PluginDeps => ({
  clock: systemClock,
  rand: systemRand,
  ids: systemIds,
  logger: silentLogger,
  snapshot: cache,
  listers: emptyListers(),
  api: {
    bind: unused,
    patchStatus: unused,
    updateClaim: unused,
    updateVolume: unused,
    claims: {
      reserve: unused,
      release: unused,
      deallocate: unused,
      create: unused,
      remove: unused,
      tellPod: unused,
    },
    evict: unused,
  },
  nominations: { on: () => [] },
  recorder: { event() {}, flush: () => Promise.resolve() },
  nominatedNode: () => undefined,
  clearNominations: unused,
  activate() {},
  preempted() {},
  extendPreemption: (_pod, c) => Promise.resolve(c),
});
const profileOf = (cache: Cache, config: ProfileConfig = {}) => buildProfile(config, deps(cache));
const options = { rand: { next: () => 0.99 } };

describe('a scheduling cycle', () => {
  it('finds enough nodes and no more', () => {
    assert.deepEqual(
      [
        [50, 0],
        [100, 0],
        [500, 0],
        [1000, 0],
        [6000, 0],
        [1000, 70],
        [1000, 5],
        [1000, 100],
      ].map(([n, p]) => nodesToFind(n!, p)),
      [50, 100, 230, 420, 300, 700, 100, 1000],
    );
  });

  it('lets zones take turns and goes on where the last search ended', () => {
    const nodes = Object.fromEntries(
      Array.from({ length: 300 }, (_, i) => [
        `n${i}`,
        { labels: { 'topology.kubernetes.io/zone': i < 200 ? 'a' : 'b' } },
      ]),
    );
    const cache = world(nodes);
    assert.deepEqual(
      cache.nodes.slice(0, 4).map((n) => n.name),
      ['n0', 'n200', 'n1', 'n201'],
    );
    const profile = profileOf(cache);
    const position = { index: 0 };
    const first = findFeasible(newCycle(pod(), cache), profile, position, options).feasible;
    const second = findFeasible(newCycle(pod(), cache), profile, position, options).feasible;
    assert.equal(first.length, nodesToFind(300));
    assert.equal(second[0], cache.nodes[first.length]);
    cache.removeNode('n0');
    assert.equal(cache.nodes.length, 299);
  });

  it('tells how many nodes fell for which reason', () => {
    const cache = world({
      a: {},
      b: {},
      c: { unschedulable: true },
      d: { taints: [{ key: 'k', effect: 'NoSchedule' }] },
    });
    const { diagnosis, feasible } = findFeasible(
      newCycle(pod({ requests: { cpu: '5' } }), cache),
      profileOf(cache),
      { index: 0 },
      options,
    );
    assert.equal(feasible.length, 0);
    assert.equal(
      tell(diagnosis),
      '0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 Insufficient cpu.',
    );
    assert.deepEqual([...diagnosis.plugins].sort(), ['NodeResourcesFit', 'NodeUnschedulable', 'TaintToleration']);
    const p = pod({ volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }] });
    const claim = findFeasible(newCycle(p, cache), profileOf(cache), { index: 0 }, options);
    assert.equal(tell(claim.diagnosis), '0/4 nodes are available: persistentvolumeclaim "c" not found.');
  });

  it('keeps room for pods that were promised a node', () => {
    const cache = world({ a: {} });
    const search = (p: ReturnType<typeof pod>) =>
      findFeasible(
        newCycle(p, cache),
        profileOf(cache),
        { index: 0 },
        { ...options, nominations: { on: () => [promised] } },
      ).feasible.length;
    const promised = pod({ requests: { cpu: '3' }, priority: 5 });
    assert.equal(search(pod({ requests: { cpu: '2' }, priority: 5 })), 0);
    assert.equal(search(pod({ requests: { cpu: '2' }, priority: 6 })), 1);
    assert.equal(search(promised), 1);
  });

  it('chooses the emptiest node', () => {
    const cache = world(
      { a: {}, b: {}, c: {} },
      { a: [pod({ requests: { cpu: '2', memory: '4Gi' } })], c: [pod({ requests: { cpu: '1', memory: '2Gi' } })] },
    );
    const profile = profileOf(cache);
    const found = findFeasible(
      newCycle(pod({ requests: { cpu: '1', memory: '2Gi' } }), cache),
      profile,
      { index: 0 },
      options,
    );
    assert.equal(choose(found, profile, options.rand).name, 'b');
  });

  it('undoes an assumption without a trace', () => {
    const cache = world({ a: {} });
    const p = pod({
      requests: { cpu: '1', 'x.com/y': '2' },
      container: { ports: [{ containerPort: 1, hostPort: 80 }] },
    });
    cache.assume(p, 'a');
    const n = cache.get('a')!;
    assert.deepEqual([n.requested.milliCPU, n.requested.get('x.com/y'), n.pods.length, n.ports.size], [1000, 2, 1, 1]);
    assert.ok(cache.forget(p));
    assert.deepEqual([n.requested.milliCPU, n.requested.get('x.com/y'), n.pods.length, n.ports.size], [0, 0, 0, 0]);
    cache.assume(p, 'a');
    const { confirmed, before, after } = cache.setPod({ ...p.pod, spec: { ...p.pod.spec!, nodeName: 'a' } });
    assert.ok(confirmed && before === after);
    assert.equal(cache.forget(p), false);
    assert.equal(cache.removePod(p.uid), p);
    assert.equal(n.pods.length, 0);
  });

  it('explains every objection to every node', () => {
    const cache = world({ a: { unschedulable: true }, b: {} });
    const p = pod({ requests: { cpu: '5' } });
    const profile = profileOf(cache);
    const explanations = new Explanations();
    const { diagnosis } = findFeasible(newCycle(p, cache), profile, { index: 0 }, options);
    explanations.remember(p, 'why', diagnosis, 7);
    cache.setNode(node('b', { allocatable: { cpu: '8' } }));
    const e = explanations.explain(p, profile, cache);
    assert.deepEqual(Object.fromEntries(Object.entries(e.now!).map(([n, r]) => [n, r.map((x) => x.plugin)])), {
      a: ['NodeUnschedulable', 'NodeResourcesFit'],
      b: [],
    });
    assert.deepEqual(e.lastAttempt!['b'], {
      plugin: 'NodeResourcesFit',
      reasons: ['Insufficient cpu'],
      resolvable: false,
    });
    assert.equal(e.time, 7);
  });
});

describe('scheduler configuration', () => {
  const cache = world({});
  const names = (config: ProfileConfig, point: 'filter' | 'preBind' = 'filter') =>
    profileOf(cache, config)[point].map((p) => p.name);

  it('drops, weighs and adds plugins', () => {
    assert.ok(names({}).includes('NodePorts'));
    assert.ok(!names({ plugins: { multiPoint: { disabled: [{ name: 'NodePorts' }] } } }).includes('NodePorts'));
    const noScore = profileOf(cache, { plugins: { score: { disabled: [{ name: '*' }] } } });
    assert.deepEqual(noScore.score, []);
    assert.ok(noScore.filter.some((p) => p.name === 'NodeResourcesFit'));
    const weights = (c: ProfileConfig) =>
      Object.fromEntries(profileOf(cache, c).score.map((s) => [s.plugin.name, s.weight]));
    assert.deepEqual(weights({}), {
      TaintToleration: 3,
      NodeAffinity: 2,
      NodeResourcesFit: 1,
      PodTopologySpread: 2,
      InterPodAffinity: 2,
      NodeResourcesBalancedAllocation: 1,
      DynamicResources: 2,
      ImageLocality: 1,
    });
    assert.equal(
      weights({ plugins: { score: { enabled: [{ name: 'ImageLocality', weight: 9 }] } } })['ImageLocality'],
      9,
    );
  });
  it('refuses what is not there', () => {
    assert.throws(
      () => names({ plugins: { multiPoint: { enabled: [{ name: 'Nope' }] } } }),
      /there is no plugin "Nope"/,
    );
    assert.throws(() => names({ plugins: { filter: { enabled: [{ name: 'PrioritySort' }] } } }), /has no filter/);
    assert.throws(() => names({ pluginConfig: [{ name: 'Nope' }] }), /unknown plugin "Nope"/);
  });
  it('reads the file', () => {
    const head = 'apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n';
    const config = parseConfig(
      `${head}percentageOfNodesToScore: 30\nprofiles:\n- schedulerName: x\n- schedulerName: z\n`,
    );
    assert.deepEqual([config.percentageOfNodesToScore, config.profiles!.map((p) => p.schedulerName)], [30, ['x', 'z']]);
    assert.throws(
      () => parseConfig(`${head}profiles:\n- schedulerName: x\n- schedulerName: x\n`),
      /profiles\[1\]\.schedulerName: Duplicate value: "profiles\[0\]\.schedulerName"/,
    );
    assert.throws(() => parseConfig('kind: Pod\napiVersion: v1\n'), /not Pod of v1/);
    assert.throws(() => parseConfig(`${head}percentageOfNodesToScore: 101\n`), /not in valid range/);
  });
  it('reads flags, those of the original without a meaning here too', () => {
    const { flags } = parseFlags([
      '--kubeconfig',
      'f',
      '--leader-elect=false',
      '--leader-elect-lease-duration=1m',
      '--profiling',
      '--feature-gates=A=true',
      '--secure-port=1',
    ]);
    assert.deepEqual(flags, {
      kubeconfig: 'f',
      'leader-elect': false,
      'leader-elect-lease-duration': 60_000,
      'secure-port': 1,
    });
    assert.throws(() => parseFlags(['--nope']), /unknown flag: --nope/);
    assert.throws(() => parseFlags(['--secure-port=x']), /not a int/);
    assert.throws(() => parseFlags(['--config']), /needs an argument/);
  });
});
