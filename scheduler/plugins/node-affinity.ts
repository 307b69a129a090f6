/** NodeAffinity: nodeSelector, required and preferred node affinity, and what the profile adds to every pod. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, Node } from '../../api/types.ts';
import { Action, failure, normalizeTo100, type Plugin, type PreFilterResult } from '../core/framework.ts';
import {
  compileNodeSelector,
  compileTerm,
  namesRequired,
  requiredNodeAffinity,
  type NodeMatcher,
  type Selectable,
} from '../core/node-selector.ts';

const NAME = 'NodeAffinity';
const MISMATCH = failure(NAME, 'UnschedulableAndUnresolvable', "node(s) didn't match Pod's node affinity/selector");
const ENFORCED = failure(NAME, 'UnschedulableAndUnresolvable', "node(s) didn't match scheduler-enforced node affinity");
const CONFLICT = failure(NAME, 'UnschedulableAndUnresolvable', 'pod affinity terms conflict');

export interface NodeAffinityArgs {
  /** Holds for every pod of the profile, beside its own. */
  addedAffinity?: Json<k8s.V1NodeAffinity>;
}
type Preferred = DeepReadonly<Json<k8s.V1PreferredSchedulingTerm>>;

const selectable = (n: DeepReadonly<Node>): Selectable => ({
  name: n.metadata!.name!,
  labels: n.metadata!.labels ?? {},
});

export function nodeAffinity(args: NodeAffinityArgs = {}): Plugin {
  const added = args.addedAffinity;
  const addedRequired = added?.requiredDuringSchedulingIgnoredDuringExecution;
  const enforced: NodeMatcher | undefined = addedRequired && compileNodeSelector(addedRequired);
  const addedPreferred: readonly Preferred[] = added?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return {
    name: NAME,
    events: [
      {
        resource: 'Node',
        actions: Action.Add | Action.UpdateNodeLabel,
        hint(pod, before, after) {
          const own = requiredNodeAffinity(pod.pod);
          const ok = (n: unknown) => {
            const s = selectable(n as DeepReadonly<Node>);
            return (!enforced || enforced(s)) && (!own || own(s));
          };
          return ok(after) && (before === undefined || !ok(before));
        },
      },
    ],
    preFilter(pod): PreFilterResult | undefined {
      const own = requiredNodeAffinity(pod.pod);
      if (!own && !enforced) return undefined;
      const nodes = namesRequired(pod.pod);
      if (nodes?.size === 0) return { failure: CONFLICT };
      return {
        nodes,
        filter: {
          filter(node) {
            if (enforced && !enforced(node)) return ENFORCED;
            return own && !own(node) ? MISMATCH : undefined;
          },
        },
      };
    },
    preScore(pod) {
      const own: readonly Preferred[] =
        pod.pod.spec!.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
      if (own.length + addedPreferred.length === 0) return undefined;
      const terms = [...addedPreferred, ...own]
        .filter((t) => t.weight !== 0)
        .map((t) => ({ weight: t.weight, test: compileTerm(t.preference) }));
      return {
        score(node) {
          let sum = 0;
          for (const t of terms) if (t.test(node)) sum += t.weight;
          return sum;
        },
        normalize: (scores) => normalizeTo100(scores, false),
      };
    },
  };
}
