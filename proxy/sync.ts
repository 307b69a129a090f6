/** Keeps the kernel's rules in step with the API: watches, coalesces, applies what changed in one transaction each. */
import type { Clock } from '../base/clock.ts';
import type { Exec } from '../base/exec.ts';
import type { Logger } from '../base/log.ts';
import type { DeepReadonly, EndpointSlice, Node, Service } from '../api/types.ts';
import { keyOf, splitKey, type Informer } from '../client/informer.ts';
import { cleanUpConnections } from './conntrack.ts';
import { createLoop, type Loop } from './loop.ts';
import { serviceRules } from './rules/desired.ts';
import type { NodeView, ServicePort } from './rules/model.ts';
import { RuleState } from './rules/state.ts';
import { servicePorts, serviceOfSlice } from './rules/translate.ts';

export interface SyncOptions {
  services: Informer<Service>;
  /** With an index `service`. */
  slices: Informer<EndpointSlice>;
  nodes: Informer<Node>;
  nodeName: string;
  clusterCidrs: readonly string[];
  masqueradeAll: boolean;
  nodePortAddresses: readonly string[];
  families: readonly (4 | 6)[];
  exec: Exec;
  clock: Clock;
  logger: Logger;
  /** Least milliseconds between two transactions; defaults to 50. */
  minPeriodMs?: number;
  /** Called after a transaction with the ports that have a healthCheckNodePort. */
  checked?(ports: readonly ServicePort[]): void;
}

/** Starts the sync; the loop's times tell how it does. */
export function startSync(options: SyncOptions): Loop {
  const { services, slices, nodes, exec, clock, logger } = options;
  const dirty = new Set<string>();
  /** Ports whose connections may have to be forgotten, by Service: those over UDP. */
  const udp = new Map<string, readonly ServicePort[]>();
  /** Ports with a health check, by Service. */
  const checked = new Map<string, readonly ServicePort[]>();
  let states: Map<4 | 6, RuleState> | undefined;
  let zone = '';

  const touch = (key: string | undefined) => {
    if (key === undefined) return;
    dirty.add(key);
    loop.trigger();
  };
  services.on({ added: (s) => touch(keyOf(s)), updated: (s) => touch(keyOf(s)), deleted: (s) => touch(keyOf(s)) });
  slices.on({
    added: (s) => touch(serviceOfSlice(s)),
    updated(s, old) {
      touch(serviceOfSlice(s));
      touch(serviceOfSlice(old));
    },
    deleted: (s) => touch(serviceOfSlice(s)),
  });
  const zoneOf = (n: DeepReadonly<Node> | undefined) => n?.metadata?.labels?.['topology.kubernetes.io/zone'] ?? '';
  const self = (n: DeepReadonly<Node>) => {
    if (n.metadata?.name !== options.nodeName || zoneOf(n) === zone) return;
    zone = zoneOf(n);
    for (const s of services.list()) dirty.add(keyOf(s));
    loop.trigger();
  };
  nodes.on({ added: self, updated: self });

  const viewOf = (family: 4 | 6): NodeView => ({
    name: options.nodeName,
    zone,
    clusterCidr: options.clusterCidrs.find((c) => c.includes(':') === (family === 6)) ?? '',
    family,
    masqueradeAll: options.masqueradeAll,
    nodePortAddresses: options.nodePortAddresses,
  });

  async function sync(): Promise<void> {
    await Promise.all([services.synced(), slices.synced()]);
    const began = clock.monotonic();
    const all = states === undefined;
    const current = (states ??= new Map(options.families.map((f) => [f, new RuleState(viewOf(f))] as const)));
    const keys = all ? services.list().map(keyOf) : [...dirty];
    dirty.clear();
    const before: ServicePort[] = [];
    const after: ServicePort[] = [];
    let checksChanged = all;
    for (const key of keys) {
      const { name, namespace } = splitKey(key);
      const service = services.get(name, namespace);
      const list = service ? slices.byIndex('service', key) : [];
      const ports: ServicePort[] = [];
      for (const [family, state] of current) {
        const mine = service ? servicePorts(service, list, family) : [];
        state.replace(key, mine.length ? serviceRules(mine, viewOf(family)) : undefined);
        ports.push(...mine);
      }
      before.push(...(udp.get(key) ?? []));
      const connectionless = ports.filter((p) => p.protocol === 'udp');
      after.push(...connectionless);
      const set = (map: Map<string, readonly ServicePort[]>, value: readonly ServicePort[]) =>
        value.length ? map.set(key, value) : map.delete(key);
      set(udp, connectionless);
      const health = ports.filter((p) => p.healthCheckNodePort !== 0);
      if (health.length || checked.has(key)) checksChanged = true;
      set(checked, health);
    }
    for (const state of current.values()) {
      const text = state.take();
      if (text !== '') await exec('nft', ['-f', '-'], { input: text, timeoutMs: 60_000 });
    }
    if (checksChanged) options.checked?.([...checked.values()].flat());
    await cleanUpConnections(exec, all ? [] : before, after).catch((error: unknown) =>
      // the rules stand; the worst is a client that stays with a backend that left until its entry runs out
      logger.warn('stale connections could not be forgotten', { error }),
    );
    logger.debug('synced', { changed: keys.length, ms: Math.round(clock.monotonic() - began) });
  }

  const loop = createLoop({
    clock,
    minPeriodMs: options.minPeriodMs ?? 50,
    run: sync,
    failed(error) {
      logger.error('rules could not be applied; all of them are written again', { error });
      states = undefined;
      udp.clear();
    },
  });
  loop.trigger();
  return loop;
}
