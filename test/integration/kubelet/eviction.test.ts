import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DeepReadonly, Pod } from '../../../api/types.ts';
import { nodes } from '../../../client/resources.ts';
import { eventually } from '../../support/wait.ts';
import { isReady, phaseIs, startTestNode, type TestNode } from './harness.ts';

type View = DeepReadonly<Pod>;

describe('kubelet that makes room', function () {
  let node: TestNode;
  let dir: string;
  const real = () => ({ hollow: false, containerLogsDir: join(dir, 'containers'), evictionMs: 200 });
  const fields = { cgroupsPerQOS: false, enableServer: false, healthzPort: 0, evictionHard: {} };
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'eviction-test-'));
    node = await startTestNode({ fields: { ...fields, podLogsDir: join(dir, 'logs') }, kubelet: real() });
  });
  after(async () => {
    await node.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  it('evicts a pod whose emptyDir is over its size limit, and no other', async () => {
    const spec: Partial<NonNullable<Pod['spec']>> = {
      containers: [{ name: 'c', image: 'busybox:1', volumeMounts: [{ name: 'v', mountPath: '/v' }] }],
      volumes: [{ name: 'v', emptyDir: { sizeLimit: '1Mi' } }],
    };
    await node.create('modest', spec);
    await node.create('greedy', spec);
    await node.until('modest', isReady);
    const p = await node.until<View>('greedy', isReady);
    const volume = join(node.rootDir, 'pods', p.metadata!.uid!, 'volumes/kubernetes.io~empty-dir/v');
    writeFileSync(join(volume, 'big'), Buffer.alloc(2 << 20));
    const over = await node.until<View>('greedy', phaseIs('Failed'));
    assert.equal(over.status!.reason, 'Evicted');
    assert.equal(over.status!.message, 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ');
    assert.equal(over.status!.conditions!.find((c) => c.type === 'DisruptionTarget')?.reason, 'TerminationByKubelet');
    await node.until('modest', isReady);
  });

  it('ends pods for a critical one', async () => {
    const cpu = (await node.client.get(nodes, 'n1')).status!.allocatable!['cpu']!;
    const containers = [{ name: 'c', image: 'busybox:1', resources: { requests: { cpu } } }];
    await node.create('ordinary', { containers });
    await node.until('ordinary', isReady);
    const { client } = node;
    await client.request({
      method: 'POST',
      path: '/api/v1/namespaces/kube-system/serviceaccounts',
      body: { metadata: { name: 'default' }, automountServiceAccountToken: false },
    });
    await client.request({
      method: 'POST',
      path: '/api/v1/namespaces/kube-system/pods',
      body: {
        metadata: { name: 'critical' },
        spec: { nodeName: 'n1', containers, priorityClassName: 'system-node-critical' },
      },
    });
    const out = await node.until<View>('ordinary', phaseIs('Failed'));
    assert.equal(out.status!.reason, 'Preempting');
    await node.until('critical', isReady, 'kube-system');
  });

  it('says that it is short of something, evicts, and takes no more', async () => {
    await node.kubelet.stop();
    await node.startKubelet({ ...real(), fields: { evictionHard: { 'memory.available': '99%' } } });
    const p = await node.until<View>('modest', phaseIs('Failed'));
    assert.match(p.status!.message!, /^The node was low on resource: memory\. Threshold quantity: .*, available: /);
    await eventually(async () => {
      const n = await node.client.get(nodes, 'n1');
      assert.equal(n.status!.conditions!.find((c) => c.type === 'MemoryPressure')!.status, 'True');
    });
    await node.create('refused', { tolerations: [] });
    const refused = await node.until<View>('refused', phaseIs('Failed'));
    assert.equal(refused.status!.reason, 'Evicted');
    assert.match(refused.status!.message!, /The node had condition: \[MemoryPressure\]/);
    await node.until('critical', isReady, 'kube-system');
  });
});
