/**
 * The rules of all Services together, and what a change of some of them means for the kernel: work and text are in
 * proportion to what changed, not to what there is. Pure.
 */
import { createHash } from 'node:crypto';
import type { FixedSet, Fragment } from './desired.ts';
import { elementLines } from './nft.ts';
import { FAMILIES, skeleton, TABLE, type TableView } from './render.ts';

/** What is kept of a Service once its rules are in the kernel: enough to tell what differs and to take it back. */
interface Kept {
  elements: Fragment['elements'];
  /** Chains with a digest of their rules. */
  chains: ReadonlyMap<string, string>;
  affinitySets: Fragment['affinitySets'];
}
/** Who wants an element and with which value; the first one counts (two Services may share an external address). */
interface Claim {
  owner: string;
  value: string;
}

/** Sets whose keys hold an address that is one Service's alone: nobody else can claim them. */
const UNSHARED: ReadonlySet<FixedSet> = new Set<FixedSet>(['endpoints', 'cluster-ips']);

const digest = (rules: readonly string[]) => createHash('sha1').update(rules.join('\n')).digest('base64');
const NOTHING: Kept = { elements: [], chains: new Map(), affinitySets: new Map() };

export class RuleState {
  readonly #view: TableView;
  readonly #kept = new Map<string, Kept>();
  readonly #claims = new Map<FixedSet, Map<string, Claim | Claim[]>>();
  /** Changes that `take` has not handed out yet. */
  #fresh = true;
  /** Element values before the changes. */
  #before = new Map<FixedSet, Map<string, string | undefined>>();
  /** Elements of unshared sets before and after the changes. */
  #own = new Map<FixedSet, Map<string, { was?: string; is?: string }>>();
  #chainLines: string[] = [];
  #newChains: string[] = [];
  #deadChains = new Set<string>();
  #newSets = new Map<string, number>();
  #deadSets = new Set<string>();

  constructor(view: TableView) {
    this.#view = view;
  }

