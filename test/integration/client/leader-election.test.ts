import assert from 'node:assert/strict';
import { systemClock, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { createLeaderElector } from '../../../client/leader-election.ts';
import { leases } from '../../../client/resources.ts';
import { startTestServer } from '../apiserver/harness.ts';

describe('a leader', () => {
  it('goes on when another touches or removes its lease, and yields when another takes it', async function () {
    const server = await startTestServer();
    const { client } = server;
    let started = 0;
    let stopped: () => void;
    const yielded = new Promise<void>((resolve) => (stopped = resolve));
    const elector = createLeaderElector({
      client,
      clock: systemClock,
      rand: systemRand,
      logger: silentLogger,
      name: 'turns',
      identity: 'a',
      retryPeriodMs: 50,
      leaseDurationMs: 30_000,
      renewDeadlineMs: 10_000,
      onStartedLeading: () => void started++,
      onStoppedLeading: () => stopped(),
    });
    const read = () => client.get(leases, 'turns', 'kube-system').catch(() => undefined);
    /** Reads the lease until it is as it should be. */
    const until = async (is: (lease: Awaited<ReturnType<typeof read>>) => boolean) => {
      for (;;) {
        const lease = await read();
        if (is(lease)) return lease!;
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    try {
      elector.start();
      await until((l) => l?.spec?.holderIdentity === 'a');
      const touched = await client.patch(
        leases,
        'turns',
        'merge',
        { metadata: { annotations: { by: 'another' } } },
        { namespace: 'kube-system' },
      );
      const kept = await until((l) => l?.spec?.renewTime !== touched.spec!.renewTime);
      assert.equal(kept.metadata?.annotations?.['by'], 'another');
      await client.delete(leases, 'turns', { namespace: 'kube-system' });
      await until((l) => l?.spec?.holderIdentity === 'a' && l.metadata!.uid !== kept.metadata!.uid);
      assert.equal(started, 1, 'it led all the time');
      assert.equal(elector.holds(), true);
      await client.patch(
        leases,
        'turns',
        'merge',
        { spec: { holderIdentity: 'b', leaseDurationSeconds: 60 } },
        { namespace: 'kube-system' },
      );
      await yielded;
      assert.equal((await read())!.spec!.holderIdentity, 'b');
    } finally {
      await elector.stop();
      await server.stop();
    }
  });
});
