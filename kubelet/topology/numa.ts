/** The machine's NUMA nodes: which CPUs and how much memory belong together, and how far they are apart. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCpus } from '../cpus/cpuset.ts';

export interface NumaNode {
  id: number;
  cpus: readonly number[];
  /** Bytes. */
  memory: number;
  hugePages: readonly { bytes: number; count: number }[];
  /** To each node in the order of ids; the kernel's numbers, 10 is the node itself. */
  distances: readonly number[];
}

/** Sorted by id; empty where the kernel knows of none. */
export function readNumaNodes(root = '/sys/devices/system/node'): NumaNode[] {
  const text = (...path: string[]): string => {
    try {
      return readFileSync(join(root, ...path), 'utf8').trim();
    } catch {
      return '';
    }
  };
  const list = (...path: string[]): string[] => {
    try {
      return readdirSync(join(root, ...path));
    } catch {
      return [];
    }
  };
  return list()
    .flatMap((name) => /^node(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
    .map((id) => {
      const dir = `node${id}`;
      return {
        id,
        cpus: parseCpus(text(dir, 'cpulist')),
        memory: Number(/MemTotal:\s+(\d+) kB/.exec(text(dir, 'meminfo'))?.[1] ?? 0) * 1024,
        hugePages: list(dir, 'hugepages').map((h) => ({
          bytes: Number(/(\d+)kB/.exec(h)?.[1] ?? 0) * 1024,
          count: Number(text(dir, 'hugepages', h, 'nr_hugepages')),
        })),
        distances: text(dir, 'distance').split(/\s+/).map(Number),
      };
    });
}
