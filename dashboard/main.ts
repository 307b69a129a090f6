/** The dashboard as a program: `node dashboard/main.ts --server URL --certificate-authority FILE ...`. */
import { parseArgs } from 'node:util';
import { systemClock } from '../base/clock.ts';
import { createLogger } from '../base/log.ts';
import { startDashboard } from './server.ts';

const USAGE = `usage: main.ts --server https://HOST:PORT --certificate-authority FILE
               --tls-cert-file FILE --tls-private-key-file FILE [--bind-address 0.0.0.0] [--secure-port 8443]
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      server: { type: 'string' },
      'certificate-authority': { type: 'string' },
      'tls-cert-file': { type: 'string' },
      'tls-private-key-file': { type: 'string' },
      'bind-address': { type: 'string', default: '0.0.0.0' },
      'secure-port': { type: 'string', default: '8443' },
    },
  });
  const need = (name: 'server' | 'certificate-authority' | 'tls-cert-file' | 'tls-private-key-file'): string => {
    const value = values[name];
    if (!value) throw new Error(`--${name} is required\n${USAGE}`);
    return value;
  };
  const logger = createLogger({ clock: systemClock, component: 'dashboard' });
  const running = await startDashboard({
    apiServer: need('server'),
    caFile: need('certificate-authority'),
    certFile: need('tls-cert-file'),
    keyFile: need('tls-private-key-file'),
    bindAddress: values['bind-address'],
    port: Number(values['secure-port']),
    clock: systemClock,
    logger,
  });
  logger.info('serving', { port: running.port });
  const end = () => void running.stop().then(() => process.exit(0));
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
}

if (import.meta.main)
  main().catch((error: unknown) => {
    process.stderr.write(`dashboard: ${(error as Error).message}\n`);
    process.exitCode = 1;
  });
