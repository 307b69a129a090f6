import assert from 'node:assert/strict';
import type { JsonObject } from '../../../api/types.ts';
import { systemClock } from '../../../base/clock.ts';
import { clusterRoleBindings, namespaces, nodes, pods, serviceAccounts } from '../../../client/resources.ts';
import { until } from '../../support/wait.ts';
import { patiently, startInsightCluster, type InsightCluster } from './harness.ts';

const fails = (code: number) => (error: unknown) => (error as { code: number }).code === code;
interface Metrics {
  metadata: { name: string; labels?: Record<string, string> };
  timestamp: string;
  window: string;
  usage?: Record<string, string>;
  containers?: { name: string; usage: Record<string, string> }[];
}

describe('metrics.k8s.io', function () {
  let c: InsightCluster;
  const started = Date.now() / 1000 - 3600;

  /** A report in which `seconds` have been used by each counter, at a time in seconds. */
  const report = (at: number, seconds: number) =>
    [
      `node_cpu_usage_seconds_total ${seconds} ${at * 1000}`,
      `node_memory_working_set_bytes ${1024 ** 3} ${at * 1000}`,
      ...['a', 'b'].flatMap((container) => [
        `container_cpu_usage_seconds_total{container="${container}",namespace="shop",pod="web"} ${seconds / 2} ${at * 1000}`,
        `container_memory_working_set_bytes{container="${container}",namespace="shop",pod="web"} ${64 * 1024 ** 2} ${at * 1000}`,
        `container_start_time_seconds{container="${container}",namespace="shop",pod="web"} ${started}`,
      ]),
      '',
    ].join('\n');

  before(async () => {
    c = await startInsightCluster();
    const { client } = c;
    await client.create(namespaces, { metadata: { name: 'shop' } });
    await client.create(serviceAccounts, { metadata: { name: 'default', namespace: 'shop' } });
    await client.create(nodes, { metadata: { name: 'n1', labels: { zone: 'z' } } });
    const pod = (name: string, labels: Record<string, string>) =>
      client.create(pods, {
        metadata: { name, namespace: 'shop', labels },
        spec: {
          nodeName: 'n1',
          containers: [
            { name: 'a', image: 'i' },
            { name: 'b', image: 'i' },
          ],
        },
      });
    await pod('web', { app: 'web' });
    await pod('idle', { app: 'idle' });
    for (const name of ['web', 'idle'])
      await client.patch(
        pods,
        name,
        'merge',
        { status: { phase: 'Running' } },
        { namespace: 'shop', subresource: 'status' },
      );
    const now = Math.floor(Date.now() / 1000);
    c.report = report(now - 15, 100);
    // The first report is in when the second can follow.
    await until(async () => (await list('pods')).length === 1);
    c.report = report(now, 103);
    await until(async () => (await one('nodes/n1')).window === '15s');
  });
  after(() => c.stop());

  const get = <T>(path: string, query?: Record<string, string>) =>
    patiently(() => c.client.request<T>({ path: `/apis/metrics.k8s.io/v1beta1/${path}`, query }));
  const list = async (path: string, query?: Record<string, string>) =>
    (await get<{ items: Metrics[] }>(path, query)).items;
  const one = (path: string) => get<Metrics>(path);

  it('says what nodes use, as a rate between two reports', async () => {
    const node = await one('nodes/n1');
    assert.deepEqual(node.usage, { cpu: '200m', memory: '1Gi' });
    assert.deepEqual(node.metadata.labels, { zone: 'z' });
    assert.equal(node.window, '15s');
    assert.equal((await list('nodes')).length, 1);
  });

  it('says what pods use, by container, and leaves out those nobody reports on', async () => {
    const [web, ...rest] = await list('namespaces/shop/pods');
    assert.equal(rest.length, 0);
    assert.deepEqual(web!.containers, [
      { name: 'a', usage: { cpu: '100m', memory: '64Mi' } },
      { name: 'b', usage: { cpu: '100m', memory: '64Mi' } },
    ]);
    assert.equal((await list('pods', { labelSelector: 'app=web' })).length, 1);
    assert.equal((await list('pods', { labelSelector: 'app=idle' })).length, 0);
    assert.equal((await list('namespaces/none/pods')).length, 0);
    await assert.rejects(one('namespaces/shop/pods/idle'), fails(404));
    await assert.rejects(one('namespaces/shop/pods/nobody'), fails(404));
    await assert.rejects(list('pods', { labelSelector: 'a in' }), fails(400));
  });

  it('shows itself in discovery and as a Table', async () => {
    const resources = await get<{ resources: { name: string; kind: string; namespaced: boolean }[] }>('');
    assert.deepEqual(
      resources.resources.map((r) => [r.name, r.kind, r.namespaced]),
      [
        ['nodes', 'NodeMetrics', false],
        ['pods', 'PodMetrics', true],
      ],
    );
    const table = await patiently(() =>
      c.client.request<{ kind: string; rows: { cells: string[] }[] }>({
        path: '/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods',
        accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json',
      }),
    );
    assert.equal(table.kind, 'Table');
    assert.deepEqual(table.rows[0]!.cells, ['web', '200m', '128Mi', '15s']);
  });

  it('documents itself, so that `kubectl explain` knows its kinds', async () => {
    interface Document {
      paths: Record<string, { serverRelativeURL: string }>;
      definitions?: Record<string, JsonObject>;
      components?: { schemas: Record<string, JsonObject> };
    }
    const ask = async (path: string): Promise<Document> => {
      const answer = await patiently(() => c.client.request<Document | string>({ path }));
      return typeof answer === 'string' ? (JSON.parse(answer) as Document) : answer;
    };
    const name = 'apis/metrics.k8s.io/v1beta1';
    let url: string | undefined;
    for (let i = 0; i < 600 && url === undefined; i++) {
      url = (await ask('/openapi/v3')).paths[name]?.serverRelativeURL;
      if (url === undefined) await systemClock.sleep(100);
    }
    const v3 = await ask(url!);
    const v2 = await ask('/openapi/v2');
    for (const [document, schemas] of [
      [v3, v3.components!.schemas],
      [v2, v2.definitions!],
    ] as const) {
      const kind = (k: string) =>
        Object.values(schemas).find((s) =>
          (s['x-kubernetes-group-version-kind'] as { group: string; kind: string }[] | undefined)?.some(
            (g) => g.group === 'metrics.k8s.io' && g.kind === k,
          ),
        );
      for (const k of ['NodeMetrics', 'NodeMetricsList', 'PodMetrics', 'PodMetricsList']) assert.ok(kind(k), k);
      assert.ok(document.paths[`/${name}/namespaces/{namespace}/pods/{name}`]);
      const names = [
        ...JSON.stringify(document).matchAll(/"\$ref":"#\/(?:definitions|components\/schemas)\/([^"]+)"/g),
      ];
      const missing = names.map((m) => m[1]!).filter((n) => !Object.hasOwn(schemas, n));
      assert.deepEqual(missing, []);
      // Clients that read a document and write it again leave empty lists out.
      for (const [path, item] of Object.entries(document.paths))
        if (path.startsWith(`/${name}/`)) assert.doesNotMatch(JSON.stringify(item), /\[\]/, path);
    }
  });

  it('answers only those who may know', async () => {
    const path = '/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods';
    const alice = c.server.clientAs({ name: 'alice' });
    await assert.rejects(alice.request({ path }), fails(403));
    await c.client.create(clusterRoleBindings, {
      metadata: { name: 'alice' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'k8ts:insight-reader' },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'alice' }],
    });
    await until(async () => (await alice.request<{ items: JsonObject[] }>({ path })).items.length === 1);
    await assert.rejects(alice.request({ path, method: 'DELETE' }), fails(403));
    await assert.rejects(
      patiently(() => c.client.request({ path, method: 'DELETE' })),
      fails(405),
    );
  });
});
