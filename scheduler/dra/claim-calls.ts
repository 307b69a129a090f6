/** What the scheduler writes to resource claims. */
import { formatTime, type Clock } from '../../base/clock.ts';
import { hasCode, isNotFound } from '../../api/status.ts';
import type { Pod } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { pods, resourceClaims } from '../../client/resources.ts';
import type { PodInfo } from '../core/pod-info.ts';
import type { Allocation, Claim } from './types.ts';

export const FINALIZER = 'resource.kubernetes.io/delete-protection';
const body = (claim: Claim) => claim as unknown as Awaited<ReturnType<typeof read>>;
const read = (client: Client, claim: Claim) =>
  client.get(resourceClaims, claim.metadata!.name!, claim.metadata!.namespace);

/** Which device request serves an extended resource of a container. */
export interface RequestMapping {
  containerName: string;
  resourceName: string;
  requestName: string;
}

export interface ClaimCalls {
  /** Reserves the claim for the pod, with the allocation where there is a new one. Resolves with what was written. */
  reserve(claim: Claim, pod: PodInfo, allocation: Allocation | undefined): Promise<Claim>;
  /** Takes the pod's reservation back; a claim that is gone is no error. */
  release(claim: Claim, pod: PodInfo): Promise<void>;
  /** Gives the devices back. */
  deallocate(claim: Claim): Promise<void>;
  create(claim: Claim): Promise<Claim>;
  /** Removes a claim that the scheduler has made itself. */
  remove(claim: Claim): Promise<void>;
  /** Tells the pod's kubelet which claim stands for its extended resources. */
  tellPod(pod: PodInfo, claim: Claim, mappings: readonly RequestMapping[]): Promise<void>;
}

const RETRIES = 5;

export function createClaimCalls(client: Client, clock: Clock): ClaimCalls {
  /** Tries again with the newest object after a conflict. */
  async function retrying(claim: Claim, write: (claim: Claim) => Promise<Claim>): Promise<Claim> {
    for (let i = 0, now = claim; ; i++) {
      try {
        return await write(now);
      } catch (error) {
        if (!hasCode(error, 409) || i === RETRIES) throw error;
        now = await read(client, claim);
      }
    }
  }
  const nameOf = (c: Claim) => `${c.metadata?.namespace}/${c.metadata?.name}`;

  return {
    reserve: (claim, pod, allocation) =>
      retrying(claim, async (now) => {
        if (now.metadata?.deletionTimestamp) throw new Error(`claim ${nameOf(now)} got deleted in the meantime`);
        let current = now;
        if (allocation) {
          if (current.status?.allocation)
            throw new Error(`claim ${nameOf(now)} got allocated elsewhere in the meantime`);
          const finalizers = current.metadata?.finalizers ?? [];
          if (!finalizers.includes(FINALIZER))
            current = await client.update(
              resourceClaims,
              body({ ...current, metadata: { ...current.metadata, finalizers: [...finalizers, FINALIZER] } }),
            );
        } else if (!current.status?.allocation)
          throw new Error(`claim ${nameOf(now)} got deallocated elsewhere in the meantime`);
        const own = { resource: 'pods', name: pod.name, uid: pod.uid };
        const given = (allocation ?? current.status!.allocation) as Allocation;
        return client.updateStatus(
          resourceClaims,
          body({
            ...current,
            status: {
              ...current.status,
              allocation: { ...given, allocationTimestamp: given.allocationTimestamp ?? formatTime(clock.now()) },
              reservedFor: [...(current.status?.reservedFor ?? []), own],
            },
          }),
        );
      }),
    async release(claim, pod) {
      const { name, namespace, uid } = claim.metadata!;
      const patch = { metadata: { uid }, status: { reservedFor: [{ $patch: 'delete', uid: pod.uid }] } };
      try {
        await client.patch(resourceClaims, name!, 'strategic', patch, { namespace, subresource: 'status' });
      } catch (error) {
        if (!hasCode(error, 404, 409)) throw error;
      }
    },
    async deallocate(claim) {
      const { allocation: _a, reservedFor: _r, devices: _d, ...status } = claim.status ?? {};
      await client.updateStatus(resourceClaims, body({ ...claim, status }));
    },
    create: (claim) => client.create(resourceClaims, body(claim)),
    async remove(claim) {
      const { name, namespace, uid } = claim.metadata!;
      try {
        await retrying(claim, (now) => {
          const finalizers = now.metadata?.finalizers?.filter((f) => f !== FINALIZER);
          return client.update(resourceClaims, body({ ...now, metadata: { ...now.metadata, finalizers } }));
        });
        await client.delete(resourceClaims, name!, { namespace, preconditions: { uid } });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    },
    async tellPod(pod, claim, mappings) {
      const status: Pod['status'] = {
        extendedResourceClaimStatus: { requestMappings: [...mappings], resourceClaimName: claim.metadata!.name! },
      };
      await client.patch(
        pods,
        pod.name,
        'strategic',
        { metadata: { uid: pod.uid }, status },
        { namespace: pod.namespace, subresource: 'status' },
      );
    },
  };
}
