/** Which CPUs are threads of one core, and which cores sit in one socket. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCpus } from './cpuset.ts';

export interface Cpu {
  id: number;
  core: number;
  socket: number;
}

export function readCpus(root = '/sys/devices/system/cpu'): Cpu[] {
  const number = (id: number, file: string): number => {
    try {
      return Number(readFileSync(join(root, `cpu${id}`, 'topology', file), 'utf8'));
    } catch {
      return file === 'core_id' ? id : 0;
    }
  };
  let online: number[];
  try {
    online = parseCpus(readFileSync(join(root, 'online'), 'utf8'));
  } catch {
    online = [0];
  }
  return online.map((id) => ({ id, core: number(id, 'core_id'), socket: number(id, 'physical_package_id') }));
}

/** `count` of the free CPUs, packed: whole sockets first, then whole cores, then single threads where cores are broken already. */
export function takeCpus(all: readonly Cpu[], free: readonly number[], count: number): number[] | undefined {
  if (free.length < count) return undefined;
  const left = new Set(free);
  const out: number[] = [];
  const groups = (key: (c: Cpu) => string) => {
    const map = new Map<string, number[]>();
    for (const c of all) map.set(key(c), [...(map.get(key(c)) ?? []), c.id]);
    return [...map.values()];
  };
  const whole = (key: (c: Cpu) => string) => {
    for (const ids of groups(key))
      if (ids.length <= count - out.length && ids.every((i) => left.has(i)))
        for (const i of ids) {
          left.delete(i);
          out.push(i);
        }
  };
  const socket = (c: Cpu) => `${c.socket}`;
  const core = (c: Cpu) => `${c.socket}/${c.core}`;
  whole(socket);
  whole(core);
  const coreOf = new Map(all.map((c) => [c.id, core(c)]));
  const size = new Map<string, number>();
  for (const i of left) size.set(coreOf.get(i)!, (size.get(coreOf.get(i)!) ?? 0) + 1);
  const rest = [...left].sort((a, b) => size.get(coreOf.get(a)!)! - size.get(coreOf.get(b)!)! || a - b);
  out.push(...rest.slice(0, count - out.length));
  return out.sort((a, b) => a - b);
}
