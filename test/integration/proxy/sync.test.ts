/** The proxy's sync from an API server to the rules of a kernel's network namespace. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { systemClock, systemRand } from '../../../base/clock.ts';
import { CommandError, createExec, type Exec } from '../../../base/exec.ts';
import { silentLogger } from '../../../base/log.ts';
import { MetricsRegistry } from '../../../base/metrics.ts';
import { createInformer } from '../../../client/informer.ts';
import {
  endpointSlices,
  networkPolicies,
  nodes as nodeResource,
  pods,
  serviceAccounts,
  services as serviceResource,
} from '../../../client/resources.ts';
import { startPolicies } from '../../../proxy/policy/sync.ts';
import { slicesByService } from '../../../proxy/rules/translate.ts';
import { slimService, slimSlice } from '../../../proxy/slim.ts';
import { startSync } from '../../../proxy/sync.ts';
import { eventually } from '../../support/wait.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

const NS = `k8ts-sync${process.pid}`;
const plain = createExec({ clock: systemClock, logger: silentLogger });
/** Texts that nft is not to take, as of a kernel that lacks something. */
const refused = new Set<string>();
const exec: Exec = async (command, args, o) => {
  const input = String(o?.input ?? '');
  if (command === 'nft' && [...refused].some((text) => input.includes(text)))
    throw new CommandError([command, ...args], 1, '', 'Error: Could not process rule');
  return plain('ip', ['netns', 'exec', NS, command, ...args], o);
};

describe('the sync of Services and NetworkPolicies', () => {
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
    const policies = startPolicies({ ...common, nodes, nodeName: 'n1', families: [4], exec });
    const informers = [services, slices, nodes];
    for (const i of informers) i.start();
    stop = () => {
      loop.stop();
      policies.stop();
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

  it('goes on without a Service that nftables does not take, until it changes', async () => {
    refused.add('10.96.0.66');
    await service('broken', '10.96.0.66');
    await slice('broken', '10.244.1.66');
    await service('sound', '10.96.0.67');
    await slice('sound', '10.244.1.67');
    await leads('10.96.0.67', '10.244.1.67');
    // and so it does when the broken one's endpoints come and go
    await server.client.patch(endpointSlices, 'broken', 'merge', { endpoints: [] }, { namespace: 'default' });
    await service('later', '10.96.0.68');
    await slice('later', '10.244.1.68');
    await leads('10.96.0.68', '10.244.1.68');
    assert.ok(!(await rules()).includes('10.96.0.66'));
    refused.clear();
    await server.client.patch(
      endpointSlices,
      'broken',
      'merge',
      { endpoints: [{ addresses: ['10.244.1.69'], conditions: { ready: true } }] },
      { namespace: 'default' },
    );
    await leads('10.96.0.66', '10.244.1.69');
  });

  it('lets a policy that nftables does not take isolate and allow nothing, and puts the others into force', async () => {
    const { client } = server;
    await client.create(nodeResource, { metadata: { name: 'n1' }, spec: { podCIDR: '10.244.0.0/24' } });
    await client.create(serviceAccounts, { metadata: { name: 'default', namespace: 'default' } });
    for (const [app, ip] of [
      ['a', '10.244.0.11'],
      ['b', '10.244.0.12'],
    ] as const) {
      const pod = await client.create(pods, {
        metadata: { name: app, namespace: 'default', labels: { app } },
        spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'i' }] },
      });
      await client.updateStatus(pods, { ...pod, status: { phase: 'Running', podIP: ip, podIPs: [{ ip }] } });
    }
    refused.add('192.0.2.0/24');
    const policy = (app: string, cidr: string) =>
      client.create(networkPolicies, {
        metadata: { name: app, namespace: 'default' },
        spec: {
          podSelector: { matchLabels: { app } },
          policyTypes: ['Ingress'],
          ingress: [{ from: [{ ipBlock: { cidr } }] }],
        },
      });
    await policy('a', '192.0.2.0/24');
    await policy('b', '198.51.100.0/24');
    await eventually(async () => {
      const table = await exec('nft', ['list', 'table', 'ip', 'k8ts-policy']);
      assert.match(table, /ip saddr 198\.51\.100\.0\/24 accept/);
      const chain = /10\.244\.0\.11 : goto (ingress-\w+)/.exec(table)?.[1];
      assert.ok(chain, table);
      assert.ok(table.includes(`chain ${chain} {\n\t\tdrop\n`), table);
    });
  });
});
