/** NodePorts: two pods can't have the same host port on one node. */
import { Action, failure, type Plugin } from '../core/framework.ts';
import type { PodInfo } from '../core/pod-info.ts';

const NAME = 'NodePorts';
const TAKEN = failure(NAME, 'Unschedulable', "node(s) didn't have free ports for the requested pod ports");

export const nodePorts = (): Plugin => ({
  name: NAME,
  events: [
    {
      resource: 'Pod',
      actions: Action.Delete,
      hint(pod, before) {
        const gone = (before as PodInfo).ports;
        return gone.some((g) => pod.ports.some((p) => p.port === g.port && p.protocol === g.protocol));
      },
    },
    { resource: 'Node', actions: Action.Add },
  ],
  preFilter({ ports }) {
    if (ports.length === 0) return undefined;
    return {
      filter: {
        filter(node) {
          for (const p of ports) if (node.portTaken(p)) return TAKEN;
          return undefined;
        },
      },
    };
  },
});
