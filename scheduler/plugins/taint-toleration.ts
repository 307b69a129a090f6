/** TaintToleration: keeps pods off nodes whose taints they don't tolerate; prefers nodes with fewer soft ones. */
import type { DeepReadonly, Node } from '../../api/types.ts';
import { Action, failure, normalizeTo100, type Plugin } from '../core/framework.ts';
import type { NodeInfo, Taint } from '../core/node-info.ts';
import type { PodInfo } from '../core/pod-info.ts';
import { firstUntolerated, tolerates, type Toleration } from './tolerations.ts';

const NAME = 'TaintToleration';
const UNTOLERATED = failure(NAME, 'UnschedulableAndUnresolvable', 'node(s) had untolerated taint(s)');
const NONE: readonly Toleration[] = [];
const hard = (effect: string) => effect === 'NoSchedule' || effect === 'NoExecute';

const fits = (pod: PodInfo, taints: readonly Taint[]) =>
  firstUntolerated(taints, pod.pod.spec!.tolerations ?? NONE, hard) === undefined;

export const taintToleration = (): Plugin => ({
  name: NAME,
  events: [
    {
      resource: 'Node',
      actions: Action.Add | Action.UpdateNodeTaint,
      hint(pod, before, after) {
        const taintsOf = (n: unknown) => (n as DeepReadonly<Node>).spec?.taints ?? [];
        const was = before === undefined ? false : fits(pod, taintsOf(before));
        return !was && fits(pod, taintsOf(after));
      },
    },
    { resource: 'WaitingPod', actions: Action.UpdatePodTolerations },
  ],
  preFilter(pod) {
    return {
      filter: { filter: (node) => (node.taints.length === 0 || fits(pod, node.taints) ? undefined : UNTOLERATED) },
    };
  },
  preScore(pod, _cycle, nodes) {
    if (!nodes.some((n) => n.taints.some((t) => t.effect === 'PreferNoSchedule'))) return undefined;
    const soft = (pod.pod.spec!.tolerations ?? NONE).filter((t) => !t.effect || t.effect === 'PreferNoSchedule');
    return {
      score(node: NodeInfo) {
        let n = 0;
        for (const taint of node.taints)
          if (taint.effect === 'PreferNoSchedule' && !soft.some((t) => tolerates(t, taint))) n++;
        return n;
      },
      normalize: (scores) => normalizeTo100(scores, true),
    };
  },
});
