/** What discovery knows beyond the catalog: priorities of groups and versions, and what other servers serve. */
import type { JsonObject } from '../../api/types.ts';
import type { Catalog } from '../registry/catalog.ts';

/** A group version that another server serves. */
export interface RemoteVersion {
  readonly group: string;
  readonly version: string;
  /** Its resources in the form of aggregated discovery; undefined while they can't be had. */
  readonly resources: readonly JsonObject[] | undefined;
}

export interface Priority {
  /** Groups with a higher number come first, then by name. */
  readonly group: number;
  /** Versions of a group likewise. */
  readonly version: number;
}

/** Groups that nobody gave a priority, as custom resources have it. */
export const CUSTOM_PRIORITY: Priority = { group: 1000, version: 100 };

/** `generation` tells whether anything has changed. */
export class DiscoveryOverlay {
  /** Grows with each change. */
  generation = 0;
  readonly #priorities = new Map<string, Priority>();
  #remote: readonly RemoteVersion[] = [];

  /** Replaces all priorities, by `group/version`. */
  setPriorities(priorities: Iterable<readonly [string, Priority]>): void {
    this.#priorities.clear();
    for (const [k, p] of priorities) this.#priorities.set(k, p);
    this.generation++;
  }
  setRemote(versions: readonly RemoteVersion[]): void {
    this.#remote = versions;
    this.generation++;
  }
  get remote(): readonly RemoteVersion[] {
    return this.#remote;
  }

  /** Every group but the core with its versions, in order. */
  groups(catalog: Catalog): Map<string, string[]> {
    const found = new Map<string, string[]>();
    const order = new Map<string, number>();
    const add = (group: string, version: string) => {
      if (group === '') return;
      const versions = found.get(group);
      if (!versions) {
        order.set(group, order.size);
        found.set(group, [version]);
      } else if (!versions.includes(version)) versions.push(version);
    };
    for (const r of catalog.announced()) add(r.group, r.version);
    for (const r of this.#remote) add(r.group, r.version);
    const rank = new Map(
      [...found].map(([g, versions]) => [g, Math.max(...versions.map((v) => this.#priorityOf(catalog, g, v).group))]),
    );
    const groups = [...found].sort(
      ([a], [b]) =>
        rank.get(b)! - rank.get(a)! || (rank.get(a)! > MAX_GIVEN ? order.get(a)! - order.get(b)! : a < b ? -1 : 1),
    );
    return new Map(
      groups.map(([g, versions]) => [
        g,
        versions.sort(
          (a, b) =>
            this.#priorityOf(catalog, g, b).version - this.#priorityOf(catalog, g, a).version || -compareVersions(a, b),
        ),
      ]),
    );
  }

  #priorityOf(catalog: Catalog, group: string, version: string): Priority {
    const known = this.#priorities.get(`${group}/${version}`);
    if (known) return known;
    return catalog.isCustom(group) || !catalog.hasGroup(group) ? CUSTOM_PRIORITY : BUILT_IN;
  }
}

/** Priorities end at 20,000; what is built in stays in front, in the catalog's order, where nothing else is said. */
const MAX_GIVEN = 20_000;
const BUILT_IN: Priority = { group: MAX_GIVEN + 1, version: 0 };

/** Order of version names: v2 above v1 above v1beta2 above v1alpha1 above anything else (by name, descending). */
export function compareVersions(a: string, b: string): number {
  const parse = (t: string) => /^v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?$/.exec(t);
  const [x, y] = [parse(a), parse(b)];
  if (!x || !y) return x ? 1 : y ? -1 : a < b ? 1 : a > b ? -1 : 0;
  const rank = (m: RegExpExecArray) => (m[2] === 'alpha' ? 0 : m[2] === 'beta' ? 1 : 2);
  return rank(x) - rank(y) || Number(x[1]) - Number(y[1]) || Number(x[3] ?? 0) - Number(y[3] ?? 0);
}
