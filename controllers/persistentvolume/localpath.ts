/** Volumes in a directory of a node: the simplest provisioner there is. The node's kubelet makes and removes the data. Pure. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, PersistentVolume } from '../../api/types.ts';
import { LOCAL_PATH_NODE, LOCAL_PATH_PROVISIONER, localPathFolder, localPathNode } from '../../api/local-path.ts';
import { meta } from '../lib/meta.ts';
import { PROVISIONED_BY, type ClaimView } from './match.ts';

/** The volume for a claim, on the node that the scheduler has chosen. */
export function localVolume(
  claim: ClaimView,
  cls: DeepReadonly<Json<k8s.V1StorageClass>>,
  node: string,
  directory: string,
): PersistentVolume {
  const { name, namespace, uid } = meta(claim);
  return {
    metadata: {
      name: `pvc-${uid}`,
      labels: { [LOCAL_PATH_NODE]: localPathNode(node) },
      annotations: { [PROVISIONED_BY]: LOCAL_PATH_PROVISIONER },
    },
    spec: {
      capacity: { storage: claim.spec?.resources?.requests?.['storage'] ?? '1Gi' },
      accessModes: [...(claim.spec?.accessModes ?? [])],
      volumeMode: claim.spec?.volumeMode,
      persistentVolumeReclaimPolicy: cls.reclaimPolicy ?? 'Delete',
      storageClassName: meta(cls).name,
      claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name, namespace, uid },
      local: { path: `${directory.replace(/\/$/, '')}/${localPathFolder(uid, namespace, name)}` },
      mountOptions: cls.mountOptions && [...cls.mountOptions],
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
