/**
 * Insight as a program: `node insight/main.ts --kubeconfig FILE [flags]`. An aggregated API server that answers what nodes
 * and pods use (metrics.k8s.io) and why things are not as they should be (explain.k8ts.io).
 */
import { readFileSync } from 'node:fs';
import { systemClock, systemRand } from '../base/clock.ts';
import { parseFlagTable, usage } from '../base/flags.ts';
import { createLogger } from '../base/log.ts';
import { StatusError } from '../api/status.ts';
import { createClient, type Client } from '../client/client.ts';
import { followKubeconfig, loadKubeconfig } from '../client/kubeconfig.ts';
import type { SchedulerAccount } from './explain/sources.ts';
import { start } from './start.ts';

const FLAGS = {
  kubeconfig: 'string',
  'bind-address': 'string',
  'secure-port': 'int',
  'tls-cert-file': 'string',
  'tls-private-key-file': 'string',
  'metric-resolution': 'duration',
  'kubelet-certificate-authority': 'string',
  /** NAMESPACE/NAME of the Service that leads to it. */
  'publish-service': 'string',
  /** URL of a scheduler's own port. */
  scheduler: 'string',
  v: 'int',
} as const;

/** Asks a scheduler; one that is down or knows nothing of the pod has no account of it. */
const askScheduler =
  (client: Client) =>
  async (namespace: string, name: string): Promise<SchedulerAccount | undefined> => {
    try {
      return await client.request<SchedulerAccount>({ path: `/explain/${namespace}/${name}`, timeoutMs: 10_000 });
    } catch (error) {
      if (error instanceof StatusError && error.code !== 404) throw error;
      return undefined;
    }
  };

async function main(argv: readonly string[]): Promise<void> {
  const { values: flags, help } = parseFlagTable(argv, { flags: FLAGS });
  if (help) return void process.stdout.write(usage(FLAGS));
  const { kubeconfig: file, 'tls-cert-file': certFile, 'tls-private-key-file': keyFile } = flags;
  if (!file) throw new Error('--kubeconfig is required');
  if (!certFile || !keyFile) throw new Error('--tls-cert-file and --tls-private-key-file are required');
  const clock = systemClock;
  const logger = createLogger({ clock, component: 'insight', level: (flags.v ?? 0) >= 4 ? 'debug' : 'info' });
  const connection = loadKubeconfig(file);
  const client = createClient({ ...connection, userAgent: 'k8ts-insight' });
  const kubeletCa = flags['kubelet-certificate-authority'];
  const { cert, key, token } = connection;
  const scheduler = flags.scheduler
    ? createClient({
        server: flags.scheduler,
        cert,
        key,
        token,
        insecureSkipTlsVerify: true,
        userAgent: 'k8ts-insight',
      })
    : undefined;
  const following = followKubeconfig(file, { clock, logger, changed: () => client.reconnect(loadKubeconfig(file)) });
  const [namespace, name] = flags['publish-service']?.split('/') ?? [];
  const running = await start({
    client,
    clock,
    rand: systemRand,
    logger,
    address: flags['bind-address'] ?? '0.0.0.0',
    port: flags['secure-port'] ?? 4443,
    tls: { certFile, keyFile },
    resolutionMs: flags['metric-resolution'],
    kubelet: { cert, key, ca: kubeletCa ? readFileSync(kubeletCa) : undefined },
    publish: namespace && name ? { namespace, name } : undefined,
    scheduler: scheduler && askScheduler(scheduler),
  });
  logger.info('serving', { port: running.port });
  const end = () =>
    void running.stop().then(() => {
      following.close();
      client.close();
      scheduler?.close();
      process.exit(0);
    });
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
}

if (import.meta.main)
  main(process.argv.slice(2)).catch((error: unknown) => {
    process.stderr.write(`insight: ${(error as Error).message}\n`);
    process.exit(1);
  });
