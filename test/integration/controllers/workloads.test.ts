import assert from 'node:assert/strict';
import type { Deployment, Job } from '../../../api/types.ts';
import {
  configMaps,
  daemonSets,
  deployments,
  endpoints,
  endpointSlices,
  jobs,
  namespaces,
  pods,
  replicaSets,
  resourceQuotas,
  serviceAccounts,
  services,
  statefulSets,
} from '../../../client/resources.ts';
import { startCluster, type TestCluster } from './cluster.ts';

const template = (app: string, image: string) => ({
  metadata: { labels: { app } },
  spec: { containers: [{ name: 'c', image }] },
});

describe('controllers against our API server', function () {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster.stop());

  const deployment = (name: string, image: string, replicas = 3): Deployment => ({
    metadata: { name, namespace: 'default' },
    spec: { replicas, selector: { matchLabels: { app: name } }, template: template(name, image) },
  });
  const isRolledOut =
    (n: number) =>
    (d: {
      readonly status?: {
        readonly availableReplicas?: number;
        readonly updatedReplicas?: number;
        readonly replicas?: number;
        readonly observedGeneration?: number;
      };
      readonly metadata?: { readonly generation?: number };
    }) =>
      d.status?.availableReplicas === n &&
      d.status.updatedReplicas === n &&
      d.status.replicas === n &&
      d.status.observedGeneration === d.metadata?.generation;

  it('gives each namespace a default account and the root CA', async () => {
    await cluster.client.create(namespaces, { metadata: { name: 'fresh' } });
    await cluster.until(serviceAccounts, 'fresh', 'default', () => true);
    const map = await cluster.until(configMaps, 'fresh', 'kube-root-ca.crt', () => true);
    assert.equal(map.data?.['ca.crt'], cluster.server.ca);
  });

  it('holds a workload to the quota of its namespace, and says so', async () => {
    const { client } = cluster;
    const failure = (rs: { readonly status?: { readonly conditions?: readonly { readonly type: string }[] } }) =>
      rs.status?.conditions?.some((c) => c.type === 'ReplicaFailure') === true;
    await client.create(namespaces, { metadata: { name: 'counted' } });
    await client.create(resourceQuotas, {
      metadata: { name: 'two', namespace: 'counted' },
      spec: { hard: { pods: '2' } },
    });
    await cluster.until(resourceQuotas, 'counted', 'two', (q) => q.status?.hard?.['pods'] === '2');
    const labels = { app: 'greedy' };
    await client.create(replicaSets, {
      metadata: { name: 'greedy', namespace: 'counted' },
      spec: { replicas: 4, selector: { matchLabels: labels }, template: template('greedy', 'x:1') },
    });
    await cluster.until(replicaSets, 'counted', 'greedy', (rs) => failure(rs) && rs.status?.readyReplicas === 2);
    assert.equal((await client.list(pods, { namespace: 'counted' })).items.length, 2);
    await client.patch(replicaSets, 'greedy', 'merge', { spec: { replicas: 2 } }, { namespace: 'counted' });
    await cluster.until(replicaSets, 'counted', 'greedy', (rs) => !failure(rs) && rs.status?.readyReplicas === 2);
    await client.patch(replicaSets, 'greedy', 'merge', { spec: { replicas: 1 } }, { namespace: 'counted' });
    await cluster.until(resourceQuotas, 'counted', 'two', (q) => q.status?.used?.['pods'] === '1');
  });

  it('rolls a Deployment out, over and back', async () => {
    const { client } = cluster;
    await client.create(deployments, deployment('web', 'x:1'));
    const first = await cluster.until(deployments, 'default', 'web', isRolledOut(3));
    assert.equal(first.metadata?.annotations?.['deployment.kubernetes.io/revision'], '1');
    assert.equal(first.status?.conditions?.find((c) => c.type === 'Progressing')?.reason, 'NewReplicaSetAvailable');
    assert.equal(first.status?.conditions?.find((c) => c.type === 'Available')?.status, 'True');

    await client.patch(
      deployments,
      'web',
      'strategic',
      { spec: { template: { spec: { containers: [{ name: 'c', image: 'x:2' }] } } } },
      { namespace: 'default' },
    );
    const second = await cluster.until(
      deployments,
      'default',
      'web',
      (d) => isRolledOut(3)(d) && d.metadata?.annotations?.['deployment.kubernetes.io/revision'] === '2',
    );
    const sets = (await client.list(replicaSets, { namespace: 'default', labelSelector: 'app=web' })).items;
    assert.deepEqual(
      sets.map((s) => s.spec?.replicas ?? 0).toSorted((a, b) => a - b),
      [0, 3],
    );
    assert.ok(sets.every((s) => s.metadata?.ownerReferences?.[0]?.uid === second.metadata?.uid));

    await client.patch(
      deployments,
      'web',
      'merge',
      { metadata: { annotations: { 'deprecated.deployment.rollback.to': '1' } } },
      { namespace: 'default' },
    );
    const third = await cluster.until(
      deployments,
      'default',
      'web',
      (d) => isRolledOut(3)(d) && d.metadata?.annotations?.['deployment.kubernetes.io/revision'] === '3',
    );
    assert.equal(third.spec?.template.spec?.containers[0]?.image, 'x:1');
    assert.equal(third.metadata?.annotations?.['deprecated.deployment.rollback.to'], undefined);
  });

  it('lists the pods of a Service in EndpointSlices and Endpoints', async () => {
    await cluster.client.create(services, {
      metadata: { name: 'web', namespace: 'default' },
      spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
    });
    const [slice] = await cluster
      .untilList(
        endpointSlices,
        'default',
        (l) =>
          l.filter((s) => s.metadata?.labels?.['kubernetes.io/service-name'] === 'web' && s.endpoints?.length === 3)
            .length === 1,
      )
      .then((l) => l.filter((s) => s.metadata?.labels?.['kubernetes.io/service-name'] === 'web'));
    assert.deepEqual(
      slice?.ports?.map((p) => p.port),
      [8080],
    );
    assert.ok(slice?.endpoints?.every((e) => e.conditions?.ready && e.targetRef?.kind === 'Pod' && e.nodeName));
    const e = await cluster.until(endpoints, 'default', 'web', (x) => x.subsets?.[0]?.addresses?.length === 3);
    assert.equal(e.subsets?.[0]?.ports?.[0]?.port, 8080);
  });

  it('deletes in the foreground, and what a deleted owner leaves behind', async () => {
    const { client } = cluster;
    await client.create(deployments, deployment('fg', 'x:1', 2));
    await cluster.until(deployments, 'default', 'fg', isRolledOut(2));
    await client.delete(deployments, 'fg', { namespace: 'default', propagationPolicy: 'Foreground' });
    await cluster.untilList(deployments, 'default', (l) => !l.some((d) => d.metadata?.name === 'fg'));
    const left = (await client.list(pods, { namespace: 'default', labelSelector: 'app=fg' })).items;
    assert.deepEqual(
      left.filter((p) => !p.metadata?.deletionTimestamp),
      [],
    );

    await client.delete(deployments, 'web', { namespace: 'default', propagationPolicy: 'Background' });
    await cluster.untilList(pods, 'default', (l) => !l.some((p) => p.metadata?.labels?.['app'] === 'web'));
    await cluster.untilList(replicaSets, 'default', (l) => !l.some((s) => s.metadata?.labels?.['app'] === 'web'));
  });

  it('orphans what it is told to orphan', async () => {
    const { client } = cluster;
    await client.create(deployments, deployment('orphan', 'x:1', 1));
    await cluster.until(deployments, 'default', 'orphan', isRolledOut(1));
    await client.delete(deployments, 'orphan', { namespace: 'default', propagationPolicy: 'Orphan' });
    await cluster.untilList(deployments, 'default', (l) => !l.some((d) => d.metadata?.name === 'orphan'));
    const [set] = (await client.list(replicaSets, { namespace: 'default', labelSelector: 'app=orphan' })).items;
    assert.equal(set?.metadata?.ownerReferences?.length ?? 0, 0);
    await client.delete(replicaSets, set!.metadata!.name!, { namespace: 'default', propagationPolicy: 'Background' });
  });

  const job = (name: string, image: string, spec: Partial<NonNullable<Job['spec']>>): Job => ({
    metadata: { name, namespace: 'default' },
    spec: { ...spec, template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image }] } } },
  });
  const ended =
    (type: string) =>
    (j: {
      readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
    }) =>
      j.status?.conditions?.some((c) => c.type === type && c.status === 'True') ?? false;

  it('runs Jobs to completion and counts every pod once', async () => {
    await cluster.client.create(jobs, job('plain', 'x:succeed', { completions: 5, parallelism: 3 }));
    await cluster.client.create(
      jobs,
      job('indexed', 'x:succeed', { completions: 3, parallelism: 3, completionMode: 'Indexed' }),
    );
    await cluster.client.create(jobs, job('bad', 'x:fail', { backoffLimit: 0 }));
    const plain = await cluster.until(jobs, 'default', 'plain', ended('Complete'));
    assert.equal(plain.status?.succeeded, 5);
    const indexed = await cluster.until(jobs, 'default', 'indexed', ended('Complete'));
    assert.equal(indexed.status?.completedIndexes, '0-2');
    const bad = await cluster.until(jobs, 'default', 'bad', ended('Failed'));
    assert.equal(bad.status?.conditions?.find((c) => c.type === 'Failed')?.reason, 'BackoffLimitExceeded');
    assert.equal(bad.status?.failed, 1);
    await cluster.untilList(pods, 'default', (l) =>
      l.every((p) => !p.metadata?.finalizers?.includes('batch.kubernetes.io/job-tracking')),
    );
  });

  it('puts one daemon pod on each node and replaces them', async () => {
    const { client } = cluster;
    await client.create(daemonSets, {
      metadata: { name: 'agent', namespace: 'default' },
      spec: { selector: { matchLabels: { app: 'agent' } }, template: template('agent', 'x:1') },
    });
    await cluster.until(daemonSets, 'default', 'agent', (d) => d.status?.numberAvailable === 3);
    const patched = await client.patch(
      daemonSets,
      'agent',
      'strategic',
      { spec: { template: { spec: { containers: [{ name: 'c', image: 'x:2' }] } } } },
      { namespace: 'default' },
    );
    await cluster.until(
      daemonSets,
      'default',
      'agent',
      (d) =>
        d.status?.observedGeneration === patched.metadata?.generation &&
        d.status?.updatedNumberScheduled === 3 &&
        d.status.numberAvailable === 3,
    );
    const list = (await client.list(pods, { namespace: 'default', labelSelector: 'app=agent' })).items.filter(
      (p) => !p.metadata?.deletionTimestamp,
    );
    assert.deepEqual(list.map((p) => p.spec?.nodeName ?? '').toSorted(), ['n1', 'n2', 'n3']);
    assert.ok(list.every((p) => p.spec?.containers[0]?.image === 'x:2'));
  });

  it('makes the members of a StatefulSet one after the other', async () => {
    await cluster.client.create(statefulSets, {
      metadata: { name: 'db', namespace: 'default' },
      spec: {
        serviceName: 'db',
        replicas: 2,
        selector: { matchLabels: { app: 'db' } },
        template: template('db', 'x:1'),
      },
    });
    await cluster.until(
      statefulSets,
      'default',
      'db',
      (s) => s.status?.availableReplicas === 2 && s.status.currentRevision === s.status.updateRevision,
    );
    const [a, b] = (await cluster.client.list(pods, { namespace: 'default', labelSelector: 'app=db' })).items;
    assert.deepEqual([a?.metadata?.name, b?.metadata?.name], ['db-0', 'db-1']);
    assert.equal(a?.spec?.hostname, 'db-0');
  });

  it('empties a namespace that is deleted', async () => {
    const { client } = cluster;
    await client.create(namespaces, { metadata: { name: 'doomed' } });
    await cluster.until(serviceAccounts, 'doomed', 'default', () => true);
    await client.create(deployments, { ...deployment('d', 'x:1', 2), metadata: { name: 'd', namespace: 'doomed' } });
    await cluster.until(deployments, 'doomed', 'd', isRolledOut(2));
    await client.delete(namespaces, 'doomed');
    await cluster.untilList(namespaces, undefined, (l) => !l.some((n) => n.metadata?.name === 'doomed'));
  });
});
