/** Which ReplicaSet is the newest, and what Deployments and ReplicaSets note in annotations. Pure. */
import type { DeepReadonly, Deployment, PodTemplateSpec, ReplicaSet } from '../../api/types.ts';
import { byAge, meta, millis, semanticEqual } from '../lib/meta.ts';
import type { RolloutSpec, SetSize } from './rollout.ts';

export const HASH_LABEL = 'pod-template-hash';
export const REVISION = 'deployment.kubernetes.io/revision';
const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history';
export const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas';
export const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';
export const ROLLBACK_TO = 'deprecated.deployment.rollback.to';
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** Annotations that stay where they are. */
const NOT_COPIED = new Set([LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS, ROLLBACK_TO]);
const MAX_HISTORY_CHARS = 2000;

export type DeploymentView = DeepReadonly<Deployment>;
export type SetView = DeepReadonly<ReplicaSet>;
type Annotations = Record<string, string>;

/** Whether two templates make the same pods; the hash label doesn't count. */
export function sameTemplate(
  a: DeepReadonly<PodTemplateSpec> | undefined,
  b: DeepReadonly<PodTemplateSpec> | undefined,
): boolean {
  return semanticEqual(withoutHash(a), withoutHash(b));
}

/** The template without pod-template-hash. */
export function withoutHash(
  template: DeepReadonly<PodTemplateSpec> | undefined,
): DeepReadonly<PodTemplateSpec> | undefined {
  const labels = template?.metadata?.labels;
  if (!template || !labels || !(HASH_LABEL in labels)) return template;
  const { [HASH_LABEL]: _hash, ...rest } = labels;
  return { ...template, metadata: { ...template.metadata, labels: rest } };
}

/** The set that has the Deployment's template (the oldest of several), and all others. */
export function splitSets(
  d: DeploymentView,
  sets: readonly SetView[],
): { newest: SetView | undefined; old: SetView[] } {
  const newest = sets.toSorted(byAge).find((s) => sameTemplate(s.spec?.template, d.spec?.template));
  return { newest, old: sets.filter((s) => s !== newest) };
}

/** The revision annotation, which may be any 64-bit number; 0 when absent or not a number. */
export function revisionOf(object: DeploymentView | SetView): bigint {
  const text = object.metadata?.annotations?.[REVISION];
  return text !== undefined && /^-?[0-9]+$/.test(text) ? BigInt(text) : 0n;
}

/** The last revision but one; 0 when there is none. */
export function lastRevision(sets: readonly SetView[]): bigint {
  let max = 0n;
  let second = 0n;
  for (const s of sets) {
    const v = revisionOf(s);
    if (v >= max) {
      second = max;
      max = v;
    } else if (v > second) second = v;
  }
  return second;
}

/** The annotations of the newest set as they shall be. */
export function newestAnnotations(
  d: DeploymentView,
  have: Readonly<Annotations> | undefined,
  revision: bigint,
): Annotations {
  const out: Annotations = { ...have };
  for (const [k, v] of Object.entries(d.metadata?.annotations ?? {})) if (!NOT_COPIED.has(k)) out[k] = v;
  const old = out[REVISION];
  if (old && !/^-?[0-9]+$/.test(old)) return out;
  if (BigInt(old ?? 0) >= revision) return out;
  out[REVISION] = String(revision);
  if (old !== undefined) out[REVISION_HISTORY] = appendHistory(out[REVISION_HISTORY], old);
  return out;
}

function appendHistory(history: string | undefined, revision: string): string {
  const all = history ? history.split(',') : [];
  if (all.at(-1) === revision) return history!;
  while (all.length && all.join(',').length + revision.length + 1 > MAX_HISTORY_CHARS) all.shift();
  return [...all, revision].join(',');
}

/** A Deployment's annotations after it took over a set's template. */
export function rolledBackAnnotations(d: DeploymentView, set: SetView): Annotations {
  const out: Annotations = {};
  for (const [k, v] of Object.entries(d.metadata?.annotations ?? {})) if (NOT_COPIED.has(k)) out[k] = v;
  for (const [k, v] of Object.entries(set.metadata?.annotations ?? {})) if (!NOT_COPIED.has(k)) out[k] = v;
  return out;
}

/** A non-negative number from an annotation. */
export function numberAnnotation(object: SetView, name: string): number | undefined {
  const text = object.metadata?.annotations?.[name];
  return text !== undefined && /^[0-9]+$/.test(text) ? Number(text) : undefined;
}

/** How many pods a ReplicaSet is to have. */
export function replicasOf(set: SetView): number {
  return set.spec?.replicas ?? 0;
}

/** What a Deployment says of its rollouts. */
export function rolloutSpec(d: DeploymentView): RolloutSpec {
  const strategy = d.spec?.strategy;
  return {
    replicas: d.spec?.replicas ?? 1,
    rolling: strategy?.type === 'RollingUpdate',
    maxSurge: strategy?.rollingUpdate?.maxSurge,
    maxUnavailable: strategy?.rollingUpdate?.maxUnavailable,
  };
}

/** What sharing out replicas must know of a ReplicaSet. */
export function sizeOf(set: SetView): SetSize {
  return {
    name: meta(set).name,
    replicas: replicasOf(set),
    available: set.status?.availableReplicas ?? 0,
    created: millis(meta(set).creationTimestamp),
    maxReplicas: numberAnnotation(set, MAX_REPLICAS),
  };
}
