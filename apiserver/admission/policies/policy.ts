/** Policies and their bindings as they are used: compiled once per change, matched per request (KEP-3488, KEP-3962). */
import type * as k8s from '@kubernetes/client-node';
import type { LabelMatcher } from '../../../api/selectors.ts';
import { compileLabelSelector } from '../../../api/selectors.ts';
import type { DeepReadonly, Json, KubeObject } from '../../../api/types.ts';
import { follow, type CacheLookup } from '../../authorization/follow.ts';
import type { ObjectReader } from '../../registry/definition.ts';
import type { Equivalence, Wanted } from '../equivalence.ts';
import type { AdmissionAttributes } from '../types.ts';
import {
  matcher,
  namespaceMatches,
  objectMatches,
  ruleMatches,
  type NamespaceFinder,
  type Rule,
} from '../webhooks/hook.ts';
import { compileExpression, type Expression } from './expressions.ts';

type NamedRule = Rule & { readonly resourceNames?: readonly string[] };
type MatchResources = DeepReadonly<Json<k8s.V1MatchResources>>;
export type ParamRef = DeepReadonly<Json<k8s.V1ParamRef>>;

/** What both kinds of policies have. */
export interface PolicySpec {
  readonly paramKind?: { readonly apiVersion?: string; readonly kind?: string };
  readonly matchConstraints?: MatchResources;
  readonly matchConditions?: readonly { readonly name: string; readonly expression: string }[];
  readonly failurePolicy?: string;
  readonly variables?: readonly { readonly name: string; readonly expression: string }[];
}
export interface BindingSpec {
  readonly policyName?: string;
  readonly paramRef?: ParamRef;
  readonly matchResources?: MatchResources;
  readonly validationActions?: readonly string[];
}

/** A compiled matchConstraints or matchResources. */
interface Matcher {
  readonly rules: readonly NamedRule[] | undefined;
  readonly excluded: readonly NamedRule[];
  /** matchPolicy Exact: other versions of the resource aren't meant. */
  readonly exact: boolean;
  readonly namespaces: LabelMatcher;
  readonly objects: LabelMatcher;
}

export interface Policy<S extends PolicySpec> {
  readonly name: string;
  readonly spec: S;
  readonly match: Matcher;
  readonly conditions: readonly { name: string; expression: Expression }[];
  readonly variables: ReadonlyMap<string, Expression>;
  readonly failOpen: boolean;
  /** Expressions of the kind itself, compiled when first asked for. */
  expression(source: string): Expression;
}
export interface PolicyBinding {
  readonly name: string;
  readonly spec: BindingSpec;
  readonly match: Matcher;
}

function compileMatch(m: MatchResources | undefined): Matcher {
  return {
    rules: m?.resourceRules as readonly NamedRule[] | undefined,
    exact: m?.matchPolicy === 'Exact',
    excluded: (m?.excludeResourceRules ?? []) as readonly NamedRule[],
    namespaces: matcher(m?.namespaceSelector),
    objects: matcher(m?.objectSelector),
  };
}

function named(rule: NamedRule, a: AdmissionAttributes, as: AdmissionAttributes['resource']): boolean {
  if (!ruleMatches(rule, a, as)) return false;
  return !rule.resourceNames?.length || rule.resourceNames.includes(a.name || (a.object?.metadata?.name ?? ''));
}

/** In which form a request is meant; undefined when it isn't. A binding without rules means all that its policy means. */
export function matches(
  m: Matcher,
  a: AdmissionAttributes,
  namespaceOf: NamespaceFinder,
  equivalence: Equivalence,
): Wanted {
  const form = (rules: readonly NamedRule[]) =>
    equivalence.wanted(a, m.exact, (as) => rules.some((r) => named(r, a, as)));
  if (m.excluded.length > 0 && form(m.excluded)) return undefined;
  const wanted = m.rules?.length ? form(m.rules) : 'asSent';
  return wanted && namespaceMatches(m.namespaces, a, namespaceOf) && objectMatches(m.objects, a) ? wanted : undefined;
}

