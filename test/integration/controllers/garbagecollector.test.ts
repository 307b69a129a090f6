import assert from 'node:assert/strict';
import type { ConfigMap, OwnerReference } from '../../../api/types.ts';
import { configMaps, namespaces, secrets } from '../../../client/resources.ts';
import { startCluster, type TestCluster } from './cluster.ts';

describe('garbage collection against our API server', function () {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startCluster({ controllers: ['garbage-collector-controller'] }, []);
    await cluster.client.create(namespaces, { metadata: { name: 'gc' } });
  });
  after(() => cluster.stop());

  const make = (name: string, ownerReferences: OwnerReference[] = [], finalizers?: string[]): Promise<ConfigMap> =>
    cluster.client.create(configMaps, { metadata: { name, namespace: 'gc', ownerReferences, finalizers } });
  const ref = (o: ConfigMap, blockOwnerDeletion = true): OwnerReference => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    name: o.metadata!.name!,
    uid: o.metadata!.uid!,
    blockOwnerDeletion,
  });
  const gone = (...names: string[]) =>
    cluster.untilList(configMaps, 'gc', (l) => !l.some((m) => names.includes(m.metadata?.name ?? '')));

  it('deletes what names an owner that never was', async () => {
    await make('ghost', [
      { apiVersion: 'v1', kind: 'ConfigMap', name: 'nobody', uid: '00000000-0000-4000-8000-000000000000' },
    ]);
    await gone('ghost');
  });

  it('does not take another object of the same name for the owner', async () => {
    const owner = await make('same-name');
    await make('impostor', [{ ...ref(owner), uid: '00000000-0000-4000-8000-000000000001' }]);
    await gone('impostor');
    assert.ok(await cluster.client.get(configMaps, 'same-name', 'gc'));
  });

  it('deletes a chain of dependents', async () => {
    const a = await make('chain-a');
    const b = await make('chain-b', [ref(a)]);
    await make('chain-c', [ref(b)]);
    await cluster.client.delete(configMaps, 'chain-a', { namespace: 'gc', propagationPolicy: 'Background' });
    await gone('chain-a', 'chain-b', 'chain-c');
  });

  it('waits in the foreground for a dependent that blocks, and not for one that does not', async () => {
    const owner = await make('front');
    await make('blocks', [ref(owner)], ['example.com/hold']);
    await make('blocks-not', [ref(owner, false)], ['example.com/hold']);
    await cluster.client.delete(configMaps, 'front', { namespace: 'gc', propagationPolicy: 'Foreground' });
    await cluster.until(configMaps, 'gc', 'blocks', (m) => m.metadata?.deletionTimestamp !== undefined);
    const waiting = await cluster.client.get(configMaps, 'front', 'gc');
    assert.ok(waiting.metadata?.deletionTimestamp);
    await cluster.client.patch(configMaps, 'blocks', 'merge', { metadata: { finalizers: null } }, { namespace: 'gc' });
    await gone('front', 'blocks');
    await cluster.client.patch(
      configMaps,
      'blocks-not',
      'merge',
      { metadata: { finalizers: null } },
      { namespace: 'gc' },
    );
    await gone('blocks-not');
  });

  it('keeps a dependent that has another owner, without the one that went', async () => {
    const [a, b] = [await make('owner-a'), await make('owner-b')];
    await make('shared', [ref(a), ref(b)]);
    await cluster.client.delete(configMaps, 'owner-a', { namespace: 'gc', propagationPolicy: 'Foreground' });
    await gone('owner-a');
    const kept = await cluster.until(configMaps, 'gc', 'shared', (m) => m.metadata?.ownerReferences?.length === 1);
    assert.equal(kept.metadata?.ownerReferences?.[0]?.uid, b.metadata?.uid);
    assert.equal(kept.metadata?.deletionTimestamp, undefined);
  });

  it('orphans dependents when asked to', async () => {
    const owner = await make('leaves');
    await make('left', [ref(owner)]);
    await cluster.client.delete(configMaps, 'leaves', { namespace: 'gc', propagationPolicy: 'Orphan' });
    await gone('leaves');
    const left = await cluster.client.get(configMaps, 'left', 'gc');
    assert.equal(left.metadata?.ownerReferences?.length ?? 0, 0);
  });

  it('cuts a circle of objects that wait for each other', async () => {
    const a = await make('circle-a');
    const b = await make('circle-b', [ref(a)]);
    const c = await make('circle-c', [ref(b)]);
    await cluster.client.patch(
      configMaps,
      'circle-a',
      'merge',
      { metadata: { ownerReferences: [ref(c)] } },
      { namespace: 'gc' },
    );
    await cluster.client.delete(configMaps, 'circle-a', { namespace: 'gc', propagationPolicy: 'Foreground' });
    await gone('circle-a', 'circle-b', 'circle-c');
  });

  it('follows owners of other kinds', async () => {
    const owner = await cluster.client.create(secrets, { metadata: { name: 'owner', namespace: 'gc' } });
    await make('of-secret', [{ apiVersion: 'v1', kind: 'Secret', name: 'owner', uid: owner.metadata!.uid! }]);
    await cluster.client.delete(secrets, 'owner', { namespace: 'gc' });
    await gone('of-secret');
  });
});
