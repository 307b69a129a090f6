/** The scheduler as a program: `node scheduler/main.ts --kubeconfig FILE [kube-scheduler's flags]`. */
import { readFileSync } from 'node:fs';
import { parseDuration } from '../api/time.ts';
import { electionFromFlags, runProgram } from '../client/program.ts';
import { parseConfig, type SchedulerConfig } from './config.ts';
import { FLAGS, parseFlags, type Flags } from './flags.ts';
import { start, type SchedulerOptions } from './scheduler.ts';
import { answer } from './serving.ts';

type Chosen = Pick<SchedulerOptions, 'config' | 'leaderElect' | 'leaderElection'>;

/** The scheduler's options as flags (and the file they name) say them. @throws Error with one sentence when they can't be used. */
export function optionsFromFlags(flags: Flags): { kubeconfig: string | undefined; options: Chosen } {
  const configFile = flags.config;
  let config: SchedulerConfig = {};
  if (configFile) {
    try {
      config = parseConfig(readFileSync(configFile, 'utf8'));
    } catch (error) {
      throw new Error(`--config ${configFile}: ${(error as Error).message}`, { cause: error });
    }
  }
  const election = config.leaderElection;
  const ms = (d: string | undefined) =>
    d === undefined ? undefined : Number((parseDuration(d) ?? 0n) / 1_000_000n) || undefined;
  const said = electionFromFlags(flags);
  return {
    kubeconfig: flags.kubeconfig || config.clientConnection?.kubeconfig,
    options: {
      config,
      leaderElect: flags['leader-elect'] ?? election?.leaderElect ?? true,
      leaderElection: {
        leaseDurationMs: said.leaseDurationMs ?? ms(election?.leaseDuration),
        renewDeadlineMs: said.renewDeadlineMs ?? ms(election?.renewDeadline),
        retryPeriodMs: said.retryPeriodMs ?? ms(election?.retryPeriod),
        name: said.name ?? election?.resourceName,
        namespace: said.namespace ?? election?.resourceNamespace,
      },
    },
  };
}

if (import.meta.main)
  await runProgram(
    {
      name: 'kube-scheduler',
      userAgent: 'kube-scheduler/v1.36',
      maxSockets: 16,
      securePort: 10259,
      flags: FLAGS,
      parse: parseFlags,
      options: optionsFromFlags,
      async start(options, deps) {
        const scheduler = await start({ ...options, ...deps });
        return { stop: () => scheduler.stop(), answer: (path) => answer(path, scheduler) };
      },
    },
    process.argv.slice(2),
  );
