/**
 * What kube-scheduler and kube-controller-manager have in common as programs: flags, a connection that follows its
 * kubeconfig, an identity for the election, an HTTPS port of their own with delegated access, an end on SIGTERM.
 */
import { systemClock, systemIds, systemRand, type Clock, type Ids, type Rand } from '../base/clock.ts';
import { usage, type FlagTable, type FlagValues } from '../base/flags.ts';
import { tidyWhenQuiet } from '../base/lean.ts';
import { createLogger, type Logger } from '../base/log.ts';
import { MetricsRegistry, processMetrics } from '../base/metrics.ts';
import { serveHttps, type Answer } from '../base/serving.ts';
import { createClient, type Client } from './client.ts';
import { guardServing } from './guard.ts';
import { heldIdentity, newIdentity } from './identity.ts';
import { followKubeconfig, loadKubeconfig } from './kubeconfig.ts';
import type { LeaseOptions } from './leader-election.ts';
import { createRequestMetrics } from './metrics.ts';

/** Flags that mean something in every component. `identity-file` is the only one that upstream lacks. */
export const COMPONENT_FLAGS = {
  kubeconfig: 'string',
  master: 'string',
  'leader-elect': 'bool',
  'leader-elect-lease-duration': 'duration',
  'leader-elect-renew-deadline': 'duration',
  'leader-elect-retry-period': 'duration',
  'leader-elect-resource-name': 'string',
  'leader-elect-resource-namespace': 'string',
  'identity-file': 'string',
  'bind-address': 'string',
  'secure-port': 'int',
  'tls-cert-file': 'string',
  'tls-private-key-file': 'string',
  'client-ca-file': 'string',
  'authentication-kubeconfig': 'string',
  'authentication-skip-lookup': 'bool',
  'authentication-token-webhook-cache-ttl': 'duration',
  'authorization-kubeconfig': 'string',
  'authorization-always-allow-paths': 'list',
  'authorization-webhook-cache-authorized-ttl': 'duration',
  'authorization-webhook-cache-unauthorized-ttl': 'duration',
  v: 'int',
} as const satisfies FlagTable;

/** Flags of every component that are taken for the original's sake, and have no effect. */
export const IGNORED_COMPONENT_FLAGS: FlagTable = {
  'authentication-tolerate-lookup-failure': 'bool',
  'cert-dir': 'string',
  'contention-profiling': 'bool',
  'feature-gates': 'list',
  'http2-max-streams-per-connection': 'int',
  'kube-api-burst': 'int',
  'kube-api-content-type': 'string',
  'kube-api-qps': 'float',
  'leader-elect-resource-lock': 'string',
  'log-flush-frequency': 'duration',
  'logging-format': 'string',
  'permit-address-sharing': 'bool',
  'permit-port-sharing': 'bool',
  profiling: 'bool',
  'requestheader-allowed-names': 'list',
  'requestheader-client-ca-file': 'string',
  'requestheader-extra-headers-prefix': 'list',
  'requestheader-group-headers': 'list',
  'requestheader-uid-headers': 'list',
  'requestheader-username-headers': 'list',
  'tls-cipher-suites': 'list',
  'tls-min-version': 'string',
  'tls-sni-cert-key': 'string',
  vmodule: 'string',
};

export type ComponentFlags = FlagValues<typeof COMPONENT_FLAGS>;

/** The part of the flags that createLeaderElector takes. */
export const electionFromFlags = (flags: ComponentFlags): LeaseOptions => ({
  leaseDurationMs: flags['leader-elect-lease-duration'],
  renewDeadlineMs: flags['leader-elect-renew-deadline'],
  retryPeriodMs: flags['leader-elect-retry-period'],
  name: flags['leader-elect-resource-name'],
  namespace: flags['leader-elect-resource-namespace'],
});

/** What a component is handed to start with. */
export interface ProgramDeps {
  /** Follows the kubeconfig; the program closes it. */
  client: Client;
  /** Who it is in the election. */
  identity: string;
  clock: Clock;
  ids: Ids;
  rand: Rand;
  logger: Logger;
  /** What /metrics shows; it has the figures of the process and of its requests. */
  registry: MetricsRegistry;
  /** Leadership was lost: ends the process. */
  onLost(): void;
}

