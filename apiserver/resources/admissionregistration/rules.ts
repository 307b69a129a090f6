/** Which requests webhooks and policies are about: operations, groups, resources, selectors, conditions. */
import type * as k8s from '@kubernetes/client-node';
import type { Json, LabelSelector } from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';
import { pathSegment, qualifiedName } from '../validation/names.ts';
import { labelSelector } from '../validation/values.ts';
import { expression, type Scope } from '../validation/expressions.ts';

type Rule = Json<k8s.V1RuleWithOperations>;
type NamedRule = Json<k8s.V1NamedRuleWithOperations>;
export type MatchResources = Json<k8s.V1MatchResources>;
type MatchCondition = Json<k8s.V1MatchCondition>;

const OPERATIONS = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];
const MUTATING_OPERATIONS = OPERATIONS.filter((o) => o !== 'DELETE');
export const FAILURE_POLICIES = ['Fail', 'Ignore'];
const MATCH_POLICIES = ['Equivalent', 'Exact'];

/** A list where '*' stands alone. */
function wildcardAlone(f: Field<string[]>): Field<string[]> {
  f.required();
  return f.check(!((f.value?.length ?? 0) > 1 && f.value!.includes('*')), "if '*' is present, must not specify others");
}

function resources(f: Field<string[]>): void {
  const list = f.required().value ?? [];
  const below = new Set<string>();
  const everywhere = new Set<string>();
  let single = false;
  f.each((r) => {
    if (!r.need()) return;
    const [resource = '', ...rest] = r.value!.split('/');
    // As upstream has it: the last resource without subresource decides.
    if (rest.length === 0) return void (single = r.value !== '*');
    const sub = rest.join('/');
    r.check(!below.has(resource), `if '${resource}/*' is present, must not specify ${r.value}`);
    r.check(!everywhere.has(sub), `if '*/${sub}' is present, must not specify ${r.value}`);
    if (sub === '*') below.add(resource);
    if (resource === '*') everywhere.add(sub);
  });
  f.check(!(list.length > 1 && list.includes('*/*')), "if '*/*' is present, must not specify other resources");
  f.check(!(single && list.includes('*')), "if '*' is present, must not specify other resources without subresources");
}

/** One rule: operations, groups, versions, resources, scope. */
export function rule(f: Field<Rule>): void {
  wildcardAlone(f.get('operations') as Field<string[]>).each((o) => o.oneOf(OPERATIONS));
  wildcardAlone(f.get('apiGroups'));
  wildcardAlone(f.get('apiVersions')).each((v) => void v.required());
  resources(f.get('resources'));
  f.get('scope').oneOf(['*', 'Cluster', 'Namespaced']);
}

function namedRule(f: Field<NamedRule>): void {
  const names = f.get('resourceNames');
  names.each((n) => n.formatAll(pathSegment));
  names.unique((n) => n);
  rule(f as unknown as Field<Rule>);
}

/** `matchConstraints` and `matchResources`; their defaults are filled in before. */
export function matchResources(f: Field<MatchResources>): void {
  if (!f.isSet) return;
  const policy = f.get('matchPolicy');
  if (policy.isSet) policy.oneOf(MATCH_POLICIES);
  else policy.missing();
  for (const k of ['namespaceSelector', 'objectSelector'] as const) {
    const selector = f.get(k);
    if (selector.isSet) labelSelector(selector as Field<LabelSelector>);
    else selector.missing();
  }
  f.get('resourceRules').each(namedRule);
  f.get('excludeResourceRules').each(namedRule);
}

/** Defaults that need more than the schema: selectors of everything, `Equivalent`. */
export function matchDefaults(m: MatchResources | undefined): void {
  if (!m) return;
  m.matchPolicy ??= 'Equivalent';
  m.namespaceSelector ??= {};
  m.objectSelector ??= {};
  for (const r of [...(m.resourceRules ?? []), ...(m.excludeResourceRules ?? [])]) r.scope ??= '*';
}

/** Mutating policies don't see deletions; complaints name the list of rules. */
export function onlyMutating(f: Field<MatchResources>): void {
  const operations = f.named('resourceRules').named('operations');
  for (const r of f.value?.resourceRules ?? []) {
    for (const o of r.operations ?? [])
      if (!MUTATING_OPERATIONS.includes(o)) operations.notSupported(MUTATING_OPERATIONS, o);
  }
}

/** Names once each, and expressions that compile. */
export function matchConditions(f: Field<MatchCondition[]>, scope: Scope): void {
  f.maxItems(64);
  f.each((c) => {
    expression(c.get('expression'), scope);
    c.get('name').requiredFormat(qualifiedName);
  });
  f.unique(
    (c) => c.name || undefined,
    (c) => c.get('name'),
  );
}

export const matchPolicy = (f: Field<string>) => f.oneOf(MATCH_POLICIES);
