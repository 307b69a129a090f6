/** Follows the API, keeps the table of routes, serves, and writes where Ingresses can be reached into their status. */
import http from 'node:http';
import type { Clock, Rand } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { MetricsRegistry, processMetrics } from '../../base/metrics.ts';
import type { DeepReadonly, Service } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { createInformer, keyOf, splitKey, type Informer } from '../../client/informer.ts';
import {
  endpointSlices,
  ingressClasses,
  ingresses as ingressResource,
  secrets as secretResource,
  services as serviceResource,
} from '../../client/resources.ts';
import { createLoop } from '../loop.ts';
import { slicesByService } from '../rules/translate.ts';
import { createBackends } from './backends.ts';
import { createCertificates, selfSigned } from './certificates.ts';
import { startIngressServer } from './server.ts';
import { buildTable, ownIngresses, type Ingress, type Table } from './table.ts';

export interface IngressOptions {
  client: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
  /** The address to listen at; undefined for all of both families. */
  host: string | undefined;
  httpPort: number;
  httpsPort: number;
  /** Port of /healthz, /readyz and /metrics. */
  statusPort: number;
  /** The Service (namespace/name) whose addresses Ingresses are reached at; '' for none. */
  publishService: string;
}

export interface IngressController {
  readonly httpPort: number;
  readonly httpsPort: number;
  readonly statusPort: number;
  /** Resolves when everything that there is has been read. */
  synced(): Promise<void>;
  stop(graceMs: number): Promise<void>;
}

type Addresses = NonNullable<NonNullable<NonNullable<Ingress['status']>['loadBalancer']>['ingress']>;

/** Where a Service's clients find it, in the form of an Ingress' status. Pure. */
function publishedAddresses(service: DeepReadonly<Service> | undefined): Addresses {
  const out: Addresses = [];
  for (const i of service?.status?.loadBalancer?.ingress ?? [])
    out.push({ ...(i.ip ? { ip: i.ip } : {}), ...(i.hostname ? { hostname: i.hostname } : {}) });
  for (const ip of service?.spec?.externalIPs ?? []) out.push({ ip });
  return out;
}

/** Resolves when it serves; the first table may still be empty. */
export async function startIngress(options: IngressOptions): Promise<IngressController> {
  const { client, clock, rand, logger } = options;
  const common = { client, clock, rand, logger };
  const ingresses = createInformer(ingressResource, common);
  const classes = createInformer(ingressClasses, common);
  const services = createInformer(serviceResource, common);
  const slices = createInformer(endpointSlices, { ...common, indexers: slicesByService });
  const secrets = createInformer(secretResource, { ...common, fieldSelector: 'type=kubernetes.io/tls' });
  const informers = [ingresses, classes, services, slices, secrets] as Informer<object>[];
  const metrics = new MetricsRegistry();
  processMetrics(metrics, clock.now());

  let own: DeepReadonly<Ingress>[] = [];
  let table: Table = buildTable([]);
  let stale = true;
  /** Worked out when first needed after a change, however many changes there were. */
  const current = (): Table => {
    if (stale) {
      own = ownIngresses(ingresses.list(), classes.list());
      table = buildTable(own);
      stale = false;
    }
    return table;
  };
  const publisher = createLoop({
    clock,
    minPeriodMs: 200,
    retryMs: 2_000,
    run: publish,
    failed: (error) => logger.warn('status of an Ingress could not be written', { error }),
  });
  async function publish(): Promise<void> {
    if (options.publishService === '' || !informers.every((i) => i.hasSynced)) return;
    const { name, namespace } = splitKey(options.publishService);
    const wanted = publishedAddresses(services.get(name, namespace));
    current();
    for (const i of own) {
      const have = (i.status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => [ip, hostname]);
      if (JSON.stringify(have) === JSON.stringify(wanted.map((w) => [w.ip, w.hostname]))) continue;
      await client.patch(
        ingressResource,
        i.metadata?.name ?? '',
        'merge',
        { status: { loadBalancer: { ingress: wanted.length ? wanted : null } } },
        { namespace: i.metadata?.namespace, subresource: 'status' },
      );
    }
  }
  const changed = () => {
    stale = true;
    publisher.trigger();
  };
  for (const i of [ingresses, classes] as Informer<object>[])
    i.on({ added: changed, updated: changed, deleted: changed });
  const published = (s: DeepReadonly<Service>) => void (keyOf(s) === options.publishService && publisher.trigger());
  services.on({ added: published, updated: published, deleted: published });

  const server = await startIngressServer({
    ...common,
    table: current,
    backends: createBackends(services, slices),
    context: createCertificates(secrets, current, logger),
    fallbackCertificate: selfSigned(clock),
    metrics,
    host: options.host,
    httpPort: options.httpPort,
    httpsPort: options.httpsPort,
  });
  let ending = false;
  const ready = () => !ending && informers.every((i) => i.hasSynced);
  const status = http.createServer((req, res) => {
    if (req.url === '/healthz') res.writeHead(200).end('ok');
    else if (req.url === '/readyz') res.writeHead(ready() ? 200 : 503).end(ready() ? 'ok' : 'not ready');
    else if (req.url === '/metrics')
      res.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' }).end(metrics.text());
    else res.writeHead(404).end();
  });
  await new Promise<void>((resolve, reject) => {
    status.once('error', reject);
    status.listen(options.statusPort, options.host, resolve);
  });
  for (const i of informers) i.start();
  const address = status.address();
  return {
    httpPort: server.httpPort,
    httpsPort: server.httpsPort,
    statusPort: address && typeof address === 'object' ? address.port : options.statusPort,
    async synced() {
      await Promise.all(informers.map((i) => i.synced()));
    },
    async stop(graceMs) {
      ending = true;
      publisher.stop();
      await server.close(graceMs);
      status.close();
      for (const i of informers) i.stop();
    },
  };
}
