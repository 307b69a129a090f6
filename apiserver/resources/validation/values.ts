/** Rules that many kinds share: labels, selectors, quantities, IntOrString, conditions. */
import type * as k8s from '@kubernetes/client-node';
import { Quantity } from '../../../api/quantity.ts';
import type { Json, LabelSelector } from '../../../api/types.ts';
import type { Field } from './field.ts';
import { percent } from './formats.ts';
import { dns1123Subdomain, labelValue, qualifiedName } from './names.ts';

export type Labels = Record<string, string>;
type ResourceList = Record<string, string>;
export type IntOrString = number | string;

/** Label keys and values; complaints name the map, not the key. */
export function labels(f: Field<Labels>): void {
  for (const [k, v] of Object.entries(f.value ?? {})) {
    for (const m of qualifiedName(k)) f.invalid(m, k);
    for (const m of labelValue(v)) f.invalid(m, v);
  }
}

const ANNOTATIONS_LIMIT = 256 * 1024;

/** Keys are qualified names; all of them together are bounded, in bytes. */
export function annotations(f: Field<Labels>): void {
  let size = 0;
  for (const [k, v] of Object.entries(f.value ?? {})) {
    for (const m of qualifiedName(k.toLowerCase())) f.invalid(m, k);
    size += Buffer.byteLength(k) + Buffer.byteLength(v);
  }
  if (size > ANNOTATIONS_LIMIT) f.tooLong(ANNOTATIONS_LIMIT);
}

