/** Which CSI volumes shall be attached to a node. Pure. */
import { createHash } from 'node:crypto';
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, PersistentVolume, PersistentVolumeClaim } from '../../api/types.ts';
import { isControlledBy, meta } from '../lib/meta.ts';
import { isFinished, type PodView } from '../lib/pods.ts';

export type Attachment = Json<k8s.V1VolumeAttachment>;
export type AttachmentView = DeepReadonly<Attachment>;

/** A volume that pods on the node use. */
export interface Wanted {
  attacher: string;
  volumeName: string;
  handle: string;
  /** As node status lists it. */
  uniqueName: string;
  pods: PodView[];
}

/** The name that both sides know an attachment by: the same volume on the same node has always the same. */
export function attachmentName(handle: string, driver: string, node: string): string {
  return `csi-${createHash('sha256').update(`${handle}${driver}${node}`).digest('hex')}`;
}

/** Whether an attachment has a name that `attachmentName` gives. */
export const isOurs = (name: string): boolean => /^csi-[0-9a-f]{64}$/.test(name);

export const uniqueVolumeName = (driver: string, handle: string): string => `kubernetes.io/csi/${driver}^${handle}`;

export interface Lookups {
  claim(namespace: string, name: string): DeepReadonly<PersistentVolumeClaim> | undefined;
  volume(name: string): DeepReadonly<PersistentVolume> | undefined;
  /** Whether the driver needs volumes to be attached. */
  attachable(driver: string): boolean;
}

/** The volumes that the node's pods need, by attachment name. */
export function wantedAttachments(node: string, pods: readonly PodView[], look: Lookups): Map<string, Wanted> {
  const out = new Map<string, Wanted>();
  for (const pod of pods) {
    if (isFinished(pod)) continue;
    const { namespace, name, uid } = meta(pod);
    for (const v of pod.spec?.volumes ?? []) {
      const claimName = v.persistentVolumeClaim?.claimName ?? (v.ephemeral ? `${name}-${v.name}` : undefined);
      const claim = claimName === undefined ? undefined : look.claim(namespace, claimName);
      if (!claim?.spec?.volumeName || (v.ephemeral && !isControlledBy(claim, uid))) continue;
      const volume = look.volume(claim.spec.volumeName);
      const csi = volume?.spec?.csi;
      if (!volume || !csi || volume.spec?.claimRef?.uid !== meta(claim).uid || !look.attachable(csi.driver)) continue;
      const key = attachmentName(csi.volumeHandle, csi.driver, node);
      const have = out.get(key);
      if (have) have.pods.push(pod);
      else
        out.set(key, {
          attacher: csi.driver,
          volumeName: meta(volume).name,
          handle: csi.volumeHandle,
          uniqueName: uniqueVolumeName(csi.driver, csi.volumeHandle),
          pods: [pod],
        });
    }
  }
  return out;
}

/** Whether several nodes may have the volume at once. */
export function isShareable(volume: DeepReadonly<PersistentVolume>): boolean {
  const modes = volume.spec?.accessModes ?? [];
  return modes.length === 0 || modes.some((m) => m === 'ReadWriteMany' || m === 'ReadOnlyMany');
}
