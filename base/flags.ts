/** Command lines in the way of Kubernetes' programs: `--name=value`, `--name value`, `--bool`; flags are data. */
import { parseDuration } from '../api/time.ts';

/** Durations (`1m30s`) become milliseconds, lists are separated by commas. */
export type FlagKind = 'string' | 'bool' | 'int' | 'float' | 'duration' | 'list';
export type FlagTable = Readonly<Record<string, FlagKind>>;

type ValueOf<K extends FlagKind> = K extends 'string'
  ? string
  : K extends 'bool'
    ? boolean
    : K extends 'list'
      ? string[]
      : number;
export type FlagValue = string | boolean | number | string[];
export type FlagValues<T extends FlagTable> = { -readonly [K in keyof T]?: ValueOf<T[K]> };

function convert(name: string, kind: FlagKind, text: string): FlagValue {
  const bad = () => new Error(`invalid value ${JSON.stringify(text)} for --${name}: not a ${kind}`);
  switch (kind) {
    case 'string':
      return text;
    case 'list':
      return text === '' ? [] : text.split(',').map((s) => s.trim());
    case 'bool':
      if (/^(true|t|1)$/i.test(text)) return true;
      if (/^(false|f|0)$/i.test(text)) return false;
      throw bad();
    case 'int':
      if (!/^-?[0-9]+$/.test(text)) throw bad();
      return Number(text);
    case 'float':
      if (text.trim() === '' || Number.isNaN(Number(text))) throw bad();
      return Number(text);
    case 'duration': {
      const nanos = parseDuration(text);
      if (nanos === undefined) throw bad();
      return Number(nanos / 1_000_000n);
    }
  }
}

/**
 * Reads a command line. `ignored` flags are checked and left out; `others` names the kind of flags that no table can
 * list, and takes their values. @throws Error with one sentence about the first thing that is wrong.
 */
export function parseFlagTable<T extends FlagTable>(
  argv: readonly string[],
  options: {
    flags: T;
    ignored?: FlagTable;
    others?: { kind(name: string): FlagKind | undefined; take(name: string, value: FlagValue): void };
  },
): { values: FlagValues<T>; help: boolean } {
  const values: Record<string, FlagValue> = {};
  let help = false;
  const own = (table: FlagTable | undefined, name: string) =>
    table && Object.hasOwn(table, name) ? table[name] : undefined;
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i]!;
    if (arg === '-h' || arg === '--help') {
      help = true;
      continue;
    }
    const m = /^--?([^=]+)(=(.*))?$/s.exec(arg);
    if (!m || !arg.startsWith('-')) throw new Error(`unexpected argument ${JSON.stringify(arg)}`);
    const name = m[1]!;
    const known = own(options.flags, name);
    const other = (known ?? own(options.ignored, name)) ? undefined : options.others?.kind(name);
    const kind = known ?? own(options.ignored, name) ?? other;
    if (!kind) throw new Error(`unknown flag: --${name}`);
    let text = m[2] === undefined ? undefined : m[3]!;
    if (text === undefined) {
      if (kind === 'bool') text = 'true';
      else if (++i < argv.length) text = argv[i]!;
      else throw new Error(`flag needs an argument: --${name}`);
    }
    const value = convert(name, kind, text);
    if (other) options.others!.take(name, value);
    else if (known) values[name] = value;
  }
  return { values: values as FlagValues<T>, help };
}

/** What `--help` prints. */
export const usage = (flags: FlagTable) =>
  `usage: main.ts --kubeconfig FILE [flags]\n${Object.entries(flags)
    .map(([k, v]) => `  --${k} ${v}\n`)
    .join('')}`;
