import assert from 'node:assert/strict';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { pods, priorityClasses } from '../../../client/resources.ts';
import { startCluster, type SchedulingCluster } from './cluster.ts';

describe('a node promised to a pod', function () {
  let c: SchedulingCluster;
  let extender: Server;
  let asked: (res: ServerResponse) => void;
  /** Resolves with the first binding that the extender is asked for; it waits for the answer. */
  const binding = new Promise<ServerResponse>((resolve) => (asked = resolve));
  before(async () => {
    extender = createServer((req, res) => {
      req.resume();
      req.on('end', () => asked(res));
    });
    await new Promise<void>((resolve) => extender.listen(0, '127.0.0.1', resolve));
    const { port } = extender.address() as { port: number };
    c = await startCluster({
      config: {
        extenders: [
          {
            urlPrefix: `http://127.0.0.1:${port}`,
            bindVerb: 'bind',
            managedResources: [{ name: 'example.com/slow', ignoredByScheduler: true }],
          },
        ],
      },
    });
    await c.client.create(priorityClasses, { metadata: { name: 'high' }, value: 1000 });
    await c.node('a', (n) => (n.status!.allocatable!['cpu'] = n.status!.capacity!['cpu'] = '2'));
  });
  after(async () => {
    await c.stop();
    extender.closeAllConnections();
    await new Promise((resolve) => extender.close(resolve));
  });
  const remove = (name: string) => c.client.delete(pods, name, { namespace: 'test', gracePeriodSeconds: 0 });

  it('is free for others when the promise is taken back', async () => {
    const promise = (nominatedNodeName: string | null) =>
      c.client.patch(
        pods,
        'chosen',
        'merge',
        { status: { nominatedNodeName } },
        { namespace: 'test', subresource: 'status' },
      );
    await c.pod('chosen', { priorityClassName: 'high', nodeSelector: { no: 'where' } }, { requests: { cpu: '2' } });
    await c.refused('chosen');
    await promise('a');
    await c.pod('other', {}, { requests: { cpu: '1' } });
    assert.match(await c.refused('other'), /Insufficient cpu/);
    await promise(null);
    assert.equal(await c.placed('other'), 'a');
    await Promise.all(['chosen', 'other'].map(remove));
    await Promise.all(['chosen', 'other'].map((n) => c.untilGone(n)));
  });

  it('counts the pod once while it is being bound there', async () => {
    const low = ['low-1', 'low-2'];
    for (const name of low) await c.pod(name, { terminationGracePeriodSeconds: 30 }, { requests: { cpu: '1' } });
    await Promise.all(low.map((n) => c.placed(n)));
    await c.pod(
      'high',
      { priorityClassName: 'high' },
      {
        requests: { cpu: '1' },
        container: { resources: { requests: { cpu: '1' }, limits: { 'example.com/slow': '1' } } },
      },
    );
    const victim = await Promise.race(low.map((n) => c.until(n, (p) => p.metadata!.deletionTimestamp !== undefined)));
    await c.until('high', (p) => p.status?.nominatedNodeName === 'a');
    await c.pod('equal', {}, { requests: { cpu: '1' } });
    assert.match(await c.refused('equal'), /Insufficient cpu/);
    await remove(victim.metadata!.name!);
    const answer = await binding;
    await remove(low.find((n) => n !== victim.metadata!.name)!);
    assert.equal(await c.placed('equal'), 'a');
    answer.setHeader('Content-Type', 'application/json').end('{}');
  });
});
