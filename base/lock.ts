/** A lock that the kernel takes back by itself however its holder ends. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { realpathSync } from 'node:fs';
import { dirname, basename, join } from 'node:path';

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
