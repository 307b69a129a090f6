/** TaintNodesByCondition: a new node gets no pods until its conditions say that it is ready. */
import type { Node } from '../../../api/types.ts';
import { isOn, type PluginFactory } from '../plugin.ts';

const KEY = 'node.kubernetes.io/not-ready';

export const taintNodesByCondition: PluginFactory = () => ({
  name: 'TaintNodesByCondition',
  handles: (operation) => operation === 'CREATE',
  admit(a) {
    if (!isOn(a, '', 'nodes')) return;
    const spec = ((a.object as Node).spec ??= {});
    if (spec.taints?.some((t) => t.key === KEY && t.effect === 'NoSchedule')) return;
    spec.taints = [...(spec.taints ?? []), { key: KEY, effect: 'NoSchedule' }];
  },
});
