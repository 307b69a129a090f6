/**
 * The RBAC authorizer. Bindings are indexed by subject as they change; what a user may do is worked out once per
 * user, kind of request and generation of the roles, so that a request costs a map look-up.
 */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, KubeObject } from '../../api/types.ts';
import type { UserInfo } from '../authentication/types.ts';
import { follow, type CacheLookup } from './follow.ts';
import { ruleCoversPath, ruleCoversResource, type PolicyRule } from './rules.ts';
import type { AuthorizationAttributes, Authorizer, Decision } from './types.ts';

type RoleRef = DeepReadonly<Json<k8s.V1RoleRef>>;
type Binding = DeepReadonly<Json<k8s.V1RoleBinding>>;
type Subject = DeepReadonly<Json<k8s.RbacV1Subject>>;

const GROUP = 'rbac.authorization.k8s.io';
/** Users remembered, and answers remembered for one user. */
const MEMO_LIMIT = 1024;

/** A rule with the text that says through which binding it was granted. */
interface Grant {
  readonly rule: PolicyRule;
  readonly reason: string;
}
interface Resolved {
  readonly grants: readonly Grant[];
  /** References that lead nowhere. */
  readonly errors: readonly string[];
}
/** The answer for one kind of request, names apart. */
interface Verdict {
  readonly allow: Decision | undefined;
  /** Grants for single names. */
  readonly named: readonly Grant[];
  readonly otherwise: Decision;
}
interface UserState {
  readonly generation: number;
  readonly scopes: Map<string, Resolved>;
  readonly verdicts: Map<string, Verdict>;
}

export interface Rbac extends Authorizer {
  /** All rules of a user, cluster-wide ones and (with a namespace) those of its bindings. */
  rulesFor(user: UserInfo, namespace: string): { rules: PolicyRule[]; errors: string[] };
  /** The rules of a role; undefined when there is no such role. */
  roleRules(ref: RoleRef, namespace: string): readonly PolicyRule[] | undefined;
  close(): void;
}

/** How a subject is found in the index; undefined for subjects that can match nobody. */
function subjectKey(s: Subject, bindingNamespace: string): string | undefined {
  if (s.kind === 'User') return `u:${s.name}`;
  if (s.kind === 'Group') return `g:${s.name}`;
  const namespace = s.namespace || bindingNamespace;
  return s.kind === 'ServiceAccount' && namespace ? `u:system:serviceaccount:${namespace}:${s.name}` : undefined;
}

function describe(kind: string, b: Binding, s: Subject): string {
  const namespace = b.metadata?.namespace ?? '';
  const name = kind === 'RoleBinding' ? `${b.metadata?.name}/${namespace}` : b.metadata?.name;
  const who = s.kind === 'ServiceAccount' ? `${s.name}/${s.namespace || namespace}` : s.name;
  return `${kind} ${JSON.stringify(name)} of ${b.roleRef.kind} ${JSON.stringify(b.roleRef.name)} to ${s.kind} ${JSON.stringify(who)}`;
}

