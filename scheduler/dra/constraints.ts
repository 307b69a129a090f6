/** Constraints between the devices of a claim: equal attributes, or attributes that all differ. */
import type { PooledDevice } from './pools.ts';
import { AllocationError, type Claim } from './types.ts';

/** Told of each device that is added; false when it can't be. Every device that was added is removed again. */
export interface Constraint {
  add(request: string, device: PooledDevice): boolean;
  remove(request: string, device: PooledDevice): void;
}

/** The attribute under its full name, or under its short one where the domain is the driver's. */
function attribute(d: PooledDevice, name: string): string | undefined {
  const all = d.device.attributes ?? {};
  const slash = name.indexOf('/');
  const a =
    (Object.hasOwn(all, name) ? all[name] : undefined) ??
    (name.slice(0, slash) === d.slice.spec.driver && Object.hasOwn(all, name.slice(slash + 1))
      ? all[name.slice(slash + 1)]
      : undefined);
  if (!a) return undefined;
  for (const kind of ['string', 'int', 'bool', 'version'] as const)
    if (a[kind] !== undefined) return `${kind}:${String(a[kind])}`;
  return undefined;
}

/** Does the constraint speak of the request, named itself or by the request that it is an alternative of? */
const concerns = (requests: readonly string[] | undefined, request: string) =>
  !requests?.length || requests.includes(request) || requests.includes(request.split('/')[0]!);

class Match implements Constraint {
  private readonly requests: readonly string[] | undefined;
  private readonly name: string;
  private readonly distinct: boolean;
  private readonly values = new Map<string, number>();
  constructor(requests: readonly string[] | undefined, name: string, distinct: boolean) {
    this.requests = requests;
    this.name = name;
    this.distinct = distinct;
  }
  add(request: string, device: PooledDevice): boolean {
    if (!concerns(this.requests, request)) return true;
    const value = attribute(device, this.name);
    if (value === undefined) return false;
    const have = this.values.get(value);
    if (this.distinct ? have !== undefined : have === undefined && this.values.size > 0) return false;
    this.values.set(value, (have ?? 0) + 1);
    return true;
  }
  remove(request: string, device: PooledDevice): void {
    if (!concerns(this.requests, request)) return;
    const value = attribute(device, this.name)!;
    const left = this.values.get(value)! - 1;
    if (left === 0) this.values.delete(value);
    else this.values.set(value, left);
  }
}

export function readConstraints(claim: Claim): Constraint[] {
  return (claim.spec.devices?.constraints ?? []).map((c, i) => {
    if (c.matchAttribute !== undefined) return new Match(c.requests, c.matchAttribute, false);
    if (c.distinctAttribute !== undefined) return new Match(c.requests, c.distinctAttribute, true);
    throw new AllocationError(
      `claim ${claim.metadata?.namespace}/${claim.metadata?.name}, constraint #${i}: empty constraint (unsupported constraint type?)`,
    );
  });
}
