/** One process owns a data directory. The claim is a record in the database itself, changed in a transaction. */
import { readFileSync } from 'node:fs';
import type { RootDatabase } from 'lmdb';

const OWNER = 'owner';

interface Claim {
  readonly pid: number;
  /** Start of that process in clock ticks since boot, and the boot: a reused pid is not the owner. */
  readonly start: string;
  readonly boot: string;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** When a living process started; '' when it is gone or only its exit status is left. */
function startOf(pid: number): string {
  const stat = readText(`/proc/${pid}/stat`);
  // The second field, in parentheses, may hold anything; the state is the third and the start the 22nd.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? '' : (fields[19] ?? '');
}

function self(): Claim {
  return {
    pid: process.pid,
    start: startOf(process.pid),
    boot: readText('/proc/sys/kernel/random/boot_id').trim(),
  };
}

/** Claims the directory for this process; throws with a clear sentence when a living process holds it. */
export function claim(
  meta: Pick<RootDatabase<Buffer, string>, 'get' | 'putSync' | 'transactionSync'>,
  directory: string,
): void {
  const me = self();
  const holder = meta.transactionSync(() => {
    const bytes = meta.get(OWNER);
    const other = bytes && (JSON.parse(bytes.toString()) as Claim);
    if (other && other.boot === me.boot && other.start !== '' && startOf(other.pid) === other.start) return other;
    meta.putSync(OWNER, Buffer.from(JSON.stringify(me)));
    return undefined;
  });
  if (holder) {
    const who = holder.pid === process.pid ? 'this process already' : `process ${holder.pid}`;
    throw new Error(`the data directory ${directory} is in use by ${who}; only one API server may own it`);
  }
}

/** Gives the directory free. */
export async function release(meta: Pick<RootDatabase<Buffer, string>, 'remove'>): Promise<void> {
  await meta.remove(OWNER);
}
