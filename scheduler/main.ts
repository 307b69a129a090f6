/** The scheduler as a program: `node scheduler/main.ts --kubeconfig FILE [kube-scheduler's flags]`. */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseDuration } from '../api/time.ts';
import { systemClock, systemIds, systemRand } from '../base/clock.ts';
import { createLogger } from '../base/log.ts';
import { loadKubeconfig } from '../client/kubeconfig.ts';
import { parseConfig, type SchedulerConfig } from './config.ts';
import { FLAGS, parseFlags, type FlagValues } from './flags.ts';
import { start, type SchedulerOptions } from './scheduler.ts';
import { serve } from './serving.ts';

export { start } from './scheduler.ts';
export type { Scheduler, SchedulerOptions } from './scheduler.ts';

/** The scheduler's options as flags (and the file they name) say them. @throws Error with one sentence when they can't be used. */
export function optionsFromFlags(flags: FlagValues): Omit<SchedulerOptions, 'logger' | 'clock' | 'ids' | 'rand'> {
  const text = (name: keyof typeof FLAGS) => flags[name] as string | undefined;
  const number = (name: keyof typeof FLAGS) => flags[name] as number | undefined;
  const configFile = text('config');
  let config: SchedulerConfig = {};
  if (configFile) {
    try {
      config = parseConfig(readFileSync(configFile, 'utf8'));
    } catch (error) {
      throw new Error(`--config ${configFile}: ${(error as Error).message}`, { cause: error });
    }
  }
  const kubeconfig = text('kubeconfig') || config.clientConnection?.kubeconfig;
  if (!kubeconfig) throw new Error('--kubeconfig is required');
  const connection = loadKubeconfig(kubeconfig);
  const master = text('master');
  if (master) connection.server = master;
  const election = config.leaderElection;
  const ms = (d: string | undefined) =>
    d === undefined ? undefined : Number((parseDuration(d) ?? 0n) / 1_000_000n) || undefined;
  return {
    connection,
    config,
    leaderElect: (flags['leader-elect'] as boolean | undefined) ?? election?.leaderElect ?? true,
    leaderElection: {
      leaseDurationMs: number('leader-elect-lease-duration') ?? ms(election?.leaseDuration),
      renewDeadlineMs: number('leader-elect-renew-deadline') ?? ms(election?.renewDeadline),
      retryPeriodMs: number('leader-elect-retry-period') ?? ms(election?.retryPeriod),
      name: text('leader-elect-resource-name') ?? election?.resourceName,
      namespace: text('leader-elect-resource-namespace') ?? election?.resourceNamespace,
    },
  };
}

async function main(argv: readonly string[]): Promise<void> {
  const clock = systemClock;
  let flags: FlagValues;
  let options: ReturnType<typeof optionsFromFlags>;
  try {
    flags = parseFlags(argv);
    if (flags.help) {
      const lines = Object.entries(FLAGS).map(([k, v]) => `  --${k} ${v}\n`);
      process.stdout.write(`usage: main.ts --kubeconfig FILE [flags]\n${lines.join('')}`);
      return;
    }
    options = optionsFromFlags(flags);
  } catch (error) {
    process.stderr.write(`kube-scheduler: ${(error as Error).message}\n`);
    process.exitCode = 1;
    return;
  }
  const logger = createLogger({
    clock,
    component: 'kube-scheduler',
    level: Number(flags.v ?? 0) >= 4 ? 'debug' : 'info',
  });
  let ending = false;
  const scheduler = await start({
    ...options,
    clock,
    ids: systemIds,
    rand: systemRand,
    logger,
    onLost() {
      if (ending) return;
      logger.error('leader election lost');
      process.exit(1);
    },
  });
  const port = (flags['secure-port'] as number | undefined) ?? 10259;
  const serving =
    port === 0
      ? undefined
      : await serve({
          address: (flags['bind-address'] as string | undefined) ?? '0.0.0.0',
          port,
          certFile: flags['tls-cert-file'] as string | undefined,
          keyFile: flags['tls-private-key-file'] as string | undefined,
          clock,
          scheduler,
        });
  const end = (): void => {
    if (ending) return;
    ending = true;
    void Promise.all([scheduler.stop(), serving?.stop()]).then(() => process.exit(0));
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    process.stderr.write(`kube-scheduler: ${(error as Error).message}\n`);
    process.exitCode = 1;
  });
}
