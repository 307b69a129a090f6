/** The pools of devices that a node can reach, from the slices that drivers publish (KEP-4381, KEP-4815). Pure. */
import { Quantity } from '../../api/quantity.ts';
import { compileNodeSelector, type Selectable } from '../core/node-selector.ts';
import type { Amounts } from './capacity.ts';
import { deviceKey, type Device, type Slice } from './types.ts';

/** A device in its place. */
export interface PooledDevice {
  readonly key: string;
  readonly device: Device;
  readonly slice: Slice;
  readonly pool: Pool;
}

export interface Pool {
  readonly driver: string;
  readonly name: string;
  /** Slices of its generation are missing, or its slices contradict each other; then it has no devices. */
  readonly state: 'complete' | 'incomplete' | 'invalid';
  /** Devices that the node may use. */
  readonly devices: PooledDevice[];
  /** All devices of the pool that consume counters, wherever they may be used. */
  readonly consumers: readonly { readonly key: string; readonly device: Device }[];
  /** What devices of the pool share, by counter set. */
  readonly counters: ReadonlyMap<string, Amounts>;
}

type Where = Pick<Slice['spec'], 'nodeName' | 'allNodes' | 'nodeSelector'>;

const matchers = new WeakMap<object, (node: Selectable) => boolean>();
function reaches(where: Where, node: Selectable): boolean {
  if (where.nodeName) return where.nodeName === node.name;
  if (where.allNodes) return true;
  const { nodeSelector } = where;
  if (!nodeSelector) return false;
  let m = matchers.get(nodeSelector);
  if (!m) matchers.set(nodeSelector, (m = compileNodeSelector(nodeSelector)));
  return m(node);
}
const holdsCounters = (s: Slice) => (s.spec.sharedCounters?.length ?? 0) > 0;

function isRelevant(s: Slice, node: Selectable): boolean {
  // Counters are needed wherever devices of the pool are.
  if (holdsCounters(s)) return true;
  if (!s.spec.perDeviceNodeSelection) return reaches(s.spec, node);
  return s.spec.devices?.some((d) => reaches(d, node)) === true;
}

const byText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
const byName = (a: Slice, b: Slice) => byText(a.metadata?.name ?? '', b.metadata?.name ?? '');

/** Slices by pool, of each only the newest generation; built once for all nodes. */
export class Slices {
  private readonly pools = new Map<string, Slice[]>();
  /** Pools that have a slice for one node only, by that node; the others. */
  private readonly local = new Map<string, Set<string>>();
  private readonly shared = new Set<string>();

  constructor(slices: Iterable<Slice>) {
    for (const s of slices) {
      const { driver, pool } = s.spec;
      const key = `${driver}\0${pool.name}`;
      const have = this.pools.get(key);
      const generation = have?.[0]!.spec.pool.generation;
      if (!have || generation! < pool.generation) this.pools.set(key, [s]);
      else if (generation === pool.generation) have.push(s);
    }
    for (const [key, list] of this.pools) {
      list.sort(byName);
      for (const s of list) {
        const { nodeName } = s.spec;
        if (!nodeName || holdsCounters(s)) this.shared.add(key);
        else {
          const keys = this.local.get(nodeName);
          if (keys) keys.add(key);
          else this.local.set(nodeName, new Set([key]));
        }
      }
    }
  }

  /**
   * The pools with devices for the node, by driver and name; those whose devices need preparations come last. An
   * outdated slice doesn't count, even if the newer ones have nothing for the node.
   */
  poolsFor(node: Selectable): Pool[] {
    const pools: Pool[] = [];
    for (const key of new Set([...(this.local.get(node.name) ?? []), ...this.shared])) {
      const all = this.pools.get(key)!;
      const relevant = all.filter((s) => isRelevant(s, node));
      if (relevant.length > 0) pools.push(makePool(all, relevant, node));
    }
    const late = (p: Pool) => (p.devices.some((d) => d.device.bindingConditions?.length) ? 1 : 0);
    const order = new Map(pools.map((p) => [p, late(p)]));
    return pools.sort((a, b) => order.get(a)! - order.get(b)! || byText(a.driver, b.driver) || byText(a.name, b.name));
  }
}

function makePool(all: readonly Slice[], relevant: readonly Slice[], node: Selectable): Pool {
  const { driver, pool } = all[0]!.spec;
  const devices: PooledDevice[] = [];
  const consumers: { key: string; device: Device }[] = [];
  const counters = new Map<string, Amounts>();
  const made = (state: Pool['state']): Pool => ({ driver, name: pool.name, state, devices, consumers, counters });
  const bad = (state: 'incomplete' | 'invalid') => ({ ...made(state), devices: [], consumers: [] });
  if (all.length !== pool.resourceSliceCount) return bad('incomplete');
  for (const s of all)
    for (const set of s.spec.sharedCounters ?? []) {
      if (counters.has(set.name)) return bad('invalid');
      counters.set(set.name, new Map(Object.entries(set.counters).map(([n, c]) => [n, Quantity.parse(c.value)])));
    }
  for (const s of all)
    for (const device of s.spec.devices ?? []) {
      if (!device.consumesCounters?.length) continue;
      for (const use of device.consumesCounters)
        for (const name of Object.keys(use.counters))
          if (!counters.get(use.counterSet)?.has(name)) return bad('invalid');
      consumers.push({ key: deviceKey(driver, pool.name, device.name), device });
    }
  const result = made('complete');
  const names = new Set<string>();
  for (const slice of relevant)
    for (const device of slice.spec.devices ?? []) {
      if (names.has(device.name)) return bad('invalid');
      names.add(device.name);
      if (slice.spec.perDeviceNodeSelection && !reaches(device, node)) continue;
      devices.push({ key: deviceKey(driver, pool.name, device.name), device, slice, pool: result });
    }
  return result;
}
