/** Deletes pods from nodes whose NoExecute taints they don't tolerate, at once or when their patience ends. */
import { splitKey } from '../../client/informer.ts';
import { nodes, pods } from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { isDeleting, keyFor, meta, millis, semanticEqual } from '../lib/meta.ts';
import { tolerates, type Taint, type Toleration } from '../lib/nodes.ts';
import { evictTainted } from '../lib/podcontrol.ts';
import { podCondition, podsByNode, type PodView } from '../lib/pods.ts';

const inputs = { nodes, pods };
/** Since when a pod is on its way out, by its uid. */
type State = Map<string, number>;
type D = Deps<typeof inputs, State>;
const POD = { apiVersion: 'v1', kind: 'Pod' };

/** How long a pod stays under the taints: 0 not at all, undefined for ever; in milliseconds. Pure. */
export function patience(taints: readonly Taint[], tolerations: readonly Toleration[]): number | undefined {
  let least = Infinity;
  for (const taint of taints) {
    const covering = tolerations.filter((t) => tolerates(t, taint));
    if (covering.length === 0) return 0;
    for (const t of covering)
      if (t.tolerationSeconds !== undefined) least = Math.min(least, Math.max(t.tolerationSeconds, 0));
  }
  return least === Infinity ? undefined : least * 1000;
}

/** When the node became uninhabitable for the pod: the latest of the taints, or when the pod came. */
function since(taints: readonly Taint[], pod: PodView, now: number): number {
  let at = millis(podCondition(pod, 'PodScheduled')?.lastTransitionTime ?? meta(pod).creationTimestamp);
  for (const t of taints) at = Math.max(at, t.timeAdded === undefined ? now : millis(t.timeAdded));
  return Number.isNaN(at) ? now : at;
}

export const taintEvictionController = defineController({
  name: 'taint-eviction-controller',
  account: 'node-controller',
  component: 'taint-eviction-controller',
  inputs,
  outputs: ['delete pods', 'patch pods/status'],
  workers: () => 8,
  state: (): State => new Map(),
  triggers: {
    pods: {
      keys: 'self',
      when: (now, before) =>
        now.spec?.nodeName !== before.spec?.nodeName || !semanticEqual(now.spec?.tolerations, before.spec?.tolerations),
    },
    nodes: {
      keys: (node, deps: D) =>
        deps.informers.pods.lookup(podsByNode, meta(node).name).map((p) => keyFor(meta(p).namespace, meta(p).name)),
      when: (now, before) => !semanticEqual(now.spec?.taints, before.spec?.taints),
    },
  },
  async reconcile(key, deps: D): Promise<Result | void> {
    const { informers, clock, state, recorder } = deps;
    const { name, namespace } = splitKey(key);
    const pod = informers.pods.get(name, namespace);
    const node = pod?.spec?.nodeName ? informers.nodes.get(pod.spec.nodeName) : undefined;
    if (!pod || !node || isDeleting(pod)) return;
    const { uid } = meta(pod);
    const taints = (node.spec?.taints ?? []).filter((t) => t.effect === 'NoExecute');
    const stay = taints.length === 0 ? undefined : patience(taints, pod.spec?.tolerations ?? []);
    if (stay === undefined) {
      if (state.delete(uid))
        recorder.event(pod, 'Normal', 'TaintManagerEviction', `Cancelling deletion of Pod ${key}`, POD);
      return;
    }
    const now = clock.now();
    const start = state.get(uid) ?? since(taints, pod, now);
    if (stay > 0) {
      state.set(uid, start);
      const left = start + stay - now;
      if (left > 0) return { requeueAfterMs: left };
    }
    state.delete(uid);
    recorder.event(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${key}`, POD);
    await evictTainted(deps, pod, 'DeletionByTaintManager', 'Taint manager: deleting due to NoExecute taint');
  },
});
