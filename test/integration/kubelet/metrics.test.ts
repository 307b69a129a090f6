import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../support/wait.ts';
import { isReady, startTestNode, type TestNode } from './harness.ts';

describe("the kubelet's metrics", () => {
  let node: TestNode;
  let dir: string;
  let admin: { cert: string; key: string };
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'kubelet-metrics-'));
    const ca = join(dir, 'ca.crt');
    node = await startTestNode({
      fields: {
        port: 0,
        healthzPort: 0,
        shutdownGracePeriod: '20s',
        address: '127.0.0.1',
        authentication: { x509: { clientCAFile: ca } },
      },
      hollow: {
        missingImage: (name) => name.includes('missing'),
        behaviour: ({ args }) => ({ exit: args?.[0] === 'exit' ? { code: 0 } : undefined }),
      },
      kubelet: { hollowServer: true },
      prepare(server) {
        writeFileSync(ca, server.ca);
        admin = server.identity('admin', 'system:masters');
      },
    });
    await node.kubelet.registered();
  });
  after(async () => {
    await node.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const page = (path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      https
        .get(
          { host: '127.0.0.1', port: node.kubelet.port, path, rejectUnauthorized: false, agent: false, ...admin },
          async (res) => {
            let text = '';
            for await (const chunk of res) text += String(chunk);
            resolve(text);
          },
        )
        .on('error', reject);
    });
  /** The value of a series; 0 when it is not shown. */
  const valueOf = (text: string, series: string): number => {
    const line = text.split('\n').find((l) => l.startsWith(`${series} `));
    return Number(line?.slice(series.length + 1) ?? 0);
  };
  /** Waits until each series has a value from its least on. */
  const shows = (path: string, least: Record<string, number>) =>
    eventually(async () => {
      const text = await page(path);
      for (const [series, n] of Object.entries(least))
        assert.ok(valueOf(text, series) >= n, `${series} is ${valueOf(text, series)}, not ${n} or more\n${text}`);
      return text;
    });

  it('tell how a pod started, and what the runtime had to do for it', async () => {
    await node.create('web', {
      initContainers: [{ name: 'i', image: 'busybox:1', args: ['exit'] }],
      containers: [{ name: 'c', image: 'busybox:1' }],
    });
    await node.until('web', isReady);
    const text = await shows('/metrics', {
      'kubelet_runtime_operations_total{operation_type="run_podsandbox"}': 1,
      'kubelet_runtime_operations_duration_seconds_count{operation_type="create_container"}': 2,
      'kubelet_run_podsandbox_duration_seconds_count{runtime_handler=""}': 1,
      'kubelet_pod_worker_duration_seconds_count{operation_type="create"}': 1,
      kubelet_pod_worker_start_duration_seconds_count: 1,
      kubelet_pod_start_duration_seconds_count: 1,
      kubelet_pod_start_total_duration_seconds_count: 1,
      kubelet_pod_start_sli_duration_seconds_count: 1,
      kubelet_pod_status_sync_duration_seconds_count: 1,
      kubelet_pleg_relist_duration_seconds_count: 1,
      'kubelet_image_pull_duration_seconds_count{image_size_in_bytes="0-10MB"}': 1,
      kubelet_started_pods_total: 1,
      'kubelet_started_containers_total{container_type="container"}': 1,
      'kubelet_started_containers_total{container_type="init_container"}': 1,
      'kubelet_desired_pods{static=""}': 1,
      'kubelet_active_pods{static=""}': 1,
      'kubelet_working_pods{config="desired",lifecycle="sync",static=""}': 1,
      'kubelet_node_name{node="n1"}': 1,
    });
    assert.equal(valueOf(text, 'kubelet_started_pods_errors_total'), 0);
    assert.equal(valueOf(text, 'kubelet_mirror_pods'), 0);
    const ready = /^kubelet_node_startup_post_registration_duration_seconds \S+$/m;
    await eventually(async () => assert.match(await page('/metrics'), ready));
  });

  it('count containers that do not start and pods that are not admitted', async () => {
    await node.create('broken', { containers: [{ name: 'c', image: 'missing:1' }] });
    await node.create('large', {
      containers: [{ name: 'c', image: 'busybox:1', resources: { requests: { cpu: '100000' } } }],
    });
    await shows('/metrics', {
      'kubelet_started_containers_errors_total{code="ErrImagePull",container_type="container"}': 1,
      'kubelet_runtime_operations_errors_total{operation_type="pull_image"}': 1,
      'kubelet_admission_rejections_total{reason="OutOfcpu"}': 1,
    });
  });

  it('count probes by their result, as long as the container runs', async () => {
    const pod = await node.create('probed', {
      containers: [{ name: 'c', image: 'busybox:1', readinessProbe: { exec: { command: ['true'] } } }],
    });
    await node.until('probed', isReady);
    const labels = `container="c",namespace="default",pod="probed",pod_uid="${pod.metadata!.uid}"`;
    const series = `prober_probe_total{${labels},probe_type="Readiness",result="successful"}`;
    await shows('/metrics/probes', { [series]: 1 });
    await node.client.request({ method: 'DELETE', path: '/api/v1/namespaces/default/pods/probed' });
    await node.until('probed', (p) => p === undefined);
    await eventually(async () => assert.equal(valueOf(await page('/metrics/probes'), series), 0));
  });

  it('tell of volumes, wanted and mounted, and of pods that end with the node', async () => {
    await node.create('last', { volumes: [{ name: 'v', emptyDir: {} }] });
    await node.until('last', isReady);
    await shows('/metrics', {
      'volume_manager_total_volumes{plugin_name="kubernetes.io/empty-dir",state="desired_state_of_world"}': 1,
    });
    await node.kubelet.shutdown();
    await node.until('last', (p) => p?.status?.phase === 'Failed');
    const now = 1.6e9;
    await shows('/metrics', {
      kubelet_graceful_shutdown_start_time_seconds: now,
      kubelet_graceful_shutdown_end_time_seconds: now,
      'kubelet_working_pods{config="desired",lifecycle="terminated",static=""}': 1,
    });
  });

  it('name each family once', async () => {
    for (const path of ['/metrics', '/metrics/probes', '/metrics/resource', '/metrics/cadvisor']) {
      const names = [...(await page(path)).matchAll(/^# TYPE (\S+)/gm)].map((m) => m[1]);
      assert.deepEqual(
        names.filter((n, i) => names.indexOf(n) !== i),
        [],
        path,
      );
    }
  });

  it('count requests to the kubelet itself', async () => {
    await page('/nothing/of/the/kind');
    const of = (path: string) => `{long_running="false",method="GET",path="${path}",server_type="readwrite"}`;
    await shows('/metrics', {
      [`kubelet_http_requests_total${of('metrics')}`]: 2,
      [`kubelet_http_requests_total${of('metrics/probes')}`]: 1,
      [`kubelet_http_requests_total${of('other')}`]: 1,
      [`kubelet_http_requests_duration_seconds_count${of('metrics')}`]: 1,
      // the request that asks
      [`kubelet_http_inflight_requests${of('metrics')}`]: 1,
    });
  });
});
