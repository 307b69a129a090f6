/**
 * Who a process is in a leader election. An identity that outlives the process lets its next start take its own Lease
 * at once, instead of waiting until the Lease of the killed process ends.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Ids } from '../base/clock.ts';
import { takeLock } from '../base/lock.ts';

/** The form that client-go's programs use; new for each call. */
export const newIdentity = (ids: Ids) => `${hostname()}_${ids.uuid()}`;

/**
 * The identity that `file` holds, made when there is none. It is safe because only one process has it at a time:
 * rejects with one sentence while another process uses the file.
 */
export async function heldIdentity(file: string, ids: Ids): Promise<{ identity: string; release(): Promise<void> }> {
  const lock = await takeLock(file);
  if (!lock) throw new Error(`the identity in ${file} is in use by another process`);
  try {
    let identity = '';
    try {
      identity = readFileSync(file, 'utf8').trim();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    if (identity === '') {
      identity = newIdentity(ids);
      writeFileSync(`${file}.new`, `${identity}\n`);
      renameSync(`${file}.new`, file);
    }
    return { identity, release: () => lock.release() };
  } catch (error) {
    await lock.release();
    throw error;
  }
}
