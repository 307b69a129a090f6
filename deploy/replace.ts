/**
 * Programs of a cluster that others take the place of: kube-scheduler for our scheduler, say, or another containerd.
 * They get the flags that ours get, as far as those bear upstream's names.
 */
import { accessSync, constants } from 'node:fs';
import { resolve } from 'node:path';
import type { ProcessSpec } from './cluster/processes.ts';
import { program } from './paths.ts';

/** Files by the names of the programs that they replace. */
export type Replacements = Readonly<Record<string, string>>;

/** Where each program that can be replaced runs. */
const PLACES: Readonly<Record<string, 'server' | 'node'>> = {
  apiserver: 'server',
  controllers: 'server',
  scheduler: 'server',
  kubelet: 'node',
  containerd: 'node',
};

/** Adds one `program=file` of a command line. Throws with one sentence when it can't be used. */
export function addReplacement(text: string, before: Replacements): Replacements {
  const [name = '', path = ''] = text.split(/=(.*)/s);
  if (!(name in PLACES) || path === '')
    throw new Error(`it must be program=file; programs are ${Object.keys(PLACES).join(', ')}.`);
  const file = resolve(path);
  try {
    accessSync(file, constants.X_OK);
  } catch {
    throw new Error(`there is no program ${file}.`);
  }
  return { ...before, [name]: file };
}

/** The arguments that hand the replacements of one place on to `k8ts server` or `k8ts agent`. */
export const replaceArguments = (all: Replacements, place: 'server' | 'node'): string[] =>
  Object.entries(all)
    .filter(([name]) => PLACES[name] === place)
    .map(([name, file]) => `--replace=${name}=${file}`);

type Values = Readonly<Record<string, string | number | boolean>>;
const flags = (values: Values) => Object.entries(values).map(([k, v]) => `--${k}=${v}`);
/** Our own switches take no value. */
const ownFlags = (values: Values) => Object.entries(values).map(([k, v]) => (v === true ? `--${k}` : `--${k}=${v}`));

/** How one of our programs, or what replaces it, is started; `own` are flags that only ours know. */
export function componentSpec(
  name: string,
  options: { file: string; flags: Values; own?: Values; replaced: Replacements | undefined },
): ProcessSpec {
  const other = options.replaced?.[name];
  if (other) return { name, command: other, args: flags(options.flags) };
  const ours = program(options.file);
  return { name, ...ours, args: [...ours.args, ...flags(options.flags), ...ownFlags(options.own ?? {})] };
}
