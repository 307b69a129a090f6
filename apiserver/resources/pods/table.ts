/** The row of a pod in `kubectl get pods`. */
import type { DeepReadonly, Pod } from '../../../api/types.ts';
import type { TableRowMaker } from '../../registry/definition.ts';
import { age, humanDuration, nameOf, orNone } from '../table.ts';

type Old = DeepReadonly<Pod>;
type Status = NonNullable<NonNullable<Old['status']>['containerStatuses']>[number];

const isTrue = (pod: Old, type: string) =>
  pod.status?.conditions?.some((c) => c.type === type && c.status === 'True') ?? false;
const ending = (s: Status) => Date.parse(s.lastState?.terminated?.finishedAt ?? '') || 0;

/** How a container ended: its reason, else its signal or code. */
function ended(t: { readonly reason?: string; readonly signal?: number; readonly exitCode: number }): string {
  return t.reason || (t.signal ? `Signal:${t.signal}` : `ExitCode:${t.exitCode}`);
}

interface Summary {
  reason: string;
  ready: number;
  total: number;
  restarts: number;
  lastRestart: number;
}

/** What people see as a pod's state, put together from phase, conditions and containers. */
export function summarize(pod: Old): Summary {
  const sidecars = new Set(pod.spec?.initContainers?.filter((c) => c.restartPolicy === 'Always').map((c) => c.name));
  const { status } = pod;
  const out: Summary = {
    reason: status?.reason || status?.phase || '',
    ready: 0,
    total: (pod.spec?.containers?.length ?? 0) + sidecars.size,
    restarts: 0,
    lastRestart: 0,
  };
  if (status?.conditions?.some((c) => c.type === 'PodScheduled' && c.reason === 'SchedulingGated'))
    out.reason = 'SchedulingGated';
  const count = (s: Status) => {
    out.restarts += s.restartCount;
    out.lastRestart = Math.max(out.lastRestart, ending(s));
  };
  const init = status?.initContainerStatuses ?? [];
  const blocked = initReason(pod, init, sidecars, out, count);
  if (blocked !== undefined) out.reason = blocked;
  if (blocked === undefined || isTrue(pod, 'Initialized')) {
    out.restarts = 0;
    out.lastRestart = 0;
    for (const s of init) if (sidecars.has(s.name)) count(s);
    containersReason(pod, out, count);
  }
  if (pod.metadata?.deletionTimestamp) {
    if (status?.reason === 'NodeLost') out.reason = 'Unknown';
    else if (status?.phase !== 'Succeeded' && status?.phase !== 'Failed') out.reason = 'Terminating';
  }
  return out;
}

/** Why initialization isn't through, undefined when it is. */
function initReason(
  pod: Old,
  init: readonly Status[],
  sidecars: ReadonlySet<string>,
  out: Summary,
  count: (s: Status) => void,
): string | undefined {
  for (const [i, s] of init.entries()) {
    count(s);
    const { terminated, waiting } = s.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (sidecars.has(s.name) && s.started) {
      if (s.ready) out.ready++;
      continue;
    }
    if (terminated) return `Init:${ended(terminated)}`;
    if (waiting?.reason && waiting.reason !== 'PodInitializing') return `Init:${waiting.reason}`;
    return `Init:${i}/${pod.spec?.initContainers?.length ?? 0}`;
  }
  return undefined;
}

function containersReason(pod: Old, out: Summary, count: (s: Status) => void): void {
  let running = false;
  let failure = '';
  for (const s of [...(pod.status?.containerStatuses ?? [])].reverse()) {
    count(s);
    const { terminated, waiting, running: run } = s.state ?? {};
    if (waiting?.reason) out.reason = waiting.reason;
    else if (terminated) {
      out.reason = ended(terminated);
      if (terminated.exitCode !== 0) failure = out.reason;
    } else if (s.ready && run) {
      running = true;
      out.ready++;
    }
  }
  if (out.reason !== 'Completed') return;
  if (running && isTrue(pod, 'Ready')) out.reason = 'Running';
  else if (failure) out.reason = failure;
  else if (running) out.reason = 'NotReady';
}

export const podTable: TableRowMaker<Pod> = {
  cells(pod, now) {
    const s = summarize(pod);
    const restarts =
      s.restarts > 0 && s.lastRestart > 0
        ? `${s.restarts} (${humanDuration(now - s.lastRestart)} ago)`
        : `${s.restarts}`;
    const gates = pod.spec?.readinessGates ?? [];
    const open = gates.filter((g) => isTrue(pod, g.conditionType)).length;
    return [
      nameOf(pod),
      `${s.ready}/${s.total}`,
      s.reason,
      restarts,
      age(pod, now),
      orNone(pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP),
      orNone(pod.spec?.nodeName),
      orNone(pod.status?.nominatedNodeName),
      gates.length === 0 ? '<none>' : `${open}/${gates.length}`,
    ];
  },
  conditions(pod) {
    const phase = pod.status?.phase;
    if (phase !== 'Succeeded' && phase !== 'Failed') return undefined;
    const message = phase === 'Succeeded' ? 'The pod has completed successfully.' : 'The pod failed.';
    return [{ type: 'Completed', status: 'True', reason: phase, message }];
  },
};
