/**
 * DynamicResources: pods wait for their ResourceClaims, go where allocated claims can be used, and reserve them.
 * Devices are not chosen here yet: a claim must be allocated by somebody else before its pods are placed.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json } from '../../api/types.ts';
import { Action, failure, type Cycle, type Failure, type Plugin } from '../core/framework.ts';
import { compileNodeSelector, type NodeMatcher } from '../core/node-selector.ts';
import type { PodInfo } from '../core/pod-info.ts';
import type { ApiCalls } from '../api-calls.ts';
import type { Listers } from '../listers.ts';

const NAME = 'DynamicResources';
const ELSEWHERE = failure(NAME, 'UnschedulableAndUnresolvable', 'resourceclaim not available on the node');
const CANNOT = failure(NAME, 'UnschedulableAndUnresolvable', 'cannot allocate all claims');
/** A claim has room for so many pods. */
const MAX_RESERVED = 256;

export type ResourceClaim = DeepReadonly<Json<k8s.ResourceV1ResourceClaim>>;

const refuse = (reason: string): Failure => failure(NAME, 'UnschedulableAndUnresolvable', reason);
const reservedFor = (claim: ResourceClaim, pod: PodInfo) =>
  claim.status?.reservedFor?.some((r) => r.uid === pod.uid) === true;

/** The pod's claims, or why they aren't there yet. Pod claims that need no object are left out. */
function claimsOf(pod: PodInfo, listers: Listers): ResourceClaim[] | Failure {
  const out: ResourceClaim[] = [];
  for (const c of pod.pod.spec!.resourceClaims ?? []) {
    let name = c.resourceClaimName;
    if (name === undefined) {
      const made = pod.pod.status?.resourceClaimStatuses?.find((s) => s.name === c.name);
      if (!made) return refuse(`pod "${pod.key}": ResourceClaim not created yet`);
      name = made.resourceClaimName;
      if (name === undefined) continue;
    }
    const claim = listers.resourceClaims.get(name, pod.namespace);
    if (!claim) return refuse(`resourceclaim.resource.k8s.io "${name}" not found`);
    if (claim.metadata?.deletionTimestamp) return refuse(`resourceclaim "${name}" is being deleted`);
    if (c.resourceClaimName === undefined && !claim.metadata?.ownerReferences?.some((o) => o.uid === pod.uid))
      return refuse(`ResourceClaim ${pod.namespace}/${name} was not created for pod ${pod.key} (pod is not owner)`);
    out.push(claim);
  }
  return out;
}

export function dynamicResources(deps: { listers: Listers; api: ApiCalls }): Plugin {
  const { listers, api } = deps;
  const concerns = (pod: PodInfo, claim: unknown) => {
    const m = (claim as ResourceClaim | undefined)?.metadata;
    if (m?.namespace !== pod.namespace) return false;
    if (pod.pod.spec!.resourceClaims?.some((c) => c.resourceClaimName === m?.name)) return true;
    return m?.ownerReferences?.some((o) => o.uid === pod.uid) === true;
  };
  return {
    name: NAME,
    events: [
      {
        resource: 'ResourceClaim',
        actions: Action.Add | Action.Update,
        hint: (pod, _before, after) => concerns(pod, after),
      },
      { resource: 'WaitingPod', actions: Action.Update },
      { resource: 'Node', actions: Action.Add | Action.UpdateNodeLabel },
    ],
    preEnqueue(pod) {
      if (!pod.pod.spec!.resourceClaims?.length) return undefined;
      const found = claimsOf(pod, listers);
      return Array.isArray(found) ? undefined : found;
    },
    preFilter(pod, cycle) {
      const wanted = pod.pod.spec!.resourceClaims?.length ? claimsOf(pod, listers) : [];
      if (!Array.isArray(wanted)) return { failure: wanted };
      cycle.data.set(NAME, wanted);
      if (wanted.length === 0) return undefined;
      const reach: NodeMatcher[] = [];
      let missing = false;
      for (const c of wanted) {
        if (!c.status?.allocation) {
          missing = true;
          continue;
        }
        if (!reservedFor(c, pod) && (c.status.reservedFor?.length ?? 0) >= MAX_RESERVED)
          return { failure: refuse('resourceclaim in use') };
        const selector = c.status.allocation.nodeSelector;
        if (selector) reach.push(compileNodeSelector(selector));
      }
      return {
        filter: {
          filter(node) {
            for (const r of reach) if (!r(node)) return ELSEWHERE;
            return missing ? CANNOT : undefined;
          },
        },
      };
    },
    postFilter(cycle) {
      // Without its PreFilter there is nothing that it could give back: the original stops here, and so do we.
      if (!cycle.data.has(NAME)) return { message: 'not found', final: true };
      return { message: 'no new claims to deallocate' };
    },
    preBind(cycle: Cycle) {
      const wanted = (cycle.data.get(NAME) as ResourceClaim[] | undefined) ?? [];
      const open = wanted.filter((c) => !reservedFor(c, cycle.pod));
      return open.length === 0 ? undefined : reserve(open, cycle.pod);
    },
  };

  async function reserve(open: readonly ResourceClaim[], pod: PodInfo): Promise<undefined> {
    for (const claim of open)
      await api.updateClaimStatus({
        ...claim,
        status: {
          ...claim.status,
          reservedFor: [...(claim.status?.reservedFor ?? []), { resource: 'pods', name: pod.name, uid: pod.uid }],
        },
      });
  }
}
