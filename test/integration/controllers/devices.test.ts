import assert from 'node:assert/strict';
import {
  deviceClasses,
  pods,
  resourceClaims,
  resourceClaimTemplates,
  resourceSlices,
} from '../../../client/resources.ts';
import type { ControllerManager } from '../../../controllers/manager.ts';
import { startCluster, type SchedulingCluster } from '../scheduler/cluster.ts';
import { eventually } from '../../support/wait.ts';
import { startManager } from './cluster.ts';

const DRIVER = 'gpu.example.com';

describe('devices from claim to eviction', function () {
  let c: SchedulingCluster;
  let manager: ControllerManager;
  before(async () => {
    c = await startCluster();
    manager = await startManager(c.server, {
      controllers: ['resourceclaim-controller', 'device-taint-eviction-controller', 'garbage-collector-controller'],
    });
    await manager.ready();
    await c.node('a');
    await c.client.create(deviceClasses, {
      metadata: { name: 'gpu' },
      spec: { extendedResourceName: 'example.com/gpu' },
    });
    await c.client.create(resourceSlices, {
      metadata: { name: 'gpus' },
      spec: {
        driver: DRIVER,
        nodeName: 'a',
        pool: { name: 'a', generation: 1, resourceSliceCount: 1 },
        devices: [{ name: 'd1' }],
      },
    });
    await c.client.create(resourceClaimTemplates, {
      metadata: { name: 'one', namespace: 'test' },
      spec: {
        spec: {
          devices: {
            requests: [
              {
                name: 'r',
                exactly: {
                  deviceClassName: 'gpu',
                  tolerations: [{ key: 'patient', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 3600 }],
                },
              },
            ],
          },
        },
      },
    });
  });
  after(async () => {
    await manager.stop();
    await c.stop();
  });

  const user = (name: string) => c.pod(name, { resourceClaims: [{ name: 'gpu', resourceClaimTemplateName: 'one' }] });
  const taint = async (key: string | undefined) => {
    const now = await c.client.get(resourceSlices, 'gpus');
    const taints = key === undefined ? undefined : [{ key, effect: 'NoExecute' }];
    await c.client.update(resourceSlices, { ...now, spec: { ...now.spec, devices: [{ name: 'd1', taints }] } });
  };

  it('makes a claim from the template, allocates it, and gives the device to the next pod when the first is gone', async () => {
    await user('first');
    assert.equal(await c.placed('first'), 'a');
    const [claim] = (await c.client.list(resourceClaims, { namespace: 'test' })).items;
    assert.deepEqual(
      claim!.status!.allocation!.devices!.results!.map((r) => r.device),
      ['d1'],
    );
    assert.deepEqual(
      claim!.status!.reservedFor!.map((r) => r.name),
      ['first'],
    );
    await user('second');
    assert.match(await c.refused('second'), /1 cannot allocate all claims/);
    await c.client.delete(pods, 'first', { namespace: 'test' });
    assert.equal(await c.placed('second'), 'a');
  });

  it('sends pods away from devices with taints that they do not tolerate', async () => {
    await taint('patient');
    await c.event('second', 'Scheduled');
    assert.equal((await c.client.get(pods, 'second', 'test')).metadata!.deletionTimestamp, undefined);
    await taint('broken');
    await c.untilGone('second');
    const event = await c.event('second', 'DeviceTaintManagerEviction');
    assert.equal(event.message, 'Marking for deletion');
    await user('third');
    assert.match(await c.refused('third'), /1 cannot allocate all claims/);
    await taint(undefined);
    assert.equal(await c.placed('third'), 'a');
  });

  it('deletes the claim for extended resources when its pod is done', async () => {
    await c.client.delete(pods, 'third', { namespace: 'test' });
    await c.untilGone('third');
    const resources = { limits: { 'example.com/gpu': '1' } };
    await c.pod('short', { containers: [{ name: 'c', image: 'busybox:1', resources }] });
    assert.equal(await c.placed('short'), 'a');
    const claims = async () =>
      (await c.client.list(resourceClaims, { namespace: 'test' })).items.filter((x) =>
        x.metadata!.ownerReferences?.some((r) => r.name === 'short'),
      );
    assert.equal((await claims()).length, 1);
    const status = { phase: 'Succeeded' };
    await c.client.patch(pods, 'short', 'merge', { status }, { namespace: 'test', subresource: 'status' });
    await eventually(async () => assert.deepEqual(await claims(), []));
  });
});
