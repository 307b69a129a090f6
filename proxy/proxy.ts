/** The node's network agent: Service rules, routes to other nodes' pods, the CNI configuration. */
import type { Clock, Rand } from '../base/clock.ts';
import { createExec, findProgram, type Exec } from '../base/exec.ts';
import type { Logger } from '../base/log.ts';
import type { DeepReadonly, Node } from '../api/types.ts';
import { createClient } from '../client/client.ts';
import { createInformer, type Informer } from '../client/informer.ts';
import { followKubeconfig, loadKubeconfig } from '../client/kubeconfig.ts';
import { endpointSlices, nodes as nodeResource, services as serviceResource } from '../client/resources.ts';
import { createProxyHealth, createServiceHealth } from './health.ts';
import { cniConfig, writeCniConfig } from './network/cni.ts';
import { desiredRoutes, egressRules, internalIp, syncRoutes } from './network/routes.ts';
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
  const client = createClient({ ...loadKubeconfig(options.kubeconfig), userAgent: 'kube-proxy' });
  const followed = followKubeconfig(options.kubeconfig, { clock, logger, changed: (c) => client.reconnect(c) });
  const common = { client, ...deps };
  const nodes = createInformer(nodeResource, common);
  followNodes(nodes, options, deps, exec);
  nodes.start();
  if (options.routesOnly)
    return {
      async stop() {
        nodes.stop();
        followed.close();
        client.close();
      },
    };

  const services = createInformer(serviceResource, { ...common, transform: slimService });
  const slices = createInformer(endpointSlices, {
    ...common,
    labelSelector: '!service.kubernetes.io/headless',
    indexers: slicesByService,
    transform: slimSlice,
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
    checked: (ports) => health.update(ports),
  });
  const vips = options.loadBalancerCidrs.length
    ? startVips({ ...deps, services, slices, nodes, nodeName: options.nodeName, pool: options.loadBalancerCidrs, exec })
    : undefined;
  services.start();
  slices.start();
  const colon = options.healthzBindAddress.lastIndexOf(':');
  const own = createProxyHealth({
    host: options.healthzBindAddress.slice(0, colon),
    port: Number(options.healthzBindAddress.slice(colon + 1)),
    healthy: () => ({
      ok: sync.waitingSince === 0 || clock.now() - sync.waitingSince < UNHEALTHY_MS,
      lastUpdated: sync.lastRun,
      now: clock.now(),
    }),
    logger,
  });
  return {
    async stop() {
      sync.stop();
      policies.stop();
      vips?.stop();
      for (const i of [nodes, services, slices]) i.stop();
      followed.close();
      client.close();
      own.close();
      await health.close();
    },
  };
}

/** Routes and the CNI configuration follow the Node objects. */
function followNodes(nodes: Informer<Node>, options: ProxyOptions, deps: Deps, exec: Exec): void {
  const { clock, logger } = deps;
  const self = options.routesOnly ? undefined : options.nodeName;
  let wanted = false;
  let busy = false;
  let egress = '';

  async function apply(): Promise<void> {
    await syncRoutes(exec, desiredRoutes(nodes.list(), self), logger);
    const own = self === undefined ? undefined : nodes.get(self);
    const podCidrs = own?.spec?.podCIDRs ?? (own?.spec?.podCIDR ? [own.spec.podCIDR] : []);
    if (podCidrs.length === 0) return;
    const addresses = nodes.list().flatMap((n) => [internalIp(n), internalIp(n, true)].filter((a) => a !== undefined));
    const text = egressRules(podCidrs, options.clusterCidrs, addresses);
    if (text !== egress) await exec('nft', ['-f', '-'], { input: text });
    egress = text;
    if (options.cniConfDir !== '') {
      const config = cniConfig({
        podCidrs,
        dataDir: options.cniDataDir,
        bandwidth: findProgram('bandwidth') !== undefined,
      });
      if (writeCniConfig(options.cniConfDir, config)) logger.info('CNI configuration written', { podCidrs });
    }
  }
  function schedule(): void {
    wanted = true;
    if (busy) return;
    busy = true;
    void (async () => {
      while (wanted) {
        wanted = false;
        await nodes.synced();
        await apply().catch(async (error: unknown) => {
          logger.error('network of the node could not be set up', { error });
          wanted = true;
          await clock.sleep(1_000);
        });
      }
      busy = false;
    })();
  }
  const facts = (n: DeepReadonly<Node>) => JSON.stringify([n.spec?.podCIDRs, n.status?.addresses]);
  nodes.on({ added: schedule, updated: (n, old) => facts(n) !== facts(old) && schedule(), deleted: schedule });
}
