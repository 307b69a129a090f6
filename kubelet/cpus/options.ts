/** The static CPU manager policy's options. https://kubernetes.io/docs/concepts/policy/node-resource-managers/#cpu-policy-static--options */
import type { KubeletConfiguration } from '../config.ts';

export interface CpuOptions {
  /** full-pcpus-only: nothing but whole cores. */
  wholeCores: boolean;
  /** strict-cpu-reservation: reserved CPUs are not shared either. */
  strict: boolean;
  /** prefer-align-cpus-by-uncorecache: of as few last-level caches as can be. */
  byCache: boolean;
  /** distribute-cpus-across-numa: as many from each of the NUMA nodes that are needed. */
  acrossNuma: boolean;
  /** align-by-socket: near is what lies in the same socket. */
  bySocket: boolean;
  /** distribute-cpus-across-cores: rather threads of several cores than whole cores. */
  acrossCores: boolean;
}

export const NO_OPTIONS: CpuOptions = {
  wholeCores: false,
  strict: false,
  byCache: false,
  acrossNuma: false,
  bySocket: false,
  acrossCores: false,
};

/** By their names; `gate` is a feature that must be on, and whether it is by default. */
const NAMES: Record<string, { key: keyof CpuOptions; gate?: [name: string, on: boolean] }> = {
  'full-pcpus-only': { key: 'wholeCores' },
  'strict-cpu-reservation': { key: 'strict' },
  'prefer-align-cpus-by-uncorecache': { key: 'byCache' },
  'distribute-cpus-across-numa': { key: 'acrossNuma', gate: ['CPUManagerPolicyBetaOptions', true] },
  'align-by-socket': { key: 'bySocket', gate: ['CPUManagerPolicyAlphaOptions', false] },
  'distribute-cpus-across-cores': { key: 'acrossCores', gate: ['CPUManagerPolicyAlphaOptions', false] },
};

/** Pairs that contradict each other. */
const APART: [string, string][] = [
  ['full-pcpus-only', 'distribute-cpus-across-cores'],
  ['distribute-cpus-across-numa', 'distribute-cpus-across-cores'],
  ['prefer-align-cpus-by-uncorecache', 'distribute-cpus-across-cores'],
  ['prefer-align-cpus-by-uncorecache', 'distribute-cpus-across-numa'],
];

/** Throws for what is unknown, off, or contradicts itself. */
export function cpuOptions(
  config: Pick<
    KubeletConfiguration,
    'cpuManagerPolicy' | 'cpuManagerPolicyOptions' | 'topologyManagerPolicy' | 'featureGates'
  >,
): CpuOptions {
  const out = { ...NO_OPTIONS };
  const given = Object.entries(config.cpuManagerPolicyOptions);
  if (given.length > 0 && config.cpuManagerPolicy !== 'static')
    throw new Error(`the CPU manager policy ${config.cpuManagerPolicy} takes no options`);
  for (const [name, value] of given) {
    const known = Object.hasOwn(NAMES, name) ? NAMES[name]! : undefined;
    if (!known) throw new Error(`unknown CPU manager policy option: ${JSON.stringify(name)}`);
    const [gate, on] = known.gate ?? ['', true];
    if (!(config.featureGates?.[gate] ?? on))
      throw new Error(`CPU manager policy option ${JSON.stringify(name)} needs the feature ${gate}`);
    if (/^(1|t|T|true|TRUE|True)$/.test(value)) out[known.key] = true;
    else if (!/^(0|f|F|false|FALSE|False)$/.test(value))
      throw new Error(`bad value for CPU manager policy option ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  }
  for (const [a, b] of APART)
    if (out[NAMES[a]!.key] && out[NAMES[b]!.key])
      throw new Error(`CPU manager policy options ${a} and ${b} can not be used together`);
  if (out.bySocket && config.topologyManagerPolicy === 'single-numa-node')
    throw new Error('the topology manager policy single-numa-node can not be used with the option align-by-socket');
  return out;
}
