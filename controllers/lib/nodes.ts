/** Whether a pod may run on a node, as far as controllers must know. Pure. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, Node } from '../../api/types.ts';
import type { PodView } from './pods.ts';

export type NodeView = DeepReadonly<Node>;
export type Taint = DeepReadonly<Json<k8s.V1Taint>>;
export type Toleration = DeepReadonly<Json<k8s.V1Toleration>>;
type Term = DeepReadonly<Json<k8s.V1NodeSelectorTerm>>;
type Requirement = NonNullable<Term['matchExpressions']>[number];

export const TAINT_NOT_READY = 'node.kubernetes.io/not-ready';
export const TAINT_UNREACHABLE = 'node.kubernetes.io/unreachable';
export const TAINT_UNSCHEDULABLE = 'node.kubernetes.io/unschedulable';
export const TAINT_OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service';

/** Whether the toleration covers the taint. */
export function tolerates(t: Toleration, taint: Taint): boolean {
  if (t.effect && t.effect !== taint.effect) return false;
  if (t.key && t.key !== taint.key) return false;
  switch (t.operator ?? 'Equal') {
    case 'Exists':
      return true;
    case 'Equal':
    case '':
      return (t.value ?? '') === (taint.value ?? '') && Boolean(t.key);
    case 'Lt':
    case 'Gt': {
      const [a, b] = [Number(taint.value), Number(t.value)];
      return t.operator === 'Lt' ? a < b : a > b;
    }
    default:
      return false;
  }
}

/** The first taint with one of the effects that no toleration covers. */
export function untolerated(
  taints: readonly Taint[] | undefined,
  tolerations: readonly Toleration[],
  effects: readonly string[],
): Taint | undefined {
  return taints?.find((taint) => effects.includes(taint.effect) && !tolerations.some((t) => tolerates(t, taint)));
}

function requirementFits(r: Requirement, value: string | undefined): boolean {
  const values = r.values ?? [];
  switch (r.operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return value !== undefined && Number(value) > Number(values[0]);
    case 'Lt':
      return value !== undefined && Number(value) < Number(values[0]);
    default:
      return false;
  }
}

/** A term without any requirement selects nothing. */
function termFits(term: Term, node: NodeView): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length === 0 && matchFields.length === 0) return false;
  const labels = node.metadata?.labels ?? {};
  return (
    matchExpressions.every((r) => requirementFits(r, labels[r.key])) &&
    matchFields.every((r) => requirementFits(r, r.key === 'metadata.name' ? node.metadata?.name : undefined))
  );
}

/** nodeSelector and required node affinity. */
export function affinityFits(spec: PodView['spec'], node: NodeView): boolean {
  const labels = node.metadata?.labels ?? {};
  for (const [k, v] of Object.entries(spec?.nodeSelector ?? {})) if (labels[k] !== v) return false;
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return !required || required.nodeSelectorTerms.some((t) => termFits(t, node));
}

export function nodeCondition(node: NodeView, type: string) {
  return node.status?.conditions?.find((c) => c.type === type);
}
