/** DefaultBinder: writes the decision to the API, by the pod's binding subresource. */
import type { Plugin } from '../core/framework.ts';
import type { PodInfo } from '../core/pod-info.ts';

export const defaultBinder = (bind: (pod: PodInfo, nodeName: string) => Promise<void>): Plugin => ({
  name: 'DefaultBinder',
  async bind(cycle, nodeName) {
    await bind(cycle.pod, nodeName);
    return true;
  },
});