/** Asks for the values that a requirement's operator goes with; false for an operator that isn't among the common ones. */
export function operatorValues(r: Field<{ operator: string; values?: string[] }>): boolean {
  const values = r.get('values');
  switch (r.value?.operator) {
    case 'In':
    case 'NotIn':
      values.required("must be specified when `operator` is 'In' or 'NotIn'");
      return true;
    case 'Exists':
    case 'DoesNotExist':
      values.absent("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
      return true;
    default:
      return false;
  }
}

/** A label selector with matchLabels and matchExpressions. */
export function labelSelector(
  f: Field<LabelSelector>,
  options: { allowInvalidValues?: boolean; allowUnknownOperator?: boolean } = {},
): void {
  labels(f.get('matchLabels') as Field<Labels>);
  f.get('matchExpressions').each((e) => {
    if (!operatorValues(e) && !options.allowUnknownOperator) e.get('operator').invalid('not a valid selector operator');
    e.get('key').formatAll(qualifiedName);
    if (!options.allowInvalidValues) e.get('values').each((v) => v.formatAll(labelValue));
  });
}

/** Whether a selector selects everything because it says nothing. */
export const isEmptySelector = (s: LabelSelector | undefined) =>
  s === undefined || (Object.keys(s.matchLabels ?? {}).length === 0 && (s.matchExpressions ?? []).length === 0);

/** Whether `selector` matches a set of labels; undefined when it can't be read. */
export function selectorMatches(selector: LabelSelector, set: Labels | undefined): boolean {
  const has = (k: string) => set !== undefined && Object.hasOwn(set, k);
  for (const [k, v] of Object.entries(selector.matchLabels ?? {})) if (!has(k) || set?.[k] !== v) return false;
  return (selector.matchExpressions ?? []).every((e) => {
    const value = set?.[e.key];
    switch (e.operator) {
      case 'In':
        return has(e.key) && (e.values ?? []).includes(value ?? '');
      case 'NotIn':
        return !has(e.key) || !(e.values ?? []).includes(value ?? '');
      case 'Exists':
        return has(e.key);
      case 'DoesNotExist':
        return !has(e.key);
      default:
        return false;
    }
  });
}

/** The quantity of a field that was decoded as one. */
export const quantity = (text: unknown) => Quantity.tryParse(text as string) ?? Quantity.zero;
export const quantityOf = (list: Readonly<Record<string, unknown>> | undefined, name: string): Quantity | undefined =>
  list?.[name] === undefined ? undefined : quantity(list[name]);
export const nonNegativeQuantity = (f: Field<string>) =>
  f.check(f.value === undefined || quantity(f.value).sign >= 0, 'must be greater than or equal to 0');
export const positiveQuantity = (f: Field<string>) =>
  f.check(f.value === undefined || quantity(f.value).sign > 0, 'must be greater than zero');

/** A list of amounts by resource name, each checked by name and value. */
export function resourceList(f: Field<ResourceList>, name: (f: Field<string>, resource: string) => void): void {
  f.eachKey((q, resource) => {
    name(q, resource);
    resourceQuantity(q, resource);
  });
}

/** Not negative, and whole for what can only be counted. */
export function resourceQuantity(q: Field<string>, resource: string): void {
  nonNegativeQuantity(q);
  if (isIntegerResource(resource) && quantity(q.value).asMilli() % 1000n !== 0n) q.invalid('must be an integer');
}

const STANDARD_CONTAINER = ['cpu', 'memory', 'ephemeral-storage'];
const OBJECT_COUNTS = [
  'pods',
  'resourcequotas',
  'services',
  'replicationcontrollers',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
  'services.nodeports',
  'services.loadbalancers',
];
const STANDARD_QUOTA = new Set([
  ...STANDARD_CONTAINER,
  ...OBJECT_COUNTS,
  'requests.cpu',
  'requests.memory',
  'requests.storage',
  'requests.ephemeral-storage',
  'limits.cpu',
  'limits.memory',
  'limits.ephemeral-storage',
]);
export const isHugePages = (r: string) => r.startsWith('hugepages-');
const isQuotaHugePages = (r: string) => isHugePages(r) || r.startsWith('requests.hugepages-');
export const isNativeResource = (r: string) => !r.includes('/') || r.includes('kubernetes.io/');
export const isExtendedResource = (r: string) =>
  !isNativeResource(r) && !r.startsWith('requests.') && qualifiedName(`requests.${r}`).length === 0;
const isIntegerResource = (r: string) => OBJECT_COUNTS.includes(r) || isExtendedResource(r);
export const isOvercommitAllowed = (r: string) => isNativeResource(r) && !isHugePages(r);
export const isStandardQuotaResource = (r: string) => STANDARD_QUOTA.has(r) || isQuotaHugePages(r);

/** A resource's name anywhere; false after complaining. */
export function resourceName(f: Field<unknown>, name: string): boolean {
  const errors = qualifiedName(name);
  for (const m of errors) f.invalid(m, name);
  if (errors.length > 0) return false;
  if (!name.includes('/') && name !== 'storage' && !isStandardQuotaResource(name)) {
    f.invalid('must be a standard resource type or fully qualified', name);
    return false;
  }
  return true;
}

/** Standard resources, huge pages, and extended resources with a domain. */
export function containerResourceName(f: Field<unknown>, name: string): void {
  resourceName(f, name);
  if (!name.includes('/')) {
    if (!STANDARD_CONTAINER.includes(name) && !isHugePages(name))
      f.invalid('must be a standard resource for containers', name);
  } else if (!isNativeResource(name) && !isExtendedResource(name)) {
    f.invalid("doesn't follow extended resource name standard", name);
  }
}

/** A positive number or a percentage. */
export function positiveIntOrPercent(f: Field<IntOrString>): void {
  if (typeof f.value === 'string') for (const m of percent(f.value)) f.invalid(m);
  else f.nonNegative();
}
/** A percentage above 100 is too much. */
export function notOver100Percent(f: Field<IntOrString>): void {
  if (typeof f.value === 'string' && percent(f.value).length === 0 && Number.parseInt(f.value, 10) > 100) {
    f.invalid('must not be greater than 100%');
  }
}
/** The number, or the percentage's number; 0 when it is neither. */
export const intOrPercentValue = (v: IntOrString | undefined) =>
  typeof v === 'string' ? (percent(v).length === 0 ? Number.parseInt(v, 10) : 0) : Number(v ?? 0);

/** metav1.Conditions. */
export function conditions(f: Field<Json<k8s.V1Condition>[]>): void {
  f.unique(
    (c) => c.type,
    (c) => c.get('type'),
  );
  f.each((c) => {
    c.get('type').formatAll(qualifiedName);
    c.get('status').with((s) => s.oneOf(['True', 'False', 'Unknown']));
    if (!c.get('status').isSet) c.get('status').notSupported(['True', 'False', 'Unknown'], '');
    c.get('observedGeneration').nonNegative();
    c.get('lastTransitionTime').required();
    const reason = c.get('reason');
    if (reason.need()) {
      reason.check(
        /^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/.test(reason.value ?? ''),
        "a condition reason must start with an alphabetic character and consist of alphanumeric characters or '_,:'",
      );
      reason.maxLength(1024);
    }
    c.get('message').maxLength(32 * 1024);
  });
}

/** `domain/path`. */
export function domainPrefixedPath(f: Field<string>): void {
  if (!f.need()) return;
  const [domain = '', ...rest] = f.value!.split('/');
  if (rest.length === 0 || domain === '' || rest.join('/') === '')
    return void f.invalid('must be a domain-prefixed path (such as "acme.io/foo")');
  for (const m of dns1123Subdomain(domain)) f.invalid(m, domain);
  if (!/^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/.test(rest.join('/'))) f.invalid('Invalid path');
}
