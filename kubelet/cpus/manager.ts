/** The static CPU manager policy: Guaranteed containers that ask for whole CPUs have them for themselves. https://kubernetes.io/docs/concepts/policy/node-resource-managers/ */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import { milliCpu } from '../quantity.ts';
import { isSidecar, qosClass } from '../pods/resources.ts';
import { nodeSets, preferFewest } from '../topology/hints.ts';
import { AdmissionError, type HintProvider } from '../topology/manager.ts';
import type { NumaNode } from '../topology/numa.ts';
import { formatCpus, parseCpus } from './cpuset.ts';
import { distributeCpus } from './distribute.ts';
import type { CpuOptions } from './options.ts';
import { takeCpus, type Cpu } from './topology.ts';

type ReadPod = DeepReadonly<Pod>;

export interface CpuManager extends HintProvider {
  /** The list for a container's cpuset: its own CPUs, or those that all share. */
  cpuset(uid: string, container: string): string;
  /** CPUs that a container has for itself. */
  exclusive(uid: string, container: string): number[];
  allocatable(): number[];
  /** Gives back what pods other than these had. */
  keep(living: ReadonlySet<string>): void;
}

interface State {
  policyName: 'static';
  defaultCpuSet: string;
  entries: Record<string, Record<string, string>>;
  checksum: number;
}

/** Whole CPUs that a container gets alone; 0 for one that shares. */
function wholeCpus(pod: ReadPod, c: DeepReadonly<Container>): number {
  // what is asked for the pod as a whole is no container's
  const { requests, limits } = pod.spec!.resources ?? {};
  if (qosClass(pod) !== 'Guaranteed' || Object.keys({ ...requests, ...limits }).length > 0) return 0;
  const milli = milliCpu(c.resources?.requests?.['cpu'] ?? c.resources?.limits?.['cpu'] ?? '0');
  return milli > 0 && milli % 1000 === 0 ? milli / 1000 : 0;
}

