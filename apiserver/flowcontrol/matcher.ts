/** Which FlowSchema a request belongs to: compiled rules, with those that can concern a user worked out once per user. */
import type { UserInfo } from '../authentication/types.ts';
import type { FlowSchema, RequestDigest } from './types.ts';

/** A list of names, `*` standing for all. */
interface Names {
  readonly all: boolean;
  readonly names: ReadonlySet<string>;
}
interface ResourceRule {
  readonly verbs: Names;
  readonly groups: Names;
  readonly resources: Names;
  readonly namespaces: Names;
  readonly clusterScope: boolean;
}
interface PathRule {
  readonly verbs: Names;
  readonly all: boolean;
  readonly exact: ReadonlySet<string>;
  readonly prefixes: readonly string[];
}
interface CompiledRule {
  readonly subjects: readonly ((user: UserInfo) => boolean)[];
  readonly resources: readonly ResourceRule[];
  readonly paths: readonly PathRule[];
}

/** A schema with what is kept for it, ready to be matched. */
interface Compiled<T> {
  readonly target: T;
  readonly rules: readonly CompiledRule[];
}
/** What is left of a schema for one user. */
interface Candidate<T> {
  readonly target: T;
  readonly resources: readonly ResourceRule[];
  readonly paths: readonly PathRule[];
}

const names = (list: readonly string[] | undefined): Names => ({
  all: list?.includes('*') ?? false,
  names: new Set(list),
});
const has = (n: Names, value: string) => n.all || n.names.has(value);

function subject(s: NonNullable<NonNullable<FlowSchema['spec']>['rules']>[number]['subjects'][number]) {
  const { user, group, serviceAccount } = s;
  if (s.kind === 'User' && user) return user.name === '*' ? () => true : (u: UserInfo) => u.name === user.name;
  if (s.kind === 'Group' && group)
    return group.name === '*' ? () => true : (u: UserInfo) => u.groups.includes(group.name);
  if (s.kind === 'ServiceAccount' && serviceAccount) {
    const prefix = `system:serviceaccount:${serviceAccount.namespace}:`;
    return serviceAccount.name === '*'
      ? (u: UserInfo) => u.name.startsWith(prefix) && !u.name.includes(':', prefix.length)
      : (u: UserInfo) => u.name === prefix + serviceAccount.name;
  }
  return () => false;
}

function compile(schema: FlowSchema): CompiledRule[] {
  return (schema.spec?.rules ?? []).map((rule) => ({
    subjects: rule.subjects.map(subject),
    resources: (rule.resourceRules ?? []).map((r) => ({
      verbs: names(r.verbs),
      groups: names(r.apiGroups),
      resources: names(r.resources),
      namespaces: names(r.namespaces),
      clusterScope: r.clusterScope ?? false,
    })),
    paths: (rule.nonResourceRules ?? []).map((r) => ({
      verbs: names(r.verbs),
      all: r.nonResourceURLs.includes('*'),
      exact: new Set(r.nonResourceURLs),
      prefixes: r.nonResourceURLs.filter((u) => u.endsWith('/*')).map((u) => u.slice(0, -1)),
    })),
  }));
}

function matchesResource(rule: ResourceRule, digest: RequestDigest): boolean {
  const { info } = digest;
  if (!has(rule.verbs, info.verb) || !has(rule.groups, info.apiGroup)) return false;
  const resource = info.subresource === '' ? info.resource : `${info.resource}/${info.subresource}`;
  if (!has(rule.resources, resource)) return false;
  return info.namespace === '' ? rule.clusterScope : has(rule.namespaces, info.namespace);
}

function matchesPath(rule: PathRule, digest: RequestDigest): boolean {
  const { info } = digest;
  if (!has(rule.verbs, info.verb)) return false;
  return rule.all || rule.exact.has(info.path) || rule.prefixes.some((p) => info.path.startsWith(p));
}

/** Users that are remembered beyond their connection. */
const MEMO_LIMIT = 1024;

/** Matches requests against schemas in their order: by matchingPrecedence, then by name. */
export class Matcher<T> {
  readonly #schemas: readonly Compiled<T>[];
  readonly #byIdentity = new WeakMap<UserInfo, readonly Candidate<T>[]>();
  readonly #byName = new Map<string, readonly Candidate<T>[]>();

  constructor(schemas: readonly { readonly schema: FlowSchema; readonly target: T }[]) {
    const key = (s: FlowSchema) => s.spec?.matchingPrecedence ?? 1000;
    const name = (s: FlowSchema) => s.metadata?.name ?? '';
    this.#schemas = [...schemas]
      .sort((a, b) => key(a.schema) - key(b.schema) || (name(a.schema) < name(b.schema) ? -1 : 1))
      .map(({ schema, target }) => ({ target, rules: compile(schema) }));
  }

  /** What the schemas lead to, in their order. */
  targets(): T[] {
    return this.#schemas.map((s) => s.target);
  }

  /** The first schema that matches. */
  match(digest: RequestDigest): T | undefined {
    const isResource = digest.info.isResourceRequest;
    for (const c of this.#candidates(digest.user)) {
      if (isResource) {
        for (const r of c.resources) if (matchesResource(r, digest)) return c.target;
      } else for (const r of c.paths) if (matchesPath(r, digest)) return c.target;
    }
    return undefined;
  }

  #candidates(user: UserInfo): readonly Candidate<T>[] {
    let found = this.#byIdentity.get(user);
    if (found) return found;
    const key = `${user.name}\u0000${user.groups.join('\u0000')}`;
    found = this.#byName.get(key);
    if (!found) {
      found = this.#schemas.flatMap(({ target, rules }) => {
        const mine = rules.filter((r) => r.subjects.some((s) => s(user)));
        if (mine.length === 0) return [];
        return [{ target, resources: mine.flatMap((r) => r.resources), paths: mine.flatMap((r) => r.paths) }];
      });
      if (this.#byName.size >= MEMO_LIMIT) this.#byName.clear();
      this.#byName.set(key, found);
    }
    this.#byIdentity.set(user, found);
    return found;
  }
}

/** What tells the flows of one schema apart. */
export function flowOf(schema: FlowSchema, digest: RequestDigest): string {
  switch (schema.spec?.distinguisherMethod?.type) {
    case 'ByUser':
      return digest.user.name;
    case 'ByNamespace':
      return digest.info.namespace;
    default:
      return '';
  }
}
