import assert from 'node:assert/strict';
import { systemClock, systemIds, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import type { Cache } from '../../../scheduler/core/cache.ts';
import type { PodInfo } from '../../../scheduler/core/pod-info.ts';
import { Explanations } from '../../../scheduler/explain.ts';
import { emptyListers } from '../../../scheduler/listers.ts';
import { buildProfile } from '../../../scheduler/profile.ts';
import type { PluginDeps } from '../../../scheduler/registry.ts';
import { pod, world } from './world.ts';

/** What would make the pod fit, and whether that was tried. */
function change(p: PodInfo, cache: Cache) {
  const deps = {
    clock: systemClock,
    rand: systemRand,
    ids: systemIds,
    logger: silentLogger,
    snapshot: cache,
    listers: emptyListers(),
    api: {},
  } as unknown as PluginDeps;
  return new Explanations().explain(p, buildProfile({}, deps), cache).smallestChange;
}
const anti = (app: string) => ({
  podAntiAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: [
      { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app } } },
    ],
  },
});

describe('the smallest change that makes a pod fit', () => {
  it('is none when it fits somewhere', () => {
    assert.equal(change(pod(), world({ a: {}, b: { unschedulable: true } })), undefined);
  });

  it('names the taint, or the cordon, or the label', () => {
    const taint = { key: 'dedicated', value: 'db', effect: 'NoSchedule' };
    assert.deepEqual(change(pod(), world({ a: { taints: [taint] } })), {
      node: 'a',
      changes: ['remove taint dedicated=db:NoSchedule from a (or tolerate it)'],
      tried: true,
    });
    const cordon = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };
    assert.deepEqual(change(pod(), world({ a: { unschedulable: true, taints: [cordon] } })), {
      node: 'a',
      changes: ['uncordon a'],
      tried: true,
    });
    assert.deepEqual(change(pod({ nodeSelector: { disk: 'ssd' } }), world({ a: {} })), {
      node: 'a',
      changes: ['label a with disk=ssd'],
      tried: true,
    });
  });

  it('says how much is missing where least is', () => {
    const cache = world(
      { a: { allocatable: { cpu: '2' } }, b: { allocatable: { cpu: '3' } } },
      { b: [pod({ requests: { cpu: '500m' } })] },
    );
    assert.deepEqual(change(pod({ requests: { cpu: '3', memory: '1Gi' } }), cache), {
      node: 'b',
      changes: ['free or add 500m of cpu on b (the pod asks for 3, 2500m of 3 is free)'],
      tried: true,
    });
  });

  it('adds up what several plugins say, and prefers the node with least to do', () => {
    const taint = { key: 'k', effect: 'NoSchedule' };
    const cache = world({ a: { taints: [taint], allocatable: { cpu: '1' } }, b: { allocatable: { cpu: '1' } } });
    assert.equal(change(pod({ requests: { cpu: '2' } }), cache)!.node, 'b');
    const both = change(pod({ requests: { cpu: '2' }, nodeSelector: { 'kubernetes.io/hostname': 'a' } }), cache)!;
    assert.deepEqual(both.node, 'a');
    assert.equal(both.changes.length, 2);
    assert.ok(both.tried);
  });

  it('names the pods that are in the way', () => {
    const other = pod({ name: 'web-1', labels: { app: 'web' } });
    const own = change(pod({ affinity: anti('web') }), world({ a: {} }, { a: [other] }))!;
    assert.deepEqual(own.changes, ["move ns/web-1 away from a's kubernetes.io/hostname (anti-affinity)"]);
    assert.ok(!own.tried);
    const jealous = pod({ name: 'db-1', affinity: anti('web') });
    const existing = change(pod({ labels: { app: 'web' } }), world({ a: {} }, { a: [jealous] }))!;
    assert.deepEqual(existing.changes, ["move ns/db-1 away from a's kubernetes.io/hostname (anti-affinity)"]);
    const container = { ports: [{ containerPort: 80, hostPort: 80 }] };
    const port = change(pod({ container }), world({ a: {} }, { a: [pod({ name: 'holder', container })] }))!;
    assert.deepEqual(port.changes, ['free host port 80/TCP on a (pod ns/holder has it)']);
    assert.ok(port.tried);
  });
});
