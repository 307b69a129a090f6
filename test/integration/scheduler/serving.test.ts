import assert from 'node:assert/strict';
import { get, type RequestOptions } from 'node:https';
import { systemClock, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { serveHttps } from '../../../base/serving.ts';
import { guardServing } from '../../../client/guard.ts';
import { pods } from '../../../client/resources.ts';
import { start, type Scheduler } from '../../../scheduler/scheduler.ts';
import { answer } from '../../../scheduler/serving.ts';
import { startCluster, type SchedulingCluster } from './cluster.ts';

const read = (port: number, path: string, as: RequestOptions = {}) =>
  new Promise<{ code: number; body: string }>((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false, ...as }, (res) => {
      let body = '';
      res.setEncoding('utf8');
      res.on('data', (d: string) => (body += d));
      res.on('end', () => resolve({ code: res.statusCode!, body }));
    }).on('error', reject);
  });

// Long enough for a busy machine; a scheduler that stops gives its lease back at once.
const election = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 200 };

describe('schedulers side by side', () => {
  let c: SchedulingCluster;
  let second: Scheduler;
  before(async () => {
    c = await startCluster({ leaderElect: true, leaderElection: election, identity: 'one' });
    await c.node('a');
    await c.pod('first');
    await c.placed('first');
    second = await start({
      client: c.server.clientAs({ name: 'system:kube-scheduler' }),
      leaderElect: true,
      leaderElection: election,
      identity: 'two',
    });
    await second.synced();
  });
  after(async () => {
    await second.stop();
    await c.stop();
  });

  it('act one at a time, and the other goes on where the first one stopped', async () => {
    assert.deepEqual([c.scheduler.isLeader, second.isLeader], [true, false]);
    await c.pod('waits', { nodeSelector: { none: 'x' } });
    await c.refused('waits');
    await c.scheduler.stop();
    await c.pod('next');
    assert.equal(await c.placed('next'), 'a');
    assert.deepEqual([c.scheduler.isLeader, second.isLeader], [false, true]);
    assert.match(
      second.metrics(),
      /scheduler_schedule_attempts_total\{profile="default-scheduler",result="scheduled"\} 1\n/,
    );
  });

  it('answer about their health, figures and reasons', async () => {
    const client = c.server.clientAs({ name: 'system:kube-scheduler' });
    const common = { clock: systemClock, rand: systemRand, logger: silentLogger };
    const guard = guardServing({ ...common, authentication: client, authorization: client });
    const server = await serveHttps({
      address: '127.0.0.1',
      port: 0,
      clock: systemClock,
      guard,
      answer: (path) => answer(path, second),
    });
    const admin = c.server.identity('admin', 'system:masters');
    const monitor = c.server.identity('prometheus', 'system:monitoring');
    const other = c.server.identity('somebody');
    try {
      for (const path of ['/healthz', '/livez', '/readyz'])
        assert.deepEqual(await read(server.port, path), { code: 200, body: 'ok' });
      // as soon as the cluster's CA is known
      for (let i = 0; guard.clientCa === undefined && i < 3000; i++) await systemClock.sleep(20);
      const stranger = await read(server.port, '/metrics');
      assert.equal(stranger.code, 403);
      assert.match(stranger.body, /forbidden: User \\"system:anonymous\\" cannot get path \\"\/metrics\\"/);
      assert.equal((await read(server.port, '/metrics', other)).code, 403);
      assert.equal((await read(server.port, '/metrics', { headers: { authorization: 'Bearer x' } })).code, 401);
      assert.match(
        (await read(server.port, '/metrics', monitor)).body,
        /^scheduler_pending_pods\{queue="unschedulable"\} 1$/m,
      );
      assert.equal((await read(server.port, '/explain/test/waits', monitor)).code, 403);
      const why = JSON.parse((await read(server.port, '/explain/test/waits', admin)).body) as {
        message: string;
        now: Record<string, { plugin: string; reasons: string[]; resolvable: boolean; changes: string[] }[]>;
      };
      assert.match(why.message, /^0\/1 nodes are available/);
      assert.deepEqual(why.now['a'], [
        {
          plugin: 'NodeAffinity',
          reasons: ["node(s) didn't match Pod's node affinity/selector"],
          resolvable: false,
          changes: ['label a with none=x'],
        },
      ]);
      assert.equal((await read(server.port, '/explain/test/none', admin)).code, 404);
      assert.equal((await read(server.port, '/explain/%ff/x', admin)).code, 400);
      assert.equal((await read(server.port, '/other', admin)).code, 404);
    } finally {
      guard.close();
      await server.stop();
    }
  });

  it('leave pods alone that are deleted before they are placed', async () => {
    await c.client.delete(pods, 'waits', { namespace: 'test' });
    await c.untilGone('waits');
    await c.pod('later');
    await c.placed('later');
    assert.equal(second.explain('test', 'waits'), undefined);
    assert.match(second.metrics(), /^scheduler_pending_pods\{queue="unschedulable"\} 0$/m);
  });
});
