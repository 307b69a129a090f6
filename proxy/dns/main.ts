/** The cluster's name server: runs as a pod, or beside the cluster with --kubeconfig. */
import { parseArgs } from 'node:util';
import { systemClock, systemRand } from '../../base/clock.ts';
import { tidyWhenQuiet } from '../../base/lean.ts';
import { createLogger } from '../../base/log.ts';
import { createInformer } from '../../client/informer.ts';
import { createPodClient } from '../../client/in-cluster.ts';
import {
  configMaps,
  endpointSlices,
  namespaces as namespaceResource,
  services as serviceResource,
} from '../../client/resources.ts';
import { upstreamsOf } from './forward.ts';
import { slimNamespace, slimService, slimSlice } from '../slim.ts';
import { createDnsMetrics } from './metrics.ts';
import { forwardingOf, SETTINGS } from './settings.ts';
import { startDnsServer, startDnsStatus } from './server.ts';
import { createZone, serviceIndexers, sliceIndexers } from './zone.ts';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      kubeconfig: { type: 'string' },
      'cluster-domain': { type: 'string', default: 'cluster.local' },
      upstream: { type: 'string', default: '/etc/resolv.conf' },
      port: { type: 'string', default: '53' },
      'bind-address': { type: 'string' },
      'status-port': { type: 'string', default: '8181' },
      'metrics-port': { type: 'string', default: '9153' },
    },
  });
  const clock = systemClock;
  const logger = createLogger({ clock, component: 'dns' });
  const client = createPodClient({
    kubeconfig: values.kubeconfig,
    env: process.env,
    userAgent: 'k8ts-dns',
    clock,
    logger,
  });
  const common = { client, clock, rand: systemRand, logger };
  const services = createInformer(serviceResource, { ...common, indexers: serviceIndexers, transform: slimService });
  const slices = createInformer(endpointSlices, { ...common, indexers: sliceIndexers, transform: slimSlice });
  const namespaces = createInformer(namespaceResource, { ...common, transform: slimNamespace });
  const informers = [services, slices, namespaces];
  const zone = createZone(values['cluster-domain'], { services, slices, namespaces });
  const metrics = createDnsMetrics(clock);
  const resolvers = upstreamsOf(values.upstream);
  const complain = (what: string) => logger.warn('ConfigMap kube-system/kube-dns', { what });
  const settings = createInformer(configMaps, {
    ...common,
    namespace: SETTINGS.namespace,
    fieldSelector: `metadata.name=${SETTINGS.name}`,
  });
  const server = await startDnsServer({
    zone,
    upstreams: forwardingOf(undefined, resolvers, complain),
    metrics,
    port: Number(values.port),
    host: values['bind-address'],
    clock,
    logger,
  });
  const status = startDnsStatus({
    ready: () => informers.every((i) => i.hasSynced),
    metrics,
    statusPort: Number(values['status-port']),
    metricsPort: Number(values['metrics-port']),
    logger,
  });
  const reread = () => server.forwardTo(forwardingOf(settings.list()[0], resolvers, complain));
  settings.on({ added: reread, updated: reread, deleted: reread });
  for (const i of [...informers, settings]) i.start();
  tidyWhenQuiet(clock);
  logger.info('listening', { port: server.port, upstreams: resolvers, domain: zone.domain });
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => {
      status.close();
      void server.close().then(() => process.exit(0));
    });
}

if (import.meta.main)
  main().catch((error: unknown) => {
    process.stderr.write(`dns: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  });
