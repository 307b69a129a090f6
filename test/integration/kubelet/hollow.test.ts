import assert from 'node:assert/strict';
import { systemClock, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { createInformer } from '../../../client/informer.ts';
import { leases, nodes, pods, serviceAccounts } from '../../../client/resources.ts';
import { startHollowNodes } from '../../../kubelet/hollow.ts';
import { startTestServer } from '../apiserver/harness.ts';
import { isReady } from './harness.ts';

describe('hollow nodes', () => {
  it('register, run what is bound to them, and leave the rest alone', async function () {
    const server = await startTestServer();
    const { client } = server;
    await client.create(serviceAccounts, {
      metadata: { name: 'default', namespace: 'default' },
      automountServiceAccountToken: false,
    });
    const names = ['h1', 'h2', 'h3', 'h4', 'h5'];
    const hollow = await startHollowNodes({
      names,
      connection(name) {
        const id = server.identity(`system:node:${name}`, 'system:nodes');
        return { server: server.url, ca: server.ca, cert: id.cert, key: id.key };
      },
    });
    const informer = createInformer(pods, { client, clock: systemClock, rand: systemRand, logger: silentLogger });
    try {
      await hollow.registered();
      assert.deepEqual(
        (await client.list(nodes)).items.map((n) => n.metadata!.name!).sort((a, b) => a.localeCompare(b)),
        names,
      );
      await Promise.all(
        Array.from({ length: 40 }, (_, i) =>
          client.create(pods, {
            metadata: { name: `p${i}`, namespace: 'default' },
            spec: { nodeName: names[i % 5], containers: [{ name: 'c', image: 'busybox:1' }] },
          }),
        ),
      );
      informer.start();
      await new Promise<void>((resolve) => {
        const look = () => {
          if (informer.list().filter(isReady).length === 40) resolve();
        };
        informer.on({ added: look, updated: look });
      });
      const addresses = new Set(informer.list().map((p) => p.status!.podIP));
      assert.equal(addresses.size, 40, 'every pod has an address of its own');
      for (const k of hollow.kubelets) assert.equal(k.pods.workers().length, 8);
    } finally {
      informer.stop();
      await hollow.stop();
      await server.stop();
    }
  });

  it('write their status when it changed, not at every look, and put right what others wrote', async function () {
    const server = await startTestServer();
    const { client } = server;
    const id = server.identity('system:node:quiet', 'system:nodes');
    const hollow = await startHollowNodes({
      names: ['quiet'],
      connection: () => ({ server: server.url, ca: server.ca, cert: id.cert, key: id.key }),
      fields: { nodeStatusUpdateFrequency: '50ms', nodeLeaseDurationSeconds: 1 },
    });
    const renewed = createInformer(leases, {
      client,
      clock: systemClock,
      rand: systemRand,
      logger: silentLogger,
      namespace: 'kube-node-lease',
    });
    /** Resolves after so many renewals: a second holds four, and as many looks at the status as the machine can do. */
    const renewals = (count: number) =>
      new Promise<void>((resolve) => {
        let left = count;
        const handlers = {
          updated: () => {
            if (--left > 0) return;
            renewed.off(handlers);
            resolve();
          },
        };
        renewed.on(handlers);
      });
    const version = async () => (await client.get(nodes, 'quiet')).metadata!.resourceVersion;
    const ready = async () =>
      (await client.get(nodes, 'quiet')).status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
    try {
      await hollow.registered();
      renewed.start();
      const conditions = [{ type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown' }];
      await client.patch(nodes, 'quiet', 'strategic', { status: { conditions } }, { subresource: 'status' });
      while (!(await ready())) await renewals(1);
      for (let before; before !== (before = await version());) await renewals(10);
      // Extended resources that others add to the capacity may be used, until they are taken away.
      const beards = async (amount: string | null) => {
        const capacity = { 'example.com/beards': amount };
        await client.patch(nodes, 'quiet', 'merge', { status: { capacity } }, { subresource: 'status' });
        const usable = async () => (await client.get(nodes, 'quiet')).status!.allocatable!['example.com/beards'];
        while ((await usable()) !== (amount ?? undefined)) await renewals(1);
      };
      await beards('3');
      await beards(null);
      for (let before; before !== (before = await version());) await renewals(10);
      await client.delete(nodes, 'quiet');
      const again = () => client.get(nodes, 'quiet').catch(() => undefined);
      while (!(await again())) await renewals(1);
    } finally {
      renewed.stop();
      await hollow.stop();
      await server.stop();
    }
  });
});
