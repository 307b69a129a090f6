/** How CPUs lie: threads of one core, cores of one last-level cache, caches and cores of a NUMA node and of a socket. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCpus } from './cpuset.ts';

export interface Cpu {
  id: number;
  core: number;
  socket: number;
  /** The last-level cache; one for all of a socket where the kernel tells none. */
  cache: string;
  numa: number;
}

/** `numa` are the machine's NUMA nodes with their CPUs. */
export function readCpus(
  numa: readonly { id: number; cpus: readonly number[] }[] = [],
  root = '/sys/devices/system/cpu',
): Cpu[] {
  const text = (id: number, ...path: string[]): string | undefined => {
    try {
      return readFileSync(join(root, `cpu${id}`, ...path), 'utf8').trim();
    } catch {
      return undefined;
    }
  };
  let online: number[];
  try {
    online = parseCpus(readFileSync(join(root, 'online'), 'utf8'));
  } catch {
    online = [0];
  }
  return online.map((id) => {
    const socket = Number(text(id, 'topology', 'physical_package_id') ?? 0);
    return {
      id,
      core: Number(text(id, 'topology', 'core_id') ?? id),
      socket,
      cache: text(id, 'cache', 'index3', 'shared_cpu_list') ?? `socket ${socket}`,
      numa: numa.find((n) => n.cpus.includes(id))?.id ?? 0,
    };
  });
}

type Key = (c: Cpu) => string;
const byNuma: Key = (c) => `${c.numa}`;
const bySocket: Key = (c) => `${c.socket}`;
const byCore: Key = (c) => `${c.socket}/${c.core}`;
const byCache: Key = (c) => c.cache;

export interface TakeOptions {
  /** Whole last-level caches come before cores, and what is left comes from one of them if it can. */
  caches?: boolean;
  /** No whole cores: threads in the order of their ids. */
  spread?: boolean;
}

/**
 * `count` of the free CPUs, packed: whole sockets and NUMA nodes first, then whole cores, then single threads; those come
 * first of whose surroundings most is taken already. Undefined when there are too few.
 */
export function takeCpus(
  all: readonly Cpu[],
  free: readonly number[],
  count: number,
  options: TakeOptions = {},
): number[] | undefined {
  if (free.length < count) return undefined;
  const left = new Set(free);
  const out: number[] = [];
  const take = (ids: readonly number[]) => {
    for (const i of ids) {
      left.delete(i);
      out.push(i);
    }
  };
  const missing = () => count - out.length;
  const number = (key: Key) => new Set(all.map(key)).size;
  // the larger ones first: a socket may have several nodes, a node several sockets
  const large = number(bySocket) >= number(byNuma) ? [byNuma, bySocket] : [bySocket, byNuma];
  /** Free CPUs in the order in which they are taken: of the larger groups that have the fewest left, and so on. */
  const ordered = (keys: readonly Key[]): Cpu[] => {
    const freeOnes = all.filter((c) => left.has(c.id));
    const sizes = keys.map((key) => Map.groupBy(freeOnes, key));
    return freeOnes.sort((a, b) => {
      for (const [i, key] of keys.entries()) {
        const [x, y] = [sizes[i]!.get(key(a))!, sizes[i]!.get(key(b))!];
        if (x !== y) return x.length - y.length || x[0]!.id - y[0]!.id;
      }
      return a.id - b.id;
    });
  };
  const groups = (key: Key, within: readonly Key[]) => [...Map.groupBy(ordered([...within, key]), key).entries()];
  const whole = (key: Key, within: readonly Key[]) => {
    const size = Map.groupBy(all, key);
    for (const [name, cpus] of groups(key, within))
      if (cpus.length <= missing() && cpus.length === size.get(name)!.length) take(cpus.map((c) => c.id));
  };
  whole(large[0]!, []);
  whole(large[1]!, [large[0]!]);
  if (options.caches && missing() > 0) {
    whole(byCache, large);
    const one = groups(byCache, large).find(([, cpus]) => missing() > 0 && cpus.length >= missing());
    if (one) {
      const inside = one[1].map((c) => c.id);
      take(takeCpus(all, inside, missing())!);
    }
  }
  if (!options.spread) whole(byCore, large);
  const rest = ordered(options.spread ? large : [...large, byCore]);
  take(rest.slice(0, missing()).map((c) => c.id));
  return out.sort((a, b) => a - b);
}
