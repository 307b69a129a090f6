/** Roles and what binds them to subjects. */
import type * as k8s from '@kubernetes/client-node';
import { semanticEqual } from '../../../api/meta.ts';
import type { Json, LabelSelector } from '../../../api/types.ts';
import { define } from '../define.ts';
import { rules } from '../rules.ts';
import { age, nameOf } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { dns1123Subdomain, pathSegment } from '../validation/names.ts';
import { labelSelector } from '../validation/values.ts';

const GROUP = 'rbac.authorization.k8s.io';
type PolicyRule = Json<k8s.V1PolicyRule>;
type Role = Json<k8s.V1Role>;
type ClusterRole = Json<k8s.V1ClusterRole>;
type Binding = Json<k8s.V1RoleBinding>;
type Subject = Json<k8s.RbacV1Subject>;

function policyRule(f: Field<PolicyRule>, namespaced: boolean): void {
  const r = f.value!;
  f.get('verbs').required('verbs must contain at least one value');
  const urls = f.get('nonResourceURLs');
  if (!urls.isEmpty) {
    urls.check(!namespaced, 'namespaced rules cannot apply to non-resource URLs');
    const mixed = r.apiGroups?.length || r.resources?.length || r.resourceNames?.length;
    urls.check(!mixed, 'rules cannot apply to both regular resources and non-resource URLs');
    return;
  }
  f.get('apiGroups').required('resource rules must supply at least one api group');
  f.get('resources').required('resource rules must supply at least one resource');
}

function aggregation(f: Field<Json<k8s.V1AggregationRule>>): void {
  const selectors = f.get('clusterRoleSelectors');
  if (f.isSet) selectors.required('at least one clusterRoleSelector required if aggregationRule is non-nil');
  selectors.each((s) => {
    const before = s.errors.length;
    labelSelector(s as Field<LabelSelector>);
    if (s.errors.length > before) s.invalid('invalid label selector.');
  });
}

const roleCells = (r: Role): [string, string] => [nameOf(r), r.metadata?.creationTimestamp ?? ''];
const creatable = { allowCreateOnUpdate: true, returnDeletedObject: false } as const;

export const roles = define<Role>(GROUP, 'roles', 'Role', 'Namespaced', {
  ...creatable,
  strategy: {
    ...rules<Role>({
      scope: 'Namespaced',
      name: pathSegment,
      always: (f) => void f.get('rules').each((r) => policyRule(r, true)),
    }),
  },
  table: { cells: roleCells as never },
});

export const clusterRoles = define<ClusterRole>(GROUP, 'clusterroles', 'ClusterRole', 'Cluster', {
  ...creatable,
  strategy: {
    ...rules<ClusterRole>({
      scope: 'Cluster',
      name: pathSegment,
      always(f) {
        f.get('rules').each((r) => policyRule(r, false));
        aggregation(f.get('aggregationRule'));
      },
    }),
  },
  table: { cells: roleCells as never },
});

function subject(f: Field<Subject>, namespaced: boolean): void {
  const name = f.get('name').required();
  const group = f.get('apiGroup');
  switch (f.value?.kind) {
    case 'ServiceAccount':
      name.format(dns1123Subdomain);
      if (!group.isEmpty) group.notSupported(['']);
      if (!namespaced) f.get('namespace').required();
      break;
    case 'User':
    case 'Group':
      if (group.value !== GROUP) group.notSupported([GROUP]);
      break;
    default:
      f.get('kind').notSupported(['ServiceAccount', 'User', 'Group']);
  }
}

function bindingRules(scope: 'Namespaced' | 'Cluster') {
  const namespaced = scope === 'Namespaced';
  return rules<Binding>({
    scope,
    name: pathSegment,
    always(f) {
      const ref = f.get('roleRef');
      if (ref.value?.apiGroup !== GROUP) ref.get('apiGroup').notSupported([GROUP]);
      const kinds = namespaced ? ['Role', 'ClusterRole'] : ['ClusterRole'];
      if (!kinds.includes(ref.value?.kind ?? '')) ref.get('kind').notSupported(kinds);
      ref.get('name').requiredFormat(pathSegment);
      f.get('subjects').each((s) => subject(s, namespaced));
    },
    update(f, old) {
      if (!semanticEqual(f.value?.roleRef, old.roleRef)) f.get('roleRef').invalid('cannot change roleRef');
    },
  });
}

function bindingDefaults(b: Binding): void {
  if (b.roleRef) b.roleRef.apiGroup ||= GROUP;
  for (const s of b.subjects ?? []) if (s.kind === 'User' || s.kind === 'Group') s.apiGroup ||= GROUP;
}

function binding(resource: string, kind: string, scope: 'Namespaced' | 'Cluster') {
  return define<Binding>(GROUP, resource, kind, scope, {
    ...creatable,
    strategy: { defaults: bindingDefaults, ...bindingRules(scope) },
    table: {
      cells(b, now) {
        const named = (kind_: string) =>
          (b.subjects ?? [])
            .filter((s) => s.kind === kind_)
            .map((s) => (s.namespace && kind_ === 'ServiceAccount' ? `${s.namespace}/${s.name}` : s.name));
        return [
          nameOf(b),
          `${b.roleRef?.kind ?? ''}/${b.roleRef?.name ?? ''}`,
          age(b, now),
          ...['User', 'Group', 'ServiceAccount'].map((k) => named(k).join(', ')),
        ];
      },
    },
  });
}

export const roleBindings = binding('rolebindings', 'RoleBinding', 'Namespaced');
export const clusterRoleBindings = binding('clusterrolebindings', 'ClusterRoleBinding', 'Cluster');