export interface Program<F extends ComponentFlags, O> {
  /** Upstream's name of the component. */
  name: string;
  /** Agent of requests. */
  userAgent?: string;
  maxSockets?: number;
  securePort: number;
  flags: FlagTable;
  parse(argv: readonly string[]): { flags: F; help: boolean };
  /** Its options and the kubeconfig to use. @throws Error with one sentence when the flags can't be used. */
  options(flags: F): { kubeconfig: string | undefined; options: O };
  start(options: O, deps: ProgramDeps): Promise<{ stop(): Promise<void>; answer(path: string): Answer }>;
}

/** Runs a component until it is told to end; one sentence on stderr and exit code 1 when it can't start. */
export async function runProgram<F extends ComponentFlags, O>(
  program: Program<F, O>,
  argv: readonly string[],
): Promise<void> {
  try {
    await run(program, argv);
  } catch (error) {
    process.stderr.write(`${program.name}: ${(error as Error).message}\n`);
    // Half started (the port is taken, say) is not started.
    process.exit(1);
  }
}

async function run<F extends ComponentFlags, O>(program: Program<F, O>, argv: readonly string[]): Promise<void> {
  const { flags, help } = program.parse(argv);
  if (help) return void process.stdout.write(usage(program.flags));
  const clock = systemClock;
  const ids = systemIds;
  const { kubeconfig, options } = program.options(flags);
  if (!kubeconfig) throw new Error('--kubeconfig is required');
  const level = (flags.v ?? 0) >= 4 ? 'debug' : 'info';
  const logger = createLogger({ clock, component: program.name, level });

  const registry = new MetricsRegistry();
  processMetrics(registry, clock.now());
  const metrics = createRequestMetrics(registry, clock);
  const closers: { close(): void }[] = [];
  const connect = (file: string): Client => {
    const load = () => ({ ...loadKubeconfig(file), ...(flags.master ? { server: flags.master } : {}) });
    const { userAgent = program.name, maxSockets } = program;
    const client = createClient({ ...load(), userAgent, maxSockets, metrics });
    closers.push(client, followKubeconfig(file, { clock, logger, changed: () => client.reconnect(load()) }));
    return client;
  };
  const identityFile = flags['identity-file'];
  const held = identityFile
    ? await heldIdentity(identityFile, ids)
    : { identity: newIdentity(ids), async release() {} };
  const client = connect(kubeconfig);
  tidyWhenQuiet(clock);
  let ending = false;
  const running = await program.start(options, {
    client,
    identity: held.identity,
    clock,
    ids,
    rand: systemRand,
    logger,
    registry,
    onLost() {
      if (ending) return;
      logger.error('leader election lost');
      process.exit(1);
    },
  });
  const port = flags['secure-port'] ?? program.securePort;
  const other = (file: string | undefined) => (file && file !== kubeconfig ? connect(file) : client);
  const guard = guardServing({
    authentication: other(flags['authentication-kubeconfig']),
    authorization: other(flags['authorization-kubeconfig']),
    clock,
    rand: systemRand,
    logger,
    clientCaFile: flags['client-ca-file'],
    skipLookup: flags['authentication-skip-lookup'],
    alwaysAllow: flags['authorization-always-allow-paths'],
    tokenTtlMs: flags['authentication-token-webhook-cache-ttl'],
    allowedTtlMs: flags['authorization-webhook-cache-authorized-ttl'],
    deniedTtlMs: flags['authorization-webhook-cache-unauthorized-ttl'],
  });
  closers.push(guard);
  const serving =
    port === 0
      ? undefined
      : await serveHttps({
          address: flags['bind-address'] ?? '0.0.0.0',
          port,
          certFile: flags['tls-cert-file'],
          keyFile: flags['tls-private-key-file'],
          clock,
          logger,
          guard,
          answer: (path) => running.answer(path),
        });
  const end = (): void => {
    if (ending) return;
    ending = true;
    void Promise.all([running.stop(), serving?.stop()])
      .then(() => {
        for (const c of closers) c.close();
        return held.release();
      })
      .then(() => process.exit(0));
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
}
