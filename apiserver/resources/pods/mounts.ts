/** Where a container sees volumes: mounted as files or as raw devices. */
import type * as k8s from '@kubernetes/client-node';
import type { Container, Json } from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';
import { descendingPath, noBacksteps } from '../validation/formats.ts';
import type { Volume } from './volumes.ts';

/** Complaints about sub-paths and propagation name the list, not the entry; that is how clients know them. */
export function volumeMounts(c: Field<Container>, volumes: ReadonlyMap<string, Volume>): void {
  const list = c.get('volumeMounts');
  const devices = c.value?.volumeDevices ?? [];
  const paths = new Set<string>();
  list.each((m) => {
    const {
      name = '',
      mountPath = '',
      subPath,
      subPathExpr,
      mountPropagation,
      recursiveReadOnly,
      readOnly,
    } = m.value as Partial<Json<k8s.V1VolumeMount>>;
    m.get('name').required();
    if (!volumes.has(name)) m.get('name').notFound(name);
    m.get('mountPath').required();
    if (paths.has(mountPath)) m.get('mountPath').invalid('must be unique');
    paths.add(mountPath);
    if (devices.some((d) => d.name === name)) m.get('name').invalid('must not already exist in volumeDevices');
    if (devices.some((d) => d.devicePath === mountPath))
      m.get('mountPath').invalid('must not already exist as a path in volumeDevices');
    if (subPath) list.named('subPath', subPath).format(descendingPath);
    if (subPathExpr) {
      if (subPath) m.get('subPathExpr').invalid('subPathExpr and subPath are mutually exclusive');
      list.named('subPathExpr', subPathExpr).format(descendingPath);
    }
    const propagation = list.named('mountPropagation', mountPropagation);
    propagation.oneOf(['Bidirectional', 'HostToContainer', 'None']);
    if (mountPropagation === 'Bidirectional' && !c.value?.securityContext?.privileged) {
      propagation.forbidden('Bidirectional mount propagation is available only to privileged containers');
    }
    const recursive = list.named('recursiveReadOnly', recursiveReadOnly);
    recursive.oneOf(['Disabled', 'IfPossible', 'Enabled']);
    if (recursiveReadOnly === 'IfPossible' || recursiveReadOnly === 'Enabled') {
      if (!readOnly) recursive.forbidden('may only be specified when readOnly is true');
      if (mountPropagation !== undefined && mountPropagation !== 'None') {
        recursive.forbidden('may only be specified when mountPropagation is None or not specified');
      }
    }
  });
}

/** Raw block devices: of claims only, each volume and path once. */
export function volumeDevices(c: Field<Container>, volumes: ReadonlyMap<string, Volume>): void {
  const mounts = c.value?.volumeMounts ?? [];
  const names = new Set<string>();
  const paths = new Set<string>();
  c.get('volumeDevices').each((d) => {
    const { name = '', devicePath = '' } = d.value as Partial<Json<k8s.V1VolumeDevice>>;
    const volume = volumes.get(name);
    d.get('name').required();
    if (names.has(name)) d.get('name').invalid('must be unique');
    if (!volume) d.get('name').notFound(name);
    else if (!volume.persistentVolumeClaim && !volume.ephemeral) {
      d.get('name').invalid('can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode');
    }
    d.get('devicePath').required();
    if (paths.has(devicePath)) d.get('devicePath').invalid('must be unique');
    if (devicePath && noBacksteps(devicePath).length > 0)
      d.get('devicePath').invalid("can not contain backsteps ('..')");
    else paths.add(devicePath);
    if (mounts.some((m) => m.name === name)) d.get('name').invalid('must not already exist in volumeMounts');
    if (mounts.some((m) => m.mountPath === devicePath))
      d.get('devicePath').invalid('must not already exist as a path in volumeMounts');
    if (name) names.add(name);
  });
}
