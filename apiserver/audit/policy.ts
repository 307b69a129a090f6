/** audit.k8s.io/v1 Policy: which requests are noted, and how much of them. */
import { decodeYaml } from '../../api/codec/yaml.ts';
import type { UserInfo } from '../authentication/types.ts';
import type { RequestInfo } from '../http/request-info.ts';

export type Level = 'None' | 'Metadata' | 'Request' | 'RequestResponse';
export type Stage = 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic';

const LEVELS: readonly Level[] = ['None', 'Metadata', 'Request', 'RequestResponse'];
const STAGES: readonly Stage[] = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'];

interface GroupResources {
  readonly group: string;
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
}

interface Rule {
  readonly users: readonly string[];
  readonly userGroups: readonly string[];
  readonly verbs: readonly string[];
  readonly resources: readonly GroupResources[];
  readonly namespaces: readonly string[];
  readonly nonResourceURLs: readonly string[];
  readonly decision: AuditDecision;
}

/** What the policy says of a request. */
export interface AuditDecision {
  readonly level: Level;
  readonly omitStages: ReadonlySet<Stage>;
  readonly omitManagedFields: boolean;
}

export interface AuditPolicy {
  /** The first rule that fits decides; none fits: level None. */
  decide(user: UserInfo, info: RequestInfo): AuditDecision;
}

/** The policy file can't be used; the message names the field. */
export class AuditPolicyError extends Error {}

const fail = (field: string, text: string): never => {
  throw new AuditPolicyError(`${field}: ${text}`);
};

type Fields = Record<string, unknown>;

function fieldsOf(value: unknown, field: string, known: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail(field, 'must be an object');
  for (const k of Object.keys(value)) if (!known.includes(k)) fail(`${field}.${k}`, 'unknown field');
  return value as Fields;
}

function texts(from: Fields, name: string, field: string): string[] {
  const value = from[name] ?? [];
  if (!Array.isArray(value) || value.some((v) => typeof v !== 'string'))
    return fail(`${field}.${name}`, 'must be a list of texts');
  return value as string[];
}

function bool(from: Fields, name: string, field: string, byDefault: boolean): boolean {
  const value = from[name] ?? byDefault;
  return typeof value === 'boolean' ? value : fail(`${field}.${name}`, 'must be true or false');
}

function stages(from: Fields, field: string): Stage[] {
  return texts(from, 'omitStages', field).map((s) =>
    STAGES.includes(s as Stage) ? (s as Stage) : fail(`${field}.omitStages`, `"${s}" is no stage`),
  );
}

const TOP = ['apiVersion', 'kind', 'metadata', 'rules', 'omitStages', 'omitManagedFields'];
const RULE = [
  'level',
  'users',
  'userGroups',
  'verbs',
  'resources',
  'namespaces',
  'nonResourceURLs',
  'omitStages',
  'omitManagedFields',
];

/** Reads a policy file. Throws AuditPolicyError. */
export function parsePolicy(text: string): AuditPolicy {
  let document: unknown;
  try {
    document = decodeYaml(text).value;
  } catch (error) {
    return fail('Policy', `is no YAML: ${(error as Error).message}`);
  }
  const top = fieldsOf(document, 'Policy', TOP);
  if (top['kind'] !== 'Policy') fail('kind', 'must be Policy');
  if (top['apiVersion'] !== 'audit.k8s.io/v1') fail('apiVersion', 'must be audit.k8s.io/v1');
  const list = top['rules'];
  if (!Array.isArray(list) || list.length === 0) return fail('rules', 'at least one is required');
  const omitted = stages(top, 'Policy');
  const omitManagedFields = bool(top, 'omitManagedFields', 'Policy', false);
  const rules = list.map((entry: unknown, i): Rule => {
    const field = `rules[${i}]`;
    const r = fieldsOf(entry, field, RULE);
    const level = r['level'] as Level;
    if (!LEVELS.includes(level)) fail(`${field}.level`, `must be one of ${LEVELS.join(', ')}`);
    const nonResourceURLs = texts(r, 'nonResourceURLs', field);
    const namespaces = texts(r, 'namespaces', field);
    const resources = readResources(r['resources'], `${field}.resources`);
    if (nonResourceURLs.length > 0 && (resources.length > 0 || namespaces.length > 0))
      fail(`${field}.nonResourceURLs`, 'rules are either for resources or for other paths');
    for (const url of nonResourceURLs) {
      if (url !== '*' && !url.startsWith('/')) fail(`${field}.nonResourceURLs`, `"${url}" must begin with /`);
      if (url.slice(0, -1).includes('*')) fail(`${field}.nonResourceURLs`, `"${url}" may have * at its end only`);
    }
    return {
      users: texts(r, 'users', field),
      userGroups: texts(r, 'userGroups', field),
      verbs: texts(r, 'verbs', field),
      resources,
      namespaces,
      nonResourceURLs,
      decision: {
        level,
        omitStages: new Set([...omitted, ...stages(r, field)]),
        omitManagedFields: bool(r, 'omitManagedFields', field, omitManagedFields),
      },
    };
  });
  return {
    decide: (user, info) => rules.find((rule) => fits(rule, user, info))?.decision ?? NOTHING,
  };
}

const NOTHING: AuditDecision = { level: 'None', omitStages: new Set(), omitManagedFields: false };

function readResources(value: unknown, field: string): GroupResources[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return fail(field, 'must be a list');
  return value.map((entry: unknown, i) => {
    const at = `${field}[${i}]`;
    const f = fieldsOf(entry, at, ['group', 'resources', 'resourceNames']);
    const group = f['group'] ?? '';
    if (typeof group !== 'string' || /\/|:/.test(group)) return fail(`${at}.group`, 'must be an API group');
    const resources = texts(f, 'resources', at);
    const resourceNames = texts(f, 'resourceNames', at);
    if (resourceNames.length > 0 && resources.length === 0) fail(`${at}.resourceNames`, 'need resources');
    return { group, resources, resourceNames };
  });
}

function fits(rule: Rule, user: UserInfo, info: RequestInfo): boolean {
  if (rule.users.length > 0 && !rule.users.includes(user.name)) return false;
  if (rule.userGroups.length > 0 && !user.groups.some((g) => rule.userGroups.includes(g))) return false;
  if (rule.verbs.length > 0 && !rule.verbs.includes(info.verb)) return false;
  if (rule.namespaces.length > 0 || rule.resources.length > 0)
    return info.isResourceRequest && fitsResource(rule, info);
  if (rule.nonResourceURLs.length > 0)
    return !info.isResourceRequest && rule.nonResourceURLs.some((u) => fitsPath(u, info.path));
  return true;
}

function fitsResource(rule: Rule, info: RequestInfo): boolean {
  if (rule.namespaces.length > 0 && !rule.namespaces.includes(info.namespace)) return false;
  if (rule.resources.length === 0) return true;
  const { resource, subresource } = info;
  const whole = subresource === '' ? resource : `${resource}/${subresource}`;
  return rule.resources.some(({ group, resources, resourceNames }) => {
    if (group !== info.apiGroup && group !== '*') return false;
    if (resources.length === 0) return true;
    if (resourceNames.length > 0 && !resourceNames.includes(info.name)) return false;
    return resources.some(
      (r) => r === whole || r === '*' || (subresource !== '' && r === `*/${subresource}`) || r === `${resource}/*`,
    );
  });
}

const fitsPath = (pattern: string, path: string) =>
  pattern === '*' || pattern === path || (pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1)));
