/** Memory for programs that wait more than they compute. */
import v8 from 'node:v8';
import vm from 'node:vm';
import type { Clock, Timer } from './clock.ts';

/**
 * Leaves the heaviest of V8's compilers (TurboFan) out from now on; the others stay. Its code alone is 5 MiB that a process
 * doesn't touch then. Said here rather than on the command line, where it would ask for a compile cache of its own.
 */
export function staySmall(): void {
  v8.setFlagsFromString('--no-turbofan');
}

/** Milliseconds between two looks. */
const LOOK_MS = 10_000;
/** Share of a CPU below which nothing goes on. */
const QUIET = 0.05;
/** What must have come since the last time: this many bytes, and this part of what was there. */
const GROWTH = { bytes: 3 << 20, part: 0.1 };

const held = (): number => {
  const s = v8.getHeapStatistics();
  return s.total_heap_size + s.external_memory;
};

/**
 * After work gives back what nobody needs any more, once nothing goes on: V8 itself collects only when a program asks for new
 * memory, and would keep what a burst of work left for hours. A collection takes some 2 ms for a MiB that lives.
 */
export function tidyWhenQuiet(clock: Clock): Timer {
  let before = 0;
  let cpu = process.cpuUsage();
  return clock.every(
    LOOK_MS,
    () => {
      const { user, system } = process.cpuUsage(cpu);
      cpu = process.cpuUsage();
      if (user + system > QUIET * LOOK_MS * 1000) return;
      if (held() < before + Math.max(GROWTH.bytes, before * GROWTH.part)) return;
      v8.setFlagsFromString('--expose-gc');
      vm.runInNewContext("gc({ type: 'major', flavor: 'last-resort' })");
      // flags that differ from those at the start make V8 refuse code that was compiled before
      v8.setFlagsFromString('--no-expose-gc');
      before = held();
    },
    { background: true },
  );
}
