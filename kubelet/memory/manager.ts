/**
 * The static memory manager policy: containers of Guaranteed pods have their memory and huge pages from named NUMA nodes.
 * https://kubernetes.io/docs/tasks/administer-cluster/memory-manager/
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import { amountsOf, isSidecar, qosClass } from '../pods/resources.ts';
import { formatBytes, wholeValue } from '../quantity.ts';
import { nodeSets, preferFewest, sameNodes, type Hint, type Nodes } from '../topology/hints.ts';
import type { HintProvider } from '../topology/manager.ts';
import type { NumaNode } from '../topology/numa.ts';

type ReadPod = DeepReadonly<Pod>;
type ReadContainer = DeepReadonly<Container>;

/** Bytes of one kind of memory that a container has on some nodes together. */
export interface MemoryBlock {
  numaAffinity: number[];
  type: string;
  size: number;
}

export interface MemoryManager extends HintProvider {
  /** The list for a container's cpuset.mems; undefined for one that takes memory anywhere. */
  mems(uid: string, container: string): readonly number[] | undefined;
  blocks(uid: string, container: string): readonly MemoryBlock[];
  /** What can be given of each node. */
  allocatable(): MemoryBlock[];
  keep(living: ReadonlySet<string>): void;
}

interface Table {
  total: number;
  systemReserved: number;
  allocatable: number;
  reserved: number;
  free: number;
}
interface NodeState {
  numberOfAssignments: number;
  memoryMap: Record<string, Table>;
  /** The nodes that it is used together with; one node serves either itself or one group. */
  cells: number[];
}
type Machine = Record<string, NodeState>;
type Entries = Record<string, Record<string, MemoryBlock[]>>;
interface State {
  policyName: 'Static';
  machineState: Machine;
  entries: Entries;
  checksum: number;
}

/** Bytes that are the system's, by NUMA node and kind. */
export type ReservedMemory = readonly {
  readonly numaNode: number;
  readonly limits: Readonly<Record<string, string>>;
}[];

/** Fails unless the reservations of the nodes sum up to what the node as a whole keeps back. */
export function checkReserved(reserved: ReservedMemory, ids: Nodes, whole: Readonly<Record<string, number>>): void {
  const sums: Record<string, number> = {};
  for (const r of reserved) {
    if (!ids.includes(r.numaNode))
      throw new Error(
        `the reserved memory configuration references a NUMA node ${r.numaNode} that does not exist on this machine`,
      );
    for (const [k, v] of Object.entries(r.limits)) sums[k] = (sums[k] ?? 0) + wholeValue(v);
  }
  for (const k of new Set([...Object.keys(sums), ...Object.keys(whole)]))
    if ((sums[k] ?? 0) !== (whole[k] ?? 0))
      throw new Error(
        `the total amount ${JSON.stringify(formatBytes(sums[k] ?? 0))} of type ${JSON.stringify(k)} is not equal to the value ${JSON.stringify(formatBytes(whole[k] ?? 0))} determined by Node Allocatable feature`,
      );
}

const kinds = (c: ReadContainer): [string, number][] =>
  Object.entries(amountsOf(c.resources?.requests ?? c.resources?.limits)).filter(
    ([k, v]) => v > 0 && (k === 'memory' || k.startsWith('hugepages-')),
  );

/** The pod's containers may have memory of their own: requests of the pod as a whole name no container's. */
const serves = (pod: ReadPod): boolean =>
  qosClass(pod) === 'Guaranteed' &&
  Object.keys({ ...pod.spec!.resources?.requests, ...pod.spec!.resources?.limits }).length === 0;

function freshMachine(numa: readonly NumaNode[], reserved: ReservedMemory): Machine {
  const kept = (id: number, kind: string) =>
    reserved.filter((r) => r.numaNode === id).reduce((n, r) => n + wholeValue(r.limits[kind]), 0);
  const table = (id: number, kind: string, total: number, usable: number): Table => {
    const allocatable = Math.max(0, usable - kept(id, kind));
    return { total, systemReserved: kept(id, kind), allocatable, reserved: 0, free: allocatable };
  };
  return Object.fromEntries(
    numa.map((n) => {
      const pages = n.hugePages.map((h) => [`hugepages-${formatBytes(h.bytes)}`, h.bytes * h.count] as const);
      const huge = pages.reduce((sum, [, bytes]) => sum + bytes, 0);
      return [
        String(n.id),
        {
          numberOfAssignments: 0,
          memoryMap: {
            ...Object.fromEntries(pages.map(([kind, bytes]) => [kind, table(n.id, kind, bytes, bytes)])),
            memory: table(n.id, 'memory', n.memory, n.memory - huge),
          },
          cells: [n.id],
        },
      ];
    }),
  );
}

