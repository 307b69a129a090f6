/** The static CPU manager policy: Guaranteed containers that ask for whole CPUs have them for themselves. https://kubernetes.io/docs/concepts/policy/node-resource-managers/ */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import { milliCpu } from '../quantity.ts';
import { isSidecar, qosClass } from '../pods/resources.ts';
import { formatCpus, parseCpus } from './cpuset.ts';
import { takeCpus, type Cpu } from './topology.ts';

type ReadPod = DeepReadonly<Pod>;

export interface CpuManager {
  /** Gives the pod's containers their CPUs, once; throws when there are not enough. */
  allocate(pod: ReadPod): void;
  /** The list for a container's cpuset: its own CPUs, or those that all share. */
  cpuset(uid: string, container: string): string;
  /** CPUs that a container has for itself. */
  exclusive(uid: string, container: string): number[];
  allocatable(): number[];
  release(uid: string): void;
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
export function wholeCpus(pod: ReadPod, c: DeepReadonly<Container>): number {
  if (qosClass(pod) !== 'Guaranteed') return 0;
  const milli = milliCpu(c.resources?.requests?.['cpu'] ?? c.resources?.limits?.['cpu'] ?? '0');
  return milli > 0 && milli % 1000 === 0 ? milli / 1000 : 0;
}

export function createCpuManager(options: {
  file: string;
  cpus: readonly Cpu[];
  reserved: readonly number[];
  /** strict-cpu-reservation: reserved CPUs are not shared either. */
  strict: boolean;
  /** full-pcpus-only: nothing but whole cores. */
  wholeCores: boolean;
  /** The CPUs that all share are others now. */
  sharedChanged(): void;
}): CpuManager {
  const { cpus, reserved, file } = options;
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
    return ids.filter((i) => !t.has(i) && !(options.strict && reserved.includes(i)));
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

  return {
    allocate(pod) {
      const uid = pod.metadata!.uid!;
      if (entries.has(uid)) return;
      const own = new Map<string, number[]>();
      let reusable: number[] = [];
      const all = [
        ...(pod.spec!.initContainers ?? []).map((c) => [c, !isSidecar(c)] as const),
        ...pod.spec!.containers.map((c) => [c, false] as const),
      ];
      for (const [c, ends] of all) {
        const count = wholeCpus(pod, c);
        if (count === 0) continue;
        const t = taken();
        for (const list of own.values()) for (const i of list) t.add(i);
        const free = ids.filter((i) => (!t.has(i) || reusable.includes(i)) && !reserved.includes(i));
        // what an init container had is used again first
        const again = reusable.slice(0, count);
        const more = takeCpus(
          cpus,
          free.filter((i) => !again.includes(i)),
          count - again.length,
        );
        if (!more)
          throw new Error(`not enough cpus available to satisfy request: requested=${count}, available=${free.length}`);
        const got = [...again, ...more].sort((a, b) => a - b);
        if (options.wholeCores && count % threads(got[0]!) !== 0)
          throw new Error(
            `SMT Alignment Error: requested ${count} cpus not multiple cpus per core = ${threads(got[0]!)}`,
          );
        own.set(c.name, got);
        reusable = ends ? [...new Set([...reusable, ...got])] : reusable.filter((i) => !got.includes(i));
      }
      if (own.size === 0) return;
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
