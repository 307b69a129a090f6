/** Fills ClusterRoles that have an aggregationRule with the rules of those that it selects. */
import type * as k8s from '@kubernetes/client-node';
import { isNotFound } from '../../api/status.ts';
import type { DeepReadonly, Json } from '../../api/types.ts';
import { clusterRoles } from '../../client/resources.ts';
import { defineController } from '../framework.ts';
import { canonicalJson } from '../lib/hash.ts';
import { meta } from '../lib/meta.ts';
import { lenientSelector } from '../lib/selectors.ts';

type Role = DeepReadonly<Json<k8s.V1ClusterRole>>;
type Rule = NonNullable<Role['rules']>[number];

/** The rules of all selected roles in the order of their names, each once. Pure. */
export function aggregatedRules(role: Role, all: readonly Role[]): Rule[] {
  const selectors = (role.aggregationRule?.clusterRoleSelectors ?? []).map(lenientSelector);
  const seen = new Set<string>();
  const out: Rule[] = [];
  for (const other of all.toSorted((a, b) => (meta(a).name < meta(b).name ? -1 : 1))) {
    if (meta(other).name === meta(role).name || !selectors.some((s) => s.matches(other.metadata?.labels))) continue;
    for (const rule of other.rules ?? []) {
      const key = canonicalJson(rule);
      if (seen.has(key)) continue;
      seen.add(key);
      out.push(rule);
    }
  }
  return out;
}

export const clusterRoleAggregationController = defineController({
  name: 'clusterrole-aggregation-controller',
  account: 'clusterrole-aggregation-controller',
  inputs: { roles: clusterRoles },
  outputs: ['patch clusterroles.rbac.authorization.k8s.io'],
  triggers: {
    roles: (_role, { informers }) =>
      informers.roles
        .list()
        .filter((r) => r.aggregationRule)
        .map((r) => meta(r).name),
  },
  async reconcile(key, { informers, client }) {
    const role = informers.roles.get(key);
    if (!role?.aggregationRule) return;
    const rules = aggregatedRules(role, informers.roles.list());
    if (canonicalJson(rules) === canonicalJson(role.rules ?? [])) return;
    await client
      .patch(clusterRoles, key, 'merge', { metadata: { resourceVersion: meta(role).resourceVersion }, rules })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  },
});
