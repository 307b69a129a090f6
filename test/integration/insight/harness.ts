/** An API server with aggregation, a scheduler, insight, and kubelets that report whatever a test says. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrapHooks } from '../../../apiserver/bootstrap/hooks.ts';
import { extensionHooks } from '../../../apiserver/extensions/index.ts';
import type { KubeObject } from '../../../api/types.ts';
import { systemClock, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { createAuthority, issue, type Identity } from '../../../base/pki.ts';
import type { Client } from '../../../client/client.ts';
import { dynamicResource, services } from '../../../client/resources.ts';
import { INSIGHT_HOST, INSIGHT_SERVICE, INSIGHT_USER, insightAccess } from '../../../deploy/manifests/insight.ts';
import { start as startInsight, type InsightOptions } from '../../../insight/start.ts';
import { startTestServer, testAuthority, type TestServer } from '../apiserver/harness.ts';

const DAY = 86_400_000;
const validity = () => ({ notBefore: Date.now() - DAY, notAfter: Date.now() + DAY });

/** Server options that let the API server pass requests on, and the files behind them. */
export function aggregation(): { hooks: ReturnType<typeof bootstrapHooks>; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), 'front-proxy-'));
  const ca = createAuthority({ commonName: 'front-proxy-ca', ...validity() });
  const proxy = issue(ca, {
    subject: { commonName: 'front-proxy-client' },
    extendedUsages: ['client auth'],
    ...validity(),
  });
  writeFileSync(join(dir, 'proxy.crt'), proxy.cert);
  writeFileSync(join(dir, 'proxy.key'), proxy.key);
  const requestHeader = {
    clientCa: ca.cert,
    allowedNames: ['front-proxy-client'],
    usernameHeaders: ['X-Remote-User'],
    groupHeaders: ['X-Remote-Group'],
    uidHeaders: [],
    extraHeaderPrefixes: ['X-Remote-Extra-'],
  };
  return {
    hooks: [
      ...bootstrapHooks({ serviceCidrs: ['10.96.0.0/16'], clientCa: testAuthority().cert, requestHeader }),
      ...extensionHooks({ proxyFiles: { cert: join(dir, 'proxy.crt'), key: join(dir, 'proxy.key') } }),
    ],
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}
/** A Service that leads to a port of this machine. */
export const localService = (client: Client, namespace: string, name: string, port: number) =>
  client.create(services, {
    metadata: { name, namespace },
    spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port }] },
  });

/** Resolves when the API server passes requests of a group version on. */
export async function untilAvailable(client: Client, name: string): Promise<void> {
  const ref = dynamicResource('apiregistration.k8s.io', 'v1', 'apiservices', 'APIService', false);
  type Status = { status?: { conditions?: { type: string; status: string }[] } };
  for await (const e of client.watch(ref, { fieldSelector: `metadata.name=${name}` }))
    if ((e.object as Status).status?.conditions?.some((c) => c.type === 'Available' && c.status === 'True')) return;
}

/** Asks again while the API server takes the server behind it for unavailable, as it may on a busy machine. */
export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let i = 0; ; i++) {
    try {
      return await ask();
    } catch (error) {
      if ((error as { code?: number }).code !== 503 || i === 300) throw error;
      await systemClock.sleep(100);
    }
  }
}

/** A certificate for a server of this machine. */
export function servingIdentity(...dns: string[]): { ca: Identity; serving: Identity } {
  const ca = createAuthority({ commonName: 'extension-ca', ...validity() });
  const altNames = { dns };
  return {
    ca,
    serving: issue(ca, { subject: { commonName: dns[0]! }, altNames, extendedUsages: ['server auth'], ...validity() }),
  };
}

export interface InsightCluster {
  readonly server: TestServer;
  readonly client: Client;
  /** What the kubelets answer to /metrics/resource. */
  report: string | (() => string);
  stop(): Promise<void>;
}

export async function startInsightCluster(
  more: Partial<InsightOptions> | ((server: TestServer) => Partial<InsightOptions>) = {},
): Promise<InsightCluster> {
  const front = aggregation();
  const server = await startTestServer({ hooks: front.hooks });
  const { client } = server;
  const { ca, serving } = servingIdentity(INSIGHT_HOST);
  const me = server.identity(INSIGHT_USER);
  const cluster: Pick<InsightCluster, 'report'> = { report: '' };
  const kubelet: Server = createServer({ ...serving, ca: server.ca, requestCert: true }, (req, res) => {
    res
      .writeHead(req.url === '/metrics/resource' ? 200 : 404, { 'Content-Type': 'text/plain' })
      .end(typeof cluster.report === 'string' ? cluster.report : cluster.report());
  });
  await new Promise<void>((resolve) => kubelet.listen(0, '127.0.0.1', resolve));
  const insight = await (async () => {
    for (const o of insightAccess(ca.cert)) if (o.kind !== 'APIService') await apply(client, o);
    return startInsight({
      client: server.clientAs({ cert: me.cert, key: me.key }),
      clock: systemClock,
      rand: systemRand,
      logger: silentLogger,
      address: '127.0.0.1',
      port: 0,
      tls: serving,
      resolutionMs: 50,
      kubelet: {
        ...me,
        // All nodes share one kubelet.
        locate: () => `https://127.0.0.1:${(kubelet.address() as AddressInfo).port}`,
      },
      ...(typeof more === 'function' ? more(server) : more),
    });
  })();
  await localService(client, 'kube-system', INSIGHT_SERVICE, insight.port);
  for (const o of insightAccess(ca.cert, insight.port)) if (o.kind === 'APIService') await apply(client, o);
  await Promise.all(['v1beta1.metrics.k8s.io', 'v1.explain.k8ts.io'].map((n) => untilAvailable(client, n)));
  return Object.assign(cluster, {
    server,
    client,
    async stop() {
      await insight.stop();
      await server.stop();
      kubelet.closeAllConnections();
      await new Promise<void>((resolve) => kubelet.close(() => resolve()));
      front.remove();
    },
  });
}

/** Creates a manifest's object. */
export async function apply(client: Client, o: KubeObject): Promise<void> {
  const [group, version] = o.apiVersion!.includes('/') ? (o.apiVersion!.split('/') as [string, string]) : ['', 'v1'];
  const { namespace } = o.metadata!;
  const plural = `${o.kind!.toLowerCase()}s`;
  await client.create(dynamicResource(group, version, plural, o.kind!, namespace !== undefined), o);
}
