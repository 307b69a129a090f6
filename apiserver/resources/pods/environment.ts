/** A container's environment variables. */
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../../api/types.ts';
import type { Field, Rule } from '../validation/field.ts';
import { configMapKey, envVarName, noBacksteps } from '../validation/formats.ts';
import { dns1123Label, dns1123Subdomain } from '../validation/names.ts';
import { ENV_FIELDS, fieldSelector, resourceFieldSelector } from './downward.ts';

type Source = Json<k8s.V1EnvVarSource>;
type KeyRef = { name?: string; key: string };

const keyRef: Rule<KeyRef> = (f) => {
  f.get('name').formatAll(dns1123Subdomain);
  f.get('key').requiredFormat(configMapKey);
};
const SOURCES: { [K in keyof Source]-?: Rule<NonNullable<Source[K]>> } = {
  fieldRef: (f) => fieldSelector(f, ENV_FIELDS),
  resourceFieldRef: (f) => resourceFieldSelector(f, false),
  configMapKeyRef: keyRef as Rule<Json<k8s.V1ConfigMapKeySelector>>,
  secretKeyRef: keyRef as Rule<Json<k8s.V1SecretKeySelector>>,
  fileKeyRef: (f) => {
    f.get('key').requiredFormat(envVarName);
    f.get('volumeName').requiredFormat(dns1123Label);
    f.get('path').requiredFormat(noBacksteps);
  },
};

/** Each variable has a value or one source. */
export function env(list: Field<Json<k8s.V1EnvVar>[]>): void {
  list.each((e) => {
    e.get('name').requiredFormat(envVarName);
    const from = e.get('valueFrom');
    if (!from.isSet) return;
    let count = 0;
    for (const name of Object.keys(SOURCES) as (keyof Source)[]) {
      if (!from.get(name).isSet) continue;
      count++;
      (SOURCES[name] as Rule<unknown>)(from.get(name) as Field<unknown>);
    }
    if (count === 0)
      from.invalid(
        'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
        '',
      );
    else if (e.value?.value) from.invalid('may not be specified when `value` is not empty', '');
    else if (count > 1) from.invalid('may not have more than one field specified at a time', '');
  });
}

/** Whole ConfigMaps or Secrets as variables. */
export function envFrom(list: Field<Json<k8s.V1EnvFromSource>[]>): void {
  list.each((e) => {
    e.get('prefix').format(envVarName);
    const sources = [e.get('configMapRef'), e.get('secretRef')].filter((s) => s.isSet);
    for (const s of sources) s.get('name').requiredFormat(dns1123Subdomain);
    // The complaint is about the list, not the entry.
    if (sources.length === 0) list.invalid('must specify one of: `configMapRef` or `secretRef`', '');
    else if (sources.length > 1) list.invalid('may not have more than one field specified at a time', '');
  });
}

/** Variables read from files need an emptyDir to read them from. */
export function fileKeyVolumes(
  container: Field<{ env?: Json<k8s.V1EnvVar>[] }>,
  volumes: readonly Json<k8s.V1Volume>[],
): void {
  container.get('env').each((e) => {
    const ref = e.get('valueFrom').get('fileKeyRef');
    if (!ref.isSet) return;
    const volume = volumes.find((v) => v.name === ref.value?.volumeName);
    if (!volume) ref.get('volumeName').notFound();
    else if (volume.emptyDir === undefined) ref.get('volumeName').invalid('referenced volume must be of type emptyDir');
  });
}
