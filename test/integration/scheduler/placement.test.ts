import assert from 'node:assert/strict';
import type { PodSpec } from '../../../api/types.ts';
import {
  namespaces,
  nodes,
  podDisruptionBudgets,
  pods,
  priorityClasses,
  serviceAccounts,
} from '../../../client/resources.ts';
import { startCluster, type SchedulingCluster } from './cluster.ts';

const ZONE = 'topology.kubernetes.io/zone';
const HOST = 'kubernetes.io/hostname';

describe('placement among other pods', () => {
  let c: SchedulingCluster;
  before(async () => {
    c = await startCluster();
    for (const [name, zone] of [
      ['a1', 'a'],
      ['a2', 'a'],
      ['b1', 'b'],
    ] as const)
      await c.node(name, (n) => (n.metadata!.labels![ZONE] = zone));
  });
  after(() => c.stop());

  it('spreads pods over zones and stops where the skew would grow too large', async () => {
    const spec: Partial<PodSpec> = {
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: ZONE,
          whenUnsatisfiable: 'DoNotSchedule',
          labelSelector: { matchLabels: { app: 'spread' } },
        },
      ],
    };
    const zones: string[] = [];
    for (let i = 0; i < 4; i++) {
      await c.pod(`spread${i}`, spec, { labels: { app: 'spread' } });
      zones.push((await c.placed(`spread${i}`))[0]!);
    }
    assert.deepEqual(zones.sort(), ['a', 'a', 'b', 'b']);
    await c.pod('spread-here', { ...spec, nodeSelector: { [ZONE]: 'a' } }, { labels: { app: 'spread' } });
    await c.placed('spread-here');
    const both = { ...spec.topologySpreadConstraints![0]!, nodeAffinityPolicy: 'Ignore' };
    await c.pod(
      'spread-more',
      { topologySpreadConstraints: [both], nodeSelector: { [ZONE]: 'a' } },
      { labels: { app: 'spread' } },
    );
    assert.match(await c.refused('spread-more'), /2 node\(s\) didn't match pod topology spread constraints/);
    await c.client.delete(pods, 'spread-here', { namespace: 'test' });
    assert.equal((await c.placed('spread-more'))[0], 'a');
  });

  it('keeps pods with anti-affinity apart and those with affinity together', async () => {
    const away = (app: string): Partial<PodSpec> => ({
      affinity: {
        podAntiAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { topologyKey: HOST, labelSelector: { matchLabels: { app } } },
          ],
        },
      },
    });
    for (const i of [1, 2, 3]) await c.pod(`alone${i}`, away('alone'), { labels: { app: 'alone' } });
    const homes = await Promise.all([1, 2, 3].map((i) => c.placed(`alone${i}`)));
    assert.equal(new Set(homes).size, 3);
    await c.pod('alone4', away('alone'), { labels: { app: 'alone' } });
    assert.match(await c.refused('alone4'), /3 node\(s\) didn't match pod anti-affinity rules/);
    await c.pod('alone5', {}, { labels: { app: 'alone' } });
    assert.match(await c.refused('alone5'), /3 node\(s\) didn't satisfy existing pods anti-affinity rules/);
    await c.pod('near', {
      affinity: {
        podAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { topologyKey: HOST, labelSelector: { matchLabels: { app: 'anchor' } } },
          ],
        },
      },
    });
    assert.match(await c.refused('near'), /3 node\(s\) didn't match pod affinity rules/);
    await c.pod('anchor', { nodeSelector: { [HOST]: 'a2' } }, { labels: { app: 'anchor' } });
    assert.equal(await c.placed('near'), 'a2');
    await c.client.delete(pods, 'alone2', { namespace: 'test' });
    assert.equal(await c.placed('alone4'), homes[1]);
  });

  it('follows the labels of namespaces in affinity terms', async () => {
    await c.client.create(namespaces, { metadata: { name: 'other', labels: { team: 'x' } } });
    await c.client.create(serviceAccounts, { metadata: { name: 'default', namespace: 'other' } });
    await c.client.create(pods, {
      metadata: { name: 'there', namespace: 'other', labels: { app: 'there' } },
      spec: { nodeName: 'b1', containers: [{ name: 'c', image: 'i' }] },
    });
    await c.pod('beside', {
      affinity: {
        podAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            {
              topologyKey: HOST,
              labelSelector: { matchLabels: { app: 'there' } },
              namespaceSelector: { matchLabels: { team: 'x' } },
            },
          ],
        },
      },
    });
    assert.equal(await c.placed('beside'), 'b1');
  });
});

