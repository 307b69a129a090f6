/** What CSI volumes ask of the rest of the kubelet, and what they do for it. */
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, PersistentVolume, PersistentVolumeClaim, Pod, Secret } from '../../api/types.ts';
import type { ClaimGrowth, MountedVolume } from '../volumes/types.ts';
import type { CsiDrivers } from './drivers.ts';
import type { CsiDriverObject } from './request.ts';
import type { VolumeUsage } from './usage.ts';

/** A pod as it is read. */
export type ReadPod = DeepReadonly<Pod>;
/** A volume that a pod defines itself. */
export type InlineVolume = NonNullable<NonNullable<NonNullable<ReadPod['spec']>['volumes']>[number]['csi']>;

/** What the API says of an attachment. */
export interface AttachmentState {
  attached: boolean;
  deleting: boolean;
  metadata: Record<string, string>;
  error: string | undefined;
}

/** What CSI volumes need of the rest of the kubelet. */
export interface CsiVolumeOptions extends ClaimGrowth {
  rootDir: string;
  nodeName: string;
  logger: Logger;
  drivers: CsiDrivers;
  driverObject(name: string): Promise<CsiDriverObject | undefined>;
  attachment(name: string): Promise<AttachmentState | undefined>;
  secret(namespace: string, name: string): Promise<DeepReadonly<Secret> | undefined>;
  token(pod: ReadPod, audience: string, seconds: number | undefined): Promise<{ token: string; expires: string }>;
  /** What the API's Node says: we use the volume, the controller has attached it. */
  nodeSays(volume: string): { inUse: boolean; attached: boolean };
  /** What `inUse` answers is another now. */
  useChanged(): void;
  event(pod: ReadPod, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

/** What the rest of the kubelet asks of CSI volumes. */
export interface CsiVolumes {
  mountClaim(
    pod: ReadPod,
    pv: DeepReadonly<PersistentVolume>,
    claim: DeepReadonly<PersistentVolumeClaim>,
    readOnly: boolean,
  ): Promise<MountedVolume>;
  mountInline(pod: ReadPod, name: string, source: InlineVolume): Promise<MountedVolume>;
  /** Undoes all of a pod's CSI volumes; rejects while a driver can't. */
  unmount(uid: string): Promise<void>;
  /** The pods that wait for an attachment, each told once. */
  takeWaiting(): string[];
  /** Unique names of the attachable volumes in use, for the node's status. */
  inUse(): string[];
  /** Reads what is on disk, after a start. */
  recover(): Promise<void>;
  /** Bytes and inodes as the driver counts them; undefined where it does not. */
  stats(uid: string, volume: string): Promise<VolumeUsage | undefined>;
}
