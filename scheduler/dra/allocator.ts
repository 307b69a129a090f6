/**
 * Chooses devices for claims on one node: every combination is tried in the order of pools, slices and devices, and the
 * first that satisfies all requests, constraints and counters is taken (KEP-4381). Pure.
 */
import { Quantity } from '../../api/quantity.ts';
import type { Selectable } from '../core/node-selector.ts';
import { addAmounts, takeCapacity, type Amounts } from './capacity.ts';
import { readConstraints, type Constraint } from './constraints.ts';
import type { Pool, PooledDevice, Slices } from './pools.ts';
import { matchesAll, readRequests, type Alternative, type Request } from './requests.ts';
import { toAllocation } from './result.ts';
import { AllocationError, MAX_RESULTS, type Allocation, type Claim, type Class, type Toleration } from './types.ts';
import type { Usage } from './usage.ts';

export interface AllocatorDeps {
  readonly slices: Slices;
  readonly usage: Usage;
  classOf(name: string): Class | undefined;
  /** A fresh UID for each share of a device. */
  uid(): string;
  /** Monotonic milliseconds; the search on one node ends after `timeoutMs`. */
  now(): number;
  readonly timeoutMs: number;
}

/** A device that was chosen, and what for. */
export interface Choice {
  readonly alternative: Alternative;
  readonly device: PooledDevice;
  /** Set for devices that allow several allocations. */
  readonly shareID?: string;
  readonly consumed?: Amounts;
}

/** Nothing can be allocated here, though elsewhere it might. */
export class PoolsInvalid extends Error {}

interface Plan {
  readonly claim: Claim;
  readonly requests: readonly Request[];
  readonly constraints: readonly Constraint[];
  readonly chosen: Choice[];
}

/**
 * The allocations of the claims, in their order; undefined when the node doesn't have what they ask for.
 * @throws AllocationError when no node can be right, PoolsInvalid when this one's slices contradict each other.
 */
export function allocate(node: Selectable, claims: readonly Claim[], deps: AllocatorDeps): Allocation[] | undefined {
  const plans = claims.map((claim): Plan => {
    const requests = readRequests(claim, (n) => deps.classOf(n));
    return { claim, requests, constraints: readConstraints(claim), chosen: [] };
  });
  const search = new Search(node, plans, deps);
  if (search.run()) return plans.map((p) => toAllocation(p.claim, p.requests, p.chosen, node.name));
  if (search.pools.some((p) => p.state === 'invalid'))
    throw new PoolsInvalid('invalid resource pools were encountered');
  return undefined;
}

const blocks = (effect: string) => effect === 'NoSchedule' || effect === 'NoExecute';

/** Whether a request puts up with a device's taint. */
export function tolerates(t: Toleration, taint: { key: string; value?: string; effect: string }): boolean {
  if (t.effect && t.effect !== taint.effect) return false;
  if (t.key && t.key !== taint.key) return false;
  if (t.operator === 'Exists') return true;
  return (t.operator ?? 'Equal') === 'Equal' && (t.value ?? '') === (taint.value ?? '');
}

/** Devices that are the same but for their names: where one has led nowhere, the other will not either. */
const likeness = new WeakMap<object, string>();
function likenessOf({ device, slice }: PooledDevice): string {
  let text = likeness.get(device);
  if (text === undefined)
    likeness.set(device, (text = JSON.stringify({ ...device, name: slice.metadata?.name, driver: slice.spec.driver })));
  return text;
}

class Search {
  readonly pools: readonly Pool[];
  private readonly plans: readonly Plan[];
  private readonly deps: AllocatorDeps;
  private readonly deadline: number;
  private steps = 0;
  /** What the search has taken so far: devices by the claims they are for, shares, counters by pool. */
  private readonly taken = new Map<string, Set<Plan>>();
  private readonly shares = new Map<string, { count: number; sum: Map<string, Quantity> }>();
  private readonly counters = new Map<Pool, Map<string, Map<string, Quantity>>>();
  private readonly devices: readonly PooledDevice[];
  private readonly selected = new Map<Alternative, Map<PooledDevice, boolean>>();
  private readonly nodeName: string;

