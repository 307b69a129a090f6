/**
 * A table of nftables as data, and the text that leads the kernel from one state of it to another in one transaction.
 * Pure.
 */

/** A named set (values are '') or map (values are what nft prints after the colon). */
export interface NftSet {
  kind: 'set' | 'map';
  /** What stands between the braces: `type ipv4_addr ;`. A set whose elements the kernel adds has none here. */
  spec: string;
  elements: Map<string, string>;
}

export interface NftChain {
  /** Type, hook and priority of a base chain. */
  hook?: string;
  rules: readonly string[];
}

export interface NftTable {
  sets: Map<string, NftSet>;
  chains: Map<string, NftChain>;
}

const CHUNK = 500;

const emptyTable = (): NftTable => ({ sets: new Map(), chains: new Map() });

/** Lines that add or delete elements, some hundred each. */
export function elementLines(verb: 'add' | 'delete', table: string, set: string, items: readonly string[]): string[] {
  const lines: string[] = [];
  for (let i = 0; i < items.length; i += CHUNK)
    lines.push(`${verb} element ${table} ${set} { ${items.slice(i, i + CHUNK).join(', ')} }`);
  return lines;
}

const sameRules = (a: readonly string[], b: readonly string[]) =>
  a === b || (a.length === b.length && a.every((r, i) => r === b[i]));
const written = (key: string, value: string) => (value === '' ? key : `${key} : ${value}`);
const NONE: ReadonlyMap<string, string> = new Map();

/** What brings `table` (`ip NAME`) from `before` to `after`; '' when they are the same. */
export function renderTableChange(table: string, before: NftTable, after: NftTable): string {
  const lines: string[] = [];
  for (const [name, s] of after.sets)
    if (!before.sets.has(name)) lines.push(`add ${s.kind} ${table} ${name} { ${s.spec} }`);
  // every chain must exist before a rule may name it
  for (const [name, c] of after.chains)
    if (!before.chains.has(name)) lines.push(`add chain ${table} ${name}${c.hook ? ` { ${c.hook} }` : ''}`);
  for (const [name, c] of after.chains) {
    const old = before.chains.get(name);
    if (old && sameRules(old.rules, c.rules)) continue;
    if (old) lines.push(`flush chain ${table} ${name}`);
    for (const r of c.rules) lines.push(`add rule ${table} ${name} ${r}`);
  }
  for (const name of new Set([...before.sets.keys(), ...after.sets.keys()])) {
    const was = before.sets.get(name)?.elements ?? NONE;
    const is = after.sets.get(name)?.elements ?? NONE;
    if (was === is) continue;
    const gone: string[] = [];
    const come: string[] = [];
    for (const [key, value] of was) if (is.get(key) !== value) gone.push(written(key, value));
    for (const [key, value] of is) if (was.get(key) !== value) come.push(written(key, value));
    lines.push(...elementLines('delete', table, name, gone), ...elementLines('add', table, name, come));
  }
  const dead = [...before.chains.keys()].filter((name) => !after.chains.has(name));
  for (const name of dead) lines.push(`flush chain ${table} ${name}`);
  for (const name of dead) lines.push(`delete chain ${table} ${name}`);
  for (const [name, s] of before.sets) if (!after.sets.has(name)) lines.push(`delete ${s.kind} ${table} ${name}`);
  return lines.length ? lines.join('\n') + '\n' : '';
}

/** Everything from nothing, in one transaction that replaces what an earlier run left. */
export const renderTable = (table: string, state: NftTable): string =>
  `add table ${table}\ndelete table ${table}\nadd table ${table}\n${renderTableChange(table, emptyTable(), state)}`;

/** What removes the table. */
export const renderRemoval = (table: string): string => `add table ${table}\ndelete table ${table}\n`;
