import assert from 'node:assert/strict';
import type { Pod } from '../../../api/types.ts';
import { deviceClasses, pods, resourceClaims, resourceSlices } from '../../../client/resources.ts';
import { startCluster, type SchedulingCluster } from './cluster.ts';

const DRIVER = 'gpu.example.com';

describe('scheduling with devices', function () {
  let c: SchedulingCluster;
  before(async () => {
    c = await startCluster();
    await c.node('a');
    await c.node('b');
    await c.client.create(deviceClasses, {
      metadata: { name: 'gpu' },
      spec: {
        selectors: [{ cel: { expression: `device.driver == "${DRIVER}"` } }],
        extendedResourceName: 'example.com/gpu',
      },
    });
    await slice('b', ['d1', 'd2']);
  });
  after(() => c.stop());

  const slice = (nodeName: string, names: string[]) =>
    c.client.create(resourceSlices, {
      metadata: { name: `${nodeName}-gpus` },
      spec: {
        driver: DRIVER,
        nodeName,
        pool: { name: nodeName, generation: 1, resourceSliceCount: 1 },
        devices: names.map((name) => ({ name })),
      },
    });
  const claim = (name: string, count = 1, deviceClassName = 'gpu') =>
    c.client.create(resourceClaims, {
      metadata: { name, namespace: 'test' },
      spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName, count } }] } },
    });
  const user = (name: string, resourceClaimName: string) =>
    c.pod(name, { resourceClaims: [{ name: 'gpu', resourceClaimName }] });
  const devices = async (name: string) => {
    const { status } = await c.client.get(resourceClaims, name, 'test');
    return status?.allocation?.devices?.results?.map((r) => `${r.pool}/${r.device}`);
  };
  /** Frees the claim as the claim controller does once its pods are gone. */
  const free = async (name: string) => {
    const now = await c.client.get(resourceClaims, name, 'test');
    await c.client.updateStatus(resourceClaims, { ...now, status: {} });
  };

  it('allocates devices where they are, reserves the claim and binds the pod there', async () => {
    await claim('one');
    await user('first', 'one');
    assert.equal(await c.placed('first'), 'b');
    const { status, metadata } = await c.client.get(resourceClaims, 'one', 'test');
    assert.deepEqual(metadata!.finalizers, ['resource.kubernetes.io/delete-protection']);
    assert.deepEqual(status!.allocation!.nodeSelector!.nodeSelectorTerms[0]!.matchFields![0]!.values, ['b']);
    assert.ok(status!.allocation!.allocationTimestamp);
    assert.deepEqual(
      status!.reservedFor!.map((r) => r.name),
      ['first'],
    );
    await user('second', 'one');
    assert.equal(await c.placed('second'), 'b');
    assert.deepEqual(
      (await c.client.get(resourceClaims, 'one', 'test')).status!.reservedFor!.map((r) => r.name).sort(),
      ['first', 'second'],
    );
  });

  it('never gives a device twice, and goes on when one becomes free', async () => {
    await claim('two', 2);
    await user('greedy', 'two');
    assert.match(
      await c.refused('greedy'),
      /^0\/2 nodes are available: 2 cannot allocate all claims\. still not schedulable/,
    );
    await free('one');
    assert.equal(await c.placed('greedy'), 'b');
    assert.deepEqual(await devices('two'), ['b/d1', 'b/d2']);
    await free('two');
  });

  it('waits for claims, classes and slices', async () => {
    await user('early', 'late');
    await claim('late', 1, 'later');
    assert.match(await c.refused('early'), /request r: device class later does not exist/);
    await c.client.create(deviceClasses, {
      metadata: { name: 'later' },
      spec: { selectors: [{ cel: { expression: 'device.driver == "late.example.com"' } }] },
    });
    await c.until('early', (p) => conditionOf(p)?.message?.includes('2 cannot allocate all claims') === true);
    await c.client.create(resourceSlices, {
      metadata: { name: 'late' },
      spec: {
        driver: 'late.example.com',
        nodeName: 'a',
        pool: { name: 'late', generation: 1, resourceSliceCount: 1 },
        devices: [{ name: 'x' }],
      },
    });
    assert.equal(await c.placed('early'), 'a');
  });

  it('makes a claim for extended resources that a class stands for', async () => {
    await c.pod(
      'plain',
      {},
      { container: { resources: { requests: { 'example.com/gpu': '2' }, limits: { 'example.com/gpu': '2' } } } },
    );
    assert.equal(await c.placed('plain'), 'b');
    const pod = await c.until('plain', (p) => p.status?.extendedResourceClaimStatus !== undefined);
    const { resourceClaimName, requestMappings } = pod.status!.extendedResourceClaimStatus!;
    assert.match(resourceClaimName, /^plain-extended-resources-/);
    assert.deepEqual(requestMappings, [
      { containerName: 'c', resourceName: 'example.com/gpu', requestName: 'container-0-request-0' },
    ]);
    assert.deepEqual(await devices(resourceClaimName), ['b/d1', 'b/d2']);
    await c.pod(
      'another',
      {},
      { container: { resources: { requests: { 'example.com/gpu': '1' }, limits: { 'example.com/gpu': '1' } } } },
    );
    assert.match(await c.refused('another'), /2 cannot allocate all claims/);
    await c.client.delete(pods, 'plain', { namespace: 'test' });
    await free(resourceClaimName);
    assert.equal(await c.placed('another'), 'b');
  });

  it('throws away the claim that an attempt which was cut off has left, and begins anew', async () => {
    await c.client.delete(pods, 'another', { namespace: 'test' });
    const requests = { 'example.com/gpu': '1' };
    const gated = await c.pod(
      'resumed',
      { schedulingGates: [{ name: 'example.com/wait' }] },
      { container: { resources: { requests, limits: requests } } },
    );
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'resumed', uid: gated.metadata!.uid!, controller: true };
    await c.client.create(resourceClaims, {
      metadata: {
        name: 'left-over',
        namespace: 'test',
        annotations: { 'resource.kubernetes.io/extended-resource-claim': 'true' },
        ownerReferences: [owner],
        finalizers: ['resource.kubernetes.io/delete-protection'],
      },
      spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'gpu', count: 1 } }] } },
    });
    for (const other of (await c.client.list(resourceClaims, { namespace: 'test' })).items)
      if (other.metadata!.name!.startsWith('another-')) await free(other.metadata!.name!);
    await c.client.update(pods, { ...gated, spec: { ...gated.spec!, schedulingGates: undefined } });
    assert.equal(await c.placed('resumed'), 'b');
    const names = (await c.client.list(resourceClaims, { namespace: 'test' })).items.map((x) => x.metadata!.name!);
    assert.ok(!names.includes('left-over'), names.join());
    assert.ok(
      names.some((n) => n.startsWith('resumed-extended-resources-')),
      names.join(),
    );
  });

  it('waits until the driver has made a device ready, and says meanwhile where the pod will go', async () => {
    await c.client.create(resourceSlices, {
      metadata: { name: 'fabric' },
      spec: {
        driver: 'fabric.example.com',
        nodeName: 'a',
        pool: { name: 'fabric', generation: 1, resourceSliceCount: 1 },
        devices: [
          {
            name: 'far',
            bindsToNode: true,
            bindingConditions: ['example.com/attached'],
            bindingFailureConditions: ['example.com/failed'],
          },
        ],
      },
    });
    await c.client.create(deviceClasses, {
      metadata: { name: 'fabric' },
      spec: { selectors: [{ cel: { expression: 'device.driver == "fabric.example.com"' } }] },
    });
    await claim('far', 1, 'fabric');
    await user('patient', 'far');
    await c.event('patient', 'BindingConditionsPending');
    const waiting = await c.until('patient', (p) => p.status?.nominatedNodeName !== undefined);
    assert.equal(waiting.status!.nominatedNodeName, 'a');
    assert.equal(waiting.spec!.nodeName, undefined);
    const now = await c.client.get(resourceClaims, 'far', 'test');
    const lastTransitionTime = new Date().toISOString().replace(/\.\d+/, '');
    const condition = { type: 'example.com/attached', status: 'True', reason: 'Done', message: '', lastTransitionTime };
    const device = { driver: 'fabric.example.com', pool: 'fabric', device: 'far', conditions: [condition] };
    await c.client.updateStatus(resourceClaims, { ...now, status: { ...now.status, devices: [device] } });
    assert.equal(await c.placed('patient'), 'a');
  });

  it('says so when a selector makes no sense for a device', async () => {
    await c.client.create(resourceClaims, {
      metadata: { name: 'broken', namespace: 'test' },
      spec: {
        devices: {
          requests: [
            {
              name: 'r',
              exactly: {
                deviceClassName: 'gpu',
                selectors: [{ cel: { expression: `device.attributes["${DRIVER}"].none` } }],
              },
            },
          ],
        },
      },
    });
    await user('confused', 'broken');
    const pod = await c.until('confused', (p) => conditionOf(p)?.reason === 'SchedulerError');
    assert.match(conditionOf(pod)!.message!, /claim test\/broken: selector #0: CEL runtime error: no such key: none/);
  });
});

const conditionOf = (p: Pod) => p.status?.conditions?.find((x) => x.type === 'PodScheduled');