  constructor(node: Selectable, plans: readonly Plan[], deps: AllocatorDeps) {
    this.pools = deps.slices.poolsFor(node);
    this.devices = this.pools.flatMap((p) => p.devices);
    this.plans = plans;
    this.deps = deps;
    this.nodeName = node.name;
    this.deadline = deps.now() + deps.timeoutMs;
  }

  run(): boolean {
    // What "all" means must be certain before anything is taken.
    for (const plan of this.plans) {
      const least = plan.requests.map((r) =>
        Math.min(...r.alternatives.map((a) => (a.mode === 'All' ? this.all(plan, a).length : a.count))),
      );
      const devices = least.reduce((a, b) => a + b, 0);
      const { namespace, name } = plan.claim.metadata ?? {};
      if (devices > MAX_RESULTS)
        throw new AllocationError(
          `claim ${namespace}/${name}: number of requested devices ${devices} exceeds the claim limit of ${MAX_RESULTS}`,
        );
    }
    return this.request(0, 0);
  }

  private request(claim: number, index: number): boolean {
    const plan = this.plans[claim];
    if (!plan) return true;
    const request = plan.requests[index];
    if (!request) return this.request(claim + 1, 0);
    const next = () => this.request(claim, index + 1);
    return request.alternatives.some((a) => {
      if (a.mode === 'All') {
        const all = this.all(plan, a);
        return all.length > 0 && this.every(plan, a, all, 0, next);
      }
      return this.some(plan, a, a.count, 0, next);
    });
  }

  /** Takes all of the devices, or none. */
  private every(plan: Plan, a: Alternative, all: readonly PooledDevice[], from: number, next: () => boolean): boolean {
    const device = all[from];
    if (!device) return next();
    if (plan.chosen.length + all.length - from > MAX_RESULTS) return false;
    const undo = this.take(plan, a, device);
    if (!undo) return false;
    if (this.every(plan, a, all, from + 1, next)) return true;
    undo();
    return false;
  }

  /** Takes `count` more devices, looking from the given one on: which of them came first makes no difference. */
  private some(plan: Plan, a: Alternative, count: number, from: number, next: () => boolean): boolean {
    if (count === 0) return next();
    if (plan.chosen.length + count > MAX_RESULTS) return false;
    const list = this.devices;
    const tried = new Set<string>();
    for (let i = from; i <= list.length - count; i++) {
      this.tick();
      const device = list[i]!;
      const like = likenessOf(device);
      if (tried.has(like)) continue;
      const undo = this.isFree(plan, a, device) && this.isSelected(a, device) && this.take(plan, a, device);
      if (!undo) continue;
      if (this.some(plan, a, count - 1, i + 1, next)) return true;
      undo();
      tried.add(like);
    }
    return false;
  }

  private tick(): void {
    if ((++this.steps & 0xff) === 0 && this.deps.now() > this.deadline)
      throw new AllocationError(`node ${this.nodeName}: timed out trying to allocate devices`);
  }

  private isSelected(a: Alternative, d: PooledDevice): boolean {
    let known = this.selected.get(a);
    if (!known) this.selected.set(a, (known = new Map<PooledDevice, boolean>()));
    let is = known.get(d);
    if (is === undefined) known.set(d, (is = matchesAll(a.selectors, d)));
    return is;
  }
  private all(plan: Plan, a: Alternative): readonly PooledDevice[] {
    for (const p of this.pools) {
      if (p.state === 'complete') continue;
      const why = p.state === 'incomplete' ? 'being updated' : 'invalid';
      const { namespace, name } = plan.claim.metadata ?? {};
      throw new AllocationError(
        `claim ${namespace}/${name}, request ${a.name}: asks for all devices, but resource pool ${p.driver}/${p.name} is currently ${why}`,
      );
    }
    const fits = (d: PooledDevice) => takeCapacity(d.device, a.capacity, this.deps.usage.partsOf(d.key)) !== undefined;
    return this.devices.filter((d) => this.isSelected(a, d) && fits(d));
  }

