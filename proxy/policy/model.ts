/** What NetworkPolicies are worked out from: only the fields that rules depend on. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json } from '../../api/types.ts';

export type NetworkPolicy = Json<k8s.V1NetworkPolicy>;
export type Labels = Readonly<Record<string, string>>;

/** A pod with a network of its own. */
export interface PolicyPod {
  namespace: string;
  name: string;
  labels: Labels;
  /** Empty until its sandbox has an address. */
  ips: readonly string[];
  node: string;
  /** Named container ports. */
  ports: readonly { readonly name: string; readonly protocol: string; readonly port: number }[];
  /** When it was made; of two pods that claim one address the later has it. */
  since: string;
}

export interface PolicyInput {
  policies: readonly DeepReadonly<NetworkPolicy>[];
  namespaces: ReadonlyMap<string, Labels>;
  pods: readonly PolicyPod[];
}

/** The node the rules are for. */
export interface PolicyNode {
  name: string;
  family: 4 | 6;
  /** Ranges of this node's pods. */
  podCidrs: readonly string[];
}
