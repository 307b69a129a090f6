/** Whether a pod may run on this node: what the scheduler checked is checked again with what the node knows now. */
import type { DeepReadonly, Node, Pod } from '../../api/types.ts';
import { amountsOf, podAmounts } from './resources.ts';
import { forbiddenSysctl } from './security.ts';

type ReadPod = DeepReadonly<Pod>;
type Term = NonNullable<
  NonNullable<
    NonNullable<
      NonNullable<NonNullable<ReadPod['spec']>['affinity']>['nodeAffinity']
    >['requiredDuringSchedulingIgnoredDuringExecution']
  >['nodeSelectorTerms']
>[number];
type Requirement = NonNullable<Term['matchExpressions']>[number];

export interface Rejection {
  reason: string;
  message: string;
}

function meets(r: Requirement, value: string | undefined): boolean {
  switch (r.operator) {
    case 'In':
      return value !== undefined && (r.values ?? []).includes(value);
    case 'NotIn':
      return value === undefined || !(r.values ?? []).includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return value !== undefined && Number(value) > Number(r.values?.[0]);
    case 'Lt':
      return value !== undefined && Number(value) < Number(r.values?.[0]);
    default:
      return false;
  }
}

/** nodeSelector and required node affinity. */
export function matchesNode(pod: ReadPod, node: DeepReadonly<Node>): boolean {
  const labels = node.metadata?.labels ?? {};
  for (const [k, v] of Object.entries(pod.spec!.nodeSelector ?? {})) if (labels[k] !== v) return false;
  const required = pod.spec!.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (!required) return true;
  return required.nodeSelectorTerms.some((t) => {
    if (!t.matchExpressions?.length && !t.matchFields?.length) return false;
    return (
      (t.matchExpressions ?? []).every((r) => meets(r, labels[r.key])) &&
      (t.matchFields ?? []).every((r) => meets(r, r.key === 'metadata.name' ? node.metadata?.name : undefined))
    );
  });
}

interface Toleration {
  readonly key?: string;
  readonly operator?: string;
  readonly value?: string;
  readonly effect?: string;
}

function tolerates(
  tolerations: readonly Toleration[],
  taint: { readonly key: string; readonly value?: string; readonly effect: string },
): boolean {
  return tolerations.some(
    (t) =>
      (!t.effect || t.effect === taint.effect) &&
      (!t.key || t.key === taint.key) &&
      (t.operator === 'Exists' || (t.key !== undefined && (t.value ?? '') === (taint.value ?? ''))),
  );
}

const hostPorts = (pod: ReadPod): string[] =>
  [...(pod.spec!.initContainers ?? []).filter((c) => c.restartPolicy === 'Always'), ...pod.spec!.containers].flatMap(
    (c) =>
      (c.ports ?? [])
        .filter((p) => p.hostPort)
        .map((p) => `${p.protocol ?? 'TCP'}/${p.hostPort}/${p.hostIP || '0.0.0.0'}`),
  );

function portsConflict(a: string[], b: string[]): boolean {
  return a.some((x) => {
    const [protocol, port, ip] = x.split('/');
    return b.some((y) => {
      const [p2, n2, ip2] = y.split('/');
      return protocol === p2 && port === n2 && (ip === ip2 || ip === '0.0.0.0' || ip2 === '0.0.0.0');
    });
  });
}

/** `others` are the pods that were admitted and have not ended. */
export function admit(
  pod: ReadPod,
  others: readonly ReadPod[],
  node: DeepReadonly<Node>,
  options: { allowedUnsafeSysctls: readonly string[]; isStatic: boolean },
): Rejection | undefined {
  const sysctl = forbiddenSysctl(pod, options.allowedUnsafeSysctls);
  if (sysctl) return { reason: 'SysctlForbidden', message: sysctl };
  if (pod.spec!.os?.name && pod.spec!.os.name !== 'linux')
    return { reason: 'PodOSNotSupported', message: "Failed to admit pod as the OS field doesn't match node OS" };
  if (
    pod.spec!.securityContext?.supplementalGroupsPolicy === 'Strict' &&
    !node.status?.features?.supplementalGroupsPolicy
  )
    return {
      reason: 'SupplementalGroupsPolicyNotSupported',
      message: 'SupplementalGroupsPolicy=Strict is not supported in this node',
    };
  const allocatable = amountsOf(node.status?.allocatable);
  const want = podAmounts(pod, 'requests');
  const maxPods = allocatable['pods'];
  if (maxPods !== undefined && others.length + 1 > maxPods)
    return {
      reason: 'OutOfpods',
      message: `Node didn't have enough resource: pods, requested: 1, used: ${others.length}, capacity: ${maxPods}`,
    };
  const used: Record<string, number> = {};
  for (const o of others) for (const [k, v] of Object.entries(podAmounts(o, 'requests'))) used[k] = (used[k] ?? 0) + v;
  for (const [k, v] of Object.entries(want)) {
    if (v === 0 || (allocatable[k] === undefined && !['cpu', 'memory', 'ephemeral-storage'].includes(k))) continue;
    const capacity = allocatable[k] ?? 0;
    if (v > capacity - (used[k] ?? 0))
      return {
        reason: `OutOf${k}`,
        message: `Node didn't have enough resource: ${k}, requested: ${v}, used: ${used[k] ?? 0}, capacity: ${capacity}`,
      };
  }
  if (!matchesNode(pod, node))
    return {
      reason: 'NodeAffinity',
      message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    };
  const ports = hostPorts(pod);
  if (ports.length && others.some((o) => portsConflict(ports, hostPorts(o))))
    return {
      reason: 'NodePorts',
      message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
    };
  if (!options.isStatic)
    for (const t of node.spec?.taints ?? [])
      if (t.effect === 'NoExecute' && !tolerates(pod.spec!.tolerations ?? [], t))
        return {
          reason: 'TaintToleration',
          message: `Predicate TaintToleration failed: node(s) had untolerated taint(s)`,
        };
  return undefined;
}
