/** PodTopologyLabels: a pod learns its node's zone and region when it is bound (KEP-4742). */
import type * as k8s from '@kubernetes/client-node';
import type { Json, Node, Pod } from '../../../api/types.ts';
import { isOn, type PluginDeps, type PluginFactory } from '../plugin.ts';

const LABELS = ['topology.kubernetes.io/zone', 'topology.kubernetes.io/region'];

function topologyOf({ reader }: PluginDeps, node: string | undefined): Record<string, string> | undefined {
  if (!node) return undefined;
  const labels = reader.get<Node>('nodes', '', node)?.metadata?.labels;
  let out: Record<string, string> | undefined;
  for (const key of LABELS) {
    const value = labels?.[key];
    if (value !== undefined) (out ??= {})[key] = value;
  }
  return out;
}

export const podTopologyLabels: PluginFactory = (deps) => ({
  name: 'PodTopologyLabels',
  handles: (operation) => operation === 'CREATE',
  admit(a) {
    let node: string | undefined;
    if (isOn(a, '', 'pods')) node = (a.object as Pod).spec?.nodeName;
    else if (isOn(a, '', 'pods', 'binding')) {
      const { target } = a.object as Json<k8s.V1Binding>;
      node = target?.kind === 'Node' ? target.name : undefined;
    } else return;
    const labels = topologyOf(deps, node);
    if (!labels) return;
    const meta = (a.object!.metadata ??= {});
    meta.labels = { ...meta.labels, ...labels };
  },
});
