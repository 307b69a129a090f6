/** How a bootstrap object that is already there is brought up to date, without undoing what people added. */
import type * as k8s from '@kubernetes/client-node';
import { deepEqual, semanticEqual } from '../../api/meta.ts';
import type { DeepReadonly, Json, KubeObject } from '../../api/types.ts';
import { missingRules, type PolicyRule } from '../authorization/rules.ts';

type Role = Json<k8s.V1ClusterRole>;
type Binding = Json<k8s.V1ClusterRoleBinding>;
type Metadata = DeepReadonly<KubeObject>['metadata'];

const AUTO_UPDATE = 'rbac.authorization.kubernetes.io/autoupdate';
const SPEC_UPDATE = 'apf.kubernetes.io/autoupdate-spec';

/** Administrators say `false` to keep an object as it is. */
const protectedFrom = (meta: Metadata, key: string) => meta?.annotations?.[key] === 'false';

function withExpectedMeta<T extends KubeObject>(current: DeepReadonly<T>, expected: T): T | undefined {
  const labels = { ...current.metadata?.labels, ...expected.metadata?.labels };
  const annotations = { ...current.metadata?.annotations, ...expected.metadata?.annotations };
  if (semanticEqual(labels, current.metadata?.labels) && semanticEqual(annotations, current.metadata?.annotations))
    return undefined;
  return { ...(current as T), metadata: { ...(current as T).metadata, labels, annotations } };
}

/** The role with what it lacks; undefined when it lacks nothing. Rules that were added stay. */
export function reconcileRole(current: DeepReadonly<Role>, expected: Role): Role | undefined {
  if (protectedFrom(current.metadata, AUTO_UPDATE)) return undefined;
  const base = withExpectedMeta(current, expected);
  const selectors = current.aggregationRule?.clusterRoleSelectors ?? [];
  const missingSelectors = (expected.aggregationRule?.clusterRoleSelectors ?? []).filter(
    (s) => !selectors.some((c) => deepEqual(c, s)),
  );
  // The rules of an aggregated role are the aggregation controller's.
  const wanted: readonly PolicyRule[] = expected.aggregationRule ? [] : (expected.rules ?? []);
  const missing = missingRules(current.rules ?? [], wanted);
  if (!base && missingSelectors.length === 0 && missing.length === 0) return undefined;
  const out = base ?? { ...(current as Role) };
  if (missing.length) out.rules = [...(out.rules ?? []), ...(missing as NonNullable<Role['rules']>)];
  if (missingSelectors.length)
    out.aggregationRule = { clusterRoleSelectors: [...(selectors as typeof missingSelectors), ...missingSelectors] };
  return out;
}

/** The binding with the subjects it lacks; 'recreate' when it points at another role, which can't be changed. */
export function reconcileBinding(current: DeepReadonly<Binding>, expected: Binding): Binding | 'recreate' | undefined {
  if (protectedFrom(current.metadata, AUTO_UPDATE)) return undefined;
  if (!deepEqual(current.roleRef, expected.roleRef)) return 'recreate';
  const same = (a: DeepReadonly<Json<k8s.RbacV1Subject>>, b: DeepReadonly<Json<k8s.RbacV1Subject>>) =>
    a.kind === b.kind && a.name === b.name && (a.namespace ?? '') === (b.namespace ?? '');
  const base = withExpectedMeta(current, expected);
  const missing = (expected.subjects ?? []).filter((s) => !current.subjects?.some((c) => same(c, s)));
  if (!base && missing.length === 0) return undefined;
  const out = base ?? { ...(current as Binding) };
  if (missing.length) out.subjects = [...(out.subjects ?? []), ...missing];
  return out;
}

const MANDATORY = new Set(['exempt', 'catch-all']);

/**
 * Flow schemas and priority levels follow the server's idea. Administrators may keep suggested ones as they want them:
 * by the annotation, or by having changed the spec before there was one.
 */
export function reconcileFlowObject<T extends KubeObject & { spec?: object }>(
  current: DeepReadonly<T>,
  expected: T,
): T | undefined {
  const said = current.metadata?.annotations?.[SPEC_UPDATE];
  const mandatory = MANDATORY.has(expected.metadata?.name ?? '');
  const untouched = (current.metadata?.generation ?? 1) === 1;
  const follows = mandatory || (said === 'true' || said === 'false' ? said === 'true' : untouched);
  // Only the fields that are said; defaults that the server added count as the same.
  const fits = !follows || covers(current.spec, expected.spec);
  if (fits && said === String(follows)) return undefined;
  const annotations = { ...current.metadata?.annotations, [SPEC_UPDATE]: String(follows) };
  const metadata = { ...(current as T).metadata, annotations };
  return { ...(current as T), metadata, ...(fits ? {} : { spec: expected.spec }) };
}

function covers(have: unknown, want: unknown): boolean {
  if (Array.isArray(want))
    return Array.isArray(have) && have.length === want.length && want.every((w, i) => covers(have[i], w));
  if (typeof want !== 'object' || want === null) return have === want || (want === null && have === undefined);
  if (typeof have !== 'object' || have === null) return Object.keys(want).length === 0 && have === undefined;
  return Object.entries(want).every(([k, v]) => covers((have as Record<string, unknown>)[k], v));
}