export function createCpuManager(options: {
  file: string;
  cpus: readonly Cpu[];
  numa: readonly NumaNode[];
  reserved: readonly number[];
  options: CpuOptions;
  /** The CPUs that all share are others now. */
  sharedChanged(): void;
}): CpuManager {
  const { cpus, reserved, file } = options;
  const { strict, wholeCores, byCache, acrossNuma, bySocket, acrossCores } = options.options;
  const ids = cpus.map((c) => c.id);
  const entries = new Map<string, Map<string, number[]>>();
  try {
    const had = JSON.parse(readFileSync(file, 'utf8')) as State;
    if (had.policyName === 'static')
      for (const [uid, byName] of Object.entries(had.entries ?? {}))
        entries.set(uid, new Map(Object.entries(byName).map(([n, list]) => [n, parseCpus(list)])));
  } catch {
    // the first time
  }
  const taken = (): Set<number> => new Set([...entries.values()].flatMap((m) => [...m.values()].flat()));
  const shared = (): number[] => {
    const t = taken();
    return ids.filter((i) => !t.has(i) && !(strict && reserved.includes(i)));
  };
  const save = () => {
    const state: State = {
      policyName: 'static',
      defaultCpuSet: formatCpus(shared()),
      entries: Object.fromEntries(
        [...entries].map(([uid, m]) => [uid, Object.fromEntries([...m].map(([n, list]) => [n, formatCpus(list)]))]),
      ),
      checksum: 0,
    };
    writeFileSync(`${file}.new`, JSON.stringify(state));
    renameSync(`${file}.new`, file);
  };
  const threads = (i: number) => {
    const own = cpus.find((c) => c.id === i)!;
    return cpus.filter((c) => c.core === own.core && c.socket === own.socket).length;
  };
  const forget = (uids: readonly string[]) => {
    if (uids.length === 0) return;
    for (const uid of uids) entries.delete(uid);
    save();
    options.sharedChanged();
  };
  save();

  const listed = (pod: ReadPod) => [...(pod.spec!.initContainers ?? []), ...pod.spec!.containers];
  /** CPUs of init containers that have ended before this one begins, and are nobody else's in the pod. */
  const reusable = (pod: ReadPod, container: string): number[] => {
    const own = entries.get(pod.metadata!.uid!);
    const out = new Set<number>();
    const inits = new Set((pod.spec!.initContainers ?? []).filter((c) => !isSidecar(c)).map((c) => c.name));
    for (const c of listed(pod)) {
      if (c.name === container) break;
      for (const i of own?.get(c.name) ?? [])
        if (inits.has(c.name)) out.add(i);
        else out.delete(i);
    }
    return [...out].sort((a, b) => a - b);
  };
  const free = (): number[] => {
    const t = taken();
    return ids.filter((i) => !t.has(i) && !reserved.includes(i));
  };
  const take = (from: readonly number[], count: number) =>
    acrossNuma
      ? distributeCpus(cpus, from, count, wholeCores ? threads(ids[0]!) : 1)
      : takeCpus(cpus, from, count, { caches: byCache, spread: acrossCores });
  /** The CPUs of these NUMA nodes, or of the sockets that they lie in. */
  const around = (nodes: readonly number[]): Set<number> => {
    const inside = cpus.filter((c) => nodes.includes(c.numa));
    const sockets = new Set(inside.map((c) => c.socket));
    return new Set((bySocket ? cpus.filter((c) => sockets.has(c.socket)) : inside).map((c) => c.id));
  };

  return {
    has: (uid) => entries.has(uid),
    hints(pod, containers) {
      const counts = containers.map((c) => wholeCpus(pod, c));
      const inits = pod.spec!.initContainers ?? [];
      // a pod needs its containers' together, or the largest init container's
      let together = 0;
      let peak = 0;
      containers.forEach((c, i) => {
        if (containers.length > 1 && inits.includes(c) && !isSidecar(c)) peak = Math.max(peak, together + counts[i]!);
        else together += counts[i]!;
      });
      const count = Math.max(together, peak);
      if (count === 0) return new Map();
      const again = containers.length === 1 ? reusable(pod, containers[0]!.name) : [];
      const available = free();
      let fewest = options.numa.length;
      const sets = nodeSets(options.numa.map((n) => n.id)).filter((nodes) => {
        const inside = new Set(options.numa.flatMap((n) => (nodes.includes(n.id) ? n.cpus : [])));
        if (inside.size >= count) fewest = Math.min(fewest, nodes.length);
        if (!again.every((i) => inside.has(i))) return false;
        return again.length + available.filter((i) => inside.has(i)).length >= count;
      });
      return new Map([['cpu', preferFewest(sets, fewest)]]);
    },
    allocate(pod, c, nodes) {
      const uid = pod.metadata!.uid!;
      const count = wholeCpus(pod, c);
      if (count === 0 || entries.get(uid)?.has(c.name)) return;
      if (wholeCores && count % threads(ids[0]!) !== 0)
        throw new AdmissionError(
          'SMTAlignmentError',
          `SMT Alignment Error: requested ${count} cpus not multiple cpus per core = ${threads(ids[0]!)}`,
        );
      // what an init container had is used again first
      const again = reusable(pod, c.name).slice(0, count);
      const left = free().filter((i) => !again.includes(i));
      const missing = count - again.length;
      const inside = around(nodes ?? []);
      const near = left.filter((i) => inside.has(i));
      const first = take(near, Math.min(missing, near.length))!;
      const rest = take(
        left.filter((i) => !first.includes(i)),
        missing - first.length,
      );
      if (!rest)
        throw new Error(
          `not enough cpus available to satisfy request: requested=${count}, available=${left.length + again.length}`,
        );
      const own = entries.get(uid) ?? new Map<string, number[]>();
      own.set(
        c.name,
        [...again, ...first, ...rest].sort((a, b) => a - b),
      );
      entries.set(uid, own);
      save();
      options.sharedChanged();
    },
    cpuset: (uid, container) => formatCpus(entries.get(uid)?.get(container) ?? shared()),
    exclusive: (uid, container) => [...(entries.get(uid)?.get(container) ?? [])],
    allocatable: () => ids.filter((i) => !reserved.includes(i)),
    release: (uid) => forget(entries.has(uid) ? [uid] : []),
    keep: (living) => forget([...entries.keys()].filter((uid) => !living.has(uid))),
  };
}
