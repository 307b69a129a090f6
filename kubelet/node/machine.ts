/** What the machine is: processors, memory, disks, identity. Read once, or where it changes each time. */
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import os from 'node:os';

export interface Machine {
  cpus: number;
  memoryBytes: number;
  machineID: string;
  systemUUID: string;
  bootID: string;
  kernelVersion: string;
  osImage: string;
  architecture: string;
  hugePages: Record<string, number>;
}

const text = (file: string): string => {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
};

export function readMachine(): Machine {
  const memory = /^MemTotal:\s+(\d+) kB/m.exec(text('/proc/meminfo'));
  const release = text('/etc/os-release');
  const pretty = /^PRETTY_NAME="?([^"\n]*)"?/m.exec(release);
  const machineID = text('/etc/machine-id');
  const hugePages: Record<string, number> = {};
  for (const [name, dir, size] of [
    ['hugepages-2Mi', 'hugepages-2048kB', 2 << 20],
    ['hugepages-1Gi', 'hugepages-1048576kB', 1 << 30],
  ] as const) {
    const n = text(`/sys/kernel/mm/hugepages/${dir}/nr_hugepages`);
    if (n !== '') hugePages[name] = Number(n) * size;
  }
  return {
    cpus: os.availableParallelism(),
    memoryBytes: memory ? Number(memory[1]) * 1024 : os.totalmem(),
    machineID,
    systemUUID: text('/sys/class/dmi/id/product_uuid') || machineID,
    bootID: text('/proc/sys/kernel/random/boot_id'),
    kernelVersion: os.release(),
    osImage: pretty?.[1] ?? 'Linux',
    architecture: { x64: 'amd64', arm64: 'arm64', arm: 'arm' }[process.arch as string] ?? process.arch,
    hugePages,
  };
}

export interface FsStats {
  capacityBytes: number;
  availableBytes: number;
  usedBytes: number;
  inodes: number;
  inodesFree: number;
}

/** The file system that holds a path. */
export function fsStats(path: string): FsStats {
  let dir = path;
  while (!existsSync(dir) && dir !== '/') dir = dirname(dir);
  const s = statfsSync(dir);
  return {
    capacityBytes: s.blocks * s.bsize,
    availableBytes: s.bavail * s.bsize,
    usedBytes: (s.blocks - s.bfree) * s.bsize,
    inodes: s.files,
    inodesFree: s.ffree,
  };
}

/** Bytes that processes could still get. */
export function availableMemory(): number {
  const m = /^MemAvailable:\s+(\d+) kB/m.exec(text('/proc/meminfo'));
  return m ? Number(m[1]) * 1024 : os.freemem();
}

/** Processes now and the most there may be. */
export function processCounts(): { running: number; max: number } {
  const max = Number(text('/proc/sys/kernel/pid_max')) || 32768;
  const load = text('/proc/loadavg').split(' ')[3] ?? '0/0';
  return { running: Number(load.split('/')[1]) || 0, max };
}
