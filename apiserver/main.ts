/** The API server as a program: `node apiserver/main.ts FLAGS`, with kube-apiserver's flags. */
import { readFileSync } from 'node:fs';
import { systemClock } from '../base/clock.ts';
import { createLogger } from '../base/log.ts';
import { Flags, parseFlags } from './flags.ts';
import { optionsFromFlags } from './options.ts';
import { start } from './start.ts';

async function main(argv: readonly string[]): Promise<void> {
  const flags = new Flags(parseFlags(argv));
  const logger = createLogger({
    clock: systemClock,
    component: 'kube-apiserver',
    level: Number(flags.string('v') ?? 0) >= 4 ? 'debug' : 'info',
  });
  const { options, follow, close } = await optionsFromFlags(flags, {
    clock: systemClock,
    logger,
    readFile: (path) => readFileSync(path),
  });
  const unused = flags.unused();
  if (unused.length > 0) logger.warn('flags without effect', { flags: unused });
  const server = await start(options);
  follow(server);
  logger.info('serving', { port: server.port });
  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) process.exit(1);
    stopping = true;
    logger.info('shutting down', { signal });
    void server
      .stop()
      .then(close)
      .then(() => process.exit(0));
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
}

if (import.meta.main)
  main(process.argv.slice(2)).catch((error: unknown) => {
    const e = error as Error & { code?: string };
    // A TypeError and the like is a bug of ours and shows where; other errors say what is wrong with the input.
    const bug =
      [TypeError, RangeError, ReferenceError, SyntaxError].some((t) => e instanceof t) && e.code === undefined;
    process.stderr.write(`Error: ${bug ? (e.stack ?? String(e)) : e.message}\n`);
    process.exit(1);
  });
