/**
 * DynamicResources: chooses devices for the ResourceClaims of a pod, goes where allocated claims can be used, and
 * reserves them. https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import { parseDuration } from '../../api/time.ts';
import { Action, failure, normalizeTo100, type Cycle, type Failure, type Plugin } from '../core/framework.ts';
import { compileNodeSelector } from '../core/node-selector.ts';
import type { NodeInfo } from '../core/node-info.ts';
import type { PodInfo } from '../core/pod-info.ts';
import { deepEqual } from '../../api/meta.ts';
import { allocate, PoolsInvalid, type AllocatorDeps } from '../dra/allocator.ts';
import { bindingState, hasTimedOut } from '../dra/binding.ts';
import { Claims, ClaimsNotReady, claimsOfPod, isReservedFor } from '../dra/claims.ts';
import type { RequestMapping } from '../dra/claim-calls.ts';
import { backedResources, findExtendedClaim, neededFrom, newExtendedClaim, requestsFor } from '../dra/extended.ts';
import { Slices } from '../dra/pools.ts';
import { MAX_RESERVED, type Allocation, type Claim, type Class } from '../dra/types.ts';
import type { PluginDeps } from '../registry.ts';

const NAME = 'DynamicResources';
const ELSEWHERE = failure(NAME, 'UnschedulableAndUnresolvable', 'resourceclaim not available on the node');
const CANNOT = failure(NAME, 'UnschedulableAndUnresolvable', 'cannot allocate all claims');
const STALE = failure(NAME, 'UnschedulableAndUnresolvable', 'cannot schedule extended resource claim');
const UNFIT = failure(NAME, 'UnschedulableAndUnresolvable', 'cannot fit resource');
const refuse = (reason: string): Failure => failure(NAME, 'UnschedulableAndUnresolvable', reason);
/** An alternative counts for more, the earlier it stands in its list; a list has so many at most. */
const MAX_ALTERNATIVES = 8;
const POLL_MS = 1000;

export interface DynamicResourcesArgs {
  /** How long the search for devices on one node may take; a Go duration, defaults to 10s. */
  filterTimeout?: string;
  /** How long devices may take to get ready; defaults to 10m. */
  bindingTimeout?: string;
}

/** What a node would give. */
interface Offer {
  /** In the order of the claims that need one; the last may be that of the extended resources. */
  readonly allocations: readonly Allocation[];
  readonly extended?: { readonly claim: Claim; readonly mappings: readonly RequestMapping[] };
}
/** What one attempt knows. */
interface Attempt {
  claims: Claim[];
  readonly open: readonly Claim[];
  readonly backed: ReadonlyMap<string, Class> | undefined;
  /** The claim for extended resources that an earlier attempt has left. */
  readonly stale: Claim | undefined;
  readonly unavailable: Set<Claim>;
  readonly offers: Map<string, Offer>;
  /** Reserve has taken it. */
  taken?: Offer;
  extendedClaim?: Claim;
}

const millis = (text: string | undefined, standard: number): number => {
  const nanos = text === undefined ? undefined : parseDuration(text);
  return nanos === undefined ? standard : Number(nanos / 1_000_000n);
};

