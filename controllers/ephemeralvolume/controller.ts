/** Makes the claims of pods' ephemeral volumes. */
import { isAlreadyExists } from '../../api/status.ts';
import type { Pod } from '../../api/types.ts';
import { keyOf, splitKey } from '../../client/informer.ts';
import { persistentVolumeClaims, pods } from '../../client/resources.ts';
import { defineController } from '../framework.ts';
import { body, controllerRef, isControlledBy, isDeleting, keyFor, meta } from '../lib/meta.ts';
import { errorText } from '../lib/podcontrol.ts';
import { concurrency } from '../options.ts';

const POD = { apiVersion: 'v1', kind: 'Pod' };

export const ephemeralVolumeController = defineController({
  name: 'ephemeral-volume-controller',
  account: 'ephemeral-volume-controller',
  component: 'ephemeral_volume',
  inputs: { pods, claims: persistentVolumeClaims },
  outputs: ['create persistentvolumeclaims'],
  workers: concurrency('ephemeralvolume'),
  triggers: {
    pods: { keys: (pod) => (pod.spec?.volumes?.some((v) => v.ephemeral) ? [keyOf(pod)] : []), when: () => false },
    claims: (claim) => {
      const owner = claim.metadata?.ownerReferences?.find((r) => r.controller && r.kind === 'Pod');
      return owner ? [keyFor(meta(claim).namespace, owner.name)] : [];
    },
  },
  async reconcile(key, { informers, client, recorder }) {
    const { name, namespace } = splitKey(key);
    const pod = informers.pods.get(name, namespace);
    if (!pod || isDeleting(pod)) return;
    for (const volume of body<Pod>(pod).spec?.volumes ?? []) {
      const template = volume.ephemeral?.volumeClaimTemplate;
      if (!template) continue;
      const claim = `${name}-${volume.name}`;
      const have = informers.claims.get(claim, namespace);
      if (have && isControlledBy(have, meta(pod).uid)) continue;
      try {
        if (have)
          throw new Error(
            `PVC ${JSON.stringify(`${namespace}/${claim}`)} was not created for pod ${JSON.stringify(key)} (pod is not owner)`,
          );
        await client.create(persistentVolumeClaims, {
          metadata: {
            name: claim,
            namespace,
            labels: template.metadata?.labels,
            annotations: template.metadata?.annotations,
            ownerReferences: [controllerRef(pod, POD.apiVersion, POD.kind)],
          },
          spec: template.spec,
        });
      } catch (error) {
        if (isAlreadyExists(error)) return { retry: true };
        recorder.event(pod, 'Warning', 'FailedBinding', `ephemeral volume controller: ${errorText(error)}`, POD);
        throw error;
      }
    }
  },
});
