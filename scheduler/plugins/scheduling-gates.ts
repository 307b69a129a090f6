/** SchedulingGates: a pod with gates isn't looked at until the last one is taken away (KEP-3521). */
import { Action, type Plugin } from '../core/framework.ts';

const NAME = 'SchedulingGates';

export const schedulingGates = (): Plugin => ({
  name: NAME,
  events: [{ resource: 'WaitingPod', actions: Action.UpdatePodSchedulingGates }],
  preEnqueue(pod) {
    const gates = pod.pod.spec!.schedulingGates;
    if (!gates?.length) return undefined;
    const names = gates.map((g) => g.name).join(' ');
    return {
      code: 'UnschedulableAndUnresolvable',
      plugin: NAME,
      reasons: [`waiting for scheduling gates: [${names}]`],
    };
  },
});
