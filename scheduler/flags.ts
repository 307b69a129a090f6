/** kube-scheduler's flags, and what they mean here. */
import { parseFlagTable, type FlagTable, type FlagValues } from '../base/flags.ts';
import { COMPONENT_FLAGS, IGNORED_COMPONENT_FLAGS } from '../client/program.ts';

/** Flags that mean something here. */
export const FLAGS = { ...COMPONENT_FLAGS, config: 'string' } as const satisfies FlagTable;

/** Flags that are taken so that a command line made for the original works, and have no effect. */
const IGNORED: FlagTable = {
  ...IGNORED_COMPONENT_FLAGS,
  'emulated-version': 'string',
  'pod-max-in-unschedulable-pods-duration': 'duration',
  'write-config-to': 'string',
};

export type Flags = FlagValues<typeof FLAGS>;

/** Reads a command line. @throws Error with one sentence about the first thing that is wrong. */
export function parseFlags(argv: readonly string[]): { flags: Flags; help: boolean } {
  const { values, help } = parseFlagTable(argv, { flags: FLAGS, ignored: IGNORED });
  return { flags: values, help };
}
