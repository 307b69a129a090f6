/** Annotations of pods that mean something to the system. */
import type { DeepReadonly, PodSpec } from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';
import { descendingPath } from '../validation/formats.ts';
import type { Labels } from '../validation/values.ts';
import { allContainers, eachContainer } from './each.ts';
import type { PodOptions } from './options.ts';
import { tolerations } from './scheduling.ts';

export const MIRROR = 'kubernetes.io/config.mirror';
const TOLERATIONS = 'scheduler.alpha.kubernetes.io/tolerations';
const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost';
const SECCOMP_POD = 'seccomp.security.alpha.kubernetes.io/pod';
const SECCOMP_CONTAINER = 'container.seccomp.security.alpha.kubernetes.io/';
export const APPARMOR_CONTAINER = 'container.apparmor.security.beta.kubernetes.io/';

/** What is said of the AppArmor annotation of a container; `path` leads to the annotations. */
export const appArmorWarning = (path: string, container: string) =>
  `${path}[${APPARMOR_CONTAINER}${container}]: deprecated since v1.30; use the "appArmorProfile" field instead`;

const seccompErrors = (v: string): readonly string[] => {
  if (['runtime/default', 'docker/default', 'unconfined'].includes(v)) return [];
  return v.startsWith('localhost/')
    ? descendingPath(v.slice('localhost/'.length))
    : ['must be a valid seccomp profile'];
};

/** Whether the text is a 32-bit integer as the deletion cost must be; empty is 0. */
export function isDeletionCost(v: string): boolean {
  return /^[+-]?\d+$/.test(v) && Math.abs(Number(v)) < 2 ** 31 && !/^[+-]?0\d/.test(v) && !v.startsWith('+');
}

export function podAnnotations(f: Field<Labels>, spec: PodSpec, pod: PodOptions): void {
  const all = f.value ?? {};
  if (all[MIRROR] !== undefined && !spec.nodeName) {
    f.key(MIRROR, all[MIRROR]).invalid('must set spec.nodeName if mirror pod annotation is set');
  }
  if (all[TOLERATIONS]) {
    try {
      tolerations(f.named(TOLERATIONS, JSON.parse(all[TOLERATIONS]) as never));
    } catch {
      f.invalid('must be a list of tolerations', TOLERATIONS);
    }
  }
  const cost = all[DELETION_COST];
  if (cost !== undefined && !pod.allow?.invalidDeletionCost && !isDeletionCost(cost))
    f.key(DELETION_COST, cost).invalid('must be a 32bit integer');
  for (const [k, v] of Object.entries(all)) {
    if (k === SECCOMP_POD || k.startsWith(SECCOMP_CONTAINER))
      for (const m of seccompErrors(v)) f.named(k, v).invalid(m);
    if (!k.startsWith(APPARMOR_CONTAINER)) continue;
    const name = k.slice(APPARMOR_CONTAINER.length);
    if (!allContainers(spec).some((c) => c.name === name)) f.key(k, name).invalid('container not found');
    if (v !== '' && v !== 'runtime/default' && v !== 'unconfined' && !v.startsWith('localhost/')) {
      f.key(k, v).invalid(`invalid AppArmor profile name: ${JSON.stringify(v)}`);
    }
  }
}

/** Annotations that may not change once the pod is there. */
export function podAnnotationsUpdate(f: Field<Labels>, old: DeepReadonly<Labels>): void {
  const now = f.value ?? {};
  const what = (k: string) =>
    k === MIRROR ? 'mirror pod annotation' : k.startsWith(APPARMOR_CONTAINER) ? 'AppArmor annotations' : undefined;
  for (const [k, v] of Object.entries(old)) {
    if (now[k] !== v && what(k)) f.key(k, now[k]).forbidden(`may not remove or update ${what(k)}`);
  }
  for (const k of Object.keys(now)) if (!(k in old) && what(k)) f.key(k, now[k]).forbidden(`may not add ${what(k)}`);
}

interface Profile {
  type?: string;
  localhostProfile?: string;
}

/** A profile given both as a field and as an annotation must be the same. */
export function profilesMatch(spec: Field<PodSpec>, annotations: Labels): void {
  const compare = (f: Field<Profile>, profile: Profile | undefined, text: string | undefined, kind: string) => {
    if (profile === undefined || text === undefined) return;
    const local = 'localhost/';
    const plain: Record<string, string[]> = {
      Unconfined: ['unconfined'],
      RuntimeDefault: kind === 'seccomp' ? ['runtime/default', 'docker/default'] : ['runtime/default'],
    };
    const differs = `${kind} type in annotation and field must match`;
    if (profile.type === 'Localhost') {
      if (!text.startsWith(local)) f.get('type').forbidden(differs);
      else if (text.slice(local.length) !== profile.localhostProfile)
        f.get('localhostProfile').forbidden(`${kind} profile in annotation and field must match`);
    } else if (plain[profile.type ?? ''] && !plain[profile.type ?? '']!.includes(text))
      f.get('type').forbidden(differs);
  };
  const own = spec.get('securityContext').get('seccompProfile') as Field<Profile>;
  compare(own, own.value, annotations[SECCOMP_POD], 'seccomp');
  const podAppArmor = spec.value?.os?.name === 'windows' ? undefined : spec.value?.securityContext?.appArmorProfile;
  eachContainer(spec, (c) => {
    const sc = c.get('securityContext');
    const name = c.value?.name ?? '';
    const seccomp = sc.get('seccompProfile') as Field<Profile>;
    compare(seccomp, seccomp.value, annotations[SECCOMP_CONTAINER + name], 'seccomp');
    const armor = sc.get('appArmorProfile') as Field<Profile>;
    if (spec.value?.os?.name !== 'windows')
      compare(armor, armor.value ?? podAppArmor, annotations[APPARMOR_CONTAINER + name], 'apparmor');
  });
}
