/** The ABAC authorizer: policies from a file, one JSON object a line (abac.authorization.kubernetes.io/v1beta1). */
import type { UserInfo } from '../authentication/types.ts';
import type { PolicyRule } from './rules.ts';
import type { AuthorizationAttributes, Authorizer, Decision } from './types.ts';

/** What one line allows. */
export interface AbacPolicy {
  readonly user: string;
  readonly group: string;
  readonly readonly: boolean;
  readonly apiGroup: string;
  readonly resource: string;
  readonly namespace: string;
  readonly nonResourcePath: string;
}

export interface Abac extends Authorizer {
  /** The rules of a user in a namespace, as SelfSubjectRulesReview lists them. */
  rulesFor(user: UserInfo, namespace: string): PolicyRule[];
}

const VERSION = 'abac.authorization.kubernetes.io/v1beta1';
const READS = ['get', 'list', 'watch'];
const ALLOW: Decision = { decision: 'allow' };
const NO_OPINION: Decision = { decision: 'noOpinion', reason: 'No policy matched.' };

/** Reads the text of --authorization-policy-file. Throws an Error that names the line. */
export function readAbacPolicies(text: string): AbacPolicy[] {
  return text.split('\n').flatMap((line, i): AbacPolicy[] => {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) return [];
    let value: unknown;
    try {
      value = JSON.parse(trimmed);
    } catch {
      throw new Error(`line ${i + 1} is no JSON`);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new Error(`line ${i + 1} is no JSON object`);
    return [policyOf(value as Record<string, unknown>, i + 1)];
  });
}

function policyOf(value: Record<string, unknown>, line: number): AbacPolicy {
  const isLegacy = value['apiVersion'] === undefined && value['kind'] === undefined;
  if (!isLegacy && (value['apiVersion'] !== VERSION || value['kind'] !== 'Policy'))
    throw new Error(`line ${line} is no Policy of ${VERSION}`);
  const from = (isLegacy ? value : (value['spec'] ?? {})) as Record<string, unknown>;
  const text = (key: string) => {
    const v = from[key] ?? '';
    if (typeof v !== 'string') throw new Error(`line ${line}: ${key} must be a text`);
    return v;
  };
  const policy = {
    user: text('user'),
    group: text('group'),
    readonly: from['readonly'] === true,
    apiGroup: text('apiGroup'),
    resource: text('resource'),
    namespace: text('namespace'),
    nonResourcePath: text('nonResourcePath'),
  };
  return isLegacy ? fromLegacy(policy) : policy;
}

/** Lines without a version: what they leave out stands for everything. */
function fromLegacy(p: AbacPolicy): AbacPolicy {
  return {
    ...p,
    group: p.user === '' && p.group === '' ? 'system:authenticated' : p.group,
    apiGroup: '*',
    resource: p.resource || '*',
    namespace: p.namespace || '*',
    nonResourcePath: p.resource === '' && p.namespace === '' ? '*' : '',
  };
}

function concerns(p: AbacPolicy, user: UserInfo): boolean {
  if (p.user === '' && p.group === '') return false;
  if (p.user !== '' && p.user !== '*' && p.user !== user.name) return false;
  return p.group === '' || p.group === '*' || user.groups.includes(p.group);
}

const matches = (pattern: string, value: string) => pattern === '*' || pattern === value;

function covers(p: AbacPolicy, a: AuthorizationAttributes): boolean {
  if (p.readonly && !READS.includes(a.verb)) return false;
  if (a.resourceRequest)
    return matches(p.namespace, a.namespace) && matches(p.resource, a.resource) && matches(p.apiGroup, a.apiGroup);
  const path = p.nonResourcePath;
  return matches(path, a.path) || (path.endsWith('*') && a.path.startsWith(path.slice(0, -1)));
}

/** Allows what a policy allows and has no opinion of the rest. */
export function createAbac(policies: readonly AbacPolicy[]): Abac {
  return {
    authorize: (a) => (policies.some((p) => concerns(p, a.user) && covers(p, a)) ? ALLOW : NO_OPINION),
    rulesFor(user, namespace) {
      return policies
        .filter((p) => concerns(p, user))
        .flatMap((p): PolicyRule[] => {
          const verbs = p.readonly ? READS : ['*'];
          const out: PolicyRule[] = [];
          if (p.resource !== '' && matches(p.namespace, namespace))
            out.push({ verbs, apiGroups: [p.apiGroup], resources: [p.resource] });
          if (p.nonResourcePath !== '') out.push({ verbs, nonResourceURLs: [p.nonResourcePath] });
          return out;
        });
    },
  };
}
