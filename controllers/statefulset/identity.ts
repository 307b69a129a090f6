/** Names, labels, storage and template of a StatefulSet's pods. Pure. */
import type {
  DeepReadonly,
  OwnerReference,
  PersistentVolumeClaim,
  Pod,
  PodTemplateSpec,
  StatefulSet,
} from '../../api/types.ts';
import { body, controllerRef, isControlledBy, meta } from '../lib/meta.ts';
import { podFromTemplate } from '../lib/podcontrol.ts';
import type { PodView } from '../lib/pods.ts';
import type { RevisionView } from '../lib/revisions.ts';

export type SetView = DeepReadonly<StatefulSet>;
export type ClaimView = DeepReadonly<PersistentVolumeClaim>;

export const KIND = { apiVersion: 'apps/v1', kind: 'StatefulSet' };
export const REVISION_LABEL = 'controller-revision-hash';
const POD_NAME_LABEL = 'statefulset.kubernetes.io/pod-name';
const INDEX_LABEL = 'apps.kubernetes.io/pod-index';

export const startOrdinal = (set: SetView) => set.spec?.ordinals?.start ?? 0;
export const replicasOf = (set: SetView) => set.spec?.replicas ?? 1;
export const podName = (set: SetView, ordinal: number) => `${meta(set).name}-${ordinal}`;
export const revisionOf = (pod: PodView) => pod.metadata?.labels?.[REVISION_LABEL] ?? '';

/** The number at the end of a member's name; -1 for others. */
export function ordinalOf(set: SetView, pod: PodView): number {
  const m = /^(.*)-([0-9]+)$/.exec(meta(pod).name);
  return m && m[1] === meta(set).name ? Number(m[2]) : -1;
}

/** Whether a member of that ordinal is wanted (`spec.ordinals.start`, KEP-3335). */
export function inRange(set: SetView, ordinal: number): boolean {
  return ordinal >= startOrdinal(set) && ordinal < startOrdinal(set) + replicasOf(set);
}

/** The template that a revision stands for. */
function templateOf(set: SetView, revision: RevisionView): DeepReadonly<PodTemplateSpec> {
  const data = revision.data as { spec?: { template?: PodTemplateSpec & { $patch?: string } } } | undefined;
  if (!data?.spec?.template) return set.spec!.template;
  const { $patch: _patch, ...template } = data.spec.template;
  return template as PodTemplateSpec;
}

const claimName = (template: ClaimView, pod: string) => `${meta(template).name}-${pod}`;

/** The claims of one member. */
export function claimsFor(set: SetView, name: string): PersistentVolumeClaim[] {
  return (set.spec?.volumeClaimTemplates ?? []).map((t) => {
    const template = body<PersistentVolumeClaim>(t);
    return {
      ...template,
      metadata: {
        ...template.metadata,
        name: claimName(t, name),
        namespace: meta(set).namespace,
        labels: { ...template.metadata?.labels, ...set.spec?.selector.matchLabels },
      },
    };
  });
}

/** The template's volumes with the member's claims in the place of those that bear their names. */
function volumesFor(set: SetView, name: string, spec: NonNullable<Pod['spec']>): NonNullable<Pod['spec']>['volumes'] {
  const templates = set.spec?.volumeClaimTemplates ?? [];
  const own = templates.map((t) => ({
    name: meta(t).name,
    persistentVolumeClaim: { claimName: claimName(t, name), readOnly: false },
  }));
  const names = new Set(own.map((v) => v.name));
  const all = [...own, ...(spec.volumes ?? []).filter((v) => !names.has(v.name))];
  return all.length ? all : undefined;
}

/** A member as it shall be created. */
export function newPod(set: SetView, ordinal: number, revision: RevisionView): Pod {
  const name = podName(set, ordinal);
  const pod = podFromTemplate(
    templateOf(set, revision),
    controllerRef(set, KIND.apiVersion, KIND.kind),
    meta(set).namespace,
    { name },
  );
  pod.metadata!.labels = {
    ...pod.metadata!.labels,
    [POD_NAME_LABEL]: name,
    [INDEX_LABEL]: String(ordinal),
    [REVISION_LABEL]: meta(revision).name,
  };
  const spec = pod.spec!;
  pod.spec = {
    ...spec,
    hostname: name,
    subdomain: set.spec?.serviceName || undefined,
    volumes: volumesFor(set, name, spec),
  };
  return pod;
}

/** Labels a member lacks; undefined when it has all. */
export function missingLabels(set: SetView, pod: PodView): Record<string, string> | undefined {
  const { name, labels } = meta(pod);
  return labels?.[POD_NAME_LABEL] === name
    ? undefined
    : { [POD_NAME_LABEL]: name, [INDEX_LABEL]: String(ordinalOf(set, pod)) };
}

/**
 * The owners of a claim as the retention policy wants them: the set (goes with it), the pod (goes with it when scaled
 * down) or neither. Undefined when they are right, or somebody else controls the claim.
 */
export function claimOwners(set: SetView, claim: ClaimView, pod: PodView): OwnerReference[] | undefined {
  const policy = set.spec?.persistentVolumeClaimRetentionPolicy;
  const refs = body<PersistentVolumeClaim>(claim).metadata?.ownerReferences ?? [];
  const isSet = (r: OwnerReference) =>
    r.kind === KIND.kind && r.apiVersion === KIND.apiVersion && r.name === meta(set).name;
  const isPod = (r: OwnerReference) => r.kind === 'Pod' && r.apiVersion === 'v1' && r.name === meta(pod).name;
  // References to an older set or pod of the same name: the collector has to deal with them first.
  if (refs.some((r) => (isSet(r) && r.uid !== meta(set).uid) || (isPod(r) && r.uid !== meta(pod).uid)))
    return undefined;
  const others = refs.filter((r) => !isSet(r) && !isPod(r));
  const foreign = others.some((r) => r.controller);
  const scaledDown = !inRange(set, ordinalOf(set, pod));
  const wanted: OwnerReference[] = [...others];
  if (!foreign) {
    if (policy?.whenScaled === 'Delete' && scaledDown) wanted.push(controllerRef(pod, 'v1', 'Pod'));
    else if (policy?.whenDeleted === 'Delete') wanted.push(controllerRef(set, KIND.apiVersion, KIND.kind));
  }
  const key = (r: OwnerReference) => `${r.uid}/${r.controller === true}`;
  const same = wanted.length === refs.length && wanted.every((w) => refs.some((r) => key(r) === key(w)));
  return same ? undefined : wanted;
}

/** Whether a claim still belongs to a pod of the same name that is gone: a new one must wait for its end. */
export function isStaleClaim(set: SetView, claim: ClaimView, name: string): boolean {
  if (set.spec?.persistentVolumeClaimRetentionPolicy?.whenScaled !== 'Delete') return false;
  return (claim.metadata?.ownerReferences ?? []).some(
    (r) => r.kind === 'Pod' && r.name === name && !isControlledBy(claim, meta(set).uid),
  );
}