export function createMemoryManager(options: {
  /** ROOT/memory_manager_state */
  file: string;
  numa: readonly NumaNode[];
  reserved: ReservedMemory;
}): MemoryManager {
  const { file, numa, reserved } = options;
  const ids = numa.map((n) => n.id);
  const machine = freshMachine(numa, reserved);
  let entries: Entries = {};

  const free = (nodes: Nodes, kind: string): number =>
    nodes.reduce((n, id) => n + (machine[id]?.memoryMap[kind]?.free ?? 0), 0);

  function take(block: MemoryBlock, size: number): void {
    for (const id of block.numaAffinity) {
      const node = machine[id]!;
      node.numberOfAssignments++;
      node.cells = [...block.numaAffinity];
      const t = node.memoryMap[block.type];
      if (!t) continue;
      const part = Math.min(t.free, size);
      t.reserved += part;
      t.free -= part;
      size -= part;
    }
  }
  function giveBack(block: MemoryBlock): void {
    let size = block.size;
    for (const id of block.numaAffinity) {
      const node = machine[id];
      if (!node) continue;
      node.numberOfAssignments--;
      if (node.numberOfAssignments === 0) node.cells = [id];
      const t = node.memoryMap[block.type];
      if (!t) continue;
      const part = Math.min(t.reserved, size);
      t.reserved -= part;
      t.free += part;
      size -= part;
    }
  }
  function save(): void {
    const state: State = { policyName: 'Static', machineState: machine, entries, checksum: 0 };
    writeFileSync(`${file}.new`, JSON.stringify(state), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
  function forget(uids: readonly string[]): void {
    if (uids.length === 0) return;
    for (const uid of uids) {
      for (const block of Object.values(entries[uid] ?? {}).flat()) giveBack(block);
      delete entries[uid];
    }
    save();
  }

  /** Blocks of the pod's init containers that have ended before this one: their memory is used again. */
  const reusable = (pod: ReadPod, c: ReadContainer, nodes: Nodes, kind: string): MemoryBlock[] => {
    const inits = pod.spec!.initContainers ?? [];
    const at = inits.indexOf(c);
    return inits
      .slice(0, at < 0 ? undefined : at)
      .filter((i) => !isSidecar(i))
      .flatMap((i) => entries[pod.metadata!.uid!]?.[i.name] ?? [])
      .filter((b) => b.type === kind && sameNodes(b.numaAffinity, nodes));
  };
  const sum = (blocks: readonly MemoryBlock[]) => blocks.reduce((n, b) => n + b.size, 0);

  /** Where these amounts could come from, in all kinds alike. */
  function candidates(wanted: readonly [string, number][], again: (nodes: Nodes, kind: string) => number): Hint[] {
    let fewest = ids.length;
    const sets = nodeSets(ids).filter((nodes) => {
      const all = (kind: string) => nodes.reduce((n, id) => n + (machine[id]?.memoryMap[kind]?.allocatable ?? 0), 0);
      if (!wanted.every(([kind, size]) => all(kind) >= size)) return false;
      fewest = Math.min(fewest, nodes.length);
      const [first] = nodes;
      // a node serves either single or grouped containers, and one group only
      if (nodes.length === 1 ? machine[first!]!.cells.length > 1 : nodes.some((id) => violates(id, nodes)))
        return false;
      return wanted.every(([kind, size]) => free(nodes, kind) + again(nodes, kind) >= size);
    });
    return preferFewest(sets, fewest);
  }
  const violates = (id: number, nodes: Nodes): boolean =>
    machine[id]!.numberOfAssignments > 0 && !sameNodes(machine[id]!.cells, nodes);

  const best = (hints: readonly Hint[]): Hint | undefined =>
    hints.reduce<Hint | undefined>(
      (a, b) =>
        !a || (b.preferred && !a.preferred) || (a.preferred === b.preferred && b.nodes!.length < a.nodes!.length)
          ? b
          : a,
      undefined,
    );

  /** What a whole pod needs: its containers together, or its largest init container. */
  function wantedBy(containers: readonly ReadContainer[], pod: ReadPod): [string, number][] {
    if (containers.length === 1) return kinds(containers[0]!);
    const total = new Map<string, number>();
    const peak = new Map<string, number>();
    const sidecars = new Map<string, number>();
    const add = (to: Map<string, number>, k: string, v: number) => void to.set(k, (to.get(k) ?? 0) + v);
    for (const c of containers)
      for (const [k, v] of kinds(c)) {
        if (!pod.spec!.initContainers?.includes(c)) add(total, k, v);
        else if (isSidecar(c)) {
          add(total, k, v);
          add(sidecars, k, v);
        } else peak.set(k, Math.max(peak.get(k) ?? 0, v + (sidecars.get(k) ?? 0)));
      }
    for (const [k, v] of peak) total.set(k, Math.max(total.get(k) ?? 0, v));
    return [...total];
  }

  try {
    const had = JSON.parse(readFileSync(file, 'utf8')) as Partial<State>;
    if (had.policyName === 'Static') {
      entries = had.entries ?? {};
      for (const block of Object.values(entries).flatMap((byName) => Object.values(byName).flat()))
        if (block.numaAffinity.every((id) => ids.includes(id))) take(block, block.size);
    }
  } catch {
    // the first time
  }
  save();

  return {
    has: (uid) => entries[uid] !== undefined,
    hints(pod, containers) {
      if (!serves(pod)) return new Map();
      const wanted = wantedBy(containers, pod);
      const hints = candidates(wanted, (nodes, kind) =>
        containers.length === 1 ? sum(reusable(pod, containers[0]!, nodes, kind)) : 0,
      );
      return new Map(wanted.map(([kind]) => [kind, hints]));
    },
    allocate(pod, c, nodes) {
      const uid = pod.metadata!.uid!;
      if (!serves(pod) || entries[uid]?.[c.name]) return;
      const wanted = kinds(c);
      if (wanted.length === 0) return;
      const again = (set: Nodes, kind: string) => sum(reusable(pod, c, set, kind));
      const fits = (set: Nodes) => wanted.every(([kind, size]) => free(set, kind) + again(set, kind) >= size);
      let from = nodes;
      if (!from || !fits(from)) {
        const within = from;
        const hint = best(
          candidates(wanted, again).filter((h) => !within || within.every((id) => h.nodes!.includes(id))),
        );
        if (!hint)
          throw new Error(
            within
              ? '[memorymanager] failed to find NUMA nodes to extend the current topology hint'
              : '[memorymanager] failed to get the default NUMA affinity, no NUMA nodes with enough memory is available',
          );
        from = hint.nodes!;
      }
      if (from.length > 1 && from.some((id) => violates(id, from)))
        throw new Error('[memorymanager] preferred hint violates NUMA node allocation');
      const blocks = wanted.map(([type, size]): MemoryBlock => {
        const block = { numaAffinity: [...from], type, size };
        let left = size;
        for (const old of reusable(pod, c, from, type)) {
          const part = Math.min(old.size, left);
          old.size -= part;
          left -= part;
        }
        take(block, left);
        return block;
      });
      (entries[uid] ??= {})[c.name] = blocks;
      save();
    },
    mems(uid, container) {
      const blocks = entries[uid]?.[container];
      return blocks && [...new Set(blocks.flatMap((b) => b.numaAffinity))].sort((a, b) => a - b);
    },
    blocks: (uid, container) => entries[uid]?.[container] ?? [],
    allocatable: () =>
      ids.flatMap((id) =>
        Object.entries(machine[id]!.memoryMap)
          .filter(([, t]) => t.allocatable > 0)
          .map(([type, t]) => ({ numaAffinity: [id], type, size: t.allocatable })),
      ),
    release: (uid) => forget(entries[uid] ? [uid] : []),
    keep: (living) => forget(Object.keys(entries).filter((uid) => !living.has(uid))),
  };
}
