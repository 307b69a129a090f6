/** Which of many things nftables does not take, when it takes them not together. */
import { CommandError } from '../../base/exec.ts';

/** nft has said no; when it was only stopped, or could not be run, that says nothing of what it was given. */
export const isRefusal = (error: unknown): boolean => error instanceof CommandError && error.exitCode !== undefined;

/** So many looks at most; what is left over is found the next time, when those found first are left out. */
const MAX_TESTS = 200;

/**
 * The items that `accepts` refuses one by one, found by halving; none when all are taken together, and none when
 * nothing at all is taken, since then the fault is not theirs.
 */
export async function findRefused<T>(
  items: readonly T[],
  accepts: (items: readonly T[]) => Promise<boolean>,
): Promise<T[]> {
  let tests = 0;
  const found: T[] = [];
  async function search(list: readonly T[]): Promise<void> {
    if (list.length === 0 || ++tests > MAX_TESTS || (await accepts(list))) return;
    if (list.length === 1) return void found.push(list[0]!);
    const middle = list.length >> 1;
    await search(list.slice(0, middle));
    await search(list.slice(middle));
  }
  if (await accepts([])) await search(items);
  return found;
}
