/** Keeps the kernel's rules in step with the API: watches, coalesces, applies differences in one transaction each. */
import type { Clock, Timer } from '../base/clock.ts';
import type { Exec } from '../base/exec.ts';
import type { Logger } from '../base/log.ts';
import type { DeepReadonly, EndpointSlice, Node, Service } from '../api/types.ts';
import { keyOf, type Informer } from '../client/informer.ts';
import { cleanUpConnections } from './conntrack.ts';
import { desiredRules, type Desired } from './rules/desired.ts';
import type { NodeView, ServicePort } from './rules/model.ts';
import { emptyDesired, renderChange, renderFull } from './rules/render.ts';
import { servicePorts, serviceOfSlice } from './rules/translate.ts';

export interface SyncOptions {
  services: Informer<Service>;
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
  /** Called after each transaction with the service ports that are served. */
  synced?(ports: readonly ServicePort[]): void;
}

export interface ProxySync {
  /** Asks for a sync soon. */
  trigger(): void;
  stop(): void;
  /** Wall time of the last good sync, 0 before the first. */
  readonly lastSync: number;
  /** A change is waiting since this time, 0 when none is. */
  readonly waitingSince: number;
}

const RETRY_MS = 1_000;

export function startSync(options: SyncOptions): ProxySync {
  const { services, slices, nodes, exec, clock, logger } = options;
  const minPeriod = options.minPeriodMs ?? 50;
  /** Ports by service key: worked out again only for services that changed. */
  const ports = new Map<string, ServicePort[]>();
  const dirty = new Set<string>();
  const applied = new Map<4 | 6, { desired: Desired; ports: readonly ServicePort[] }>();
  let timer: Timer | undefined;
  let running = false;
  let stopped = false;
  let last = -Infinity;
  let lastSync = 0;
  let waitingSince = 0;

  const touch = (key: string | undefined) => {
    if (key === undefined) return;
    dirty.add(key);
    schedule();
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
  const zoneOf = (n: DeepReadonly<Node>) => n.metadata?.labels?.['topology.kubernetes.io/zone'] ?? '';
  nodes.on({
    added: (n) => void (n.metadata?.name === options.nodeName && schedule()),
    updated: (n, old) => void (n.metadata?.name === options.nodeName && zoneOf(n) !== zoneOf(old) && schedule()),
  });

  function schedule(): void {
    if (waitingSince === 0) waitingSince = clock.now();
    if (running || stopped || timer) return;
    timer = clock.after(Math.max(0, last + minPeriod - clock.monotonic()), () => {
      timer = undefined;
      void sync();
    });
  }

  async function sync(): Promise<void> {
    if (!services.hasSynced || !slices.hasSynced) {
      if (!timer && !stopped) timer = clock.after(minPeriod, () => ((timer = undefined), void sync()));
      return;
    }
    running = true;
    last = clock.monotonic();
    const since = waitingSince;
    waitingSince = 0;
    const changed = [...dirty];
    dirty.clear();
    try {
      for (const key of changed) refresh(key);
      const all = [...ports.values()].flat();
      for (const family of options.families) await apply(family, all);
      lastSync = clock.now();
      options.synced?.(all);
      logger.debug('synced', {
        services: ports.size,
        changed: changed.length,
        ms: Math.round(clock.monotonic() - last),
        waitedMs: since ? clock.now() - since : 0,
      });
    } catch (error) {
      logger.error('rules could not be applied; all of them are written again', { error });
      applied.clear();
      waitingSince = since || clock.now();
      timer ??= clock.after(RETRY_MS, () => ((timer = undefined), void sync()));
    } finally {
      running = false;
    }
    if (waitingSince !== 0) schedule();
  }

  function refresh(key: string): void {
    const i = key.indexOf('/');
    const service = services.get(key.slice(i + 1), key.slice(0, i));
    const list = service
      ? options.families.flatMap((f) => servicePorts(service, slices.byIndex('service', key), f))
      : [];
    if (list.length) ports.set(key, list);
    else ports.delete(key);
  }

  async function apply(family: 4 | 6, all: readonly ServicePort[]): Promise<void> {
    const mine = all.filter((p) => p.clusterIP.includes(':') === (family === 6));
    const self = nodes.get(options.nodeName);
    const view: NodeView = {
      name: options.nodeName,
      zone: self ? zoneOf(self) : '',
      clusterCidr: options.clusterCidrs.find((c) => c.includes(':') === (family === 6)) ?? '',
      family,
      masqueradeAll: options.masqueradeAll,
      nodePortAddresses: options.nodePortAddresses,
    };
    const desired = desiredRules(mine, view);
    const before = applied.get(family);
    const text = before
      ? renderChange(before.desired, desired, family)
      : renderFull(desired, family, options.nodePortAddresses);
    if (text !== '') await exec('nft', ['-f', '-'], { input: text, timeoutMs: 60_000 });
    applied.set(family, { desired: before || text !== '' ? desired : emptyDesired(), ports: mine });
    await cleanUpConnections(exec, before?.ports ?? [], mine);
  }

  schedule();
  return {
    trigger: schedule,
    stop() {
      stopped = true;
      timer?.cancel();
    },
    get lastSync() {
      return lastSync;
    },
    get waitingSince() {
      return waitingSince;
    },
  };
}
