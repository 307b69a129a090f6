/** The name server's metrics, under the names that dashboards for CoreDNS know. */
import { MetricsRegistry, processMetrics, type Counter, type Histogram } from '../../base/metrics.ts';
import type { Clock } from '../../base/clock.ts';
import type { ForwardCounts } from './forward.ts';
import { TYPE } from './wire.ts';

const RCODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];
const TYPES = new Map<number, string>(Object.entries(TYPE).map(([name, n]) => [n, name]));
const SERVER = 'dns://:53';
const ZONE = '.';
const BOUNDS = [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048];

export interface DnsMetrics {
  readonly forward: ForwardCounts;
  /** One question that came in. */
  request(proto: 'udp' | 'tcp', family: 1 | 2, type: number): void;
  /** Its answer. */
  response(rcode: number, own: boolean, seconds: number): void;
  /** Called before the text is made: answers remembered now. */
  entries(count: () => number): void;
  text(): string;
}

const rcodeName = (rcode: number): string => RCODES[rcode] ?? String(rcode);

export function createDnsMetrics(clock: Clock): DnsMetrics {
  const r = new MetricsRegistry();
  processMetrics(r, clock.now());
  const requests = r.counter('coredns_dns_requests_total', 'Questions by how they came and what for.', [
    'family',
    'proto',
    'server',
    'type',
    'view',
    'zone',
  ]);
  const responses: Counter = r.counter('coredns_dns_responses_total', 'Answers by code and by who gave them.', [
    'plugin',
    'rcode',
    'server',
    'view',
    'zone',
  ]);
  const duration: Histogram = r.histogram(
    'coredns_dns_request_duration_seconds',
    'Seconds from a question to its answer.',
    ['server', 'view', 'zone'],
    BOUNDS,
  );
  const cache = ['server', 'view', 'zones'];
  const hits = r.counter('coredns_cache_hits_total', 'Forwarded questions answered from memory.', [
    'server',
    'type',
    'view',
    'zones',
  ]);
  const misses = r.counter('coredns_cache_misses_total', 'Forwarded questions that had to be asked.', cache);
  const entries = r.gauge('coredns_cache_entries', 'Answers remembered.', ['server', 'type', 'view', 'zones']);
  const proxied = r.histogram(
    'coredns_proxy_request_duration_seconds',
    'Seconds that other resolvers took.',
    ['proxy_name', 'rcode', 'to'],
    BOUNDS,
  );
  const failures = r.counter('coredns_forward_failures_total', 'Questions a resolver did not answer.', ['to']);
  let count = () => 0;
  r.onCollect(() => entries.set([SERVER, 'success', '', ZONE], count()));
  return {
    forward: {
      hit: (denial) => hits.add([SERVER, denial ? 'denial' : 'success', '', ZONE]),
      miss: () => misses.add([SERVER, '', ZONE]),
      asked(to, rcode, seconds) {
        if (rcode === undefined) failures.add([to]);
        else proxied.observe(['forward', rcodeName(rcode), to], seconds);
      },
    },
    request: (proto, family, type) =>
      requests.add([String(family), proto, SERVER, TYPES.get(type) ?? 'other', '', ZONE]),
    response(rcode, own, seconds) {
      responses.add([own ? 'kubernetes' : 'forward', rcodeName(rcode), SERVER, '', ZONE]);
      duration.observe([SERVER, '', ZONE], seconds);
    },
    entries: (f) => (count = f),
    text: () => r.text(),
  };
}
