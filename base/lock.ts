/** A lock that the kernel takes back by itself however its holder ends. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { realpathSync } from 'node:fs';
import { dirname, basename, join } from 'node:path';
import { systemClock, type Clock } from './clock.ts';

export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes the lock that belongs to a file's name; undefined while another process of this network namespace holds it.
 * It is a socket in the abstract namespace, so no file stays behind and no pid has to be trusted.
 */
export function takeLock(file: string): Promise<Lock | undefined> {
  const real = join(realpathSync(dirname(file)), basename(file));
  const server = createServer((socket) => socket.destroy());
  server.unref();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    server.listen(`\0k8ts-${createHash('sha256').update(real).digest('hex')}`, () =>
      resolve({ release: () => new Promise((done) => server.close(() => done())) }),
    );
  });
}

/** How often somebody who waits for a lock asks again, in ms. */
const AGAIN_MS = 100;

/** Runs `work` while it holds the lock of a file's name, once whoever has it is done. */
export async function underLock<T>(file: string, work: () => T | Promise<T>, clock: Clock = systemClock): Promise<T> {
  let lock = await takeLock(file);
  while (!lock) {
    await clock.sleep(AGAIN_MS);
    lock = await takeLock(file);
  }
  try {
    return await work();
  } finally {
    await lock.release();
  }
}
