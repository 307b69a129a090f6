/** Container logs don't grow without bound: NAME.log is renamed with a date, older ones are compressed, the oldest go. */
import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Runtime } from '../cri/types.ts';
import type { PodRuntimeState } from '../pods/state.ts';

const STAMP = /\.\d{8}-\d{6}(\.gz)?$/;

/** The date part of a rotated log's name. */
export function logStamp(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
}

/** Rotates what is larger than `maxSize` bytes; keeps `maxFiles` files per container, the current one included. */
export async function rotateLogs(options: {
  workers: { readonly state: PodRuntimeState }[];
  runtime: Runtime;
  clock: Clock;
  maxSize: number;
  maxFiles: number;
  logger: Logger;
}): Promise<void> {
  for (const w of options.workers)
    for (const c of w.state.containers) {
      if (c.state !== 'CONTAINER_RUNNING' || c.log_path === '') continue;
      const size = await stat(c.log_path).then(
        (s) => s.size,
        () => 0,
      );
      if (size < options.maxSize) continue;
      try {
        await rotateOne(c.id, c.log_path, options);
      } catch (error) {
        options.logger.debug('log not rotated', { log: c.log_path, error });
      }
    }
}

async function rotateOne(
  id: string,
  path: string,
  options: { runtime: Runtime; clock: Clock; maxFiles: number },
): Promise<void> {
  const dir = dirname(path);
  const base = basename(path);
  const old = (await readdir(dir)).filter((f) => f.startsWith(`${base}.`) && STAMP.test(f)).sort();
  // the current file and the one to be made count too
  const keep = Math.max(options.maxFiles - 2, 0);
  for (const f of old.splice(0, Math.max(0, old.length - keep))) await rm(join(dir, f), { force: true });
  for (const f of old) {
    if (f.endsWith('.gz')) continue;
    const from = join(dir, f);
    await pipeline(createReadStream(from), createGzip(), createWriteStream(`${from}.tmp`));
    await rename(`${from}.tmp`, `${from}.gz`);
    await rm(from, { force: true });
  }
  const rotated = `${path}.${logStamp(options.clock.now())}`;
  await rename(path, rotated);
  try {
    await options.runtime.reopenLog(id);
  } catch (error) {
    await rename(rotated, path).catch(() => {});
    throw error;
  }
}