describe('preemption', () => {
  let c: SchedulingCluster;
  before(async () => {
    c = await startCluster();
    await c.client.create(priorityClasses, { metadata: { name: 'high' }, value: 1000 });
    await c.client.create(priorityClasses, { metadata: { name: 'polite' }, value: 1000, preemptionPolicy: 'Never' });
    for (const n of ['a', 'b']) await c.node(n);
  });
  after(() => c.stop());

  it('ends pods of lower priority where no budget is broken, and tells them why', async () => {
    await c.pod('guarded', { nodeSelector: { [HOST]: 'a' } }, { requests: { cpu: '3' }, labels: { app: 'guarded' } });
    await c.pod(
      'victim',
      { nodeSelector: { [HOST]: 'b' }, terminationGracePeriodSeconds: 30 },
      { requests: { cpu: '3' } },
    );
    await c.pod('small', { nodeSelector: { [HOST]: 'b' } }, { requests: { cpu: '1' } });
    await Promise.all(['guarded', 'victim', 'small'].map((n) => c.placed(n)));
    await c.client.create(podDisruptionBudgets, {
      metadata: { name: 'guard', namespace: 'test' },
      spec: { minAvailable: 1, selector: { matchLabels: { app: 'guarded' } } },
    });
    await c.pod('polite', { priorityClassName: 'polite' }, { requests: { cpu: '3' } });
    assert.equal(
      await c.refused('polite'),
      '0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.',
    );
    await c.client.delete(pods, 'polite', { namespace: 'test' });
    await c.pod('modest', {}, { requests: { cpu: '3' } });
    assert.equal(
      await c.refused('modest'),
      '0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.',
    );
    await c.client.delete(pods, 'modest', { namespace: 'test' });

    await c.pod('urgent', { priorityClassName: 'high' }, { requests: { cpu: '3' } });
    const dying = await c.until('victim', (p) => p.metadata!.deletionTimestamp !== undefined);
    const condition = dying.status!.conditions!.find((x) => x.type === 'DisruptionTarget')!;
    assert.equal(condition.reason, 'PreemptionByScheduler');
    const waiting = await c.until('urgent', (p) => p.status?.nominatedNodeName !== undefined);
    assert.equal(waiting.status!.nominatedNodeName, 'b');
    const event = await c.event('victim', 'Preempted');
    assert.equal(event.message, `Preempted by pod ${waiting.metadata!.uid} on node b`);
    // The kubelet's part: the pod has ended.
    await c.client.delete(pods, 'victim', { namespace: 'test', gracePeriodSeconds: 0 });
    assert.equal(await c.placed('urgent'), 'b');
    assert.ok(await c.client.get(pods, 'small', 'test'));
    assert.equal((await c.client.get(pods, 'guarded', 'test')).metadata!.deletionTimestamp, undefined);
  });

  it('says so when nothing would help', async () => {
    await c.client.patch(nodes, 'a', 'merge', { spec: { unschedulable: true } });
    await c.pod('huge', { priorityClassName: 'high' }, { requests: { cpu: '64' } });
    assert.match(
      await c.refused('huge'),
      /preemption: 0\/2 nodes are available: 2 Preemption is not helpful for scheduling\.$/,
    );
  });
});
