/** What a node's conditions and taints shall be. Pure. */
import type * as k8s from '@kubernetes/client-node';
import { formatTime } from '../../base/clock.ts';
import type { Json } from '../../api/types.ts';
import { nodeCondition, TAINT_NOT_READY, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE, type NodeView } from '../lib/nodes.ts';

export type NodeTaint = Json<k8s.V1Taint>;
type Condition = Json<k8s.V1NodeCondition>;
const PREFIX = 'node.kubernetes.io/';

/** Conditions that the kubelet keeps, and that are unknown when it is silent. */
const KUBELET_CONDITIONS = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'];

/** The taint that stands for a condition's status. */
const CONDITION_TAINTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Ready: { False: TAINT_NOT_READY, Unknown: TAINT_UNREACHABLE },
  MemoryPressure: { True: `${PREFIX}memory-pressure` },
  DiskPressure: { True: `${PREFIX}disk-pressure` },
  NetworkUnavailable: { True: `${PREFIX}network-unavailable` },
  PIDPressure: { True: `${PREFIX}pid-pressure` },
};
const OURS_NO_SCHEDULE = new Set([
  ...Object.values(CONDITION_TAINTS).flatMap((m) => Object.values(m)),
  TAINT_UNSCHEDULABLE,
]);
const OURS_NO_EXECUTE = new Set([TAINT_NOT_READY, TAINT_UNREACHABLE]);

/** The conditions of a node whose kubelet is silent; undefined when they say so already. */
export function silentConditions(node: NodeView, now: number): Condition[] | undefined {
  const time = formatTime(now);
  const out: Condition[] = [...(node.status?.conditions ?? [])];
  let changed = false;
  for (const type of KUBELET_CONDITIONS) {
    const i = out.findIndex((c) => c.type === type);
    const have = out[i];
    if (!have) {
      out.push({
        type,
        status: 'Unknown',
        reason: 'NodeStatusNeverUpdated',
        message: 'Kubelet never posted node status.',
        lastHeartbeatTime: node.metadata?.creationTimestamp,
        lastTransitionTime: time,
      });
      changed = true;
    } else if (have.status !== 'Unknown') {
      out[i] = {
        ...have,
        status: 'Unknown',
        reason: 'NodeStatusUnknown',
        message: 'Kubelet stopped posting node status.',
        lastTransitionTime: time,
      };
      changed = true;
    }
  }
  return changed ? out : undefined;
}

/** The NoExecute taint that the Ready condition asks for; none while the kubelet says that all is well. */
export function noExecuteKey(node: NodeView): string | undefined {
  const status = nodeCondition(node, 'Ready')?.status ?? 'Unknown';
  return CONDITION_TAINTS['Ready']![status];
}

/**
 * The taints of a node as they shall be; undefined when they are so already. `execute` is the NoExecute taint it
 * shall bear, if any; taints of others stay.
 */
export function nodeTaints(node: NodeView, execute: string | undefined, now: number): NodeTaint[] | undefined {
  const schedule = new Set<string>();
  for (const [type, byStatus] of Object.entries(CONDITION_TAINTS)) {
    const c = nodeCondition(node, type);
    // A node that has never reported is not ready.
    const status = c?.status ?? (type === 'Ready' ? 'Unknown' : 'False');
    const key = byStatus[status];
    if (key) schedule.add(c || type !== 'Ready' ? key : TAINT_NOT_READY);
  }
  if (node.spec?.unschedulable) schedule.add(TAINT_UNSCHEDULABLE);
  const timeAdded = formatTime(now);
  const have = node.spec?.taints ?? [];
  const kept = have.filter((t) => {
    if (t.effect === 'NoSchedule' && OURS_NO_SCHEDULE.has(t.key)) return schedule.has(t.key);
    if (t.effect === 'NoExecute' && OURS_NO_EXECUTE.has(t.key)) return t.key === execute;
    return true;
  });
  const out: NodeTaint[] = [...kept];
  for (const key of schedule)
    if (!have.some((t) => t.key === key && t.effect === 'NoSchedule'))
      out.push({ key, effect: 'NoSchedule', timeAdded });
  if (execute && !have.some((t) => t.key === execute && t.effect === 'NoExecute'))
    out.push({ key: execute, effect: 'NoExecute', timeAdded });
  return out.length === have.length && kept.length === have.length ? undefined : out;
}

/** `REGION:ZONE`, as far as the labels say. */
export function zoneOf(node: NodeView): string {
  const l = node.metadata?.labels ?? {};
  return `${l['topology.kubernetes.io/region'] ?? ''}:${l['topology.kubernetes.io/zone'] ?? ''}`;
}

export type ZoneState = 'Normal' | 'PartialDisruption' | 'FullDisruption';

/** How ill the zones are. */
export function zoneStates(
  nodes: readonly NodeView[],
  threshold: number,
): Map<string, { state: ZoneState; size: number }> {
  const counts = new Map<string, { ready: number; notReady: number }>();
  for (const node of nodes) {
    const zone = zoneOf(node);
    let c = counts.get(zone);
    if (!c) counts.set(zone, (c = { ready: 0, notReady: 0 }));
    if (nodeCondition(node, 'Ready')?.status === 'True') c.ready++;
    else c.notReady++;
  }
  const out = new Map<string, { state: ZoneState; size: number }>();
  for (const [zone, { ready, notReady }] of counts) {
    const size = ready + notReady;
    const state =
      ready === 0 && notReady > 0
        ? 'FullDisruption'
        : notReady > 2 && notReady / size >= threshold
          ? 'PartialDisruption'
          : 'Normal';
    out.set(zone, { state, size });
  }
  return out;
}
