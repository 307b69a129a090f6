/** The objects that a new cluster has, from api/facts/bootstrap-objects.json. */
import { readFileSync } from 'node:fs';
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../api/types.ts';
import type { PolicyRule } from '../authorization/rules.ts';

type ClusterRole = Json<k8s.V1ClusterRole>;
type Role = Json<k8s.V1Role>;

export interface BootstrapFacts {
  readonly clusterroles: readonly ClusterRole[];
  readonly clusterrolebindings: readonly Json<k8s.V1ClusterRoleBinding>[];
  readonly roles: readonly Role[];
  readonly rolebindings: readonly Json<k8s.V1RoleBinding>[];
  readonly flowschemas: readonly Json<k8s.V1FlowSchema>[];
  readonly prioritylevelconfigurations: readonly Json<k8s.V1PriorityLevelConfiguration>[];
  readonly priorityclasses: readonly Json<k8s.V1PriorityClass>[];
  readonly servicecidrs: readonly Json<k8s.V1ServiceCIDR>[];
}

/** Reads the file; call it once at start. */
export function loadBootstrapFacts(): BootstrapFacts {
  return JSON.parse(
    readFileSync(new URL('../../api/facts/bootstrap-objects.json', import.meta.url), 'utf8'),
  ) as BootstrapFacts;
}

/** The rules that the Node authorizer gives every kubelet beside those about its own objects. */
export function nodeRules(facts: BootstrapFacts): readonly PolicyRule[] {
  return facts.clusterroles.find((r) => r.metadata?.name === 'system:node')?.rules ?? [];
}
