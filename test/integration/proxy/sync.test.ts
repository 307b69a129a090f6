/** The proxy's sync from an API server to the rules of a kernel's network namespace. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { systemClock, systemRand } from '../../../base/clock.ts';
import { createExec, type Exec } from '../../../base/exec.ts';
import { silentLogger } from '../../../base/log.ts';
import { MetricsRegistry } from '../../../base/metrics.ts';
import { createInformer } from '../../../client/informer.ts';
import { endpointSlices, nodes as nodeResource, services as serviceResource } from '../../../client/resources.ts';
import { slicesByService } from '../../../proxy/rules/translate.ts';
import { slimService, slimSlice } from '../../../proxy/slim.ts';
import { startSync } from '../../../proxy/sync.ts';
import { eventually } from '../../support/wait.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

const NS = `k8ts-sync${process.pid}`;
const plain = createExec({ clock: systemClock, logger: silentLogger });
const exec: Exec = (command, args, o) => plain('ip', ['netns', 'exec', NS, command, ...args], o);

describe('the sync of Services', () => {
  let server: TestServer;
  let stop: () => void;
  const registry = new MetricsRegistry();

  before(async () => {
    execFileSync('ip', ['netns', 'add', NS]);
    server = await startTestServer();
    const common = { client: server.client, clock: systemClock, rand: systemRand, logger: silentLogger };
    const startedAt = systemClock.now();
    const services = createInformer(serviceResource, { ...common, transform: slimService });
    const slices = createInformer(endpointSlices, {
      ...common,
      indexers: slicesByService,
      transform: (s) => slimSlice(s, startedAt),
    });
    const nodes = createInformer(nodeResource, common);
    const loop = startSync({
      services,
      slices,
      nodes,
      nodeName: 'n1',
      clusterCidrs: ['10.244.0.0/16'],
      masqueradeAll: false,
      nodePortAddresses: [],
      families: [4],
      exec,
      clock: systemClock,
      logger: silentLogger,
      registry,
    });
    const informers = [services, slices, nodes];
    for (const i of informers) i.start();
    stop = () => {
      loop.stop();
      for (const i of informers) i.stop();
    };
  });
  after(async () => {
    stop?.();
    await server?.stop();
    execFileSync('ip', ['netns', 'del', NS]);
  });

  const service = (name: string, clusterIP: string, spec: object = {}) =>
    server.client.create(serviceResource, {
      metadata: { name, namespace: 'default' },
      spec: { clusterIP, ports: [{ port: 80 }], ...spec },
    });
  const slice = (name: string, address: string, annotations: Record<string, string> = {}) =>
    server.client.create(endpointSlices, {
      metadata: {
        name,
        namespace: 'default',
        labels: { 'kubernetes.io/service-name': name },
        annotations,
      },
      addressType: 'IPv4',
      ports: [{ name: '', port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: [address], nodeName: 'n2', conditions: { ready: true } }],
    });
  const rules = () => exec('nft', ['list', 'table', 'ip', 'k8ts-proxy']);
  /** Waits until the kernel leads the cluster address to the backend. */
  const leads = (clusterIP: string, to: string) =>
    eventually(async () => assert.ok((await rules()).includes(`${clusterIP} . tcp . 80 . 0 : ${to} . 8080`)));
  const valueOf = (series: string): number =>
    Number(
      registry
        .text()
        .split('\n')
        .find((l) => l.startsWith(`${series} `))
        ?.slice(series.length + 1) ?? 0,
    );

  it('tells how long changes took, how many came and what waits', async () => {
    await service('plain', '10.96.0.21');
    await slice('plain', '10.244.1.2', {
      'endpoints.kubernetes.io/last-change-trigger-time': new Date(systemClock.now()).toISOString(),
    });
    await leads('10.96.0.21', '10.244.1.2');
    await service('here', '10.96.0.22', { internalTrafficPolicy: 'Local' });
    await slice('here', '10.244.1.3');
    await eventually(() => {
      assert.ok(valueOf('kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"}') >= 2);
      assert.ok(valueOf('kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"}') >= 1);
      assert.ok(valueOf('kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family="IPv4"}') >= 1);
      assert.equal(valueOf('kubeproxy_network_programming_duration_seconds_count{ip_family="IPv4"}'), 1);
      assert.ok(valueOf('kubeproxy_sync_proxy_rules_service_changes_total') >= 2);
      assert.ok(valueOf('kubeproxy_sync_proxy_rules_endpoint_changes_total') >= 2);
      assert.equal(valueOf('kubeproxy_sync_proxy_rules_service_changes_pending'), 0);
      assert.equal(valueOf('kubeproxy_sync_proxy_rules_endpoint_changes_pending'), 0);
      assert.ok(valueOf('kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"}') > 0);
      assert.equal(
        valueOf('kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="internal"}'),
        1,
      );
      assert.equal(valueOf('kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv4"}'), 0);
    });
  });
});
