import assert from 'node:assert/strict';
import type { Deployment, Pod } from '../../../api/types.ts';
import {
  configMaps,
  deployments,
  namespaces,
  nodes,
  persistentVolumeClaims,
  pods,
  replicaSets,
  resourceQuotas,
  roleBindings,
  serviceAccounts,
} from '../../../client/resources.ts';
import { startHollowNodes, type HollowNodes } from '../../../kubelet/hollow.ts';
import type { ControllerManager } from '../../../controllers/manager.ts';
import { start as startScheduler, type Scheduler } from '../../../scheduler/scheduler.ts';
import { startManager } from '../controllers/cluster.ts';
import { until } from '../../support/wait.ts';
import { patiently, startInsightCluster, type InsightCluster } from './harness.ts';

interface Reason {
  message: string;
  fix?: string;
  because?: Reason[];
}
interface Explanation {
  state: string;
  summary: string;
  reasons: Reason[];
  nodes?: { node: string; fits: boolean }[];
  smallestChange?: { node: string; changes: string[]; tried: boolean };
}
const fails = (code: number) => (error: unknown) => (error as { code: number }).code === code;

/** All messages of a tree, and its fixes in brackets. */
const texts = (list: readonly Reason[]): string[] =>
  list.flatMap((r) => [r.fix ? `${r.message} [${r.fix}]` : r.message, ...texts(r.because ?? [])]);

