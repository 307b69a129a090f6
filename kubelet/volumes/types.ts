/** What the kinds of volumes have in common. */
import type { DeepReadonly, PersistentVolume, PersistentVolumeClaim } from '../../api/types.ts';

export interface MountedVolume {
  /** Where it lies on the node. */
  path: string;
  readOnly: boolean;
  /** A group that the volume itself asks for (pv.beta.kubernetes.io/gid). */
  gid?: number;
  /** The plugin's name where the pod's spec does not tell it: that of a claim's volume. */
  plugin?: string;
}

/** A volume can't be made ready: `reason` is the event's. */
export class VolumeError extends Error {
  readonly reason: string;
  /** Set when something is only waited for: nothing is told before it takes long, and the next look comes after so many milliseconds. */
  readonly waitMs: number | undefined;
  constructor(message: string, reason = 'FailedMount', waitMs?: number) {
    super(message);
    this.reason = reason;
    this.waitMs = waitMs;
  }
}

/** In a claim's allocatedResourceStatuses: infeasible is what the driver will never do. */
export type NodeResize = 'NodeResizeInProgress' | 'NodeResizeInfeasible';

/** What a claim's volume has become beyond what the claim's status says. */
export interface ClaimGrowth {
  /** The volume's size in bytes, when the file system has still to follow; undefined when it need not. */
  grew(claim: DeepReadonly<PersistentVolumeClaim>, pv: DeepReadonly<PersistentVolume>): number | undefined;
  /** Tells the API how it goes on the node (KEP-1790). */
  resizing(claim: DeepReadonly<PersistentVolumeClaim>, status: NodeResize): Promise<void>;
  /** Tells the API that it has followed. */
  expanded(claim: DeepReadonly<PersistentVolumeClaim>, capacity: string): Promise<void>;
}
