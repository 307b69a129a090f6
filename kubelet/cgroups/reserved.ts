/** Bounds the node's own programs to what is kept back for them (enforceNodeAllocatable: system-reserved, kube-reserved). */
import type { KubeletConfiguration } from '../config.ts';
import { cpuShares } from '../pods/resources.ts';
import { milliCpu, wholeValue } from '../quantity.ts';
import type { CgroupLimits, CgroupManager } from './manager.ts';

type Config = Pick<
  KubeletConfiguration,
  | 'enforceNodeAllocatable'
  | 'systemReservedCgroup'
  | 'kubeReservedCgroup'
  | 'systemReserved'
  | 'kubeReserved'
  | 'reservedSystemCPUs'
>;

/** The values of enforceNodeAllocatable that bound programs; the compressible ones bound only what a program can do with less of. */
const GROUPS: Readonly<Record<string, { group: 'system' | 'kube'; cpuOnly: boolean }>> = {
  'system-reserved': { group: 'system', cpuOnly: false },
  'kube-reserved': { group: 'kube', cpuOnly: false },
  'system-reserved-compressible': { group: 'system', cpuOnly: true },
  'kube-reserved-compressible': { group: 'kube', cpuOnly: true },
};

/** Throws for values that are unknown, lack their cgroup, or contradict each other. */
export function checkEnforced(config: Config): void {
  const wanted = config.enforceNodeAllocatable;
  const seen = new Set<string>();
  for (const value of wanted) {
    const known = Object.hasOwn(GROUPS, value) ? GROUPS[value] : undefined;
    if (!known && value !== 'pods' && value !== 'none')
      throw new Error(
        `enforceNodeAllocatable: ${JSON.stringify(value)} is none of pods, none, ${Object.keys(GROUPS).join(', ')}`,
      );
    if (value === 'none' && wanted.length > 1) throw new Error('enforceNodeAllocatable: none stands alone');
    const key = known?.group ?? value;
    if (seen.has(key))
      throw new Error(`enforceNodeAllocatable: ${JSON.stringify(value)} comes twice, or with its other form`);
    seen.add(key);
    if (known && !config[`${known.group}ReservedCgroup`])
      throw new Error(`enforceNodeAllocatable: ${JSON.stringify(value)} needs ${known.group}ReservedCgroup`);
  }
  if (config.reservedSystemCPUs && (config.systemReservedCgroup || config.kubeReservedCgroup))
    throw new Error('reservedSystemCPUs can not be used with systemReservedCgroup or kubeReservedCgroup');
}

/** Bounds the cgroups, which must be there; rejects when one is not. */
export async function enforceReserved(config: Config, cgroups: Pick<CgroupManager, 'bound'>): Promise<void> {
  for (const value of config.enforceNodeAllocatable) {
    const known = GROUPS[value];
    if (!known) continue;
    const reserved = config[`${known.group}Reserved`];
    const limits: CgroupLimits = {};
    if (reserved['cpu'] !== undefined) limits.cpuShares = cpuShares(milliCpu(reserved['cpu']));
    if (!known.cpuOnly && reserved['memory'] !== undefined) limits.memory = wholeValue(reserved['memory']);
    if (!known.cpuOnly && reserved['pid'] !== undefined) limits.pids = wholeValue(reserved['pid']);
    await cgroups.bound(config[`${known.group}ReservedCgroup`]!, limits);
  }
}