/** An authorizer over the four RBAC kinds in the caches. */
export function createRbac(caches: CacheLookup): Rbac {
  let generation = 1;
  /** Rules by `namespace/name`; cluster roles have the namespace ''. */
  const roles = new Map<string, readonly PolicyRule[]>();
  const bindings = new Map<string, Binding>();
  /** namespace ('' for cluster-wide) -> subject -> keys of bindings. */
  const index = new Map<string, Map<string, Set<string>>>();
  const byIdentity = new WeakMap<UserInfo, UserState>();
  const byName = new Map<string, UserState>();

  function unindex(key: string): void {
    const old = bindings.get(key);
    if (!old) return;
    bindings.delete(key);
    const namespace = old.metadata?.namespace ?? '';
    const subjects = index.get(namespace);
    for (const s of old.subjects ?? []) {
      const sk = subjectKey(s, namespace);
      const set = sk === undefined ? undefined : subjects?.get(sk);
      set?.delete(key);
      if (set?.size === 0) subjects!.delete(sk!);
    }
    if (subjects?.size === 0) index.delete(namespace);
  }

  function addBinding(key: string, binding: Binding): void {
    unindex(key);
    bindings.set(key, binding);
    const namespace = binding.metadata?.namespace ?? '';
    let subjects = index.get(namespace);
    if (!subjects) index.set(namespace, (subjects = new Map()));
    for (const s of binding.subjects ?? []) {
      const sk = subjectKey(s, namespace);
      if (sk === undefined) continue;
      const set = subjects.get(sk);
      if (set) set.add(key);
      else subjects.set(sk, new Set([key]));
    }
  }

  const followers = ['roles', 'clusterroles', 'rolebindings', 'clusterrolebindings'].flatMap((resource) => {
    const cache = caches(`${GROUP}/${resource}`);
    if (!cache) return [];
    const isBinding = resource.endsWith('bindings');
    const roleKeys = new Map<string, string>();
    return [
      follow(cache, {
        put(entry) {
          generation++;
          const object = entry.object() as DeepReadonly<KubeObject>;
          if (isBinding) return addBinding(entry.key, object as Binding);
          const id = `${entry.namespace}/${entry.name}`;
          roleKeys.set(entry.key, id);
          roles.set(id, (object as DeepReadonly<Json<k8s.V1ClusterRole>>).rules ?? []);
        },
        delete(key) {
          generation++;
          if (isBinding) return unindex(key);
          const id = roleKeys.get(key);
          roleKeys.delete(key);
          if (id !== undefined) roles.delete(id);
        },
      }),
    ];
  });

  const roleRules: Rbac['roleRules'] = (ref, namespace) =>
    ref.kind === 'ClusterRole'
      ? roles.get(`/${ref.name}`)
      : ref.kind === 'Role' && namespace
        ? roles.get(`${namespace}/${ref.name}`)
        : undefined;

  function resolve(user: UserInfo, namespace: string): Resolved {
    const subjects = index.get(namespace);
    if (!subjects) return { grants: [], errors: [] };
    const keys = new Set(subjects.get(`u:${user.name}`));
    for (const g of user.groups) for (const key of subjects.get(`g:${g}`) ?? []) keys.add(key);
    const grants: Grant[] = [];
    const errors: string[] = [];
    for (const key of keys) {
      const b = bindings.get(key)!;
      const rules = roleRules(b.roleRef, namespace);
      if (!rules) {
        errors.push(`${b.roleRef.kind.toLowerCase()}.${GROUP} ${JSON.stringify(b.roleRef.name)} not found`);
        continue;
      }
      const subject = b.subjects!.find((s) => {
        const sk = subjectKey(s, namespace);
        return sk === `u:${user.name}` || (s.kind === 'Group' && user.groups.includes(s.name));
      })!;
      const reason = `RBAC: allowed by ${describe(namespace === '' ? 'ClusterRoleBinding' : 'RoleBinding', b, subject)}`;
      for (const rule of rules) grants.push({ rule, reason });
    }
    return { grants, errors };
  }

  function stateOf(user: UserInfo): UserState {
    let state = byIdentity.get(user);
    if (state?.generation === generation) return state;
    const key = `${user.name}\0${user.groups.join('\0')}`;
    state = byName.get(key);
    if (state?.generation !== generation) {
      state = { generation, scopes: new Map(), verdicts: new Map() };
      if (byName.size >= MEMO_LIMIT) byName.clear();
      byName.set(key, state);
    }
    byIdentity.set(user, state);
    return state;
  }

  function scope(state: UserState, user: UserInfo, namespace: string): Resolved {
    let resolved = state.scopes.get(namespace);
    if (!resolved) {
      resolved = resolve(user, namespace);
      if (state.scopes.size >= MEMO_LIMIT) state.scopes.clear();
      state.scopes.set(namespace, resolved);
    }
    return resolved;
  }

  function judge(state: UserState, a: AuthorizationAttributes): Verdict {
    const named: Grant[] = [];
    const errors: string[] = [];
    for (const namespace of a.namespace === '' ? [''] : ['', a.namespace]) {
      const { grants, errors: missing } = scope(state, a.user, namespace);
      errors.push(...missing);
      for (const grant of grants) {
        const { rule } = grant;
        if (a.resourceRequest) {
          if (!ruleCoversResource(rule, a.verb, a.apiGroup, a.resource, a.subresource)) continue;
          if (rule.resourceNames?.length) {
            named.push(grant);
            continue;
          }
        } else if (!ruleCoversPath(rule, a.verb, a.path)) continue;
        return { allow: { decision: 'allow', reason: grant.reason }, named: [], otherwise: { decision: 'noOpinion' } };
      }
    }
    const reason =
      errors.length === 0 ? undefined : `RBAC: ${errors.length === 1 ? errors[0] : `[${errors.join(', ')}]`}`;
    return { allow: undefined, named, otherwise: { decision: 'noOpinion', reason } };
  }

  return {
    authorize(a) {
      const state = stateOf(a.user);
      const key = a.resourceRequest
        ? `${a.namespace}\0${a.verb}\0${a.apiGroup}\0${a.resource}\0${a.subresource}`
        : `\0\0${a.verb}\0${a.path}`;
      let verdict = state.verdicts.get(key);
      if (!verdict) {
        verdict = judge(state, a);
        if (state.verdicts.size >= MEMO_LIMIT) state.verdicts.clear();
        state.verdicts.set(key, verdict);
      }
      if (verdict.allow) return verdict.allow;
      for (const grant of verdict.named) {
        if (grant.rule.resourceNames!.includes(a.name)) return { decision: 'allow', reason: grant.reason };
      }
      return verdict.otherwise;
    },
    rulesFor(user, namespace) {
      const state = stateOf(user);
      const cluster = scope(state, user, '');
      const local = namespace === '' ? undefined : scope(state, user, namespace);
      return {
        rules: [...cluster.grants, ...(local?.grants ?? [])].map((g) => g.rule),
        errors: [...cluster.errors, ...(local?.errors ?? [])],
      };
    },
    roleRules,
    close() {
      for (const f of followers) f.close();
    },
  };
}
