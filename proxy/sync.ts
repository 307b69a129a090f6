/** Keeps the kernel's rules in step with the API: watches, coalesces, applies what changed in one transaction each. */
import type { Clock } from '../base/clock.ts';
import type { Exec } from '../base/exec.ts';
import type { Logger } from '../base/log.ts';
import type { MetricsRegistry } from '../base/metrics.ts';
import type { DeepReadonly, EndpointSlice, Node, Service } from '../api/types.ts';
import { keyOf, splitKey, type Informer } from '../client/informer.ts';
import { cleanUpConnections } from './conntrack.ts';
import { createLoop, type Loop } from './loop.ts';
import { createSyncMetrics, type WithoutLocal } from './metrics.ts';
import { serviceRules, type Fragment } from './rules/desired.ts';
import type { NodeView, ServicePort } from './rules/model.ts';
import { findRefused, isRefusal } from './rules/refused.ts';
import { RuleState } from './rules/state.ts';
import { chooseBackends, servicePorts, serviceOfSlice } from './rules/translate.ts';
import { triggerTime } from './slim.ts';

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
  registry: MetricsRegistry;
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
  /** Services that can't be served: the others go on without them until they change. */
  const leftOut = new Set<string>();
  let states: Map<4 | 6, RuleState> | undefined;
  let zone = '';

  /** Services with a Local policy that lack an endpoint here. */
  const withoutLocal = new Map<4 | 6, Map<string, WithoutLocal>>(options.families.map((f) => [f, new Map()]));
  const metrics = createSyncMetrics(options.registry, clock, options.families, (family) => {
    const sum = { internal: 0, external: 0 };
    for (const w of withoutLocal.get(family)!.values()) {
      sum.internal += w.internal;
      sum.external += w.external;
    }
    return sum;
  });

  const touch = (key: string | undefined) => {
    if (key === undefined) return;
    dirty.add(key);
    loop.trigger();
  };
  const serviceChanged = (s: DeepReadonly<Service>) => {
    metrics.serviceChanged();
    touch(keyOf(s));
  };
  const sliceChanged = (s: DeepReadonly<EndpointSlice>, at: number | undefined) => {
    const service = serviceOfSlice(s);
    if (service === undefined) return;
    metrics.sliceChanged(service, at);
    touch(service);
  };
  services.on({ added: serviceChanged, updated: serviceChanged, deleted: serviceChanged });
  slices.on({
    added: (s) => sliceChanged(s, triggerTime(s)),
    updated(s, old) {
      const at = triggerTime(s);
      sliceChanged(s, at === triggerTime(old) ? undefined : at);
      touch(serviceOfSlice(old));
    },
    deleted: (s) => sliceChanged(s, undefined),
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

  /** What a Service comes to in one family; nothing when it is gone. @throws when it can't be translated. */
  function translate(key: string, family: 4 | 6): { ports: ServicePort[]; rules: Fragment | undefined } {
    const { name, namespace } = splitKey(key);
    const service = services.get(name, namespace);
    const ports = service ? servicePorts(service, slices.byIndex('service', key), family) : [];
    return { ports, rules: ports.length ? serviceRules(ports, viewOf(family)) : undefined };
  }

  /** Whether nftables would take a table of these Services alone. */
  async function accepts(family: 4 | 6, keys: readonly string[]): Promise<boolean> {
    const state = new RuleState(viewOf(family));
    for (const key of keys) state.replace(key, translate(key, family).rules);
    try {
      await exec('nft', ['-c', '-f', '-'], { input: state.take(), timeoutMs: 60_000 });
      return true;
    } catch (error) {
      if (isRefusal(error)) return false;
      throw error;
    }
  }

  /** A Service in all families; undefined, which is told, when it can't be served. */
  async function serve(key: string): Promise<Map<4 | 6, ReturnType<typeof translate>> | undefined> {
    try {
      const out = new Map(options.families.map((f) => [f, translate(key, f)] as const));
      // one that was refused before must not hold up the others again
      if (leftOut.has(key))
        for (const f of options.families)
          if (!(await accepts(f, [key]))) throw new Error('nftables does not take its rules');
      leftOut.delete(key);
      return out;
    } catch (error) {
      leftOut.add(key);
      logger.error('a Service is left out until it changes', { service: key, error });
      return undefined;
    }
  }

  function noteLocal(family: 4 | 6, key: string, ports: readonly ServicePort[]): void {
    const lacks = { internal: 0, external: 0 };
    for (const p of ports) {
      if (!p.internalLocal && !p.externalLocal) continue;
      const { cluster, local } = chooseBackends(p, options.nodeName, zone);
      if (cluster.length === 0 || local.length > 0) continue;
      if (p.internalLocal) lacks.internal++;
      if (p.externalLocal) lacks.external++;
    }
    const known = withoutLocal.get(family)!;
    if (lacks.internal + lacks.external > 0) known.set(key, lacks);
    else known.delete(key);
  }

  async function sync(): Promise<void> {
    await Promise.all([services.synced(), slices.synced()]);
    const began = clock.monotonic();
    const all = states === undefined;
    const current = (states ??= new Map(options.families.map((f) => [f, new RuleState(viewOf(f))] as const)));
    const keys = all ? services.list().map(keyOf) : [...dirty];
    dirty.clear();
    metrics.begin();
    const before: ServicePort[] = [];
    const after: ServicePort[] = [];
    let checksChanged = all;
    for (const key of keys) {
      const served = await serve(key);
      const ports: ServicePort[] = [];
      for (const [family, state] of current) {
        const { ports: mine = [], rules } = served?.get(family) ?? {};
        noteLocal(family, key, mine);
        state.replace(key, rules);
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
    const translated = clock.monotonic() - began;
    for (const [family, state] of current) {
      const text = state.take();
      const at = clock.monotonic();
      try {
        if (text !== '') await exec('nft', ['-f', '-'], { input: text, timeoutMs: 60_000 });
      } catch (error) {
        metrics.failed(family);
        if (isRefusal(error))
          for (const key of await findRefused(keys, (list) => accepts(family, list))) {
            leftOut.add(key);
            logger.error('nftables does not take the rules of a Service', { service: key, error });
          }
        throw error;
      }
      metrics.applied(family, (translated + clock.monotonic() - at) / 1000, all);
    }
    metrics.end();
    if (checksChanged) options.checked?.([...checked.values()].flat());
    const reconciling = clock.monotonic();
    try {
      const deleted = await cleanUpConnections(exec, all ? [] : before, after);
      metrics.reconciled((clock.monotonic() - reconciling) / 1000, deleted);
    } catch (error) {
      // the rules stand; the worst is a client that stays with a backend that left until its entry runs out
      logger.warn('stale connections could not be forgotten', { error });
    }
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
      for (const known of withoutLocal.values()) known.clear();
    },
  });
  loop.trigger();
  return loop;
}
