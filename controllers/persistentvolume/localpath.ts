/** Volumes in a directory of a node: the simplest provisioner there is. Pure. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, PersistentVolume } from '../../api/types.ts';
import { meta } from '../lib/meta.ts';
import { PROVISIONED_BY, type ClaimView } from './match.ts';

/** `provisioner` of StorageClasses that want it. */
export const LOCAL_PATH_PROVISIONER = 'k8ts.io/local-path';

/** The volume for a claim, on the node that the scheduler has chosen. */
export function localVolume(
  claim: ClaimView,
  cls: DeepReadonly<Json<k8s.V1StorageClass>>,
  node: string,
  directory: string,
): PersistentVolume {
  const { name, namespace, uid } = meta(claim);
  return {
    metadata: { name: `pvc-${uid}`, annotations: { [PROVISIONED_BY]: LOCAL_PATH_PROVISIONER } },
    spec: {
      capacity: { storage: claim.spec?.resources?.requests?.['storage'] ?? '1Gi' },
      accessModes: [...(claim.spec?.accessModes ?? [])],
      volumeMode: claim.spec?.volumeMode,
      persistentVolumeReclaimPolicy: cls.reclaimPolicy ?? 'Delete',
      storageClassName: meta(cls).name,
      claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name, namespace, uid },
      hostPath: { path: `${directory.replace(/\/$/, '')}/pvc-${uid}_${namespace}_${name}`, type: 'DirectoryOrCreate' },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] },
          ],
        },
      },
    },
  };
}
