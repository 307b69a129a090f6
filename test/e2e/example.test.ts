/** The three-tier example comes up by one command and works through a NodePort. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { eventually, Kubectl, nodeAddress, ROOT } from './cluster.ts';

describe('the shop example', function () {
  const admin = new Kubectl('default');
  const k = new Kubectl('shop');
  after(async () => {
    await admin.try(['delete', 'namespace', 'shop', '--wait=false']);
  });

  it('keeps what people add, also over a new store pod', async () => {
    // its objects name their namespace themselves
    await k.run('apply', '-k', join(ROOT, 'deploy/examples/shop'));
    for (const what of ['deployment/web', 'deployment/api', 'statefulset/store'])
      await k.run('rollout', 'status', what, '--timeout=180s');
    const url = `http://${await nodeAddress('node2')}:30080`;
    const items = async (): Promise<string[]> =>
      ((await (await fetch(`${url}/api/items`)).json()) as { items: string[] }).items;
    await eventually(async () =>
      (await fetch(`${url}/api/items`)).status === 200 ? undefined : 'the API does not answer',
    );
    const mark = `apples ${process.pid}`;
    await fetch(`${url}/api/items`, { method: 'POST', body: mark });
    assert.ok((await items()).includes(mark));
    assert.match(await (await fetch(`${url}/`)).text(), /<h1>Shop<\/h1>/);
    await k.run('delete', 'pod', 'store-0', '--grace-period=1');
    await k.run('rollout', 'status', 'statefulset/store', '--timeout=180s');
    await eventually(async () => ((await items()).includes(mark) ? undefined : 'the item is gone'));
  });
});
