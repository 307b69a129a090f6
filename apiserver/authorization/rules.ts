/** What one RBAC rule allows, and whether a set of rules covers another. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json } from '../../api/types.ts';
import type { AuthorizationAttributes } from './types.ts';

export type PolicyRule = DeepReadonly<Json<k8s.V1PolicyRule>>;

const has = (list: readonly string[] | undefined, value: string) => list !== undefined && list.includes(value);
const hasOrAll = (list: readonly string[] | undefined, value: string) =>
  list !== undefined && (list.includes('*') || list.includes(value));

/** The rule speaks of this verb, group and resource; names are not looked at. */
export function ruleCoversResource(
  rule: PolicyRule,
  verb: string,
  group: string,
  resource: string,
  subresource: string,
): boolean {
  if (!hasOrAll(rule.verbs, verb) || !hasOrAll(rule.apiGroups, group)) return false;
  if (subresource === '') return hasOrAll(rule.resources, resource);
  return hasOrAll(rule.resources, `${resource}/${subresource}`) || has(rule.resources, `*/${subresource}`);
}

/** A pattern is a path, `*`, or a path prefix followed by `*`. */
export function pathMatches(pattern: string, path: string): boolean {
  if (pattern === '*' || pattern === path) return true;
  return pattern.endsWith('*') && path.startsWith(pattern.replace(/\*+$/, ''));
}

/** Whether a rule allows a verb on a path that is no resource. */
export function ruleCoversPath(rule: PolicyRule, verb: string, path: string): boolean {
  return hasOrAll(rule.verbs, verb) && (rule.nonResourceURLs ?? []).some((p) => pathMatches(p, path));
}

/** True when this one rule allows the request. */
export function ruleAllows(rule: PolicyRule, a: AuthorizationAttributes): boolean {
  if (!a.resourceRequest) return ruleCoversPath(rule, a.verb, a.path);
  if (!ruleCoversResource(rule, a.verb, a.apiGroup, a.resource, a.subresource)) return false;
  return !rule.resourceNames?.length || rule.resourceNames.includes(a.name);
}

/** Splits a rule into rules of one verb and one target each. */
function breakDown(rule: PolicyRule): PolicyRule[] {
  const out: PolicyRule[] = [];
  for (const group of rule.apiGroups ?? []) {
    for (const resource of rule.resources ?? []) {
      for (const verb of rule.verbs) {
        if (!rule.resourceNames?.length) out.push({ apiGroups: [group], resources: [resource], verbs: [verb] });
        for (const name of rule.resourceNames ?? []) {
          out.push({ apiGroups: [group], resources: [resource], verbs: [verb], resourceNames: [name] });
        }
      }
    }
  }
  for (const url of rule.nonResourceURLs ?? []) {
    for (const verb of rule.verbs) out.push({ nonResourceURLs: [url], verbs: [verb] });
  }
  return out;
}

/** The owner's rule grants all that the (broken down) wanted rule grants. */
function covers(owner: PolicyRule, wanted: PolicyRule): boolean {
  const verb = wanted.verbs[0]!;
  if (!hasOrAll(owner.verbs, verb)) return false;
  const url = wanted.nonResourceURLs?.[0];
  if (url !== undefined) return (owner.nonResourceURLs ?? []).some((p) => pathMatches(p, url));
  if (!hasOrAll(owner.apiGroups, wanted.apiGroups![0]!)) return false;
  const resource = wanted.resources![0]!;
  const slash = resource.indexOf('/');
  if (!hasOrAll(owner.resources, resource) && !(slash >= 0 && has(owner.resources, `*${resource.slice(slash)}`)))
    return false;
  if (!owner.resourceNames?.length) return true;
  const name = wanted.resourceNames?.[0];
  return name !== undefined && owner.resourceNames.includes(name);
}

/** The parts of `wanted` that none of `owned` grants; empty when everything is covered. */
export function missingRules(owned: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  const missing: PolicyRule[] = [];
  for (const rule of wanted) {
    for (const part of breakDown(rule)) {
      if (!owned.some((o) => covers(o, part))) missing.push(part);
    }
  }
  return missing;
}

/** Joins rules that differ in their verbs only, for messages and rule reviews. */
export function compactRules(rules: readonly PolicyRule[]): PolicyRule[] {
  const byTarget = new Map<string, { rule: PolicyRule; verbs: string[] }>();
  const out: { rule: PolicyRule; verbs: string[] }[] = [];
  for (const rule of rules) {
    const single =
      rule.apiGroups?.length === 1 &&
      rule.resources?.length === 1 &&
      !rule.nonResourceURLs?.length &&
      (rule.resourceNames?.length ?? 0) <= 1;
    const key = single ? `${rule.apiGroups![0]}\0${rule.resources![0]}\0${rule.resourceNames?.[0] ?? ''}` : undefined;
    const seen = key === undefined ? undefined : byTarget.get(key);
    if (seen) {
      for (const v of rule.verbs) if (!seen.verbs.includes(v)) seen.verbs.push(v);
    } else {
      const entry = { rule, verbs: [...rule.verbs] };
      out.push(entry);
      if (key !== undefined) byTarget.set(key, entry);
    }
  }
  return out.map(({ rule, verbs }) => ({ ...rule, verbs }));
}

/** `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`: a rule in one line, as clients know it. */
export function describeRule(rule: PolicyRule): string {
  const list = (name: string, values: readonly string[] | undefined) =>
    values?.length ? [`${name}:[${values.map((v) => JSON.stringify(v)).join(', ')}]`] : [];
  return `{${[
    ...list('APIGroups', rule.apiGroups),
    ...list('Resources', rule.resources),
    ...list('NonResourceURLs', rule.nonResourceURLs),
    ...list('ResourceNames', rule.resourceNames),
    ...list('Verbs', rule.verbs),
  ].join(', ')}}`;
}
