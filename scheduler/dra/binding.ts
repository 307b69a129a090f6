/** Conditions that a device's driver must report before pods may be bound to it (KEP-5007). Pure. */
import type { Claim } from './types.ts';

type State = { readonly state: 'ready' | 'waiting' } | { readonly state: 'failed'; readonly why: string };

/** Do the devices of the claim's allocation allow pods to be bound? */
export function bindingState(claim: Claim): State {
  let waiting = false;
  for (const r of claim.status?.allocation?.devices?.results ?? []) {
    if (!r.bindingConditions?.length) continue;
    const device = claim.status!.devices?.find(
      (d) => d.driver === r.driver && d.pool === r.pool && d.device === r.device,
    );
    const isTrue = (type: string) => device?.conditions?.find((c) => c.type === type && c.status === 'True');
    for (const type of r.bindingFailureConditions ?? []) {
      const c = isTrue(type);
      if (c)
        return {
          state: 'failed',
          why: `device binding failed: claim=${claim.metadata?.name}, reason=${c.reason}, message=${JSON.stringify(c.message)}`,
        };
    }
    if (!r.bindingConditions.every(isTrue)) waiting = true;
  }
  return { state: waiting ? 'waiting' : 'ready' };
}

/** Has the claim waited for its devices for longer than that? */
export function hasTimedOut(claim: Claim, now: number, timeoutMs: number): boolean {
  const since = claim.status?.allocation?.allocationTimestamp;
  return since !== undefined && bindingState(claim).state === 'waiting' && Date.parse(since) + timeoutMs < now;
}
