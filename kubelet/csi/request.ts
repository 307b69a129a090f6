/** What a driver is told about a volume: capability, context, secrets. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, PersistentVolume, Pod } from '../../api/types.ts';

type ReadPod = DeepReadonly<Pod>;
type Driver = Json<k8s.V1CSIDriver>;
/** With what the client's model doesn't know yet. */
export type CsiDriverObject = DeepReadonly<Driver & { spec: { serviceAccountTokenInSecrets?: boolean } }>;

/** A volume as pod and claim describe it. */
export interface VolumeSpec {
  driver: string;
  handle: string;
  fsType: string;
  readOnly: boolean;
  block: boolean;
  accessModes: readonly string[];
  mountOptions: readonly string[];
  attributes: Readonly<Record<string, string>>;
}

export function persistentSpec(pv: DeepReadonly<PersistentVolume>, readOnly: boolean): VolumeSpec {
  const csi = pv.spec!.csi!;
  return {
    driver: csi.driver,
    handle: csi.volumeHandle,
    fsType: csi.fsType ?? '',
    readOnly: readOnly || (csi.readOnly ?? false),
    block: pv.spec!.volumeMode === 'Block',
    accessModes: pv.spec!.accessModes ?? [],
    mountOptions: pv.spec!.mountOptions ?? [],
    attributes: csi.volumeAttributes ?? {},
  };
}

/** CSI's access mode for the claim's; a driver that tells one writer from several is told which it is. */
function accessMode(modes: readonly string[], finer: boolean): string {
  if (modes.includes('ReadWriteMany')) return 'MULTI_NODE_MULTI_WRITER';
  if (modes.includes('ReadWriteOncePod')) return finer ? 'SINGLE_NODE_SINGLE_WRITER' : 'SINGLE_NODE_WRITER';
  if (modes.includes('ReadOnlyMany') && !modes.includes('ReadWriteOnce')) return 'MULTI_NODE_READER_ONLY';
  return finer ? 'SINGLE_NODE_MULTI_WRITER' : 'SINGLE_NODE_WRITER';
}

/** `group` is the pod's fsGroup for drivers that apply it themselves. */
export function capability(spec: VolumeSpec, capabilities: ReadonlySet<string>, group: number | undefined): object {
  const mode = { access_mode: { mode: accessMode(spec.accessModes, capabilities.has('SINGLE_NODE_MULTI_WRITER')) } };
  if (spec.block) return { block: {}, ...mode };
  return {
    mount: {
      fs_type: spec.fsType,
      mount_flags: [...spec.mountOptions],
      ...(group === undefined ? {} : { volume_mount_group: String(group) }),
    },
    ...mode,
  };
}

/** Who mounts, for drivers that ask to know (CSIDriver.spec.podInfoOnMount). */
export function podInfo(pod: ReadPod, ephemeral: boolean): Record<string, string> {
  const m = pod.metadata!;
  return {
    'csi.storage.k8s.io/pod.name': m.name!,
    'csi.storage.k8s.io/pod.namespace': m.namespace!,
    'csi.storage.k8s.io/pod.uid': m.uid!,
    'csi.storage.k8s.io/serviceAccount.name': pod.spec!.serviceAccountName ?? '',
    'csi.storage.k8s.io/ephemeral': String(ephemeral),
  };
}

/** Whether the kubelet itself gives the volume's files to the pod's group (CSIDriver.spec.fsGroupPolicy). */
export function kubeletSetsGroup(spec: VolumeSpec, driver: CsiDriverObject | undefined): boolean {
  switch (driver?.spec.fsGroupPolicy) {
    case 'File':
      return true;
    case 'None':
      return false;
    default:
      return spec.fsType !== '' && spec.accessModes.some((m) => m === 'ReadWriteOnce' || m === 'ReadWriteOncePod');
  }
}
