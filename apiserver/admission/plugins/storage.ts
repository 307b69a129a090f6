/** StorageObjectInUseProtection and PersistentVolumeClaimResize. */
import type * as k8s from '@kubernetes/client-node';
import { Quantity } from '../../../api/quantity.ts';
import type { DeepReadonly, Json, PersistentVolumeClaim } from '../../../api/types.ts';
import { deny, type PluginFactory } from '../plugin.ts';

const FINALIZERS: Record<string, string> = {
  '/persistentvolumes': 'kubernetes.io/pv-protection',
  '/persistentvolumeclaims': 'kubernetes.io/pvc-protection',
  'storage.k8s.io/volumeattributesclasses': 'kubernetes.io/vac-protection',
};

/** Adds the finalizer that keeps what is in use from vanishing. */
export const storageObjectInUseProtection: PluginFactory = () => ({
  name: 'StorageObjectInUseProtection',
  handles: (operation) => operation === 'CREATE',
  admit(a) {
    const finalizer = FINALIZERS[`${a.resource.group}/${a.resource.resource}`];
    if (finalizer === undefined || a.subresource !== '' || !a.object) return;
    const meta = (a.object.metadata ??= {});
    if (!meta.finalizers?.includes(finalizer)) meta.finalizers = [...(meta.finalizers ?? []), finalizer];
  },
});

const classOf = (c: DeepReadonly<PersistentVolumeClaim>) =>
  c.metadata?.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? c.spec?.storageClassName ?? '';

/** A claim may only grow when its class lets volumes grow. */
export const persistentVolumeClaimResize: PluginFactory = ({ reader }) => ({
  name: 'PersistentVolumeClaimResize',
  handles: (operation) => operation === 'UPDATE',
  validate(a) {
    if (a.resource.resource !== 'persistentvolumeclaims' || a.resource.group !== '' || a.subresource !== '') return;
    const now = a.object as DeepReadonly<PersistentVolumeClaim>;
    const old = a.oldObject as DeepReadonly<PersistentVolumeClaim>;
    const size = (c: DeepReadonly<PersistentVolumeClaim>) =>
      Quantity.tryParse(c.spec?.resources?.requests?.['storage'] ?? '0') ?? Quantity.zero;
    if (size(now).compare(size(old)) <= 0) return;
    if (old.status?.phase !== 'Bound') throw deny(a, 'Only bound persistent volume claims can be expanded');
    const name = classOf(now);
    const storageClass =
      name !== '' && name === classOf(old)
        ? reader.get<Json<k8s.V1StorageClass>>('storage.k8s.io/storageclasses', '', name)
        : undefined;
    if (storageClass?.allowVolumeExpansion !== true) {
      throw deny(
        a,
        'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
      );
    }
  },
});
