/** The status of a ReplicaSet (or ReplicationController) as it follows from its pods. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json } from '../../api/types.ts';
import { formatTime } from '../../base/clock.ts';
import { isAvailable, isReady, type PodView } from '../lib/pods.ts';
import { setSelector } from '../lib/selectors.ts';

export type ReplicaSetStatus = Json<k8s.V1ReplicaSetStatus>;
type Condition = Json<k8s.V1ReplicaSetCondition>;

/** What went wrong in this turn, if anything. */
export interface ReplicaFailure {
  reason: 'FailedCreate' | 'FailedDelete';
  message: string;
}

/** What both kinds have in common. */
export interface ReplicaSpec {
  replicas: number;
  minReadySeconds: number;
  /** Of the template. */
  templateLabels: Readonly<Record<string, string>> | undefined;
}

/** `terminating` is undefined where such pods aren't counted. */
export function replicaSetStatus(
  old: DeepReadonly<ReplicaSetStatus> | undefined,
  spec: ReplicaSpec,
  generation: number | undefined,
  active: readonly PodView[],
  terminating: number | undefined,
  failure: ReplicaFailure | undefined,
  now: number,
): ReplicaSetStatus {
  const template = setSelector(spec.templateLabels);
  let fullyLabeledReplicas = 0;
  let readyReplicas = 0;
  let availableReplicas = 0;
  for (const pod of active) {
    if (template.matches(pod.metadata?.labels)) fullyLabeledReplicas++;
    if (!isReady(pod)) continue;
    readyReplicas++;
    if (isAvailable(pod, spec.minReadySeconds, now)) availableReplicas++;
  }
  const status: ReplicaSetStatus = {
    replicas: active.length,
    fullyLabeledReplicas,
    readyReplicas,
    availableReplicas,
    observedGeneration: generation,
  };
  if (terminating !== undefined) status.terminatingReplicas = terminating;
  const conditions = withFailure(old?.conditions ?? [], failure, now);
  if (conditions.length) status.conditions = conditions;
  return status;
}

function withFailure(
  old: readonly DeepReadonly<Condition>[],
  failure: ReplicaFailure | undefined,
  now: number,
): Condition[] {
  const others = old.filter((c) => c.type !== 'ReplicaFailure');
  if (!failure) return others;
  const have = old.find((c) => c.type === 'ReplicaFailure');
  if (have && have.reason === failure.reason) return [...old];
  return [
    ...others,
    {
      type: 'ReplicaFailure',
      status: 'True',
      reason: failure.reason,
      message: failure.message,
      lastTransitionTime: formatTime(now),
    },
  ];
}

const COUNTS = [
  'replicas',
  'fullyLabeledReplicas',
  'readyReplicas',
  'availableReplicas',
  'terminatingReplicas',
] as const;

/** Whether writing the new status would change anything; absent counts are 0. */
export function statusDiffers(a: DeepReadonly<ReplicaSetStatus> | undefined, b: ReplicaSetStatus): boolean {
  for (const k of COUNTS) if ((a?.[k] ?? 0) !== (b[k] ?? 0)) return true;
  if ((a?.observedGeneration ?? 0) !== (b.observedGeneration ?? 0)) return true;
  return JSON.stringify(a?.conditions ?? []) !== JSON.stringify(b.conditions ?? []);
}