  get #table(): string {
    return `${FAMILIES[this.#view.family].nft} ${TABLE}`;
  }

  /** Puts a Service's rules in place of those it had; undefined when it is gone. */
  replace(owner: string, next: Fragment | undefined): void {
    const old = this.#kept.get(owner) ?? NOTHING;
    for (const [set, key, value] of old.elements)
      if (UNSHARED.has(set)) this.#touch(set, key, value).is = undefined;
      else this.#release(owner, set, key);
    for (const [set, key, value] of next?.elements ?? [])
      if (UNSHARED.has(set)) this.#touch(set, key, undefined).is = value;
      else this.#claim(owner, set, key, value);
    const chains = new Map<string, string>();
    for (const [name, rules] of next?.chains ?? []) {
      const now = digest(rules);
      chains.set(name, now);
      const was = old.chains.get(name);
      if (was === now) continue;
      if (was !== undefined) this.#chainLines.push(`flush chain ${this.#table} ${name}`);
      // a chain that was to be deleted within the same change only needs its rules anew
      else if (!this.#deadChains.delete(name)) this.#newChains.push(name);
      for (const r of rules) this.#chainLines.push(`add rule ${this.#table} ${name} ${r}`);
    }
    for (const name of old.chains.keys())
      if (!chains.has(name)) {
        this.#chainLines.push(`flush chain ${this.#table} ${name}`);
        this.#deadChains.add(name);
      }
    const sets = next?.affinitySets ?? NOTHING.affinitySets;
    for (const [name, seconds] of sets)
      if (!old.affinitySets.has(name) && !this.#deadSets.delete(name)) this.#newSets.set(name, seconds);
    for (const name of old.affinitySets.keys()) if (!sets.has(name)) this.#deadSets.add(name);
    if (next)
      this.#kept.set(owner, { elements: next.elements, chains, affinitySets: sets.size ? sets : NOTHING.affinitySets });
    else this.#kept.delete(owner);
  }

  /** The transaction for all changes since it was last asked; '' without any. Whoever can't apply it starts anew. */
  take(): string {
    const t = this.#table;
    const lines = this.#fresh ? skeleton(this.#view) : [];
    for (const [name, seconds] of this.#newSets)
      lines.push(
        `add set ${t} ${name} { type ${FAMILIES[this.#view.family].addr} ; flags dynamic,timeout ; timeout ${seconds}s ; size 65535 ; }`,
      );
    // every chain must exist before a rule may name it
    for (const name of this.#newChains) lines.push(`add chain ${t} ${name}`);
    for (const line of this.#chainLines) lines.push(line);
    for (const [set, before] of this.#before) {
      const changes: [string, string | undefined, string | undefined][] = [];
      for (const [key, was] of before) changes.push([key, was, first(this.#claims.get(set)?.get(key))?.value]);
      elementChanges(lines, t, set, changes);
    }
    for (const [set, own] of this.#own)
      elementChanges(
        lines,
        t,
        set,
        [...own].map(([key, { was, is }]) => [key, was, is]),
      );
    for (const name of this.#deadChains) lines.push(`delete chain ${t} ${name}`);
    for (const name of this.#deadSets) lines.push(`delete set ${t} ${name}`);
    this.#fresh = false;
    this.#before = new Map();
    this.#own = new Map();
    this.#chainLines = [];
    this.#newChains = [];
    this.#deadChains = new Set();
    this.#newSets = new Map();
    this.#deadSets = new Set();
    return lines.length ? lines.join('\n') + '\n' : '';
  }

  /** The change of an unshared element; `now` is what it is if this is the first that happens to it. */
  #touch(set: FixedSet, key: string, now: string | undefined): { was?: string; is?: string } {
    let map = this.#own.get(set);
    if (!map) this.#own.set(set, (map = new Map()));
    let change = map.get(key);
    if (!change) map.set(key, (change = { was: now, is: now }));
    return change;
  }

  #remember(set: FixedSet, key: string, value: string | undefined): void {
    let map = this.#before.get(set);
    if (!map) this.#before.set(set, (map = new Map()));
    if (!map.has(key)) map.set(key, value);
  }

  #claim(owner: string, set: FixedSet, key: string, value: string): void {
    let map = this.#claims.get(set);
    if (!map) this.#claims.set(set, (map = new Map()));
    const have = map.get(key);
    this.#remember(set, key, first(have)?.value);
    const claim = { owner, value };
    if (!have) map.set(key, claim);
    else if (Array.isArray(have)) have.push(claim);
    else map.set(key, [have, claim]);
  }

  #release(owner: string, set: FixedSet, key: string): void {
    const map = this.#claims.get(set);
    const have = map?.get(key);
    if (!map || !have) return;
    this.#remember(set, key, first(have)?.value);
    if (!Array.isArray(have)) return void map.delete(key);
    const at = have.findIndex((c) => c.owner === owner);
    if (at >= 0) have.splice(at, 1);
    if (have.length === 0) map.delete(key);
  }
}

/** Adds the lines that lead elements from what they were to what they are; of unchanged ones there are none. */
function elementChanges(
  lines: string[],
  table: string,
  set: string,
  changes: readonly (readonly [key: string, was: string | undefined, is: string | undefined])[],
): void {
  const gone: string[] = [];
  const come: string[] = [];
  for (const [key, was, is] of changes) {
    if (was === is) continue;
    if (was !== undefined) gone.push(key);
    if (is !== undefined) come.push(is === '' ? key : `${key} : ${is}`);
  }
  for (const line of elementLines('delete', table, set, gone)) lines.push(line);
  for (const line of elementLines('add', table, set, come)) lines.push(line);
}

const first = (c: Claim | Claim[] | undefined): Claim | undefined => (Array.isArray(c) ? c[0] : c);
