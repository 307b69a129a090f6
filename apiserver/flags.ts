/** The flags of kube-apiserver under their own names; what this server has no use for yet is taken and said so. */

import { formatDuration } from '../api/time.ts';

/** The values of all flags; lists are split at commas and joined over repetitions. */
export type FlagValues = Map<string, string[]>;

type FlagType = 'string' | 'list' | 'array' | 'bool' | 'int' | 'duration';

/** Names with their types. `map`-like flags are lists; arrays are repeated, but not split. */
const FLAGS: Record<FlagType, string> = {
  string: `admission-control-config-file advertise-address audit-log-format audit-log-mode audit-log-path
    audit-policy-file audit-webhook-config-file audit-webhook-mode authentication-config authentication-token-webhook-config-file authorization-config authorization-policy-file
    authorization-webhook-config-file bind-address cert-dir client-ca-file data-dir egress-selector-config-file
    encryption-provider-config endpoint-reconciler-type etcd-cafile etcd-certfile etcd-keyfile etcd-prefix external-hostname
    kubelet-certificate-authority kubelet-client-certificate kubelet-client-key peer-advertise-ip peer-ca-file
    proxy-client-cert-file proxy-client-key-file requestheader-client-ca-file service-account-jwks-uri
    service-account-signing-key-file service-cluster-ip-range service-node-port-range storage-backend storage-media-type
    authentication-token-webhook-version authorization-webhook-version oidc-ca-file oidc-client-id oidc-groups-claim
    oidc-groups-prefix oidc-issuer-url oidc-username-claim oidc-username-prefix
    tls-cert-file tls-min-version tls-private-key-file token-auth-file tracing-config-file log-format logging-format v vmodule`,
  list: `api-audiences authorization-always-allow-paths authorization-mode cors-allowed-origins disable-admission-plugins disabled-metrics enable-admission-plugins
    etcd-servers etcd-servers-overrides feature-gates kubelet-preferred-address-types requestheader-allowed-names
    requestheader-extra-headers-prefix requestheader-group-headers requestheader-uid-headers requestheader-username-headers
    runtime-config service-account-issuer service-account-key-file tls-cipher-suites tls-sni-cert-key watch-cache-sizes
    emulated-version oidc-signing-algs strict-transport-security-directives`,
  array: `oidc-required-claim`,
  bool: `allow-privileged anonymous-auth audit-log-compress audit-log-truncate-enabled audit-webhook-truncate-enabled
    encryption-provider-config-automatic-reload contention-profiling enable-aggregator-routing enable-bootstrap-token-auth
    enable-garbage-collector enable-priority-and-fairness http2-disabled permit-address-sharing permit-port-sharing profiling
    service-account-extend-token-expiration service-account-lookup watch-cache logtostderr alsologtostderr unsafe-no-fsync
    delete-collection-force emulation-forward-compatible runtime-config-emulation-forward-compatible`,
  int: `apiserver-count audit-log-maxage audit-log-maxbackup audit-log-maxsize audit-log-truncate-max-event-size
    audit-log-truncate-max-batch-size audit-webhook-truncate-max-event-size audit-webhook-truncate-max-batch-size
    audit-webhook-batch-buffer-size audit-webhook-batch-max-size audit-webhook-batch-throttle-burst
    audit-webhook-batch-throttle-qps default-not-ready-toleration-seconds
    default-unreachable-toleration-seconds delete-collection-workers goaway-chance http2-max-streams-per-connection
    kubelet-port max-connection-bytes-per-sec max-mutating-requests-inflight max-requests-inflight min-request-timeout
    secure-port default-watch-cache-size lease-reuse-duration-seconds`,
  duration: `event-ttl audit-webhook-batch-max-wait audit-webhook-initial-backoff etcd-compaction-interval etcd-count-metric-poll-period etcd-db-metric-poll-interval
    etcd-healthcheck-timeout etcd-readycheck-timeout kubelet-timeout livez-grace-period request-timeout
    service-account-max-token-expiration shutdown-delay-duration shutdown-watch-termination-grace-period
    authentication-token-webhook-cache-ttl authorization-webhook-cache-authorized-ttl
    authorization-webhook-cache-unauthorized-ttl`,
};

const TYPES = new Map<string, FlagType>();
for (const [type, names] of Object.entries(FLAGS)) for (const n of names.split(/\s+/)) TYPES.set(n, type as FlagType);

