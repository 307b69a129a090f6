/** Starts the service proxy: `node proxy/main.ts --kubeconfig FILE --hostname-override NODE`. */
import { hostname } from 'node:os';
import { systemClock, systemRand } from '../base/clock.ts';
import { tidyWhenQuiet } from '../base/lean.ts';
import { createLogger } from '../base/log.ts';
import { parseFlags } from './options.ts';
import { start } from './proxy.ts';

async function main(): Promise<void> {
  try {
    const options = parseFlags(process.argv.slice(2), hostname());
    const logger = createLogger({ clock: systemClock, component: 'proxy', level: options.verbose ? 'debug' : 'info' });
    const running = await start(options, { clock: systemClock, rand: systemRand, logger });
    tidyWhenQuiet(systemClock);
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.once(signal, () => void running.stop().then(() => process.exit(0)));
  } catch (error) {
    process.stderr.write(`proxy: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

if (import.meta.main) await main();
