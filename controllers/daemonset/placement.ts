/** On which nodes a DaemonSet's pods belong. Pure. */
import type { DaemonSet, DeepReadonly, PodSpec } from '../../api/types.ts';
import {
  affinityFits,
  TAINT_NOT_READY,
  TAINT_UNREACHABLE,
  TAINT_UNSCHEDULABLE,
  untolerated,
  type NodeView,
  type Toleration,
} from '../lib/nodes.ts';
import type { PodView } from '../lib/pods.ts';

export type DaemonSetView = DeepReadonly<DaemonSet>;
const PRESSURE = (what: string) => `node.kubernetes.io/${what}`;

/** What every daemon pod tolerates: it is there also when the node is not well. */
function daemonTolerations(hostNetwork: boolean): Toleration[] {
  const out: Toleration[] = [
    { key: TAINT_NOT_READY, operator: 'Exists', effect: 'NoExecute' },
    { key: TAINT_UNREACHABLE, operator: 'Exists', effect: 'NoExecute' },
    { key: PRESSURE('disk-pressure'), operator: 'Exists', effect: 'NoSchedule' },
    { key: PRESSURE('memory-pressure'), operator: 'Exists', effect: 'NoSchedule' },
    { key: PRESSURE('pid-pressure'), operator: 'Exists', effect: 'NoSchedule' },
    { key: TAINT_UNSCHEDULABLE, operator: 'Exists', effect: 'NoSchedule' },
  ];
  if (hostNetwork) out.push({ key: PRESSURE('network-unavailable'), operator: 'Exists', effect: 'NoSchedule' });
  return out;
}

/** The template's tolerations with the daemons' own added (and put in the place of like ones). */
export function withDaemonTolerations(spec: DeepReadonly<PodSpec>): Toleration[] {
  const out: Toleration[] = [...(spec.tolerations ?? [])];
  for (const t of daemonTolerations(spec.hostNetwork === true)) {
    const same = out.findIndex((x) => x.key === t.key && (x.effect ?? '') === t.effect && x.operator === t.operator);
    if (same >= 0) out[same] = t;
    else out.push(t);
  }
  return out;
}

/** Whether a pod of the set shall be made on the node, and whether one that is there may stay. */
export function placement(set: DaemonSetView, node: NodeView): { run: boolean; stay: boolean } {
  const spec = set.spec?.template.spec;
  if (!spec) return { run: false, stay: false };
  if (spec.nodeName && spec.nodeName !== node.metadata?.name) return { run: false, stay: false };
  if (!affinityFits(spec, node)) return { run: false, stay: false };
  const tolerations = withDaemonTolerations(spec);
  const stay = !untolerated(node.spec?.taints, tolerations, ['NoExecute']);
  return { run: stay && !untolerated(node.spec?.taints, tolerations, ['NoSchedule']), stay };
}

/** The affinity that lets a pod run on one node alone; the template's own node terms are already known to fit. */
export function pinnedAffinity(affinity: DeepReadonly<PodSpec>['affinity'], nodeName: string): PodSpec['affinity'] {
  const pin = [{ key: 'metadata.name', operator: 'In', values: [nodeName] }];
  const have = affinity as PodSpec['affinity'];
  const required = have?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const terms = required?.nodeSelectorTerms?.length
    ? required.nodeSelectorTerms.map((t) => ({ ...t, matchFields: pin }))
    : [{ matchFields: pin }];
  return {
    ...have,
    nodeAffinity: {
      ...have?.nodeAffinity,
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms },
    },
  };
}

/** The node a daemon pod runs on or is meant for. */
export function targetNode(pod: PodView): string | undefined {
  if (pod.spec?.nodeName) return pod.spec.nodeName;
  const terms =
    pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  for (const t of terms)
    for (const f of t.matchFields ?? [])
      if (f.key === 'metadata.name' && f.operator === 'In' && f.values?.length === 1) return f.values[0];
  return undefined;
}
