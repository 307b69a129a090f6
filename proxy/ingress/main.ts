/** The Ingress controller: runs as a pod, or beside the cluster with --kubeconfig. */
import { parseArgs } from 'node:util';
import { systemClock, systemRand } from '../../base/clock.ts';
import { createLogger } from '../../base/log.ts';
import { createPodClient } from '../../client/in-cluster.ts';
import { startIngress } from './controller.ts';

/** Endpoints of this pod need a moment to be forgotten everywhere before it may stop listening. */
const DRAIN_MS = 3_000;
const GRACE_MS = 20_000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      kubeconfig: { type: 'string' },
      'bind-address': { type: 'string' },
      'http-port': { type: 'string', default: '80' },
      'https-port': { type: 'string', default: '443' },
      'status-port': { type: 'string', default: '10254' },
      'publish-service': { type: 'string', default: '' },
    },
  });
  const clock = systemClock;
  const logger = createLogger({ clock, component: 'ingress' });
  const client = createPodClient({
    kubeconfig: values.kubeconfig,
    env: process.env,
    userAgent: 'k8ts-ingress',
    clock,
    logger,
  });
  const running = await startIngress({
    client,
    clock,
    rand: systemRand,
    logger,
    host: values['bind-address'],
    httpPort: Number(values['http-port']),
    httpsPort: Number(values['https-port']),
    statusPort: Number(values['status-port']),
    publishService: values['publish-service'],
  });
  logger.info('listening', { http: running.httpPort, https: running.httpsPort });
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => {
      void clock
        .sleep(DRAIN_MS)
        .then(() => running.stop(GRACE_MS))
        .then(() => process.exit(0));
    });
}

if (import.meta.main)
  main().catch((error: unknown) => {
    process.stderr.write(`ingress: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  });