/** Follows the policies and bindings of one kind: `validatingadmissionpolicies` or `mutatingadmissionpolicies`. */
export function followPolicies<S extends PolicySpec>(
  caches: CacheLookup,
  resource: string,
): { pairs(): readonly { policy: Policy<S>; bindings: readonly PolicyBinding[] }[]; close(): void } {
  const group = 'admissionregistration.k8s.io';
  const policies = new Map<string, Policy<S>>();
  const bindings = new Map<string, PolicyBinding>();
  let pairs: { policy: Policy<S>; bindings: readonly PolicyBinding[] }[] | undefined;

  const followers = [
    [resource, policies],
    [`${resource.slice(0, -'policies'.length)}policybindings`, bindings],
  ].map(([name, target]) => {
    const cache = caches(`${group}/${name as string}`);
    return cache
      ? follow(cache, {
          put(entry) {
            const spec = (entry.object() as { spec?: PolicySpec & BindingSpec }).spec ?? {};
            if (target === policies) policies.set(entry.key, compilePolicy<S>(entry.name, spec as S));
            else bindings.set(entry.key, { name: entry.name, spec, match: compileMatch(spec.matchResources) });
            pairs = undefined;
          },
          delete(key) {
            (target as Map<string, unknown>).delete(key);
            pairs = undefined;
          },
        })
      : { close() {} };
  });

  return {
    pairs() {
      pairs ??= [...policies.values()]
        .sort((x, y) => (x.name < y.name ? -1 : 1))
        .map((policy) => ({
          policy,
          bindings: [...bindings.values()]
            .filter((b) => b.spec.policyName === policy.name)
            .sort((x, y) => (x.name < y.name ? -1 : 1)),
        }))
        .filter((p) => p.bindings.length > 0);
      return pairs;
    },
    close() {
      for (const f of followers) f.close();
    },
  };
}

function compilePolicy<S extends PolicySpec>(name: string, spec: S): Policy<S> {
  const known = new Map<string, Expression>();
  return {
    name,
    spec,
    match: compileMatch(spec.matchConstraints),
    conditions: (spec.matchConditions ?? []).map((c) => ({
      name: c.name,
      expression: compileExpression(c.expression),
    })),
    variables: new Map((spec.variables ?? []).map((v) => [v.name, compileExpression(v.expression)])),
    failOpen: spec.failurePolicy === 'Ignore',
    expression(source) {
      let e = known.get(source);
      if (!e) known.set(source, (e = compileExpression(source)));
      return e;
    },
  };
}

/** Where objects of a kind are read: the reader's key; undefined for unknown kinds. */
export type KindFinder = (apiVersion: string, kind: string) => { key: string; namespaced: boolean } | undefined;

/** Parameters of a binding could not be had. */
export class ParamError extends Error {}

/** The parameter objects of a binding: [undefined] without a kind of parameters. Throws ParamError. */
export function paramsOf(
  policy: PolicySpec,
  binding: BindingSpec,
  a: AdmissionAttributes,
  reader: ObjectReader,
  findKind: KindFinder,
): readonly (DeepReadonly<KubeObject> | undefined | null)[] {
  const { paramKind } = policy;
  if (!paramKind) return [undefined];
  const ref = binding.paramRef;
  if (!ref) return [null];
  const kind = findKind(paramKind.apiVersion ?? '', paramKind.kind ?? '');
  if (!kind)
    throw new ParamError(
      `failed to find resource referenced by paramKind: '${paramKind.apiVersion}, Kind=${paramKind.kind}'`,
    );
  const namespace = kind.namespaced ? ref.namespace || a.namespace : '';
  if (kind.namespaced && namespace === '')
    throw new ParamError('cannot use namespaced paramRef in policy binding that matches cluster-scoped resources');
  let found: readonly DeepReadonly<KubeObject>[];
  if (ref.name) {
    const one = reader.get(kind.key, namespace, ref.name);
    found = one ? [one] : [];
  } else {
    const selector = compileLabelSelector(ref.selector);
    found = reader.list(kind.key, namespace || undefined).filter((o) => selector.matches(o.metadata?.labels));
  }
  if (found.length === 0 && ref.parameterNotFoundAction !== 'Allow')
    throw new ParamError('no params found for policy binding with `Deny` parameterNotFoundAction');
  return found;
}
