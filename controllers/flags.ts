/** kube-controller-manager's command line: flag names and their kinds as data. */

export type FlagKind = 'string' | 'bool' | 'int' | 'float' | 'duration' | 'list';

/** Flags that mean something here. */
export const FLAGS = {
  kubeconfig: 'string',
  master: 'string',
  controllers: 'list',
  'leader-elect': 'bool',
  'leader-elect-lease-duration': 'duration',
  'leader-elect-renew-deadline': 'duration',
  'leader-elect-retry-period': 'duration',
  'leader-elect-resource-name': 'string',
  'leader-elect-resource-namespace': 'string',
  'use-service-account-credentials': 'bool',
  'cluster-signing-cert-file': 'string',
  'cluster-signing-key-file': 'string',
  'cluster-signing-duration': 'duration',
  'root-ca-file': 'string',
  'service-account-private-key-file': 'string',
  'cluster-name': 'string',
  'cluster-cidr': 'list',
  'allocate-node-cidrs': 'bool',
  'node-cidr-mask-size': 'int',
  'node-cidr-mask-size-ipv4': 'int',
  'node-cidr-mask-size-ipv6': 'int',
  'service-cluster-ip-range': 'list',
  'node-monitor-period': 'duration',
  'node-monitor-grace-period': 'duration',
  'node-startup-grace-period': 'duration',
  'node-eviction-rate': 'float',
  'secondary-node-eviction-rate': 'float',
  'unhealthy-zone-threshold': 'float',
  'large-cluster-size-threshold': 'int',
  'terminated-pod-gc-threshold': 'int',
  'endpoint-updates-batch-period': 'duration',
  'endpointslice-updates-batch-period': 'duration',
  'max-endpoints-per-slice': 'int',
  'mirroring-max-endpoints-per-subset': 'int',
  'horizontal-pod-autoscaler-sync-period': 'duration',
  'horizontal-pod-autoscaler-downscale-stabilization': 'duration',
  'horizontal-pod-autoscaler-tolerance': 'float',
  'horizontal-pod-autoscaler-cpu-initialization-period': 'duration',
  'horizontal-pod-autoscaler-initial-readiness-delay': 'duration',
  'pvclaimbinder-sync-period': 'duration',
  'resource-quota-sync-period': 'duration',
  'legacy-service-account-token-clean-up-period': 'duration',
  'bind-address': 'string',
  'secure-port': 'int',
  'tls-cert-file': 'string',
  'tls-private-key-file': 'string',
  'cert-dir': 'string',
  'load-balancer-cidrs': 'list',
  'local-path-directory': 'string',
  v: 'int',
} as const satisfies Record<string, FlagKind>;

/** Flags that are taken so that a command line made for the original works, and have no effect. */
export const IGNORED: Readonly<Record<string, FlagKind>> = {
  'authentication-kubeconfig': 'string',
  'authorization-kubeconfig': 'string',
  'authentication-skip-lookup': 'bool',
  'authentication-tolerate-lookup-failure': 'bool',
  'authentication-token-webhook-cache-ttl': 'duration',
  'authorization-always-allow-paths': 'list',
  'authorization-webhook-cache-authorized-ttl': 'duration',
  'authorization-webhook-cache-unauthorized-ttl': 'duration',
  'requestheader-client-ca-file': 'string',
  'requestheader-allowed-names': 'list',
  'requestheader-extra-headers-prefix': 'list',
  'requestheader-group-headers': 'list',
  'requestheader-username-headers': 'list',
  'client-ca-file': 'string',
  'allow-untagged-cloud': 'bool',
  'attach-detach-reconcile-sync-period': 'duration',
  'cidr-allocator-type': 'string',
  'cloud-config': 'string',
  'cloud-provider': 'string',
  'configure-cloud-routes': 'bool',
  'contention-profiling': 'bool',
  'controller-start-interval': 'duration',
  'disable-attach-detach-reconcile-sync': 'bool',
  'enable-dynamic-provisioning': 'bool',
  'enable-garbage-collector': 'bool',
  'enable-hostpath-provisioner': 'bool',
  'external-cloud-volume-plugin': 'string',
  'feature-gates': 'list',
  'flex-volume-plugin-dir': 'string',
  'http2-max-streams-per-connection': 'int',
  'kube-api-burst': 'int',
  'kube-api-content-type': 'string',
  'kube-api-qps': 'float',
  'leader-elect-resource-lock': 'string',
  'log-flush-frequency': 'duration',
  'logging-format': 'string',
  'min-resync-period': 'duration',
  'namespace-sync-period': 'duration',
  'node-sync-period': 'duration',
  'permit-address-sharing': 'bool',
  'permit-port-sharing': 'bool',
  profiling: 'bool',
  'route-reconciliation-period': 'duration',
  'tls-cipher-suites': 'list',
  'tls-min-version': 'string',
  'tls-sni-cert-key': 'string',
  vmodule: 'string',
};

