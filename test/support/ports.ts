/** Ports for servers that tests start. */
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRand } from '../../base/clock.ts';
import { takeLock } from '../../base/lock.ts';

/** Below those that the kernel gives to outgoing connections, so that a server finds its port free after a restart. */
const FIRST = 20_000;
const COUNT = 12_000;

/** A port of 127.0.0.1 that nobody listens on and that no other test run gets as long as this process lives. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(systemRand.next() * COUNT);
    if (!(await isFree(port))) continue;
    if (await takeLock(join(tmpdir(), `k8ts-port-${port}`))) return port;
  }
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
