import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { JsonObject, Pod } from '../../../api/types.ts';
import {
  deployments,
  events,
  horizontalPodAutoscalers,
  namespaces,
  pods,
  serviceAccounts,
} from '../../../client/resources.ts';
import type { ControllerManager } from '../../../controllers/manager.ts';
import { startManager } from '../controllers/cluster.ts';
import { orState } from '../../support/state.ts';
import { until } from '../../support/wait.ts';
import { startHollowNodes, type HollowNodes } from '../controllers/hollow.ts';
import {
  apply,
  localService,
  servingIdentity,
  startInsightCluster,
  untilAvailable,
  type InsightCluster,
} from './harness.ts';

type Metric = NonNullable<NonNullable<typeof horizontalPodAutoscalers._type>['spec']>['metrics'] extends
  | (infer M)[]
  | undefined
  ? M
  : never;

describe('autoscaling by metrics', function () {
  this.timeout(300_000);
  let c: InsightCluster;
  let manager: ControllerManager;
  let hollow: HollowNodes;
  let adapter: Server;
  /** Thousandths of a core that each container uses, by pod prefix. */
  const load = new Map<string, number>();
  /** Values of custom and external metrics. */
  const values: Record<string, string> = {};
  const asked: string[] = [];

  before(async () => {
    c = await startInsightCluster();
    const { server, client } = c;
    await startAdapter();
    manager = await startManager(server, {
      hpaSyncPeriodMs: 100,
      hpaCPUInitializationPeriodMs: 0,
      hpaInitialReadinessDelayMs: 0,
      hpaDownscaleStabilizationMs: 0,
    });
    hollow = await startHollowNodes(client, ['n1', 'n2']);
    await manager.ready();
    await client.create(namespaces, { metadata: { name: 'shop' } });
    await comes(() => client.get(serviceAccounts, 'default', 'shop').then(() => true));
    // All kubelets are one here: what it tells of others' pods is passed over.
    c.report = () =>
      [
        'node_cpu_usage_seconds_total 1',
        'node_memory_working_set_bytes 1',
        ...hollow.pods.list('shop').flatMap(usage),
      ].join('\n');
  });
  after(async () => {
    await hollow.stop();
    await manager.stop();
    await c.stop();
    adapter.closeAllConnections();
    await new Promise<void>((resolve) => adapter.close(() => resolve()));
  });

  const began = Date.now() - 3600_000;
  function usage(pod: { readonly metadata?: Pod['metadata'] | object }): string[] {
    const { name, namespace } = pod.metadata as { name: string; namespace: string };
    const share = [...load].find(([prefix]) => name.startsWith(prefix))?.[1] ?? 0;
    const labels = (container: string) => `{container="${container}",namespace="${namespace}",pod="${name}"}`;
    const now = Date.now();
    return ['c', 'side'].flatMap((container) => {
      const rate = container === 'c' ? share : 1;
      return [
        `container_cpu_usage_seconds_total${labels(container)} ${((now - began) / 1000) * (rate / 1000)} ${now}`,
        `container_memory_working_set_bytes${labels(container)} ${64 * 2 ** 20}`,
        `container_start_time_seconds${labels(container)} ${began / 1000}`,
      ];
    });
  }

  /** A metrics adapter as people install them: custom and external metrics behind the aggregation layer. */
  async function startAdapter(): Promise<void> {
    const { client, server } = c;
    const { ca, serving } = servingIdentity('adapter.kube-system.svc');
    const published = await client.get(
      { group: '', version: 'v1', resource: 'configmaps', kind: 'ConfigMap', namespaced: true },
      'extension-apiserver-authentication',
      'kube-system',
    );
    const frontProxy = (published as { data: Record<string, string> }).data['requestheader-client-ca-file']!;
    adapter = createServer({ ...serving, ca: [frontProxy, server.ca], requestCert: true }, (req, res) => {
      const url = new URL(req.url!, 'https://x');
      const answer = (code: number, body: JsonObject) =>
        res.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      if (!(req.socket as TLSSocket).authorized) return void answer(401, {});
      const [, , group, version, , namespace, ...rest] = url.pathname.split('/');
      if (rest.length === 0) {
        const resources = [
          { name: 'any', singularName: '', namespaced: true, kind: 'MetricValueList', verbs: ['get'] },
        ];
        return void answer(200, {
          kind: 'APIResourceList',
          apiVersion: 'v1',
          groupVersion: `${group}/${version}`,
          resources,
        });
      }
      asked.push(`${String(req.headers['x-remote-user'])} ${decodeURIComponent(url.pathname + url.search)}`);
      const metric = rest.at(-1)!;
      const value = values[metric];
      if (value === undefined)
        return void answer(404, {
          kind: 'Status',
          status: 'Failure',
          code: 404,
          reason: 'NotFound',
          message: `no metric ${metric}`,
        });
      const timestamp = new Date().toISOString();
      const of = rest[1] === '*' ? hollow.pods.list('shop').map((p) => p.metadata!.name!) : [rest[1] ?? ''];
      const items =
        group === 'external.metrics.k8s.io'
          ? [{ metricName: metric, metricLabels: {}, timestamp, value }]
          : of.map((name) => ({ describedObject: { namespace, name }, metric: { name: metric }, timestamp, value }));
      answer(200, { kind: 'MetricValueList', apiVersion: `${group}/${version}`, metadata: {}, items });
    });
    await new Promise<void>((resolve) => adapter.listen(0, '127.0.0.1', resolve));
    const { port } = adapter.address() as AddressInfo;
    await localService(client, 'kube-system', 'adapter', port);
    for (const [group, version] of [
      ['custom.metrics.k8s.io', 'v1beta2'],
      ['external.metrics.k8s.io', 'v1beta1'],
    ] as const) {
      const name = `${version}.${group}`;
      const caBundle = Buffer.from(ca.cert).toString('base64');
      const service = { namespace: 'kube-system', name: 'adapter', port };
      await apply(client, {
        apiVersion: 'apiregistration.k8s.io/v1',
        kind: 'APIService',
        metadata: { name },
        spec: { group, version, groupPriorityMinimum: 100, versionPriority: 100, caBundle, service },
      } as never);
      await untilAvailable(client, name);
    }
    // As adapters' manifests do.
    await apply(client, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'metrics' },
      rules: [
        { apiGroups: ['custom.metrics.k8s.io', 'external.metrics.k8s.io'], resources: ['*'], verbs: ['get', 'list'] },
      ],
    } as never);
    await apply(client, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'metrics' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'metrics' },
      subjects: [{ kind: 'ServiceAccount', name: 'horizontal-pod-autoscaler', namespace: 'kube-system' }],
    } as never);
  }

  const comes = (is: () => Promise<unknown>) => orState(c.client, 'shop', until(is));
  async function target(name: string, metric: Metric, spec: object = {}, replicas = 1): Promise<void> {
    const container = (n: string) => ({
      name: n,
      image: 'i',
      resources: { requests: { cpu: '100m', memory: '128Mi' } },
    });
    await c.client.create(deployments, {
      metadata: { name, namespace: 'shop' },
      spec: {
        replicas,
        selector: { matchLabels: { app: name } },
        template: { metadata: { labels: { app: name } }, spec: { containers: [container('c'), container('side')] } },
      },
    });
    await c.client.create(horizontalPodAutoscalers, {
      metadata: { name, namespace: 'shop' },
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
        minReplicas: 1,
        maxReplicas: 6,
        metrics: [metric],
        ...spec,
      },
    });
  }
  const replicas = async (name: string) => (await c.client.get(deployments, name, 'shop')).spec!.replicas;
  const settled = (name: string, n: number) =>
    comes(
      async () =>
        (await replicas(name)) === n && (await c.client.get(deployments, name, 'shop')).status?.readyReplicas === n,
    );
  const conditions = async (name: string) =>
    Object.fromEntries(
      ((await c.client.get(horizontalPodAutoscalers, name, 'shop')).status?.conditions ?? []).map((x) => [x.type, x]),
    );
  const stop = async (name: string) => {
    await c.client.delete(horizontalPodAutoscalers, name, { namespace: 'shop' });
    await c.client.delete(deployments, name, { namespace: 'shop', propagationPolicy: 'Background' });
    await comes(
      async () => (await c.client.list(pods, { namespace: 'shop', labelSelector: `app=${name}` })).items.length === 0,
    );
  };

  it('follows the CPU that pods use, up and down', async () => {
    load.set('web-', 301);
    // 302m of 200m requested by each pod; one pod at 50 % would be 100m.
    const behavior = { scaleDown: { policies: [{ type: 'Percent', value: 100, periodSeconds: 1 }] } };
    await target(
      'web',
      { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } },
      { behavior, maxReplicas: 5 },
    );
    await settled('web', 5);
    const hpa = await c.client.get(horizontalPodAutoscalers, 'web', 'shop');
    assert.equal((await conditions('web'))['ScalingLimited']!.reason, 'TooManyReplicas');
    assert.ok(Math.abs(hpa.status!.currentMetrics![0]!.resource!.current.averageUtilization! - 151) <= 2);
    load.set('web-', 60);
    await settled('web', 2);
    load.set('web-', 9);
    await settled('web', 1);
    const told = (await c.client.list(events, { namespace: 'shop', fieldSelector: 'involvedObject.name=web' })).items;
    assert.ok(
      told.some(
        (e) => e.reason === 'SuccessfulRescale' && e.message === 'New size: 2; reason: All metrics below target',
      ),
    );
    await stop('web');
  });

  it('looks at one container where it is told to, and at memory', async () => {
    load.set('main-', 150);
    // Twice what is wanted of the one container, however many there are; of the whole pod it would be just right.
    await target(
      'main',
      {
        type: 'ContainerResource',
        containerResource: { name: 'cpu', container: 'c', target: { type: 'Utilization', averageUtilization: 75 } },
      },
      { maxReplicas: 2 },
    );
    await settled('main', 2);
    await stop('main');
    await target(
      'big',
      { type: 'Resource', resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '64Mi' } } },
      { maxReplicas: 3 },
    );
    await settled('big', 3);
    await stop('big');
  });

  it('asks adapters for metrics of pods, of objects and of the world outside', async () => {
    values['requests'] = '10';
    await target(
      'pods',
      {
        type: 'Pods',
        pods: {
          metric: { name: 'requests', selector: { matchLabels: { verb: 'GET' } } },
          target: { type: 'AverageValue', averageValue: '5' },
        },
      },
      { maxReplicas: 4 },
    );
    await settled('pods', 4);
    values['requests'] = '5';
    assert.ok(
      asked.includes(
        'system:serviceaccount:kube-system:horizontal-pod-autoscaler /apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/requests?labelSelector=app=pods&metricLabelSelector=verb=GET',
      ),
      asked.join('\n'),
    );
    await stop('pods');

    values['hits'] = '300';
    await target(
      'object',
      {
        type: 'Object',
        object: {
          metric: { name: 'hits' },
          describedObject: { apiVersion: 'v1', kind: 'Service', name: 'front' },
          target: { type: 'Value', value: '100' },
        },
      },
      { maxReplicas: 3 },
    );
    await settled('object', 3);
    values['hits'] = '10';
    await settled('object', 1);
    await stop('object');

    values['queue'] = '50';
    await target('external', {
      type: 'External',
      external: { metric: { name: 'queue' }, target: { type: 'AverageValue', averageValue: '10' } },
    });
    await settled('external', 5);
    values['queue'] = '20';
    await settled('external', 2);
    await stop('external');
  });

  it('says what it could not learn, and leaves the size alone', async () => {
    await target(
      'blind',
      { type: 'External', external: { metric: { name: 'unknown' }, target: { type: 'Value', value: '1' } } },
      {},
      2,
    );
    await comes(async () => (await conditions('blind'))['ScalingActive']?.status === 'False');
    const active = (await conditions('blind'))['ScalingActive']!;
    assert.equal(active.reason, 'FailedGetExternalMetric');
    assert.match(
      active.message!,
      /^the HPA was unable to compute the replica count: unable to get external metric shop\/unknown\/nil: unable to fetch metrics from external metrics API: /,
    );
    assert.equal(await replicas('blind'), 2);
    await stop('blind');
  });

  it('grows no faster than its behaviour says, and not for less than its tolerance', async () => {
    values['steps'] = '100';
    const steps: Metric = {
      type: 'External',
      external: { metric: { name: 'steps' }, target: { type: 'AverageValue', averageValue: '10' } },
    };
    const policies = [{ type: 'Pods', value: 2, periodSeconds: 600 }];
    await target('slow', steps, { behavior: { scaleUp: { policies } } });
    await settled('slow', 3);
    await comes(async () => (await conditions('slow'))['ScalingLimited']?.reason === 'ScaleUpLimit');
    assert.equal(await replicas('slow'), 3);
    await stop('slow');

    values['steps'] = '24';
    await target(
      'lazy',
      steps,
      {
        behavior: {
          scaleUp: { tolerance: '0.5' },
          scaleDown: { tolerance: '0.1', policies: [{ type: 'Pods', value: 1, periodSeconds: 1 }] },
        },
      },
      2,
    );
    await comes(async () => (await conditions('lazy'))['ScalingActive']?.status === 'True');
    assert.equal(await replicas('lazy'), 2);
    values['steps'] = '31';
    await settled('lazy', 4);
    await stop('lazy');
  });

  it('lets two autoscalers not pull at the same pods', async () => {
    values['one'] = '10';
    const metric: Metric = {
      type: 'External',
      external: { metric: { name: 'one' }, target: { type: 'AverageValue', averageValue: '10' } },
    };
    await target('shared', metric);
    await c.client.create(horizontalPodAutoscalers, {
      metadata: { name: 'second', namespace: 'shop' },
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shared' },
        maxReplicas: 3,
        metrics: [metric],
      },
    });
    await comes(async () => (await conditions('second'))['ScalingActive']?.reason === 'AmbiguousSelector');
    assert.equal(
      (await conditions('second'))['ScalingActive']!.message,
      'pods by selector app=shared are controlled by multiple HPAs: [shop/second shop/shared]',
    );
    await c.client.delete(horizontalPodAutoscalers, 'second', { namespace: 'shop' });
    await comes(async () => (await conditions('shared'))['ScalingActive']?.reason === 'ValidMetricFound');
    await stop('shared');
  });
});