  /** Has nobody else the device? Administrators may have it as well, but not twice in one claim. */
  private isFree(plan: Plan, a: Alternative, d: PooledDevice): boolean {
    const takers = this.taken.get(d.key);
    if (a.adminAccess) return !takers?.has(plan);
    return !this.deps.usage.isTaken(d.key) && !takers?.size;
  }

  /** Takes the device if it is free and fits; answers how to give it back. */
  private take(plan: Plan, a: Alternative, d: PooledDevice): (() => void) | undefined {
    const { usage } = this.deps;
    const shared = d.device.allowMultipleAllocations === true;
    if (!this.isFree(plan, a, d)) return undefined;
    if (d.device.taints?.some((t) => blocks(t.effect) && !a.tolerations.some((x) => tolerates(x, t)))) return undefined;
    const share = this.shares.get(d.key);
    const consumed = takeCapacity(d.device, a.capacity, usage.partsOf(d.key), share?.sum);
    if (!consumed) return undefined;
    // The counters of a device that is shared already have been counted.
    const counts = d.device.consumesCounters?.length && !(shared && (usage.partsOf(d.key) || share));
    if (counts && !this.count(d, 1)) return undefined;
    let added = 0;
    for (const c of plan.constraints) {
      if (!c.add(a.name, d)) break;
      added++;
    }
    const release = () => {
      for (let i = added - 1; i >= 0; i--) plan.constraints[i]!.remove(a.name, d);
      if (counts) this.count(d, -1);
    };
    if (added < plan.constraints.length) {
      release();
      return undefined;
    }
    if (shared) this.share(d.key, consumed, 1);
    else {
      const takers = this.taken.get(d.key);
      if (takers) takers.add(plan);
      else this.taken.set(d.key, new Set([plan]));
    }
    plan.chosen.push({
      alternative: a,
      device: d,
      ...(shared ? { shareID: this.deps.uid(), consumed: consumed.size > 0 ? consumed : undefined } : {}),
    });
    return () => {
      plan.chosen.pop();
      if (shared) this.share(d.key, consumed, -1);
      else this.taken.get(d.key)!.delete(plan);
      release();
    };
  }

  private share(key: string, amounts: Amounts, sign: 1 | -1): void {
    let s = this.shares.get(key);
    if (!s) this.shares.set(key, (s = { count: 0, sum: new Map() }));
    s.count += sign;
    addAmounts(s.sum, amounts, sign);
    if (s.count === 0) this.shares.delete(key);
  }

  /** What is left of the pool's counters; worked out when it is first asked for. */
  private left(pool: Pool): Map<string, Map<string, Quantity>> {
    let left = this.counters.get(pool);
    if (!left) {
      left = new Map([...pool.counters].map(([set, amounts]) => [set, new Map(amounts)]));
      for (const c of pool.consumers)
        if (this.deps.usage.isUsed(c.key))
          for (const use of c.device.consumesCounters!) addAmounts(left.get(use.counterSet)!, amountsOf(use), -1);
      this.counters.set(pool, left);
    }
    return left;
  }
  /** Takes counters (gives them back); false when there aren't enough. */
  private count(d: PooledDevice, sign: 1 | -1): boolean {
    const left = this.left(d.pool);
    for (const use of d.device.consumesCounters!)
      addAmounts(left.get(use.counterSet)!, amountsOf(use), sign === 1 ? -1 : 1);
    if (sign === -1) return true;
    for (const set of left.values())
      for (const amount of set.values())
        if (amount.sign < 0) {
          this.count(d, -1);
          return false;
        }
    return true;
  }
}

const amountsOf = (use: { counters: { readonly [name: string]: { readonly value: string } } }): Amounts =>
  new Map(Object.entries(use.counters).map(([name, c]) => [name, Quantity.parse(c.value)]));
