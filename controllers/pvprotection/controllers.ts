/** Keeps claims that pods use, volumes that are bound, and attributes classes that either names, until they are free. */
import { isNotFound } from '../../api/status.ts';
import type { DeepReadonly, PersistentVolume, PersistentVolumeClaim } from '../../api/types.ts';
import { keyOf, splitKey, type Index } from '../../client/informer.ts';
import type { Client } from '../../client/client.ts';
import {
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  volumeAttributesClasses,
  type ResourceRef,
} from '../../client/resources.ts';
import type { Pod } from '../../api/types.ts';
import { defineController } from '../framework.ts';
import { isControlledBy, isDeleting, keyFor, meta, type AnyObject } from '../lib/meta.ts';
import type { PodView } from '../lib/pods.ts';

const CLAIM_FINALIZER = 'kubernetes.io/pvc-protection';
const VOLUME_FINALIZER = 'kubernetes.io/pv-protection';
const CLASS_FINALIZER = 'kubernetes.io/vac-protection';

/** Names of the claims a pod uses, those of its ephemeral volumes included. */
export function claimNames(pod: PodView): string[] {
  const out: string[] = [];
  for (const v of pod.spec?.volumes ?? []) {
    if (v.persistentVolumeClaim) out.push(v.persistentVolumeClaim.claimName);
    else if (v.ephemeral) out.push(`${meta(pod).name}-${v.name}`);
  }
  return out;
}

/** Pods by the claims they use. */
export const podsByClaim: Index<Pod> = { values: (pod) => claimNames(pod).map((n) => keyFor(meta(pod).namespace, n)) };

/** Whether the pod's use counts: of ephemeral claims only its own. */
function usesClaim(pod: PodView, claim: DeepReadonly<PersistentVolumeClaim>): boolean {
  const { name } = meta(claim);
  return (pod.spec?.volumes ?? []).some(
    (v) =>
      v.persistentVolumeClaim?.claimName === name ||
      (v.ephemeral && `${meta(pod).name}-${v.name}` === name && isControlledBy(claim, meta(pod).uid)),
  );
}

async function setFinalizer<T extends object>(
  client: Client,
  resource: ResourceRef<T>,
  object: AnyObject,
  finalizer: string,
  on: boolean,
): Promise<void> {
  const { finalizers = [] } = meta(object);
  const next = on ? [...finalizers, finalizer] : finalizers.filter((f) => f !== finalizer);
  await client
    .update(resource, { ...object, metadata: { ...object.metadata, finalizers: next } } as unknown as T)
    .catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
}

export const pvcProtectionController = defineController({
  name: 'persistentvolumeclaim-protection-controller',
  account: 'pvc-protection-controller',
  inputs: { claims: persistentVolumeClaims, pods },
  outputs: ['update persistentvolumeclaims'],
  triggers: {
    claims: 'self',
    pods: {
      keys: (pod) => claimNames(pod).map((n) => keyFor(meta(pod).namespace, n)),
      when: (now, before) => now.status?.phase !== before.status?.phase,
    },
  },
  async reconcile(key, { informers, client }) {
    const { name, namespace } = splitKey(key);
    const claim = informers.claims.get(name, namespace);
    if (!claim) return;
    const protectedNow = claim.metadata?.finalizers?.includes(CLAIM_FINALIZER) ?? false;
    if (!isDeleting(claim)) {
      if (!protectedNow) await setFinalizer(client, persistentVolumeClaims, claim, CLAIM_FINALIZER, true);
      return;
    }
    if (!protectedNow) return;
    // A pod that was never scheduled uses nothing yet.
    const used = (list: readonly PodView[]) => list.some((p) => p.spec?.nodeName && usesClaim(p, claim));
    if (used(informers.pods.lookup(podsByClaim, key))) return;
    // The cache may not know of a pod that was just scheduled.
    if (used((await client.list(pods, { namespace })).items)) return;
    await setFinalizer(client, persistentVolumeClaims, claim, CLAIM_FINALIZER, false);
  },
});

export const pvProtectionController = defineController({
  name: 'persistentvolume-protection-controller',
  account: 'pv-protection-controller',
  inputs: { volumes: persistentVolumes },
  outputs: ['update persistentvolumes'],
  triggers: { volumes: (v: DeepReadonly<PersistentVolume>) => [keyOf(v)] },
  async reconcile(key, { informers, client }) {
    const volume = informers.volumes.get(key);
    if (!volume) return;
    const protectedNow = volume.metadata?.finalizers?.includes(VOLUME_FINALIZER) ?? false;
    if (isDeleting(volume)) {
      if (protectedNow && volume.status?.phase !== 'Bound')
        await setFinalizer(client, persistentVolumes, volume, VOLUME_FINALIZER, false);
    } else if (!protectedNow) await setFinalizer(client, persistentVolumes, volume, VOLUME_FINALIZER, true);
  },
});

/** The classes that a claim names or has. */
const classesOf = (claim: DeepReadonly<PersistentVolumeClaim>): string[] =>
  [
    claim.spec?.volumeAttributesClassName,
    claim.status?.currentVolumeAttributesClassName,
    claim.status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ].filter((n) => n !== undefined);

/** KEP-3751. */
export const classProtectionController = defineController({
  name: 'volumeattributesclass-protection-controller',
  account: 'volumeattributesclass-protection-controller',
  inputs: { classes: volumeAttributesClasses, claims: persistentVolumeClaims, volumes: persistentVolumes },
  outputs: ['update volumeattributesclasses.storage.k8s.io'],
  triggers: {
    classes: 'self',
    claims: { keys: classesOf, when: () => true },
    volumes: {
      keys: (v) => (v.spec?.volumeAttributesClassName ? [v.spec.volumeAttributesClassName] : []),
      when: () => true,
    },
  },
  async reconcile(key, { informers, client }) {
    const found = informers.classes.get(key);
    if (!found) return;
    const protectedNow = found.metadata?.finalizers?.includes(CLASS_FINALIZER) ?? false;
    if (!isDeleting(found)) {
      if (!protectedNow) await setFinalizer(client, volumeAttributesClasses, found, CLASS_FINALIZER, true);
      return;
    }
    const used =
      informers.claims.list().some((c) => classesOf(c).includes(key)) ||
      informers.volumes.list().some((v) => v.spec?.volumeAttributesClassName === key);
    if (protectedNow && !used) await setFinalizer(client, volumeAttributesClasses, found, CLASS_FINALIZER, false);
  },
});
