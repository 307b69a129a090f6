import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { startCluster, type SchedulingCluster } from './cluster.ts';

describe('an HTTP extender', () => {
  let c: SchedulingCluster;
  let extender: Server;
  const asked: string[] = [];
  before(async () => {
    extender = createServer((req, res) => {
      const chunks: Buffer[] = [];
      req.on('data', (d: Buffer) => chunks.push(d));
      req.on('end', () => {
        const { Pod, NodeNames } = JSON.parse(Buffer.concat(chunks).toString()) as {
          Pod: { metadata: { name: string } };
          NodeNames: string[];
        };
        asked.push(`${req.url} ${Pod.metadata.name}`);
        const answer = req.url!.endsWith('/filter')
          ? Pod.metadata.name === 'hated'
            ? { NodeNames: [], FailedNodes: Object.fromEntries(NodeNames.map((n) => [n, 'node(s) looked odd'])) }
            : { NodeNames: NodeNames.filter((n) => n !== 'a') }
          : NodeNames.map((n) => ({ Host: n, Score: n === 'c' ? 10 : 0 }));
        res.setHeader('Content-Type', 'application/json');
        res.end(JSON.stringify(answer));
      });
    });
    await new Promise<void>((resolve) => extender.listen(0, '127.0.0.1', resolve));
    const { port } = extender.address() as { port: number };
    c = await startCluster({
      config: {
        extenders: [
          {
            urlPrefix: `http://127.0.0.1:${port}/x`,
            filterVerb: 'filter',
            prioritizeVerb: 'rank',
            weight: 5,
            nodeCacheCapable: true,
            managedResources: [{ name: 'example.com/odd', ignoredByScheduler: true }],
          },
          { urlPrefix: 'http://127.0.0.1:1', filterVerb: 'filter', ignorable: true },
        ],
      },
    });
    for (const n of ['a', 'b', 'c']) await c.node(n);
  });
  after(async () => {
    await c.stop();
    extender.closeAllConnections();
    await new Promise((resolve) => extender.close(resolve));
  });
  const container = { resources: { limits: { 'example.com/odd': '1' } } };

  it('filters and ranks for the pods that it manages; one that may be ignored is when it fails', async () => {
    await c.pod('odd', {}, { container });
    assert.equal(await c.placed('odd'), 'c');
    assert.deepEqual(asked, ['/x/filter odd', '/x/rank odd']);
    await c.pod('even');
    await c.placed('even');
    assert.equal(asked.length, 2);
  });

  it('says why it refused nodes', async () => {
    await c.pod('hated', {}, { container });
    assert.match(await c.refused('hated'), /^0\/3 nodes are available: 3 node\(s\) looked odd\./);
  });
});
