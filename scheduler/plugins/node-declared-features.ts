/**
 * NodeDeclaredFeatures: pods that need a feature of the kubelet go to nodes that say they have it (KEP-5328).
 * Features that only matter to changes of pods are not asked for here.
 */
import type { DeepReadonly, Node, Pod } from '../../api/types.ts';
import { deepEqual } from '../../api/meta.ts';
import { Action, failure, type Plugin } from '../core/framework.ts';
import type { PodInfo } from '../core/pod-info.ts';

const NAME = 'NodeDeclaredFeatures';
const MISSING = failure(NAME, 'UnschedulableAndUnresolvable', "node(s) didn't match Pod's required features");

type Spec = NonNullable<DeepReadonly<Pod>['spec']>;
/** Features by the pods that need them. */
const NEEDED_BY: Readonly<Record<string, (spec: Spec) => boolean>> = {
  RestartAllContainersOnContainerExits: (spec) =>
    [...spec.containers, ...(spec.initContainers ?? [])].some((c) =>
      c.restartPolicyRules?.some((r) => r.action === 'RestartAllContainers'),
    ),
  UserNamespacesHostNetworkSupport: (spec) => spec.hostNetwork === true && spec.hostUsers === false,
};

/** The features that a pod can't run without. */
function needs(pod: PodInfo): string[] | undefined {
  let out: string[] | undefined;
  for (const name in NEEDED_BY) if (NEEDED_BY[name]!(pod.pod.spec!)) (out ??= []).push(name);
  return out;
}

const declared = (node: DeepReadonly<Node> | undefined): readonly string[] | undefined =>
  (node?.status as { declaredFeatures?: readonly string[] } | undefined)?.declaredFeatures;

export function nodeDeclaredFeatures(): Plugin {
  return {
    name: NAME,
    events: [
      {
        resource: 'Node',
        actions: Action.Add | Action.UpdateNodeDeclaredFeature,
        hint: (_pod, before, after) =>
          before === undefined || !deepEqual(declared(before as Node), declared(after as Node)),
      },
      {
        resource: 'WaitingPod',
        actions: Action.Update,
        hint: (_pod, before, after) => !deepEqual(needs(before as PodInfo), needs(after as PodInfo)),
      },
    ],
    preFilter(pod) {
      const wanted = needs(pod);
      if (!wanted) return undefined;
      return {
        filter: {
          filter(node) {
            const has = declared(node.node) ?? [];
            return wanted.every((f) => has.includes(f)) ? undefined : MISSING;
          },
        },
      };
    },
  };
}
