/** Which devices are taken, and how much of those that are shared. */
import { Quantity } from '../../api/quantity.ts';
import { addAmounts, type Amounts } from './capacity.ts';
import { deviceKey, type Allocation } from './types.ts';

export class Usage {
  private readonly whole = new Set<string>();
  private readonly parts = new Map<string, Map<string, Quantity>>();

  /** Counts an allocation; access for administrators takes nothing away. */
  add(allocation: Pick<Allocation, 'devices'> | undefined): void {
    for (const r of allocation?.devices?.results ?? []) {
      if (r.adminAccess) continue;
      const key = deviceKey(r.driver, r.pool, r.device);
      if (r.shareID === undefined) this.whole.add(key);
      else {
        let sum = this.parts.get(key);
        if (!sum) this.parts.set(key, (sum = new Map()));
        const amounts = Object.entries(r.consumedCapacity ?? {});
        addAmounts(sum, new Map(amounts.map(([n, a]) => [n, Quantity.parse(a)])), 1);
      }
    }
  }
  /** Nobody else may have it. */
  isTaken(key: string): boolean {
    return this.whole.has(key);
  }
  isUsed(key: string): boolean {
    return this.whole.has(key) || this.parts.has(key);
  }
  partsOf(key: string): Amounts | undefined {
    return this.parts.get(key);
  }
}
