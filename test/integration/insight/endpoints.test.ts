import assert from 'node:assert/strict';
import type { EndpointSlice } from '../../../api/types.ts';
import { systemClock, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { endpointSlices } from '../../../client/resources.ts';
import {
  INSIGHT_NAMESPACE as namespace,
  INSIGHT_SERVICE,
  INSIGHT_USER,
  insightAccess,
} from '../../../deploy/manifests/insight.ts';
import { publishEndpoints } from '../../../insight/endpoints.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';
import { apply } from './harness.ts';

describe('the way to insight', function () {
  let server: TestServer;
  const publishers: { stop(): void }[] = [];
  before(async () => {
    server = await startTestServer();
    for (const o of insightAccess('')) if (o.kind !== 'APIService') await apply(server.client, o);
  });
  after(async () => {
    for (const p of publishers) p.stop();
    await server.stop();
  });

  const slice = (name: string, service: string, family: string, addresses: string[], by?: string): EndpointSlice => ({
    metadata: {
      name,
      labels: {
        'kubernetes.io/service-name': service,
        ...(by && { 'endpointslice.kubernetes.io/managed-by': by }),
      },
    },
    addressType: family,
    endpoints: addresses.map((a) => ({ addresses: [a] })),
    ports: [{ name: 'https', port: 6443, protocol: 'TCP' }],
  });
  const shown = async (): Promise<Record<string, string[]>> => {
    const { items } = await server.client.list(endpointSlices, { namespace });
    return Object.fromEntries(
      items.map((s) => [`${s.metadata!.name}:${s.ports![0]!.port}`, s.endpoints!.flatMap((e) => e.addresses)]),
    );
  };
  async function until(wanted: Record<string, string[]>): Promise<void> {
    let now: Record<string, string[]> = {};
    for (let i = 0; i < 600; i++) {
      now = await shown();
      if (JSON.stringify(now) === JSON.stringify(wanted)) return;
      await systemClock.sleep(50);
    }
    assert.deepEqual(now, wanted);
  }

  it('leads to the servers that are there, whoever of them writes it', async () => {
    const { client } = server;
    const write = (s: EndpointSlice, ns: string) =>
      client.patch(endpointSlices, s.metadata!.name!, 'apply', s, { namespace: ns, fieldManager: 'test', force: true });
    const servers = (addresses: string[]) =>
      write(
        {
          apiVersion: 'discovery.k8s.io/v1',
          kind: 'EndpointSlice',
          ...slice('kubernetes', 'kubernetes', 'IPv4', addresses),
        },
        'default',
      );
    const left = slice('k8ts-insight-192-0-2-9', INSIGHT_SERVICE, 'IPv4', ['192.0.2.9'], 'k8ts');
    await client.create(endpointSlices, { ...left, metadata: { ...left.metadata, namespace } });
    const foreign = slice('other', INSIGHT_SERVICE, 'IPv4', ['192.0.2.8'], 'somebody');
    await client.create(endpointSlices, { ...foreign, metadata: { ...foreign.metadata, namespace } });
    await servers(['192.0.2.1', '192.0.2.2']);

    const options = {
      client: server.clientAs({ name: INSIGHT_USER }),
      clock: systemClock,
      rand: systemRand,
      logger: silentLogger,
      service: { namespace, name: INSIGHT_SERVICE },
      port: 4443,
    };
    publishers.push(publishEndpoints(options), publishEndpoints(options));
    const other = { 'other:6443': ['192.0.2.8'] };
    await until({ 'k8ts-insight:4443': ['192.0.2.1', '192.0.2.2'], ...other });
    await servers(['192.0.2.1']);
    await until({ 'k8ts-insight:4443': ['192.0.2.1'], ...other });
    await servers(['192.0.2.3', '192.0.2.1']);
    await until({ 'k8ts-insight:4443': ['192.0.2.1', '192.0.2.3'], ...other });
    await client.delete(endpointSlices, INSIGHT_SERVICE, { namespace });
    await until({ 'k8ts-insight:4443': ['192.0.2.1', '192.0.2.3'], ...other });
    const six = slice('kubernetes-6', 'kubernetes', 'IPv6', ['2001:db8::1']);
    await client.create(endpointSlices, { ...six, metadata: { ...six.metadata, namespace: 'default' } });
    await until({
      'k8ts-insight:4443': ['192.0.2.1', '192.0.2.3'],
      'k8ts-insight-ipv6:4443': ['2001:db8::1'],
      ...other,
    });
  });
});
