/** Webhook configurations as they are used: compiled once per change, in the order of their configurations' names. */
import type * as k8s from '@kubernetes/client-node';
import { compileLabelSelector, everything, nothing, type LabelMatcher } from '../../../api/selectors.ts';
import type { DeepReadonly, Json, KubeObject, LabelSelector, Namespace } from '../../../api/types.ts';
import { follow, type CacheLookup } from '../../authorization/follow.ts';
import { compileExpression, type Expression } from '../policies/expressions.ts';
import type { Equivalence, Wanted } from '../equivalence.ts';
import type { AdmissionAttributes } from '../types.ts';

type AnyWebhook = DeepReadonly<Json<k8s.V1MutatingWebhook>>;
export type Rule = DeepReadonly<Json<k8s.V1RuleWithOperations>>;
export type ClientConfig = DeepReadonly<Json<k8s.AdmissionregistrationV1WebhookClientConfig>>;

/** One webhook, ready to be matched and called. */
export interface Hook {
  readonly name: string;
  /** Of the configuration that it comes from. */
  readonly configuration: string;
  /** Changes when the configuration does. */
  readonly id: string;
  readonly rules: readonly Rule[];
  /** matchPolicy Exact: other versions of the resource aren't meant. */
  readonly exact: boolean;
  readonly namespaceSelector: LabelMatcher;
  readonly objectSelector: LabelMatcher;
  readonly client: ClientConfig;
  readonly failOpen: boolean;
  readonly timeoutSeconds: number;
  readonly dryRunSafe: boolean;
  readonly reinvoke: boolean;
  readonly conditions: readonly { readonly name: string; readonly expression: Expression }[];
}

/** A selector of a configuration: absent is everything, a wrong one nothing. */
export function matcher(selector: DeepReadonly<LabelSelector> | undefined): LabelMatcher {
  if (!selector) return everything();
  try {
    return compileLabelSelector(selector);
  } catch {
    return nothing();
  }
}

function compile(configuration: string, revision: number, hook: AnyWebhook, index: number): Hook {
  return {
    name: hook.name,
    configuration,
    id: `${configuration}/${revision}/${index}`,
    rules: hook.rules ?? [],
    exact: hook.matchPolicy === 'Exact',
    namespaceSelector: matcher(hook.namespaceSelector),
    objectSelector: matcher(hook.objectSelector),
    client: hook.clientConfig,
    failOpen: hook.failurePolicy === 'Ignore',
    timeoutSeconds: hook.timeoutSeconds ?? 10,
    dryRunSafe: hook.sideEffects === 'None' || hook.sideEffects === 'NoneOnDryRun',
    reinvoke: hook.reinvocationPolicy === 'IfNeeded',
    conditions: (hook.matchConditions ?? []).map((c) => ({
      name: c.name,
      expression: compileExpression(c.expression),
    })),
  };
}

/** The hooks of all configurations of one kind, kept up to date. */
export function followHooks(caches: CacheLookup, resource: string): { hooks(): readonly Hook[]; close(): void } {
  const byConfiguration = new Map<string, { name: string; hooks: Hook[] }>();
  let ordered: readonly Hook[] | undefined;
  const cache = caches(`admissionregistration.k8s.io/${resource}`);
  const follower =
    cache &&
    follow(cache, {
      put(entry) {
        const { webhooks } = entry.object() as { webhooks?: readonly AnyWebhook[] };
        const hooks = (webhooks ?? []).map((h, i) => compile(entry.name, entry.revision, h, i));
        byConfiguration.set(entry.key, { name: entry.name, hooks });
        ordered = undefined;
      },
      delete(key) {
        byConfiguration.delete(key);
        ordered = undefined;
      },
    });
  return {
    hooks: () =>
      (ordered ??= [...byConfiguration.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).flatMap((c) => c.hooks)),
    close: () => follower?.close(),
  };
}

const hasOrAll = (list: readonly string[] | undefined, value: string) => list?.includes('*') || list?.includes(value);

/** The rule speaks of this operation on this resource, or on `as` in its place. */
export function ruleMatches(
  rule: Rule,
  a: AdmissionAttributes,
  as: Pick<AdmissionAttributes['resource'], 'group' | 'version' | 'resource'> = a.resource,
): boolean {
  if (!hasOrAll(rule.operations, a.operation)) return false;
  if (!hasOrAll(rule.apiGroups, as.group) || !hasOrAll(rule.apiVersions, as.version)) return false;
  const namespaced = a.namespace !== '' && !(a.resource.group === '' && a.resource.resource === 'namespaces');
  if (rule.scope === 'Namespaced' && !namespaced) return false;
  if (rule.scope === 'Cluster' && namespaced) return false;
  return (rule.resources ?? []).some((pattern) => {
    const slash = pattern.indexOf('/');
    const resource = slash < 0 ? pattern : pattern.slice(0, slash);
    const sub = slash < 0 ? '' : pattern.slice(slash + 1);
    return (resource === '*' || resource === as.resource) && (sub === '*' || sub === a.subresource);
  });
}

/** These are never sent to webhooks: a wrong one must stay repairable. */
const EXEMPT = new Set([
  'validatingwebhookconfigurations',
  'mutatingwebhookconfigurations',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
]);
export const isExempt = (a: AdmissionAttributes) =>
  a.resource.group === 'admissionregistration.k8s.io' && EXEMPT.has(a.resource.resource);

const labelsOf = (o: DeepReadonly<KubeObject> | undefined) => o?.metadata?.labels;

/** Finds a namespace by its name. */
export type NamespaceFinder = (name: string) => DeepReadonly<Namespace> | undefined;

/** The object's namespace (or the namespace itself, when the request is about one) has the labels. */
export function namespaceMatches(
  selector: LabelMatcher,
  a: AdmissionAttributes,
  namespaceOf: NamespaceFinder,
): boolean {
  if (selector.isEverything) return true;
  if (a.resource.group === '' && a.resource.resource === 'namespaces') {
    return selector.matches(
      labelsOf(a.operation === 'CREATE' || a.operation === 'UPDATE' ? a.object : namespaceOf(a.name)),
    );
  }
  return a.namespace === '' || selector.matches(labelsOf(namespaceOf(a.namespace)));
}

/** The object, new or old, has the labels. */
export function objectMatches(selector: LabelMatcher, a: AdmissionAttributes): boolean {
  if (selector.isEverything) return true;
  return [a.object, a.oldObject].some((o) => o !== undefined && selector.matches(labelsOf(o)));
}

/** In which form the hook wants to see this request, conditions apart; undefined when it doesn't. */
export function hookMatches(
  hook: Hook,
  a: AdmissionAttributes,
  namespaceOf: NamespaceFinder,
  equivalence: Equivalence,
): Wanted {
  const wanted = equivalence.wanted(a, hook.exact, (as) => hook.rules.some((r) => ruleMatches(r, a, as)));
  return wanted && namespaceMatches(hook.namespaceSelector, a, namespaceOf) && objectMatches(hook.objectSelector, a)
    ? wanted
    : undefined;
}
