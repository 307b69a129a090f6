import assert from 'node:assert/strict';
import { systemClock, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { createInformer } from '../../../client/informer.ts';
import { nodes, pods, serviceAccounts } from '../../../client/resources.ts';
import { startHollowNodes } from '../../../kubelet/hollow.ts';
import { startTestServer } from '../apiserver/harness.ts';
import { isReady } from './harness.ts';

describe('hollow nodes', () => {
  it('register, run what is bound to them, and leave the rest alone', async function () {
    this.timeout(60_000);
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
});
