/** What plugins may look up beside nodes and pods. Informers in a running scheduler, plain arrays in tests. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, LabelSelector, PersistentVolume, PersistentVolumeClaim } from '../api/types.ts';

type R<T> = DeepReadonly<Json<T>>;

export interface Lister<T> {
  get(name: string, namespace?: string): T | undefined;
  list(namespace?: string): T[];
}

export interface Listers {
  services: Lister<DeepReadonly<Json<k8s.V1Service>>>;
  /** ReplicaSets, StatefulSets and ReplicationControllers: only name and selector are kept. */
  replicationControllers: Lister<R<k8s.V1ReplicationController>>;
  replicaSets: Lister<R<k8s.V1ReplicaSet>>;
  statefulSets: Lister<R<k8s.V1StatefulSet>>;
  podDisruptionBudgets: Lister<R<k8s.V1PodDisruptionBudget>>;
  persistentVolumes: Lister<DeepReadonly<PersistentVolume>>;
  persistentVolumeClaims: Lister<DeepReadonly<PersistentVolumeClaim>>;
  storageClasses: Lister<R<k8s.V1StorageClass>>;
  csiNodes: Lister<R<k8s.V1CSINode>>;
  csiDrivers: Lister<R<k8s.V1CSIDriver>>;
  csiStorageCapacities: Lister<R<k8s.V1CSIStorageCapacity>>;
  volumeAttachments: Lister<R<k8s.V1VolumeAttachment>>;
  resourceClaims: Lister<R<k8s.ResourceV1ResourceClaim>>;
  resourceSlices: Lister<R<k8s.V1ResourceSlice>>;
  deviceClasses: Lister<R<k8s.V1DeviceClass>>;
}

export type Selector = DeepReadonly<LabelSelector>;

/** A lister over objects that never change: for tests and for explanations. */
export function fixedLister<T extends { readonly metadata?: { readonly name?: string; readonly namespace?: string } }>(
  objects: readonly T[] = [],
): Lister<T> {
  return {
    get: (name, namespace) =>
      objects.find((o) => o.metadata?.name === name && (o.metadata.namespace ?? undefined) === namespace),
    list: (namespace) => objects.filter((o) => namespace === undefined || o.metadata?.namespace === namespace),
  };
}

export const emptyListers = (): Listers => ({
  services: fixedLister(),
  replicationControllers: fixedLister(),
  replicaSets: fixedLister(),
  statefulSets: fixedLister(),
  podDisruptionBudgets: fixedLister(),
  persistentVolumes: fixedLister(),
  persistentVolumeClaims: fixedLister(),
  storageClasses: fixedLister(),
  csiNodes: fixedLister(),
  csiDrivers: fixedLister(),
  csiStorageCapacities: fixedLister(),
  volumeAttachments: fixedLister(),
  resourceClaims: fixedLister(),
  resourceSlices: fixedLister(),
  deviceClasses: fixedLister(),
});
