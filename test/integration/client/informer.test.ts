import assert from 'node:assert/strict';
import { createMemoryStore } from '../../../apiserver/storage/memory/store.ts';
import { systemClock, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { createInformer } from '../../../client/informer.ts';
import { configMaps } from '../../../client/resources.ts';
import { startTestServer } from '../apiserver/harness.ts';
import { until } from '../../support/wait.ts';

describe('informers', function () {
  it('go on after the API server was restarted and their place in history is gone', async () => {
    const store = createMemoryStore({ clock: systemClock });
    let server = await startTestServer({ store });
    const { port, client } = server;
    const seen: string[] = [];
    const informer = createInformer(configMaps, {
      client,
      clock: systemClock,
      rand: systemRand,
      logger: silentLogger,
      namespace: 'default',
      freeze: true,
    });
    informer.on({ added: (o) => seen.push(`+${o.metadata?.name}`), deleted: (o) => seen.push(`-${o.metadata?.name}`) });
    informer.start();
    try {
      await informer.synced();
      await client.create(configMaps, { metadata: { name: 'before', namespace: 'default' } });
      await until(() => seen.includes('+before'));
      await server.running.stop();
      server = await startTestServer({ store, securePort: port });
      await client.create(configMaps, { metadata: { name: 'after', namespace: 'default' } });
      await client.delete(configMaps, 'before', { namespace: 'default' });
      await until(() => seen.includes('+after') && seen.includes('-before'));
      assert.deepEqual(
        seen.filter((s) => s !== '+kube-root-ca.crt'),
        ['+before', '+after', '-before'],
      );
    } finally {
      informer.stop();
      await server.stop();
    }
  });
});
