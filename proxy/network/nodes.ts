/** Routes, the overlay, the way out and the CNI configuration follow the Node objects. */
import type { Clock } from '../../base/clock.ts';
import { findProgram, type Exec } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, Node } from '../../api/types.ts';
import type { Informer } from '../../client/informer.ts';
import { createLoop } from '../loop.ts';
import type { ProxyOptions } from '../options.ts';
import { inRanges } from './addresses.ts';
import { cniConfig, writeCniConfig } from './cni.ts';
import { macOf, overhead, syncOverlay } from './overlay.ts';
import { egressRules, internalIp, planNetwork, podCidrsOf, syncRoutes } from './routes.ts';

interface Link {
  ifname: string;
  mtu: number;
  addr_info: { local?: string; prefixlen?: number }[];
}

export type NetworkOptions = Pick<
  ProxyOptions,
  'routesOnly' | 'nodeName' | 'clusterCidrs' | 'cniConfDir' | 'cniDataDir' | 'network'
>;

/** Starts following; `nodes` is started by the caller. */
export function followNodes(
  nodes: Informer<Node>,
  options: NetworkOptions,
  deps: { clock: Clock; logger: Logger },
  exec: Exec,
): { stop(): void } {
  const { clock, logger } = deps;
  const self = options.routesOnly ? undefined : options.nodeName;
  let egress = '';

  async function apply(): Promise<void> {
    await nodes.synced();
    const own = self === undefined ? undefined : nodes.get(self);
    const ownIp = own && (internalIp(own) ?? internalIp(own, true));
    if (self !== undefined && !ownIp) return; // not registered yet
    const links = JSON.parse(await exec('ip', ['-j', 'addr', 'show'])) as Link[];
    const near = inRanges(
      links.flatMap((l) => l.addr_info.map((a) => `${a.local}/${a.prefixlen}`)).filter((c) => !/\/(32|128)$/.test(c)),
    );
    const { routes, peers } = planNetwork(nodes.list(), self, options.network, near);
    const podCidrs = podCidrsOf(own);
    const below = links.find((l) => l.addr_info.some((a) => a.local === ownIp))?.mtu;
    const mtu = below && (peers.length || options.network === 'vxlan') ? below - overhead(ownIp!) : below;
    await syncOverlay(exec, {
      mac: ownIp && macOf(ownIp),
      ends: podCidrs.map((c) => c.split('/')[0]!),
      mtu,
      peers,
    });
    await syncRoutes(exec, routes, logger);
    if (podCidrs.length === 0) return;
    const addresses = nodes.list().flatMap((n) => [internalIp(n), internalIp(n, true)].filter((a) => a !== undefined));
    const text = egressRules(podCidrs, options.clusterCidrs, addresses);
    if (text !== egress) await exec('nft', ['-f', '-'], { input: text });
    egress = text;
    if (options.cniConfDir === '') return;
    const bandwidth = findProgram('bandwidth') !== undefined;
    const config = cniConfig({ podCidrs, dataDir: options.cniDataDir, bandwidth, mtu });
    if (writeCniConfig(options.cniConfDir, config)) logger.info('CNI configuration written', { podCidrs, mtu });
  }
  const loop = createLoop({
    clock,
    minPeriodMs: 0,
    run: apply,
    failed: (error) => logger.error('network of the node could not be set up', { error }),
  });
  const facts = (n: DeepReadonly<Node>) => JSON.stringify([podCidrsOf(n), n.status?.addresses]);
  nodes.on({
    added: loop.trigger,
    updated: (n, old) => void (facts(n) !== facts(old) && loop.trigger()),
    deleted: loop.trigger,
  });
  return { stop: () => loop.stop() };
}
