/** What a kubelet makes good by itself: failures and changes that nothing else will ever tell it of again. */
import assert from 'node:assert/strict';
import { CODE, RpcError } from '../../../base/grpc.ts';
import { systemClock, systemIds } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import type { Pod } from '../../../api/types.ts';
import type { Client } from '../../../client/client.ts';
import { pods, serviceAccounts } from '../../../client/resources.ts';
import { createHollowRuntime } from '../../../kubelet/cri/hollow.ts';
import type { Runtime } from '../../../kubelet/cri/types.ts';
import { createStatusManager } from '../../../kubelet/status/manager.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';
import { manualClock } from '../../support/clock.ts';
import { eventually } from '../../support/wait.ts';
import { isReady, startTestNode } from './harness.ts';

describe('a kubelet after a failure', function () {
  let server: TestServer;
  let client: Client;
  let made: Pod;
  let uid: string;
  before(async () => {
    server = await startTestServer();
    ({ client } = server);
    await client.create(serviceAccounts, { metadata: { name: 'default', namespace: 'default' } });
  });
  beforeEach(async () => {
    const spec = { nodeName: 'n1', containers: [{ name: 'c', image: 'i' }], automountServiceAccountToken: false };
    made = await client.create(pods, { metadata: { generateName: 'p-', namespace: 'default' }, spec });
    uid = made.metadata!.uid!;
  });
  after(() => server.stop());
  const ready = (status: string) => ({ conditions: [{ type: 'Ready', status }] });

  it('tries again to end a pod that the runtime could not stop', async () => {
    const runtime = createHollowRuntime({ clock: systemClock, ids: systemIds });
    let failures = 0;
    let well = false;
    const ill: Runtime = {
      ...runtime,
      stopSandbox(id) {
        if (well) return runtime.stopSandbox(id);
        failures++;
        return Promise.reject(new RpcError(CODE.unavailable, 'the runtime is busy'));
      },
    };
    // Nothing but the failure itself brings the kubelet back to the pod.
    const node = await startTestNode({ fields: { syncFrequency: '1h' }, kubelet: { runtime: ill } });
    try {
      await node.create('stubborn');
      await node.until('stubborn', isReady);
      await node.client.delete(pods, 'stubborn', { namespace: 'default' });
      await eventually(async () => assert.ok(failures > 0));
      // All that comes of the deletion itself has been heard of; from now on nothing happens to the pod.
      for (let i = 0; i < 3; i++) await node.kubelet.pods.settled();
      well = true;
      await node.until('stubborn', (p) => p === undefined);
    } finally {
      await node.stop();
    }
  });

  it('does not race with those who write over its statuses again and again', async () => {
    const clock = manualClock();
    const manager = createStatusManager({ client, clock, logger: silentLogger, onDeleted() {} });
    manager.set(uid, made, { phase: 'Running', ...ready('True') });
    await manager.flush();
    const contradict = async () => {
      const later = { metadata: { uid }, status: ready('False') };
      const o = { namespace: 'default', subresource: 'status' };
      manager.observe(uid, await client.patch(pods, made.metadata!.name!, 'strategic', later, o));
      await manager.flush();
      return isReady(await client.get(pods, made.metadata!.name!, 'default'));
    };
    assert.equal(await contradict(), true);
    assert.equal(await contradict(), false);
    assert.equal(await contradict(), false);
    clock.advance(10_000);
    await manager.flush();
    assert.equal(isReady(await client.get(pods, made.metadata!.name!, 'default')), true);
  });

  it('says again what others wrote over while its own request was on its way', async () => {
    let others = 1;
    const slow: Client = {
      ...client,
      async patch(r, name, type, patch, o) {
        const answer = await client.patch(r, name, type, patch, o);
        // The answer is still on its way when the watch tells of what the node controller did after it.
        if (others-- > 0) {
          const later = { metadata: { uid }, status: ready('False') };
          manager.observe(uid, await client.patch(pods, made.metadata!.name!, 'strategic', later, o));
        }
        return answer;
      },
    };
    const manager = createStatusManager({ client: slow, clock: systemClock, logger: silentLogger, onDeleted() {} });
    manager.set(uid, made, { phase: 'Running', ...ready('True') });
    await eventually(async () => {
      await manager.flush();
      assert.ok(others < 1 && isReady(await client.get(pods, made.metadata!.name!, 'default')));
    });
  });
});
