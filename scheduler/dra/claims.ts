/** The claims as the scheduler knows them: what the API showed, and the allocations that are decided but not seen yet. */
import type { Clock } from '../../base/clock.ts';
import type { PodInfo } from '../core/pod-info.ts';
import type { Lister } from '../listers.ts';
import type { Allocation, Claim } from './types.ts';
import { Usage } from './usage.ts';

interface Pending {
  readonly allocation: Allocation;
  /** As written; absent while it is only decided. */
  written?: Claim;
  at: number;
}
/** A written claim that never shows up was deleted meanwhile. */
const UNSEEN_MS = 120_000;

export class Claims {
  private readonly lister: Lister<Claim>;
  private readonly clock: Clock;
  private readonly pending = new Map<string, Pending>();

  constructor(lister: Lister<Claim>, clock: Clock) {
    this.lister = lister;
    this.clock = clock;
  }

  get(name: string, namespace: string): Claim | undefined {
    return this.lister.get(name, namespace);
  }
  list(namespace?: string): Claim[] {
    return this.lister.list(namespace);
  }

  /** Devices count as taken from now on. */
  decide(uid: string, allocation: Allocation): void {
    this.pending.set(uid, { allocation, at: this.clock.monotonic() });
  }
  /** The decision is in the API (under the claim's own UID, where it was made for one that didn't exist yet). */
  wrote(uid: string, claim: Claim): void {
    const p = this.pending.get(uid);
    if (!p) return;
    this.pending.delete(uid);
    this.pending.set(claim.metadata!.uid!, { ...p, written: claim, at: this.clock.monotonic() });
  }
  /** Takes back what was decided and is not in the API. */
  drop(uid: string): void {
    if (!this.pending.get(uid)?.written) this.pending.delete(uid);
  }
  /** Is the claim's allocation decided, but not to be seen yet? */
  isPending(claim: Claim): boolean {
    const p = this.pending.get(claim.metadata!.uid!);
    return p !== undefined && !this.isSettled(p, claim);
  }

  /** Has the API shown what was written, or something newer? */
  private isSettled(p: Pending, seen: Claim | undefined): boolean {
    if (!p.written) return false;
    if (!seen || seen.metadata!.uid !== p.written.metadata!.uid) return this.clock.monotonic() - p.at > UNSEEN_MS;
    return BigInt(seen.metadata!.resourceVersion ?? 0) >= BigInt(p.written.metadata!.resourceVersion ?? 0);
  }

  /** Who has which devices right now. */
  usage(): Usage {
    const usage = new Usage();
    for (const c of this.lister.list()) usage.add(c.status?.allocation as Allocation | undefined);
    for (const [uid, p] of this.pending) {
      const { name, namespace } = p.written?.metadata ?? {};
      if (this.isSettled(p, name === undefined ? undefined : this.lister.get(name, namespace)))
        this.pending.delete(uid);
      else usage.add(p.allocation);
    }
    return usage;
  }
}

/** Why the claims of a pod can't be used yet. */
export class ClaimsNotReady extends Error {}

/** The pod's claims; those of its entries that need no object are left out. @throws ClaimsNotReady */
export function claimsOfPod(pod: PodInfo, claims: Pick<Claims, 'get'>): Claim[] {
  const out: Claim[] = [];
  for (const c of pod.pod.spec!.resourceClaims ?? []) {
    let name = c.resourceClaimName;
    if (name === undefined) {
      const made = pod.pod.status?.resourceClaimStatuses?.find((s) => s.name === c.name);
      if (!made) throw new ClaimsNotReady(`pod "${pod.key}": ResourceClaim not created yet`);
      name = made.resourceClaimName;
      if (name === undefined) continue;
    }
    const claim = claims.get(name, pod.namespace);
    if (!claim) throw new ClaimsNotReady(`resourceclaim.resource.k8s.io "${name}" not found`);
    if (claim.metadata?.deletionTimestamp) throw new ClaimsNotReady(`resourceclaim "${name}" is being deleted`);
    if (c.resourceClaimName === undefined && !claim.metadata?.ownerReferences?.some((o) => o.uid === pod.uid))
      throw new ClaimsNotReady(
        `ResourceClaim ${pod.namespace}/${name} was not created for pod ${pod.key} (pod is not owner)`,
      );
    out.push(claim);
  }
  return out;
}

export const isReservedFor = (claim: Claim, pod: PodInfo): boolean =>
  claim.status?.reservedFor?.some((r) => r.uid === pod.uid) === true;
