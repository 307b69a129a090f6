/** What the proxy counts, under the names that dashboards know. */
import type { Clock } from '../base/clock.ts';
import { exponential, type MetricsRegistry } from '../base/metrics.ts';

type Family = 4 | 6;

const FAMILY_LABEL: Readonly<Record<Family, string>> = { 4: 'IPv4', 6: 'IPv6' };

/** Seconds, from a millisecond on, each twice the one before. */
const SYNC = exponential(0.001, 2, 15);
const steps = (first: number, step: number, n: number): number[] =>
  Array.from({ length: n }, (_, i) => first + step * i);
const PROGRAMMING = [...steps(0.25, 0.25, 2), ...steps(1, 1, 59), ...steps(60, 5, 12), ...steps(120, 30, 7)];

/** How many Services have a policy that says Local, and no endpoint here that it allows. */
export interface WithoutLocal {
  internal: number;
  external: number;
}

export interface SyncMetrics {
  /** A change of a Service, or of a slice, has come; `triggeredAt` (ms since the epoch) is what caused the latter. */
  serviceChanged(): void;
  sliceChanged(service: string, triggeredAt: number | undefined): void;
  /** A sync begins: what has come so far is no longer pending. */
  begin(): void;
  /** The rules of one family are in the kernel after so many seconds; `all` of them were written. */
  applied(family: Family, seconds: number, all: boolean): void;
  /** All families are. */
  end(): void;
  failed(family: Family): void;
  /** Connections were looked through. */
  reconciled(seconds: number, deleted: Readonly<Record<Family, number>>): void;
}

/** Adds the families to the registry; `withoutLocal` is asked when the figures are read. */
export function createSyncMetrics(
  registry: MetricsRegistry,
  clock: Clock,
  families: readonly Family[],
  withoutLocal: (family: Family) => WithoutLocal,
): SyncMetrics {
  const duration = (kind: string, help: string) =>
    registry.histogram(`kubeproxy_sync_${kind}proxy_rules_duration_seconds`, help, ['ip_family'], SYNC);
  const every = duration('', 'Seconds of a sync.');
  const full = duration('full_', 'Seconds of a sync that wrote all rules.');
  const partial = duration('partial_', 'Seconds of a sync that wrote what had changed.');
  const last = registry.gauge(
    'kubeproxy_sync_proxy_rules_last_timestamp_seconds',
    'When rules were last brought to the kernel, in seconds since the epoch.',
    ['ip_family'],
  );
  const queued = registry.gauge(
    'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds',
    'When a sync was last asked for, in seconds since the epoch.',
    ['ip_family'],
  );
  const programming = registry.histogram(
    'kubeproxy_network_programming_duration_seconds',
    'Seconds from a change of a pod or a Service until rules followed it.',
    ['ip_family'],
    PROGRAMMING,
  );
  const changes = (what: string) => ({
    pending: registry
      .gauge(`kubeproxy_sync_proxy_rules_${what}_changes_pending`, `Changes of ${what}s that wait.`)
      .handle([]),
    total: registry
      .counter(`kubeproxy_sync_proxy_rules_${what}_changes_total`, `Changes of ${what}s so far.`)
      .handle([]),
  });
  const endpoints = changes('endpoint');
  const services = changes('service');
  const failures = registry.counter(
    'kubeproxy_sync_proxy_rules_nftables_sync_failures_total',
    'Transactions that nftables did not take.',
    ['ip_family'],
  );
  const noLocal = registry.gauge(
    'kubeproxy_sync_proxy_rules_no_local_endpoints_total',
    'Services whose policy says Local and that have no endpoint on this node.',
    ['ip_family', 'traffic_policy'],
  );
  const conntrack = registry.histogram(
    'kubeproxy_conntrack_reconciler_sync_duration_seconds',
    'Seconds to look for connections that lead nowhere.',
    ['ip_family'],
    SYNC,
  );
  const deletedFlows = registry.counter(
    'kubeproxy_conntrack_reconciler_deleted_entries_total',
    'Connections that were forgotten.',
    ['ip_family'],
  );
  for (const f of families) failures.handle([FAMILY_LABEL[f]]);
  registry.onCollect(() => {
    for (const f of families) {
      const { internal, external } = withoutLocal(f);
      noLocal.set([FAMILY_LABEL[f], 'internal'], internal);
      noLocal.set([FAMILY_LABEL[f], 'external'], external);
    }
  });
  const began = clock.now();
  /** When what is to be brought to the kernel was caused, by Service: what waits, and what is under way. */
  let waiting = new Map<string, number[]>();
  let underWay = new Map<string, number[]>();
  const asked = () => {
    for (const f of families) queued.set([FAMILY_LABEL[f]], clock.now() / 1000);
  };
  return {
    serviceChanged() {
      services.total.value++;
      services.pending.value++;
      asked();
    },
    sliceChanged(service, triggeredAt) {
      endpoints.total.value++;
      endpoints.pending.value++;
      asked();
      // what happened before the proxy began says nothing of it
      if (triggeredAt === undefined || !(triggeredAt > began)) return;
      const list = waiting.get(service);
      if (list) list.push(triggeredAt);
      else waiting.set(service, [triggeredAt]);
    },
    begin() {
      services.pending.value = 0;
      endpoints.pending.value = 0;
      // what a failed sync left is still to come
      for (const [service, times] of waiting) underWay.set(service, [...(underWay.get(service) ?? []), ...times]);
      waiting = new Map();
    },
    applied(family, seconds, all) {
      const label = [FAMILY_LABEL[family]];
      every.observe(label, seconds);
      (all ? full : partial).observe(label, seconds);
      last.set(label, clock.now() / 1000);
    },
    end() {
      const now = clock.now();
      for (const times of underWay.values())
        for (const at of times)
          for (const f of families) programming.observe([FAMILY_LABEL[f]], Math.max(0, now - at) / 1000);
      underWay = new Map();
    },
    failed: (family) => failures.add([FAMILY_LABEL[family]]),
    reconciled(seconds, deleted) {
      for (const f of families) {
        conntrack.observe([FAMILY_LABEL[f]], seconds);
        deletedFlows.add([FAMILY_LABEL[f]], deleted[f]);
      }
    },
  };
}