/** A flag that can't be understood; the message is one sentence for the user. */
export class FlagError extends Error {}

/** Parses `--name=value`, `--name value` and `--bool`. Throws FlagError. */
export function parseFlags(argv: readonly string[]): FlagValues {
  const values: FlagValues = new Map();
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i]!;
    const m = /^--?([A-Za-z0-9_-]+)(?:=([\s\S]*))?$/.exec(arg);
    if (!m) throw new FlagError(`"${arg}" is not a flag; flags look like --secure-port=6443`);
    const name = m[1]!.replaceAll('_', '-');
    const type = TYPES.get(name);
    if (!type) throw new FlagError(`unknown flag: --${name}`);
    let value = m[2];
    if (value === undefined) {
      if (type === 'bool') value = 'true';
      else {
        value = argv[++i];
        if (value === undefined) throw new FlagError(`flag needs an argument: --${name}`);
      }
    }
    check(name, type, value);
    const parts = type === 'list' ? value.split(',').filter((p) => p !== '') : [value];
    values.set(name, type === 'list' || type === 'array' ? [...(values.get(name) ?? []), ...parts] : parts);
  }
  return values;
}

function check(name: string, type: FlagType, value: string): void {
  const wrong = (want: string) => new FlagError(`invalid argument "${value}" for --${name}: must be ${want}`);
  if (type === 'bool' && !/^(true|false|1|0|t|f)$/i.test(value)) throw wrong('true or false');
  if (type === 'int' && !/^-?\d+$/.test(value)) throw wrong('a whole number');
  if (type === 'duration' && durationMs(value) === undefined) throw wrong('a duration such as 1m30s');
}

const UNITS: Record<string, number> = { ns: 1e-6, us: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Go's duration text in milliseconds; undefined when it is none. */
export function durationMs(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const m of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g)) total += Number(m[1]) * UNITS[m[2]!]!;
  return total;
}

const durationText = (ms: number) => formatDuration(BigInt(Math.round(ms * 1e6)));
/** Lists of NAME=VALUE, which are shown without brackets. */
const MAPS = new Set(['feature-gates', 'runtime-config']);

/** Reads typed values with their defaults. */
export class Flags {
  readonly #values: FlagValues;
  /** What was asked for, with what holds where it is not given. */
  readonly #asked = new Map<string, string>();
  constructor(values: FlagValues) {
    this.#values = values;
  }
  string(name: string): string | undefined {
    const v = this.#read(name)?.at(-1);
    return v === '' ? undefined : v;
  }
  list(name: string): string[] | undefined {
    return this.#read(name);
  }
  bool(name: string, byDefault: boolean): boolean {
    const v = this.#read(name, String(byDefault))?.at(-1);
    return v === undefined ? byDefault : /^(true|1|t)$/i.test(v);
  }
  int(name: string, byDefault: number): number {
    const v = this.#read(name, String(byDefault))?.at(-1);
    return v === undefined ? byDefault : Number(v);
  }
  durationMs(name: string, byDefault: number): number {
    const v = this.#read(name, durationText(byDefault))?.at(-1);
    return v === undefined ? byDefault : durationMs(v)!;
  }
  has(name: string): boolean {
    return this.#read(name) !== undefined;
  }
  /** Flags that were given and that nobody has read: they have no effect. */
  unused(): string[] {
    return [...this.#values.keys()].filter((n) => !this.#asked.has(n));
  }
  /** What was given, and what holds by default of numbers, times and switches: for /flagz, in kube-apiserver's form. */
  shown(): Record<string, string> {
    const out: Record<string, string> = {};
    for (const [name, byDefault] of this.#asked) if (byDefault !== '') out[name] = byDefault;
    for (const [name, given] of this.#values) {
      const type = TYPES.get(name);
      const last = given.at(-1) ?? '';
      if (type === 'list' || type === 'array') out[name] = MAPS.has(name) ? given.join(',') : `[${given.join(',')}]`;
      else if (type === 'duration') out[name] = durationText(durationMs(last)!);
      else out[name] = type === 'bool' ? String(/^(true|1|t)$/i.test(last)) : last;
    }
    return out;
  }
  #read(name: string, byDefault = ''): string[] | undefined {
    if (!this.#asked.get(name)) this.#asked.set(name, byDefault);
    return this.#values.get(name);
  }
}