describe('explain.k8ts.io', function () {
  let c: InsightCluster;
  let scheduler: Scheduler;
  let manager: ControllerManager;
  let hollow: HollowNodes;

  before(async () => {
    c = await startInsightCluster(() => ({
      scheduler: (namespace, name) => Promise.resolve(scheduler.explain(namespace, name) as never),
    }));
    const { server, client } = c;
    scheduler = await startScheduler({ client: server.clientAs({ name: 'system:kube-scheduler' }) });
    manager = await startManager(server);
    hollow = await startHollowNodes({
      names: ['n1', 'n2'],
      connection(name) {
        const id = server.identity(`system:node:${name}`, 'system:nodes');
        return { server: server.url, ca: server.ca, cert: id.cert, key: id.key };
      },
    });
    await hollow.registered();
    await manager.ready();
    for (const name of ['shop', 'tight']) {
      await client.create(namespaces, { metadata: { name } });
      await until(() => client.get(serviceAccounts, 'default', name).then(() => true));
    }
  });
  after(async () => {
    await hollow.stop();
    await manager.stop();
    await scheduler.stop();
    await c.stop();
  });

  const why = (target: string, as = c.client) =>
    patiently(() => as.request<Explanation>({ path: `/apis/explain.k8ts.io/v1/${target}` }));
  const shop = (target: string) => why(`namespaces/shop/${target}`);
  const template = (labels: Record<string, string>, container: object = {}) => ({
    metadata: { labels },
    spec: { containers: [{ name: 'c', image: 'i', ...container }] },
  });
  const deployment = (
    name: string,
    spec: Partial<NonNullable<Deployment['spec']>> = {},
    container: object = {},
    namespace = 'shop',
  ) =>
    c.client.create(deployments, {
      metadata: { name, namespace },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: name } },
        template: template({ app: name }, container),
        ...spec,
      },
    });
  const pod = (name: string, spec: Partial<NonNullable<Pod['spec']>> = {}) =>
    c.client.create(pods, {
      metadata: { name, namespace: 'shop' },
      spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
    });

  it('says what every node lacks for a pending pod, and the smallest change', async () => {
    await pod('large', {
      containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '1000' } } }],
    });
    await until(async () => (await shop('pods/large')).smallestChange);
    const e = await shop('pods/large');
    assert.equal(e.state, 'Waiting');
    assert.equal(e.summary, 'pod large fits on no node');
    assert.deepEqual(texts(e.reasons), ['2 of 2 nodes: NodeResourcesFit: Insufficient cpu']);
    assert.deepEqual(
      e.nodes!.map((n) => [n.node, n.fits]),
      [
        ['n1', false],
        ['n2', false],
      ],
    );
    assert.match(e.smallestChange!.changes.join(), /^free or add \d+ of cpu on n[12] \(the pod asks for 1k/);
    assert.ok(e.smallestChange!.tried);
    await c.client.delete(pods, 'large', { namespace: 'shop', gracePeriodSeconds: 0 });
  });

  it('says that a workload is well', async () => {
    await deployment('fine');
    await until(async () => (await shop('deployments/fine')).state === 'Fine');
    assert.equal((await shop('deploy/fine')).summary, 'deployment fine has 2 of 2 pods ready');
    const [set] = (await c.client.list(replicaSets, { namespace: 'shop' })).items;
    assert.equal((await shop(`replicasets.apps/${set!.metadata!.name}`)).state, 'Fine');
    const p = (await c.client.list(pods, { namespace: 'shop', labelSelector: 'app=fine' })).items[0]!;
    assert.match((await shop(`po/${p.metadata!.name}`)).summary, /is ready on n[12]$/);
  });

  it('follows a rollout that waits down to what the pods lack', async () => {
    const spec = template({ app: 'fine' }, { resources: { requests: { cpu: '1000' } } });
    await c.client.patch(deployments, 'fine', 'merge', { spec: { template: spec } }, { namespace: 'shop' });
    const expected = [
      /pod fine-\S+ fits on no node \[free or add/,
      /2 of 2 nodes: NodeResourcesFit: Insufficient cpu/,
      /old pods are still there: fine-\S+ \(2\)/,
      /no old pod may end: 2 are available and at least 2 must be \(maxUnavailable 25%\)/,
    ];
    await until(async () => {
      const e = await shop('deployments/fine');
      const all = texts(e.reasons).join('\n');
      return e.summary === 'deployment fine: 1 of 2 pods are new, 2 are ready' && expected.every((x) => x.test(all));
    });
    await c.client.patch(deployments, 'fine', 'merge', { spec: { paused: true } }, { namespace: 'shop' });
    assert.ok(
      texts((await shop('deployments/fine')).reasons).includes(
        'it is paused [kubectl -n shop rollout resume deployment/fine]',
      ),
    );
    await c.client.delete(deployments, 'fine', { namespace: 'shop', propagationPolicy: 'Background' });
  });

  it('reads from the containers why a pod with a node is not ready', async () => {
    await pod('sick', { nodeName: 'ghost', readinessGates: [{ conditionType: 'example.com/gate' }] });
    const state = { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } };
    const lastState = { terminated: { exitCode: 3, reason: 'Error' } };
    const common = { image: 'i', imageID: '', ready: false, restartCount: 1 };
    await c.client.patch(
      pods,
      'sick',
      'merge',
      { status: { phase: 'Running', containerStatuses: [{ name: 'c', ...common, state, lastState }] } },
      { namespace: 'shop', subresource: 'status' },
    );
    const e = await shop('pods/sick');
    assert.equal(e.summary, 'pod sick is on ghost but not ready');
    assert.deepEqual(texts(e.reasons), [
      'node ghost is gone',
      'container c: CrashLoopBackOff: back-off 10s (it last ended with exit code 3, Error) [see what it printed: kubectl logs --previous]',
      'readiness gate example.com/gate is not met [its controller must set the condition]',
    ]);
    await c.client.delete(pods, 'sick', { namespace: 'shop', gracePeriodSeconds: 0 });
  });

  it('names the quota that keeps pods from being made', async () => {
    await c.client.create(resourceQuotas, {
      metadata: { name: 'few', namespace: 'tight' },
      spec: { hard: { 'count/configmaps': '100', 'requests.cpu': '100m' } },
    });
    await until(async () => (await c.client.get(resourceQuotas, 'few', 'tight')).status?.hard);
    await deployment('costly', {}, { resources: { requests: { cpu: '100m' } } }, 'tight');
    await until(async () => {
      const all = texts((await why('namespaces/tight/deployments/costly')).reasons);
      return (
        all.includes('1 pods have not been made') &&
        all.some((t) => t.includes('exceeded quota: few')) &&
        all.includes('quota few: 100m of 100m requests.cpu are used [raise the quota, or ask for less requests.cpu]')
      );
    });
    await c.client.delete(resourceQuotas, 'few', { namespace: 'tight' });
    await c.client.delete(deployments, 'costly', { namespace: 'tight', propagationPolicy: 'Background' });
  });

  it('says what holds an object that is to go', async () => {
    await c.client.create(configMaps, {
      metadata: { name: 'held', namespace: 'shop', finalizers: ['example.com/mine'] },
    });
    await c.client.delete(configMaps, 'held', { namespace: 'shop' });
    const e = await shop('configmaps/held');
    assert.equal(e.state, 'Deleting');
    assert.match(
      texts(e.reasons)[0]!,
      /^finalizer example.com\/mine: the program that set it must take it away \[see that/,
    );
  });

  it('names the dependents of a foreground deletion, and the users of a claim', async () => {
    await deployment('slow', {
      template: {
        ...template({ app: 'slow' }),
        metadata: { labels: { app: 'slow' }, finalizers: ['example.com/keep'] },
      },
    });
    await until(
      async () => (await c.client.list(pods, { namespace: 'shop', labelSelector: 'app=slow' })).items.length === 2,
    );
    await c.client.delete(deployments, 'slow', { namespace: 'shop', propagationPolicy: 'Foreground' });
    await until(async () =>
      texts((await shop('deployments/slow')).reasons).some((t) => t.includes('is being deleted')),
    );
    const all = texts((await shop('deployments/slow')).reasons);
    assert.equal(all[0], 'finalizer foregroundDeletion: 1 dependents must go first');
    assert.match(all[1]!, /^replicaset slow-\S+ is being deleted, held by foregroundDeletion$/);
    const [set] = (await c.client.list(replicaSets, { namespace: 'shop', labelSelector: 'app=slow' })).items;
    await until(async () =>
      texts((await shop(`rs/${set!.metadata!.name}`)).reasons).some((t) => t.includes('held by example.com/keep')),
    );

    await c.client.create(persistentVolumeClaims, {
      metadata: { name: 'data', namespace: 'shop', finalizers: ['kubernetes.io/pvc-protection'] },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    });
    await pod('reader', { nodeName: 'n1', volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'data' } }] });
    await c.client.delete(persistentVolumeClaims, 'data', { namespace: 'shop' });
    assert.deepEqual(texts((await shop('pvc/data')).reasons), [
      'finalizer kubernetes.io/pvc-protection: 1 pods use the claim [end these pods]',
      'pod reader',
    ]);
  });

  it('tells what remains of a namespace', async () => {
    await c.client.delete(namespaces, 'shop');
    await until(async () =>
      texts((await why('namespaces/shop')).reasons).some((t) => t.includes('example.com/keep in')),
    );
    const e = await why('namespaces/shop');
    assert.equal(e.state, 'Deleting');
    assert.ok(texts(e.reasons).some((t) => t.startsWith('Some resources are remaining: ')));
  });

  it('answers only those who may read explanations', async () => {
    const bob = c.server.clientAs({ name: 'bob' });
    await assert.rejects(why('namespaces/default/pods/x', bob), fails(403));
    await c.client.create(roleBindings, {
      metadata: { name: 'bob', namespace: 'default' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'bob' }],
    });
    await until(() => why('namespaces/default/pods/x', bob).catch((e: { code: number }) => e.code === 404));
    await assert.rejects(why('namespaces/shop/pods/x', bob), fails(403));
    await assert.rejects(why('nodes/n1', bob), fails(403));
    await assert.rejects(why('namespaces/default/nonsense/x'), fails(404));
    await assert.rejects(why('namespaces/default/nodes/n1'), fails(404));
  });

  it('speaks of kinds it knows nothing of by their conditions', async () => {
    assert.equal((await why('nodes/n1')).state, 'Fine');
    await c.client.patch(
      nodes,
      'n1',
      'strategic',
      { status: { conditions: [{ type: 'MemoryPressure', status: 'True', reason: 'Full', message: 'no memory' }] } },
      { subresource: 'status' },
    );
    assert.ok(texts((await why('nodes/n1')).reasons).includes('MemoryPressure is True (Full): no memory'));
  });
});
