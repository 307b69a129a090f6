/** NodeUnschedulable: cordoned nodes are out, save for pods that tolerate the cordon's taint. */
import type { Node } from '../../api/types.ts';
import { Action, failure, type Plugin } from '../core/framework.ts';
import type { PodInfo } from '../core/pod-info.ts';
import { tolerates, type Toleration } from './tolerations.ts';

const NAME = 'NodeUnschedulable';
const CORDONED = failure(NAME, 'UnschedulableAndUnresolvable', 'node(s) were unschedulable');
const TAINT = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

const toleratesCordon = (pod: PodInfo) =>
  (pod.pod.spec!.tolerations ?? []).some((t: Toleration) => tolerates(t, TAINT));

export const nodeUnschedulable = (): Plugin => ({
  name: NAME,
  events: [
    {
      resource: 'Node',
      actions: Action.Add | Action.UpdateNodeTaint,
      hint: (_pod, before, after) => {
        const cordoned = (n: unknown) => (n as Node | undefined)?.spec?.unschedulable === true;
        return !cordoned(after) && (before === undefined || cordoned(before));
      },
    },
    { resource: 'WaitingPod', actions: Action.UpdatePodTolerations, hint: (pod) => toleratesCordon(pod) },
  ],
  preFilter(pod) {
    if (toleratesCordon(pod)) return undefined;
    return { filter: { filter: (node) => (node.unschedulable ? CORDONED : undefined) } };
  },
});
