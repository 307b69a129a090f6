/** What the scheduler writes to the API: bindings, pod conditions and nominations, deletions of victims. */
import type * as k8s from '@kubernetes/client-node';
import { formatTime, type Clock } from '../base/clock.ts';
import { hasCode } from '../api/status.ts';
import type { DeepReadonly, Json, PersistentVolume, PersistentVolumeClaim, Pod } from '../api/types.ts';
import type { Client } from '../client/client.ts';
import { persistentVolumeClaims, persistentVolumes, pods, type ResourceRef } from '../client/resources.ts';
import type { PodInfo } from './core/pod-info.ts';
import { createClaimCalls, type ClaimCalls } from './dra/claim-calls.ts';

type Condition = Json<k8s.V1PodCondition>;
const bindings: ResourceRef<Json<k8s.V1Binding>> = {
  group: '',
  version: 'v1',
  resource: 'pods',
  kind: 'Binding',
  namespaced: true,
};

export interface StatusChange {
  condition?: { type: string; status: 'True' | 'False'; reason: string; message: string };
  /** '' takes a nomination back. */
  nominatedNodeName?: string;
}

export interface ApiCalls {
  bind(info: PodInfo, nodeName: string): Promise<void>;
  /** Patches the pod's status where the change is one; a pod that is gone is no error. */
  patchStatus(pod: DeepReadonly<Pod>, change: StatusChange): Promise<void>;
  /** Writes a volume's promise to a claim, or a claim's chosen node. */
  updateVolume(volume: DeepReadonly<PersistentVolume>): Promise<void>;
  updateClaim(claim: DeepReadonly<PersistentVolumeClaim>): Promise<void>;
  readonly claims: ClaimCalls;
  /** Removes a pod to make room: its condition first says why. */
  evict(victim: DeepReadonly<Pod>, preemptor: string): Promise<void>;
}

export function createApiCalls(client: Client, clock: Clock): ApiCalls {
  async function patchStatus(pod: DeepReadonly<Pod>, change: StatusChange): Promise<void> {
    const { metadata, status } = pod;
    const patch: { conditions?: Condition[]; nominatedNodeName?: string | null } = {};
    const wanted = change.condition;
    if (wanted) {
      const have = status?.conditions?.find((c) => c.type === wanted.type);
      if (have?.status !== wanted.status || have.reason !== wanted.reason || have.message !== wanted.message)
        patch.conditions = [
          {
            ...wanted,
            observedGeneration: metadata?.generation,
            lastProbeTime: undefined,
            lastTransitionTime:
              have?.status === wanted.status && have.lastTransitionTime
                ? have.lastTransitionTime
                : formatTime(clock.now()),
          },
        ];
    }
    if (change.nominatedNodeName !== undefined && change.nominatedNodeName !== (status?.nominatedNodeName ?? ''))
      patch.nominatedNodeName = change.nominatedNodeName === '' ? null : change.nominatedNodeName;
    if (patch.conditions === undefined && patch.nominatedNodeName === undefined) return;
    try {
      // The uid keeps it from reaching a new pod of the same name.
      await client.patch(
        pods,
        metadata!.name!,
        'strategic',
        { metadata: { uid: metadata!.uid }, status: patch },
        { namespace: metadata!.namespace, subresource: 'status', ignoreAnswer: true },
      );
    } catch (error) {
      if (!hasCode(error, 404, 409)) throw error;
    }
  }

  return {
    async bind(info, nodeName) {
      await client.create(
        bindings,
        {
          metadata: { namespace: info.namespace, name: info.name, uid: info.uid },
          target: { kind: 'Node', name: nodeName },
          apiVersion: 'v1',
          kind: 'Binding',
        },
        { name: info.name, subresource: 'binding', ignoreAnswer: true },
      );
    },
    patchStatus,
    async updateVolume(volume) {
      await client.update(persistentVolumes, volume as PersistentVolume);
    },
    async updateClaim(claim) {
      await client.update(persistentVolumeClaims, claim as PersistentVolumeClaim);
    },
    claims: createClaimCalls(client, clock),
    async evict(victim, preemptor) {
      await patchStatus(victim, {
        condition: {
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'PreemptionByScheduler',
          message: `${preemptor}: preempting to accommodate a higher priority pod`,
        },
      });
      const { name, namespace, uid } = victim.metadata!;
      try {
        await client.delete(pods, name!, { namespace, preconditions: { uid } });
      } catch (error) {
        if (!hasCode(error, 404, 409)) throw error;
      }
    },
  };
}
