/** What measurements share: a process' use of the machine, and work done side by side. */
import { readFileSync } from 'node:fs';

export interface Usage {
  /** User and system time since the process began. */
  cpuMs: number;
  /** Resident memory, and the same with shared pages counted in parts. */
  rssMiB: number;
  pssMiB: number;
}

export function usage(pid: number): Usage {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const mib = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? 0) / 1024;
  // utime and stime, in ticks of 10 ms.
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * 10, rssMiB: mib('Rss'), pssMiB: mib('Pss') };
}

/** Works on all items, `width` at a time. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