export function dynamicResources(args: DynamicResourcesArgs, deps: PluginDeps): Plugin {
  const { listers, clock, ids, logger } = deps;
  const calls = deps.api.claims;
  const claims = new Claims(listers.resourceClaims, clock);
  const filterMs = millis(args.filterTimeout, 10_000);
  const bindingMs = millis(args.bindingTimeout, 600_000);
  const attemptOf = (cycle: Cycle) => cycle.data.get(NAME) as Attempt | undefined;
  const key = (c: Claim) => `${c.metadata?.namespace}/${c.metadata?.name}`;

  /** Reads the claims; a Failure says why there is nothing to be done now. */
  function begin(pod: PodInfo): Attempt | Failure | undefined {
    let own: Claim[];
    try {
      own = claimsOfPod(pod, claims);
    } catch (error) {
      if (error instanceof ClaimsNotReady) return refuse(error.message);
      throw error;
    }
    const backed = backedResources(pod, listers.deviceClasses);
    if (own.length === 0 && !backed) return undefined;
    const open: Claim[] = [];
    for (const c of own) {
      if (c.status?.allocation) {
        if (!isReservedFor(c, pod) && (c.status.reservedFor?.length ?? 0) >= MAX_RESERVED)
          return refuse('resourceclaim in use');
        continue;
      }
      if (claims.isPending(c)) return refuse(`resource claim ${key(c)} is in the process of being allocated`);
      for (const r of c.spec.devices?.requests ?? []) {
        const forms = r.exactly
          ? [{ ...r.exactly, name: r.name }]
          : (r.firstAvailable ?? []).map((f) => ({ ...f, name: `${r.name}/${f.name}` }));
        if (forms.length === 0) return refuse(`resource claim ${key(c)}, request ${r.name}: unknown request type`);
        for (const f of forms)
          if (!listers.deviceClasses.get(f.deviceClassName))
            return refuse(`request ${f.name}: device class ${f.deviceClassName} does not exist`);
      }
      open.push(c);
    }
    const stale = backed && findExtendedClaim(pod, claims.list(pod.namespace));
    return { claims: own, open, backed, stale, unavailable: new Set(), offers: new Map() };
  }

  /** Extended resources of the pod that this node has to serve with devices; a Failure when it can't. */
  function extendedOn(pod: PodInfo, a: Attempt, node: NodeInfo): Offer['extended'] | Failure {
    if (!a.backed) return undefined;
    if (a.stale) return STALE;
    const needed = neededFrom(node, a.backed);
    for (const [name, amount] of pod.requests.scalars ?? [])
      if (amount > 0 && name.includes('/') && !a.backed.has(name) && !node.allocatable.scalars?.has(name)) return UNFIT;
    if (needed.size === 0) return undefined;
    const { requests, mappings } = requestsFor(pod, needed);
    return { claim: newExtendedClaim(pod, ids.uuid(), requests), mappings };
  }

  function look(pod: PodInfo, a: Attempt, node: NodeInfo, allocator: () => AllocatorDeps): Failure | undefined {
    const extended = extendedOn(pod, a, node);
    if (extended && 'code' in extended) return extended;
    let missing = false;
    for (const c of a.claims) {
      const allocation = c.status?.allocation;
      if (!allocation) continue;
      const { nodeSelector } = allocation;
      const usable =
        (!nodeSelector || compileNodeSelector(nodeSelector)(node)) &&
        bindingState(c).state !== 'failed' &&
        !hasTimedOut(c, clock.now(), bindingMs);
      if (usable) continue;
      a.unavailable.add(c);
      missing = true;
    }
    const wanted = extended ? [...a.open, extended.claim] : a.open;
    if (wanted.length > 0) {
      let found: Allocation[] | undefined;
      try {
        found = allocate(node, wanted, allocator());
      } catch (error) {
        if (error instanceof PoolsInvalid) return refuse(error.message);
        throw new Error(`running "${NAME}" filter plugin: ${(error as Error).message}`, { cause: error });
      }
      if (!found) return CANNOT;
      if (!missing) a.offers.set(node.name, { allocations: found, extended: extended || undefined });
    }
    return missing ? ELSEWHERE : undefined;
  }

  /** How good the alternatives are that were found for lists of them. */
  function rank(a: Attempt, node: string): number {
    const offered = a.offers.get(node)?.allocations ?? [];
    let score = 0;
    let next = 0;
    for (const c of a.claims) {
      const allocation = c.status?.allocation ?? offered[next++];
      const used = new Set(allocation?.devices?.results?.map((r) => r.request));
      for (const r of c.spec.devices?.requests ?? [])
        r.firstAvailable?.forEach((f, i) => {
          if (used.has(`${r.name}/${f.name}`)) score += MAX_ALTERNATIVES - i;
        });
    }
    return score;
  }

  /** Writes what Reserve has decided, then waits for devices that must be prepared. */
  async function bind(cycle: Cycle, a: Attempt, nodeName: string): Promise<Failure | undefined> {
    const { pod } = cycle;
    const offer = a.taken;
    const written: Claim[] = [];
    for (const c of a.claims) {
      if (isReservedFor(c, pod)) {
        written.push(c);
        continue;
      }
      const i = a.open.indexOf(c);
      const result = await calls.reserve(c, pod, i < 0 ? undefined : offer?.allocations[i]);
      claims.wrote(c.metadata!.uid!, result);
      written.push(result);
      // What is in the API has to be taken back there, should the rest fail.
      a.claims = [...written, ...a.claims.slice(written.length)];
    }
    if (offer?.extended) {
      const { uid, ...metadata } = offer.extended.claim.metadata!;
      const made = await calls.create({ ...offer.extended.claim, metadata });
      a.extendedClaim = made;
      const result = await calls.reserve(made, pod, offer.allocations.at(-1));
      claims.wrote(uid!, result);
      a.extendedClaim = result;
      await calls.tellPod(pod, result, offer.extended.mappings);
      written.push(result);
    }
    return waitForDevices(pod, written, nodeName);
  }

  async function waitForDevices(pod: PodInfo, bound: Claim[], nodeName: string): Promise<Failure | undefined> {
    const needs = (c: Claim) => c.status?.allocation?.devices?.results?.some((r) => r.bindingConditions?.length);
    if (!bound.some(needs)) return undefined;
    const note = `waiting for binding conditions for device on node ${nodeName}`;
    deps.recorder.event(pod.schedulerName, pod.pod, 'Normal', 'BindingConditionsPending', 'Scheduling', note);
    for (;;) {
      let open = 0;
      for (const b of bound) {
        const seen = claims.get(b.metadata!.name!, b.metadata!.namespace!);
        // Until the reservation shows up, what was written is the newest.
        const c = seen && isReservedFor(seen, pod) ? seen : b;
        const is = bindingState(c);
        if (is.state === 'failed') return failure(NAME, 'Error', is.why);
        if (is.state === 'waiting') open++;
        if (hasTimedOut(c, clock.now(), bindingMs))
          return failure(NAME, 'Error', `device binding timeout: claim=${c.metadata?.name}`);
      }
      if (open === 0) return undefined;
      await clock.sleep(POLL_MS);
    }
  }

  /** Takes an allocation back that keeps the pod from everywhere else, if nobody else uses it. */
  async function makeRoom(cycle: Cycle, a: Attempt): Promise<string> {
    for (const c of a.unavailable) {
      const users = c.status?.reservedFor ?? [];
      if (users.length > 1 || (users.length === 1 && users[0]!.uid !== cycle.pod.uid)) continue;
      await calls.deallocate(c);
      return 'deallocation of ResourceClaim completed';
    }
    if (a.stale) {
      await calls.remove(a.stale);
      return 'deletion of ResourceClaim completed';
    }
    return 'still not schedulable';
  }

  const names = (pod: PodInfo, claim: Claim) => {
    try {
      return claimsOfPod(pod, claims).some((c) => c.metadata?.uid === claim.metadata?.uid);
    } catch (error) {
      if (error instanceof ClaimsNotReady) return undefined;
      throw error;
    }
  };
  return {
    name: NAME,
    events: [
      { resource: 'Node', actions: Action.Add | Action.UpdateNodeLabel | Action.UpdateNodeAllocatable },
      {
        resource: 'ResourceClaim',
        actions: Action.Add | Action.Update | Action.Delete,
        hint(pod, before, after) {
          const was = before as Claim | undefined;
          // Gone with its devices; or it was what an earlier attempt for this pod had left.
          if (after === undefined)
            return (
              Boolean(was?.status?.allocation) ||
              was?.metadata?.ownerReferences?.some((o) => o.uid === pod.uid) === true
            );
          const is = after as Claim;
          const own = names(pod, is);
          if (own === undefined) return false;
          // Devices became free: whose they were doesn't matter.
          if (was?.status?.allocation && !is.status?.allocation) return true;
          return own && !(was && deepEqual(was.status, is.status));
        },
      },
      { resource: 'WaitingPod', actions: Action.Update },
      { resource: 'DeviceClass', actions: Action.Add | Action.Update },
      { resource: 'ResourceSlice', actions: Action.Add | Action.Update },
    ],
    preEnqueue(pod) {
      if (!pod.pod.spec!.resourceClaims?.length) return undefined;
      try {
        claimsOfPod(pod, claims);
        return undefined;
      } catch (error) {
        if (error instanceof ClaimsNotReady) return refuse(error.message);
        throw error;
      }
    },
    preFilter(pod, cycle) {
      if (!pod.pod.spec!.resourceClaims?.length && !pod.requests.scalars) {
        cycle.data.set(NAME, undefined);
        return undefined;
      }
      const a = begin(pod);
      if (a && 'code' in a) return { failure: a };
      cycle.data.set(NAME, a);
      if (!a) return undefined;
      let made: AllocatorDeps | undefined;
      const allocator = () =>
        (made ??= {
          slices: new Slices(listers.resourceSlices.list()),
          usage: claims.usage(),
          classOf: (name) => listers.deviceClasses.get(name),
          uid: () => ids.uuid(),
          now: () => clock.monotonic(),
          timeoutMs: filterMs,
        });
      return { filter: { filter: (node) => look(pod, a, node, allocator) } };
    },
    async postFilter(cycle) {
      // Without its PreFilter there is nothing that it could give back: the original stops here, and so do we.
      if (!cycle.data.has(NAME)) return { message: 'not found', final: true };
      const a = attemptOf(cycle);
      return { message: a ? await makeRoom(cycle, a) : 'no new claims to deallocate' };
    },
    preScore(_pod, cycle) {
      const a = attemptOf(cycle);
      if (!a?.claims.some((c) => c.spec.devices?.requests?.some((r) => r.firstAvailable?.length))) return undefined;
      return { score: (node) => rank(a, node.name), normalize: (scores) => normalizeTo100(scores, false) };
    },
    reserve(cycle, node) {
      const a = attemptOf(cycle);
      if (!a) return undefined;
      const offer = a.offers.get(node.name);
      if (!offer) return a.open.length > 0 ? failure(NAME, 'Error', 'claim allocation not found for node') : undefined;
      a.taken = offer;
      const wanted = offer.extended ? [...a.open, offer.extended.claim] : a.open;
      wanted.forEach((c, i) => claims.decide(c.metadata!.uid!, offer.allocations[i]!));
      return undefined;
    },
    unreserve(cycle) {
      const a = attemptOf(cycle);
      if (!a) return;
      for (const c of [...a.open, ...(a.taken?.extended ? [a.taken.extended.claim] : [])])
        claims.drop(c.metadata!.uid!);
      const undone = a.claims.filter((c) => isReservedFor(c, cycle.pod)).map((c) => calls.release(c, cycle.pod));
      if (a.extendedClaim) undone.push(calls.remove(a.extendedClaim));
      for (const u of undone)
        u.catch((error: unknown) =>
          logger.warn('could not release a resource claim', { pod: cycle.pod.key, error: error as Error }),
        );
    },
    preBind(cycle, nodeName) {
      const a = attemptOf(cycle);
      if (!a || (a.claims.length === 0 && !a.taken?.extended)) return undefined;
      const ready = a.claims.every((c) => isReservedFor(c, cycle.pod) && bindingState(c).state === 'ready');
      return ready && !a.taken ? undefined : bind(cycle, a, nodeName);
    },
  };
}
