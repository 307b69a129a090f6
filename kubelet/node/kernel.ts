/** Settings of the kernel that a node should have (protectKernelDefaults). */
import { readFileSync } from 'node:fs';

/** Memory may be promised beyond what there is, the OOM killer is asked, and a broken kernel starts anew. */
const WANTED: Readonly<Record<string, number>> = {
  'vm/overcommit_memory': 1,
  'vm/panic_on_oom': 0,
  'kernel/panic': 10,
  'kernel/panic_on_oops': 1,
  'kernel/keys/root_maxkeys': 1_000_000,
  'kernel/keys/root_maxbytes': 25_000_000,
};

const fromProc = (name: string): string => readFileSync(`/proc/sys/${name}`, 'utf8');

/**
 * One sentence for each setting that is another. With protectKernelDefaults the kubelet does not start then; without
 * it, it leaves them as they are: the machine may be others' as well.
 */
export function wrongKernelSettings(read: (name: string) => string = fromProc): string[] {
  return Object.entries(WANTED).flatMap(([name, wanted]) => {
    try {
      const actual = Number(read(name).trim());
      return actual === wanted
        ? []
        : [`invalid kernel flag: ${name}, expected value: ${wanted}, actual value: ${actual}`];
    } catch (error) {
      return [(error as Error).message];
    }
  });
}
