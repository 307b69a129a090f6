import assert from 'node:assert/strict';
import { nodes, pods } from '../../../client/resources.ts';
import { startCluster, type SchedulingCluster } from './cluster.ts';

describe('scheduling', () => {
  let c: SchedulingCluster;
  before(async () => {
    c = await startCluster();
    await c.node('a', (n) => (n.metadata!.labels!['disk'] = 'ssd'));
    await c.node('b', (n) => (n.spec!.taints = [{ key: 'dedicated', value: 'x', effect: 'NoSchedule' }]));
  });
  after(() => c.stop());

  it('binds a pod, sets its condition and says so in an event', async () => {
    await c.pod('plain');
    assert.equal(await c.placed('plain'), 'a');
    const pod = await c.until('plain', (p) => p.status?.conditions?.some((x) => x.type === 'PodScheduled') === true);
    assert.equal(pod.status!.conditions!.find((x) => x.type === 'PodScheduled')!.status, 'True');
    const event = await c.event('plain', 'Scheduled');
    assert.equal(event.message, 'Successfully assigned test/plain to a');
    assert.equal(event.type, 'Normal');
    assert.equal(event.action, 'Binding');
    assert.equal(event.reportingComponent, 'default-scheduler');
  });

  it('says how many nodes fell for which reason, and tries again when one becomes fit', async () => {
    await c.pod('large', {}, { requests: { cpu: '6' } });
    const message = await c.refused('large');
    assert.match(message, /^0\/2 nodes are available: 1 Insufficient cpu, 1 node\(s\) had untolerated taint\(s\)\./);
    const event = await c.event('large', 'FailedScheduling');
    assert.equal(event.type, 'Warning');
    assert.ok(event.message!.startsWith('0/2 nodes are available'));
    const why = c.scheduler.explain('test', 'large')!;
    assert.deepEqual(
      why.now!['a']!.map((r) => [r.plugin, r.reasons]),
      [['NodeResourcesFit', ['Insufficient cpu']]],
    );
    assert.deepEqual(
      why.now!['b']!.map((r) => r.plugin),
      ['TaintToleration', 'NodeResourcesFit'],
    );
    await c.client.patch(nodes, 'a', 'merge', { status: { allocatable: { cpu: '8' } } }, { subresource: 'status' });
    assert.equal(await c.placed('large'), 'a');
    await c.client.delete(pods, 'large', { namespace: 'test' });
  });

  it('leaves gated pods alone until the last gate is gone', async () => {
    await c.pod('gated', { schedulingGates: [{ name: 'example.com/a' }] });
    await c.pod('after');
    await c.placed('after');
    const pod = await c.client.get(pods, 'gated', 'test');
    assert.equal(pod.spec!.nodeName, undefined);
    assert.equal(pod.status!.conditions!.find((x) => x.type === 'PodScheduled')!.reason, 'SchedulingGated');
    assert.deepEqual(c.scheduler.explain('test', 'gated')!.gate!.reasons, [
      'waiting for scheduling gates: [example.com/a]',
    ]);
    await c.client.update(pods, { ...pod, spec: { ...pod.spec!, schedulingGates: undefined } });
    assert.equal(await c.placed('gated'), 'a');
  });

  it('leaves pods of other schedulers alone', async () => {
    await c.pod('foreign', { schedulerName: 'other' });
    await c.pod('ours');
    await c.placed('ours');
    assert.equal((await c.client.get(pods, 'foreign', 'test')).spec!.nodeName, undefined);
    assert.equal(c.scheduler.explain('test', 'foreign'), undefined);
  });

  it('keeps host ports apart and goes on when a port becomes free', async () => {
    const container = { ports: [{ containerPort: 80, hostPort: 8080 }] };
    await c.pod('port1', {}, { container });
    await c.placed('port1');
    await c.pod('port2', {}, { container });
    assert.match(await c.refused('port2'), /1 node\(s\) didn't have free ports for the requested pod ports/);
    await c.client.delete(pods, 'port1', { namespace: 'test' });
    assert.equal(await c.placed('port2'), 'a');
  });

  it('follows node selectors and tolerations', async () => {
    await c.pod('selects', { nodeSelector: { disk: 'none' } });
    assert.match(await c.refused('selects'), /node\(s\) didn't match Pod's node affinity\/selector/);
    await c.pod('tolerates', {
      tolerations: [{ operator: 'Exists' }],
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] }],
          },
        },
      },
    });
    assert.equal(await c.placed('tolerates'), 'b');
  });

  it('shows its figures', () => {
    assert.ok(c.scheduler.isReady);
    const text = c.scheduler.metrics();
    assert.match(text, /scheduler_schedule_attempts_total\{profile="default-scheduler",result="scheduled"\} [1-9]/);
    assert.match(text, /scheduler_pending_pods\{queue="unschedulable"\} 1\n/);
    const profile = 'profile="default-scheduler"';
    for (const series of [
      `scheduler_framework_extension_point_duration_seconds_count{extension_point="Filter",${profile},status="Success"}`,
      `scheduler_framework_extension_point_duration_seconds_count{extension_point="Bind",${profile},status="Success"}`,
      'scheduler_plugin_execution_duration_seconds_count{extension_point="Filter",plugin="NodeResourcesFit",status="Success"}',
    ])
      assert.ok(
        text.split('\n').some((l) => l.startsWith(`${series} `) && !l.endsWith(' 0')),
        `${series}\n${text}`,
      );
    assert.match(text, /^scheduler_unschedulable_pods\{plugin="\w+",profile="default-scheduler"\} 1$/m);
  });
});
