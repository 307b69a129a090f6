/**
 * Nobody may grant what he doesn't hold: writes of roles and bindings are compared with the writer's own rules,
 * unless he has the verb `escalate` on roles or `bind` on the role.
 */
import type * as k8s from '@kubernetes/client-node';
import { StatusError, forbidden } from '../../api/status.ts';
import type { DeepReadonly, Json } from '../../api/types.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../admission/types.ts';
import type { Rbac } from './rbac.ts';
import { compactRules, describeRule, missingRules, type PolicyRule } from './rules.ts';
import type { Authorizer } from './types.ts';

type AnyRole = Json<k8s.V1ClusterRole>;
type AnyBinding = Json<k8s.V1RoleBinding>;
const GROUP = 'rbac.authorization.k8s.io';
const ALL: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

/** The update touches ownerReferences and finalizers only, which is what garbage collection needs. */
function onlyGarbageCollection(now: AnyRole | AnyBinding, old: DeepReadonly<AnyRole | AnyBinding>): boolean {
  const plain = (o: DeepReadonly<AnyRole | AnyBinding>) =>
    JSON.stringify({ ...o, metadata: { ...o.metadata, ownerReferences: null, finalizers: null, managedFields: null } });
  return plain(now) === plain(old);
}

/** A check that runs on every write of a role or binding; it is no plugin that can be switched off. */
export function createEscalationCheck(rbac: Rbac, authorizer: Authorizer): AdmissionPlugin {
  function requireHeld(a: AdmissionAttributes, wanted: readonly PolicyRule[], why?: string): void {
    const missing = missingRules(rbac.rulesFor(a.user, a.namespace).rules, wanted);
    if (missing.length === 0) return;
    const lines = [...new Set(compactRules(missing).map(describeRule))].sort().join('\n');
    const groups = a.user.groups.map((g) => JSON.stringify(g)).join(' ');
    const text =
      why ??
      `user ${JSON.stringify(a.user.name)} (groups=[${groups}]) is attempting to grant RBAC permissions not currently held:\n${lines}`;
    throw forbidden({ group: GROUP, resource: a.resource.resource }, a.object?.metadata?.name ?? a.name, text);
  }

  async function allowed(a: AdmissionAttributes, verb: string, resource: string, name: string): Promise<boolean> {
    const d = await authorizer.authorize({
      user: a.user,
      verb,
      resourceRequest: true,
      path: '',
      namespace: a.namespace,
      apiGroup: GROUP,
      apiVersion: '*',
      resource,
      subresource: '',
      name,
    });
    return d.decision === 'allow';
  }

  async function checkRole(a: AdmissionAttributes): Promise<void> {
    // On create the name isn't part of the request's path, so rules for single names don't apply.
    if (await allowed(a, 'escalate', a.resource.resource, a.operation === 'CREATE' ? '' : a.name)) return;
    const role = a.object as AnyRole;
    requireHeld(a, role.rules ?? []);
    const aggregates = (r: DeepReadonly<AnyRole> | undefined) =>
      (r?.aggregationRule?.clusterRoleSelectors?.length ?? 0) > 0;
    if (aggregates(role) || aggregates(a.oldObject as DeepReadonly<AnyRole> | undefined)) {
      requireHeld(a, ALL, 'must have cluster-admin privileges to use the aggregationRule');
    }
  }

  async function checkBinding(a: AdmissionAttributes): Promise<void> {
    const ref = (a.object as AnyBinding).roleRef;
    const resource = ref?.kind === 'ClusterRole' ? 'clusterroles' : 'roles';
    if (ref?.kind !== 'ClusterRole' && ref?.kind !== 'Role') return; // validation has a word for that
    if (await allowed(a, 'bind', resource, ref.name)) return;
    const rules = rbac.roleRules(ref, a.namespace);
    if (!rules) {
      const qualified = `${ref.kind.toLowerCase()}.${GROUP} ${JSON.stringify(ref.name)} not found`;
      throw new StatusError(404, 'NotFound', qualified, { name: ref.name, group: GROUP, kind: a.resource.resource });
    }
    requireHeld(a, rules);
  }

  return {
    name: 'RBACEscalation',
    handles: (operation) => operation === 'CREATE' || operation === 'UPDATE',
    async validate(a) {
      if (a.resource.group !== GROUP || a.subresource !== '' || !a.object || a.user.groups.includes('system:masters'))
        return;
      if (
        a.operation === 'UPDATE' &&
        a.oldObject &&
        onlyGarbageCollection(a.object as AnyRole, a.oldObject as DeepReadonly<AnyRole>)
      )
        return;
      if (a.resource.resource === 'roles' || a.resource.resource === 'clusterroles') await checkRole(a);
      if (a.resource.resource === 'rolebindings' || a.resource.resource === 'clusterrolebindings')
        await checkBinding(a);
    },
  };
}
