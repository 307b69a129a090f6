import assert from 'node:assert/strict';
import type { PersistentVolume, PodSpec } from '../../../api/types.ts';
import { persistentVolumeClaims, persistentVolumes, pods, storageClasses } from '../../../client/resources.ts';
import { startCluster, type SchedulingCluster } from './cluster.ts';

const HOST = 'kubernetes.io/hostname';
const BOUND = { 'pv.kubernetes.io/bind-completed': 'yes' };

describe('scheduling pods with volumes', () => {
  let c: SchedulingCluster;
  before(async () => {
    // One binding at a time: pods that wait for volumes must not hold up others.
    c = await startCluster({ maxBinding: 1 });
    for (const n of ['a', 'b']) await c.node(n);
    await c.client.create(storageClasses, {
      metadata: { name: 'local' },
      provisioner: 'kubernetes.io/no-provisioner',
      volumeBindingMode: 'WaitForFirstConsumer',
    });
    await c.client.create(storageClasses, {
      metadata: { name: 'made' },
      provisioner: 'example.com/disks',
      volumeBindingMode: 'WaitForFirstConsumer',
      allowedTopologies: [{ matchLabelExpressions: [{ key: HOST, values: ['b'] }] }],
    });
  });
  after(() => c.stop());

  const uses = (claim: string): Partial<PodSpec> => ({
    volumes: [{ name: 'v', persistentVolumeClaim: { claimName: claim } }],
  });
  async function volume(name: string, node: string, storageClassName: string): Promise<PersistentVolume> {
    const pv = await c.client.create(persistentVolumes, {
      metadata: { name },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        storageClassName,
        local: { path: '/mnt/x' },
        nodeAffinity: {
          required: { nodeSelectorTerms: [{ matchExpressions: [{ key: HOST, operator: 'In', values: [node] }] }] },
        },
      },
    });
    return c.client.updateStatus(persistentVolumes, { ...pv, status: { phase: 'Available' } });
  }
  const claim = (
    name: string,
    storageClassName: string,
    more: { volumeName?: string; annotations?: Record<string, string> } = {},
  ) =>
    c.client.create(persistentVolumeClaims, {
      metadata: { name, namespace: 'test', annotations: more.annotations },
      spec: {
        storageClassName,
        volumeName: more.volumeName,
        accessModes: ['ReadWriteOnce'],
        resources: { requests: { storage: '500Mi' } },
      },
    });
  /** The volume controller's part: both sides are told that they belong together. */
  const settle = (name: string, volumeName: string) =>
    c.client.patch(
      persistentVolumeClaims,
      name,
      'merge',
      { metadata: { annotations: BOUND }, spec: { volumeName } },
      { namespace: 'test' },
    );

  it('waits for a claim that is not there', async () => {
    await c.pod('early', uses('late'));
    assert.match(await c.refused('early'), /^0\/2 nodes are available: persistentvolumeclaim "late" not found\./);
    await volume('pv-late', 'b', '');
    await claim('late', '', { volumeName: 'pv-late', annotations: BOUND });
    assert.equal(await c.placed('early'), 'b');
  });

  it('does not start pods whose claims bind at once but have not', async () => {
    await claim('unbound', '');
    await c.pod('waits', uses('unbound'));
    assert.match(await c.refused('waits'), /pod has unbound immediate PersistentVolumeClaims/);
  });

  it('chooses a volume with the node, promises it and binds when it is bound', async () => {
    await volume('pv-a', 'a', 'local');
    await claim('first', 'local');
    await c.pod('consumer', uses('first'));
    let promised: PersistentVolume;
    do promised = await c.client.get(persistentVolumes, 'pv-a');
    while (!promised.spec!.claimRef);
    assert.equal(promised.spec!.claimRef.name, 'first');
    assert.equal((await c.client.get(pods, 'consumer', 'test')).spec!.nodeName, undefined);
    await c.pod('meanwhile');
    await c.placed('meanwhile');
    await settle('first', 'pv-a');
    assert.equal(await c.placed('consumer'), 'a');
    // Nothing is left for a second one.
    await claim('second', 'local');
    await c.pod('consumer2', uses('second'));
    assert.match(await c.refused('consumer2'), /2 node\(s\) didn't find available persistent volumes to bind/);
  });

  it('asks for a volume at the chosen node', async () => {
    await claim('made', 'made');
    await c.pod('maker', uses('made'));
    let annotation: string | undefined;
    do
      annotation = (await c.client.get(persistentVolumeClaims, 'made', 'test')).metadata!.annotations?.[
        'volume.kubernetes.io/selected-node'
      ];
    while (!annotation);
    assert.equal(annotation, 'b');
    await volume('pv-made', 'b', 'made');
    await settle('made', 'pv-made');
    assert.equal(await c.placed('maker'), 'b');
  });
});
