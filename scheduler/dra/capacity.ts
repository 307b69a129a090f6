/** Capacity that several claims share of one device (KEP-5075). Pure. */
import type * as k8s from '@kubernetes/client-node';
import { Quantity } from '../../api/quantity.ts';
import type { DeepReadonly, Json } from '../../api/types.ts';
import type { Device } from './types.ts';

type DeviceCapacity = DeepReadonly<Json<k8s.V1DeviceCapacity>>;
type Range = DeepReadonly<Json<k8s.V1CapacityRequestPolicyRange>>;
/** Amounts by the name of the capacity. */
export type Amounts = ReadonlyMap<string, Quantity>;
export type Wanted = Readonly<Record<string, string>> | undefined;

const q = (text: string) => Quantity.parse(text);

function upToRange(wanted: Quantity, range: Range): Quantity {
  const min = q(range.min!);
  if (wanted.compare(min) < 0) return min;
  if (range.step === undefined) return wanted;
  const step = q(range.step).asInteger();
  const from = min.asInteger();
  const over = wanted.asInteger() - from;
  return Quantity.fromInteger(from + ((over + step - 1n) / step) * step, 'BinarySI');
}

/** What a request takes: what it names, rounded up as the device's policy says; the default or all when it names none. */
function taken(wanted: string | undefined, capacity: DeviceCapacity): Quantity {
  const policy = capacity.requestPolicy;
  if (wanted === undefined) return q(policy?.default ?? capacity.value);
  const want = q(wanted);
  if (policy?.validRange?.min !== undefined) return upToRange(want, policy.validRange);
  for (const v of policy?.validValues ?? []) if (want.compare(q(v)) <= 0) return q(v);
  return want;
}

function isAllowed(amount: Quantity, policy: DeviceCapacity['requestPolicy']): boolean {
  if (!policy) return true;
  const standard = policy.default;
  if (standard !== undefined && amount.equals(q(standard))) return true;
  const { validRange, validValues } = policy;
  if (validRange) {
    if (validRange.max !== undefined && amount.compare(q(validRange.max)) > 0) return false;
    if (validRange.step === undefined) return true;
    return (amount.asInteger() - q(validRange.min ?? '0').asInteger()) % q(validRange.step).asInteger() === 0n;
  }
  return !validValues?.length || validValues.some((v) => amount.equals(q(v)));
}

/**
 * What a request takes of each capacity; undefined when the device can't give it beside what `used` lists have taken.
 * Only devices that allow several allocations are used in parts; of others the request is a lower bound.
 */
export function takeCapacity(device: Device, wanted: Wanted, ...used: (Amounts | undefined)[]): Amounts | undefined {
  const capacities = device.capacity ?? {};
  for (const name in wanted) if (!Object.hasOwn(capacities, name)) return undefined;
  const out = new Map<string, Quantity>();
  for (const [name, capacity] of Object.entries(capacities)) {
    const amount = taken(wanted?.[name], capacity);
    if (!isAllowed(amount, capacity.requestPolicy)) return undefined;
    let sum = amount;
    for (const u of used) sum = sum.add(u?.get(name) ?? Quantity.zero);
    if (sum.compare(q(capacity.value)) > 0) return undefined;
    out.set(name, amount);
  }
  return out;
}

/** Adds amounts into a sum, or takes them out again. */
export function addAmounts(into: Map<string, Quantity>, amounts: Amounts, sign: 1 | -1): void {
  for (const [name, a] of amounts) {
    const have = into.get(name) ?? Quantity.zero;
    into.set(name, sign === 1 ? have.add(a) : have.sub(a));
  }
}
