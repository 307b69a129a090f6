/** References of the downward API: to fields of the pod and to resources of its containers. */
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';
import { qualifiedName } from '../validation/names.ts';
import { quantity } from '../validation/values.ts';

export const VOLUME_FIELDS = [
  'metadata.name',
  'metadata.namespace',
  'metadata.labels',
  'metadata.annotations',
  'metadata.uid',
];
export const ENV_FIELDS = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];
/** Fields that v1 knows at all; others can't be converted. */
const KNOWN = new Set([
  ...VOLUME_FIELDS,
  ...ENV_FIELDS,
  'spec.restartPolicy',
  'spec.schedulerName',
  'status.phase',
  'spec.host',
]);

export function fieldSelector(f: Field<Json<k8s.V1ObjectFieldSelector>>, allowed: readonly string[]): void {
  if (!f.get('apiVersion').need() || !f.get('fieldPath').need()) return;
  const fieldPath = f.get('fieldPath');
  const [, path = '', subscript] = /^(.*?)(?:\['(.*)'\])?$/s.exec(fieldPath.value ?? '') ?? [];
  if (f.value?.apiVersion !== 'v1')
    fieldPath.invalid(`error converting fieldPath: unsupported pod version: ${f.value?.apiVersion}`);
  else if (!KNOWN.has(path)) fieldPath.invalid(`error converting fieldPath: field label not supported: ${path}`);
  else if (subscript !== undefined) {
    if (path === 'metadata.annotations') f.named('', subscript.toLowerCase()).formatAll(qualifiedName);
    else if (path === 'metadata.labels') f.named('', subscript).formatAll(qualifiedName);
    else fieldPath.invalid(`error converting fieldPath: field label does not support subscript: ${path}`);
  } else if (!allowed.includes(path)) fieldPath.notSupported(allowed);
}

const RESOURCES = ['cpu', 'memory', 'ephemeral-storage'].flatMap((r) => [`limits.${r}`, `requests.${r}`]);
const SIZES = ['1', ...['k', 'M', 'G', 'T', 'P', 'E'].flatMap((s) => [`1${s}`, `1${s === 'k' ? 'Ki' : `${s}i`}`])];

/** `limits.cpu` and the like; in a volume the container must be named. */
export function resourceFieldSelector(f: Field<Json<k8s.V1ResourceFieldSelector>>, inVolume: boolean): void {
  const resource = f.value?.resource ?? '';
  const huge = /^(requests|limits)\.hugepages-/.test(resource);
  if (inVolume && !f.get('containerName').need()) return divisor();
  if (f.get('resource').need() && !RESOURCES.includes(resource) && !huge) f.get('resource').notSupported(RESOURCES);
  divisor();

  function divisor(): void {
    const d = quantity(f.value?.divisor ?? '0');
    if (d.isZero) return;
    const allowed = resource.endsWith('.cpu') ? ['1m', '1'] : RESOURCES.includes(resource) || huge ? SIZES : undefined;
    if (allowed && !allowed.includes(d.toString())) {
      f.get('divisor').invalid(
        `only divisor's values ${allowed.join(', ')} are supported with this resource`,
        resource,
      );
    }
  }
}
