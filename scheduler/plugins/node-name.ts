/** NodeName: a pod that names its node goes nowhere else. */
import { Action, failure, type Plugin } from '../core/framework.ts';

const NAME = 'NodeName';
const OTHER = failure(NAME, 'UnschedulableAndUnresolvable', "node(s) didn't match the requested node name");

export const nodeName = (): Plugin => ({
  name: NAME,
  events: [{ resource: 'Node', actions: Action.Add }],
  preFilter(pod) {
    const wanted = pod.pod.spec!.nodeName;
    return wanted ? { filter: { filter: (node) => (node.name === wanted ? undefined : OTHER) } } : undefined;
  },
});