const CONCURRENT = /^concurrent-(.+)-syncs$/;

export type FlagValue = string | boolean | number | string[];
export type Flags = { -readonly [K in keyof typeof FLAGS]?: FlagValue } & {
  concurrency: Record<string, number>;
  help?: boolean;
};

/** Go's duration texts (`1h30m`, `500ms`) in milliseconds. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  const units: Record<string, number> = { h: 3600_000, m: 60_000, s: 1000, ms: 1, us: 1e-3, µs: 1e-3, ns: 1e-6 };
  if (!/^([0-9]+(\.[0-9]+)?(h|ms|m|s|us|µs|ns))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, n, , u] of text.matchAll(/([0-9]+(\.[0-9]+)?)(h|ms|m|s|us|µs|ns)/g)) sum += Number(n) * units[u!]!;
  return sum;
}

function convert(name: string, kind: FlagKind, text: string): FlagValue {
  const bad = () => new Error(`invalid value ${JSON.stringify(text)} for --${name}: not a ${kind}`);
  switch (kind) {
    case 'string':
      return text;
    case 'list':
      return text === '' ? [] : text.split(',').map((s) => s.trim());
    case 'bool':
      if (/^(true|t|1)$/i.test(text)) return true;
      if (/^(false|f|0)$/i.test(text)) return false;
      throw bad();
    case 'int':
      if (!/^-?[0-9]+$/.test(text)) throw bad();
      return Number(text);
    case 'float':
      if (text.trim() === '' || Number.isNaN(Number(text))) throw bad();
      return Number(text);
    case 'duration': {
      const ms = parseDuration(text);
      if (ms === undefined) throw bad();
      return ms;
    }
  }
}

/**
 * Reads a command line.
 * @throws Error with one sentence about the first thing that is wrong.
 */
export function parseFlags(argv: readonly string[]): Flags {
  const flags: Flags = { concurrency: {} };
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i]!;
    if (arg === '-h' || arg === '--help') {
      flags.help = true;
      continue;
    }
    const m = /^--?([^=]+)(=(.*))?$/s.exec(arg);
    if (!m || !arg.startsWith('-')) throw new Error(`unexpected argument ${JSON.stringify(arg)}`);
    const name = m[1]!;
    const concurrent = CONCURRENT.exec(name);
    const known = (FLAGS as Record<string, FlagKind>)[name];
    const kind = known ?? IGNORED[name] ?? (concurrent ? 'int' : undefined);
    if (!kind) throw new Error(`unknown flag: --${name}`);
    let text = m[2] === undefined ? undefined : m[3]!;
    if (text === undefined) {
      if (kind === 'bool') text = 'true';
      else if (++i < argv.length) text = argv[i]!;
      else throw new Error(`flag needs an argument: --${name}`);
    }
    const value = convert(name, kind, text);
    if (concurrent) flags.concurrency[concurrent[1]!] = value as number;
    else if (known) flags[name as keyof typeof FLAGS] = value;
  }
  return flags;
}
