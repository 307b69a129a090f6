/** The node's network agent: Service rules, routes to other nodes' pods, the CNI configuration. */
import { availableParallelism } from 'node:os';
import type { Clock, Rand } from '../base/clock.ts';
import { createExec } from '../base/exec.ts';
import type { Logger } from '../base/log.ts';
import { MetricsRegistry } from '../base/metrics.ts';
import { createClient } from '../client/client.ts';
import { createInformer } from '../client/informer.ts';
import { followKubeconfig, loadKubeconfig } from '../client/kubeconfig.ts';
import { createRequestMetrics } from '../client/metrics.ts';
import { endpointSlices, nodes as nodeResource, services as serviceResource } from '../client/resources.ts';
import { createProxyHealth, createProxyMetrics, createServiceHealth } from './health.ts';
import { applyConntrackSettings, conntrackSettings } from './limits.ts';
import { followNodes } from './network/nodes.ts';
import { startVips } from './network/vips.ts';
import type { ProxyOptions } from './options.ts';
import { startPolicies } from './policy/sync.ts';
import { slicesByService } from './rules/translate.ts';
import { slimService, slimSlice } from './slim.ts';
import { startSync } from './sync.ts';

export interface Deps {
  clock: Clock;
  rand: Rand;
  logger: Logger;
}

const UNHEALTHY_MS = 60_000;

/** Starts the agent; what it has told the kernel stays when it stops. */
export async function start(options: ProxyOptions, deps: Deps): Promise<{ stop(): Promise<void> }> {
  const { clock, logger } = deps;
  const exec = createExec(deps);
  const startedAt = clock.now();
  const registry = new MetricsRegistry();
  const client = createClient({
    ...loadKubeconfig(options.kubeconfig),
    userAgent: 'kube-proxy',
    metrics: createRequestMetrics(registry, clock),
  });
  const followed = followKubeconfig(options.kubeconfig, { clock, logger, changed: (c) => client.reconnect(c) });
  const common = { client, ...deps };
  const nodes = createInformer(nodeResource, common);
  const network = followNodes(nodes, options, deps, exec);
  nodes.start();
  if (options.routesOnly)
    return {
      async stop() {
        network.stop();
        nodes.stop();
        followed.close();
        client.close();
      },
    };

  applyConntrackSettings(conntrackSettings(options.conntrack, availableParallelism()), logger);
  const services = createInformer(serviceResource, { ...common, transform: slimService });
  const slices = createInformer(endpointSlices, {
    ...common,
    labelSelector: '!service.kubernetes.io/headless',
    indexers: slicesByService,
    transform: (s) => slimSlice(s, startedAt),
  });
  const families: (4 | 6)[] = options.clusterCidrs.some((c) => c.includes(':')) ? [4, 6] : [4];
  const policies = startPolicies({ ...common, nodes, nodeName: options.nodeName, families, exec });
  const health = createServiceHealth(options.nodeName, logger);
  const sync = startSync({
    services,
    slices,
    nodes,
    nodeName: options.nodeName,
    clusterCidrs: options.clusterCidrs,
    masqueradeAll: options.masqueradeAll,
    nodePortAddresses: options.nodePortAddresses,
    families,
    exec,
    clock,
    logger,
    registry,
    checked: (ports) => health.update(ports),
  });
  const vips = options.loadBalancerCidrs.length
    ? startVips({ ...deps, services, slices, nodes, nodeName: options.nodeName, pool: options.loadBalancerCidrs, exec })
    : undefined;
  services.start();
  slices.start();
  const own = createProxyHealth({
    ...hostAndPort(options.healthzBindAddress),
    healthy: () => ({
      ok: sync.waitingSince === 0 || clock.now() - sync.waitingSince < UNHEALTHY_MS,
      lastUpdated: sync.lastRun,
      now: clock.now(),
    }),
    registry,
    logger,
  });
  const metrics =
    options.metricsBindAddress === ''
      ? undefined
      : createProxyMetrics({
          ...hostAndPort(options.metricsBindAddress),
          registry,
          startedAt,
          logger,
        });
  return {
    async stop() {
      sync.stop();
      network.stop();
      policies.stop();
      vips?.stop();
      for (const i of [nodes, services, slices]) i.stop();
      followed.close();
      client.close();
      own.close();
      metrics?.close();
      await health.close();
    },
  };
}

function hostAndPort(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}
