/** Where a pod may run: affinity, tolerations, spreading. */
import type * as k8s from '@kubernetes/client-node';
import type { Json, LabelSelector } from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from '../validation/names.ts';
import { labelSelector, operatorValues } from '../validation/values.ts';
import type { PodOptions } from './options.ts';

type Requirement = Json<k8s.V1NodeSelectorRequirement>;
type Term = Json<k8s.V1NodeSelectorTerm>;

function requirement(r: Field<Requirement>, allowInvalidValues: boolean): void {
  const values = r.get('values');
  const operator = r.value?.operator;
  if (operator === 'Gt' || operator === 'Lt') {
    if (values.value?.length !== 1) values.missing("must be specified single value when `operator` is 'Lt' or 'Gt'");
  } else if (!operatorValues(r)) r.get('operator').invalid('not a valid selector operator');
  r.get('key').formatAll(qualifiedName);
  if (!allowInvalidValues) values.each((v) => v.formatAll(labelValue));
}

function fieldRequirement(r: Field<Requirement>): void {
  const values = r.get('values');
  if (r.value?.operator !== 'In' && r.value?.operator !== 'NotIn')
    r.get('operator').invalid('not a valid selector operator');
  else if (values.value?.length !== 1) {
    values.missing("must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
  }
  if (r.value?.key !== 'metadata.name') r.get('key').invalid('not a valid field selector key');
  else values.each((v) => v.formatAll(dns1123Subdomain));
}

function term(t: Field<Term>, allowInvalidValues: boolean): void {
  t.get('matchExpressions').each((r) => requirement(r, allowInvalidValues));
  t.get('matchFields').each(fieldRequirement);
}

/** A node selector: alternatives of which one must match. */
export function nodeSelector(f: Field<Json<k8s.V1NodeSelector>>, allowInvalidValues = false): void {
  const terms = f.get('nodeSelectorTerms');
  if (terms.need('must have at least one node selector term')) terms.each((t) => term(t, allowInvalidValues));
}

const weight = (f: Field<number>) =>
  f.check((f.value ?? 0) >= 1 && (f.value ?? 0) <= 100, 'must be in the range 1-100');

function podTerm(t: Field<Json<k8s.V1PodAffinityTerm>>, pod: PodOptions): void {
  const options = { allowInvalidValues: pod.allow?.invalidLabelValuesInSelectors };
  labelSelector(t.get('labelSelector'), options);
  labelSelector(t.get('namespaceSelector'), options);
  for (const n of t.value?.namespaces ?? []) t.named('namespace', n).formatAll(dns1123Label);
  labelKeys(t, t.value?.matchLabelKeys, t.value?.mismatchLabelKeys, t.value?.labelSelector);
  t.get('topologyKey').required('can not be empty').formatAll(qualifiedName);
}

function labelKeys(
  t: Field<{ labelSelector?: LabelSelector }>,
  match: string[] | undefined,
  mismatch: string[] | undefined,
  selector: LabelSelector | undefined,
): void {
  for (const [name, keys] of [
    ['matchLabelKeys', match],
    ['mismatchLabelKeys', mismatch],
  ] as const) {
    const f = t.named(name, keys);
    if (f.isEmpty) continue;
    if (!selector) f.forbidden('must not be specified when labelSelector is not set');
    else f.each((k) => k.formatAll(qualifiedName));
  }
  const seen = new Set(Object.keys(selector?.matchLabels ?? {}));
  for (const e of selector?.matchExpressions ?? []) {
    const i = match?.lastIndexOf(e.key) ?? -1;
    if (i >= 0 && seen.has(e.key)) t.at(i, e.key).invalid('exists in both matchLabelKeys and labelSelector');
    seen.add(e.key);
  }
  match?.forEach((k, i) => {
    if (mismatch?.includes(k))
      t.named('matchLabelKeys').at(i, k).invalid('exists in both matchLabelKeys and mismatchLabelKeys');
  });
}

/** Node affinity, pod affinity and anti-affinity. */
export function affinity(f: Field<Json<k8s.V1Affinity>>, pod: PodOptions): void {
  const node = f.get('nodeAffinity');
  node
    .get('requiredDuringSchedulingIgnoredDuringExecution')
    .with((s) => nodeSelector(s, pod.allow?.invalidNodeAffinityValues));
  node.get('preferredDuringSchedulingIgnoredDuringExecution').each((p) => {
    weight(p.get('weight'));
    term(p.get('preference'), true);
  });
  for (const k of ['podAffinity', 'podAntiAffinity'] as const) {
    f.get(k)
      .get('requiredDuringSchedulingIgnoredDuringExecution')
      .each((t) => podTerm(t, pod));
    f.get(k)
      .get('preferredDuringSchedulingIgnoredDuringExecution')
      .each((p) => {
        weight(p.get('weight'));
        podTerm(p.get('podAffinityTerm'), pod);
      });
  }
}

export const TAINT_EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

export function tolerations(list: Field<Json<k8s.V1Toleration>[]>): void {
  list.each((t) => {
    const { key = '', operator = '', effect = '', value = '', tolerationSeconds } = t.value ?? {};
    t.get('key').format(qualifiedName);
    const op = t.get('operator');
    if (key === '' && operator !== 'Exists') {
      op.invalid('operator must be Exists when `key` is empty, which means "match all values and all keys"');
    }
    if (tolerationSeconds !== undefined && effect !== 'NoExecute') {
      t.get('effect').invalid("effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    switch (operator) {
      case 'Equal':
      case '':
        for (const m of labelValue(value)) op.invalid(m, value);
        break;
      case 'Exists':
        if (value) op.invalid("value must be empty when `operator` is 'Exists'", value);
        break;
      default:
        op.notSupported(['Equal', 'Exists']);
    }
    if (effect) t.get('effect').oneOf(TAINT_EFFECTS);
  });
}

export function topologySpread(list: Field<Json<k8s.V1TopologySpreadConstraint>[]>, pod: PodOptions): void {
  list.each((c, i) => {
    const { topologyKey, whenUnsatisfiable, minDomains, matchLabelKeys, labelSelector: selector } = c.value!;
    c.get('maxSkew').check((c.value?.maxSkew ?? 0) > 0, 'must be greater than zero');
    c.get('topologyKey').required('can not be empty');
    const actions = ['DoNotSchedule', 'ScheduleAnyway'];
    if (!actions.includes(whenUnsatisfiable)) c.get('whenUnsatisfiable').notSupported(actions);
    const again = (list.value ?? [])
      .slice(i + 1)
      .some((o) => o.topologyKey === topologyKey && o.whenUnsatisfiable === whenUnsatisfiable);
    if (again) c.named('{topologyKey, whenUnsatisfiable}').duplicate(`{${topologyKey}, ${whenUnsatisfiable}}`);
    if (minDomains !== undefined) {
      c.get('minDomains')
        .positive()
        .check(
          whenUnsatisfiable === 'DoNotSchedule',
          `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`,
        );
    }
    for (const k of ['nodeAffinityPolicy', 'nodeTaintsPolicy'] as const) c.get(k).oneOf(['Ignore', 'Honor']);
    labelKeys(c, matchLabelKeys, undefined, selector);
    if (!pod.allow?.invalidTopologySelectors) labelSelector(c.get('labelSelector'));
  });
}

/** Resource claims of a pod, by their names inside the pod. */
export function podClaims(list: Field<Json<k8s.V1PodResourceClaim>[]>, pod: PodOptions): Set<string> {
  const names = new Set<string>();
  list.each((c) => {
    if (pod.annotations?.['kubernetes.io/config.mirror'] !== undefined) {
      // The complaint is about the pod as a whole.
      c.add({
        type: 'FieldValueForbidden',
        field: '',
        message: 'Forbidden: static pods do not support resource claims',
      });
      return;
    }
    const name = c.get('name');
    if (name.need()) {
      if (names.has(name.value!)) name.duplicate();
      else name.format(dns1123Label);
      names.add(name.value!);
    }
    const sources = [c.get('resourceClaimName'), c.get('resourceClaimTemplateName')].filter((s) => s.isSet);
    if (sources.length > 1)
      c.invalid('at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified');
    if (sources.length === 0) c.invalid('must specify one of: `resourceClaimName`, `resourceClaimTemplateName`');
    for (const s of sources) s.formatAll(dns1123Subdomain);
  });
  return names;
}
