/** kube-scheduler's flags, and what they mean here. */
import { parseDuration } from '../api/time.ts';

export type FlagKind = 'string' | 'bool' | 'int' | 'duration';

/** Flags that mean something here. */
export const FLAGS = {
  kubeconfig: 'string',
  master: 'string',
  config: 'string',
  'leader-elect': 'bool',
  'leader-elect-lease-duration': 'duration',
  'leader-elect-renew-deadline': 'duration',
  'leader-elect-retry-period': 'duration',
  'leader-elect-resource-name': 'string',
  'leader-elect-resource-namespace': 'string',
  'bind-address': 'string',
  'secure-port': 'int',
  'tls-cert-file': 'string',
  'tls-private-key-file': 'string',
  v: 'int',
} as const satisfies Record<string, FlagKind>;

/** Flags that are taken so that a command line made for the original works, and have no effect. */
const IGNORED: ReadonlySet<string> = new Set([
  'authentication-kubeconfig',
  'authorization-kubeconfig',
  'authentication-token-webhook-cache-ttl',
  'authorization-always-allow-paths',
  'authorization-webhook-cache-authorized-ttl',
  'authorization-webhook-cache-unauthorized-ttl',
  'cert-dir',
  'client-ca-file',
  'feature-gates',
  'emulated-version',
  'http2-max-streams-per-connection',
  'kube-api-burst',
  'kube-api-content-type',
  'kube-api-qps',
  'leader-elect-resource-lock',
  'log-flush-frequency',
  'logging-format',
  'pod-max-in-unschedulable-pods-duration',
  'requestheader-allowed-names',
  'requestheader-client-ca-file',
  'requestheader-extra-headers-prefix',
  'requestheader-group-headers',
  'requestheader-uid-headers',
  'requestheader-username-headers',
  'tls-cipher-suites',
  'tls-min-version',
  'tls-sni-cert-key',
  'vmodule',
  'write-config-to',
]);
const IGNORED_BOOLS: ReadonlySet<string> = new Set([
  'authentication-skip-lookup',
  'authentication-tolerate-lookup-failure',
  'contention-profiling',
  'permit-address-sharing',
  'permit-port-sharing',
  'profiling',
]);

export type FlagValues = { -readonly [K in keyof typeof FLAGS]?: string | boolean | number } & { help?: boolean };

function convert(name: string, kind: FlagKind, text: string): string | boolean | number {
  const bad = () => new Error(`invalid value ${JSON.stringify(text)} for --${name}: not a ${kind}`);
  switch (kind) {
    case 'string':
      return text;
    case 'bool':
      if (/^(true|t|1)$/i.test(text)) return true;
      if (/^(false|f|0)$/i.test(text)) return false;
      throw bad();
    case 'int':
      if (!/^-?[0-9]+$/.test(text)) throw bad();
      return Number(text);
    case 'duration': {
      const nanos = parseDuration(text);
      if (nanos === undefined) throw bad();
      return Number(nanos / 1_000_000n);
    }
  }
}

/**
 * Reads a command line; durations become milliseconds.
 * @throws Error with one sentence about the first thing that is wrong.
 */
export function parseFlags(argv: readonly string[]): FlagValues {
  const flags: FlagValues = {};
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i]!;
    if (arg === '-h' || arg === '--help') {
      flags.help = true;
      continue;
    }
    const m = /^--?([^=]+)(=(.*))?$/s.exec(arg);
    if (!m) throw new Error(`unexpected argument ${JSON.stringify(arg)}`);
    const name = m[1]!;
    const known = (FLAGS as Record<string, FlagKind>)[name];
    const kind = known ?? (IGNORED_BOOLS.has(name) ? 'bool' : IGNORED.has(name) ? 'string' : undefined);
    if (!kind) throw new Error(`unknown flag: --${name}`);
    let text = m[2] === undefined ? undefined : m[3]!;
    if (text === undefined) {
      if (kind === 'bool') text = 'true';
      else if (++i < argv.length) text = argv[i]!;
      else throw new Error(`flag needs an argument: --${name}`);
    }
    const value = convert(name, kind, text);
    if (known) flags[name as keyof typeof FLAGS] = value;
  }
  return flags;
}
