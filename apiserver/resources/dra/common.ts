/** Pieces of resource.k8s.io kinds: names, selectors, configuration, taints. */
import type * as k8s from '@kubernetes/client-node';
import { DEVICE_VARIABLES } from '../../../api/cel/devices.ts';
import { isCIdentifier } from '../../../api/validation/names.ts';
import type { Json } from '../../../api/types.ts';
import { csiDriverName } from '../pods/volume-sources.ts';
import { compiles } from '../validation/expressions.ts';
import type { Field } from '../validation/field.ts';
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from '../validation/names.ts';
import { bounded } from './sets.ts';

export const GROUP = 'resource.k8s.io';
export const MAX = {
  requests: 32,
  constraints: 32,
  config: 32,
  selectors: 32,
  alternatives: 8,
  tolerations: 16,
  results: 32,
  reservedFor: 256,
  expression: 10 * 1024,
  parameters: 10 * 1024,
  poolName: 253,
  id: 32,
  value: 64,
  bindingConditions: 4,
} as const;

export const driverName = csiDriverName;
/** Names of devices, requests and counters. */
export const label = (f: Field<string>) => f.formatAll(dns1123Label);

/** Subdomains with slashes between. */
export function poolName(f: Field<string>): void {
  if (!f.need()) return;
  f.maxLength(MAX.poolName);
  for (const part of f.value!.split('/')) for (const m of dns1123Subdomain(part)) f.invalid(m, part);
}

function identifier(f: Field<string>, text: string): void {
  if (text.length > MAX.id) f.tooLong(MAX.id);
  for (const m of isCIdentifier(text)) f.invalid(m, text);
}
/** `domain/name` or `name`, as attributes and capacities are called. */
export function attributeName(f: Field<string>): void {
  const parts = (f.value ?? '').split('/');
  if (parts.length === 1) identifier(f, parts[0]!);
  if (parts.length !== 2) return;
  const [domain, name] = parts as [string, string];
  if (domain === '') f.invalid('the domain must not be empty', '');
  else driverName(f.named('', domain));
  if (name === '') f.invalid('the name must not be empty', '');
  else identifier(f, name);
}

/** `DOMAIN/IDENTIFIER`; the domain must be there. */
export function fullAttributeName(f: Field<string>): void {
  attributeName(f);
  f.check((f.value ?? '').includes('/'), 'a fully qualified name must be a domain and a name separated by a slash');
}

/** CEL expressions over a device; they must compile, and not cost too much. */
export function selectors(f: Field<Json<k8s.V1DeviceSelector>[]>): void {
  bounded(f, MAX.selectors, (s) => {
    const cel = s.get('cel');
    if (!cel.isSet) return void cel.missing();
    const text = cel.get('expression');
    if (Buffer.byteLength(text.value ?? '') > MAX.expression) text.tooLong(MAX.expression);
    else compiles(text, { names: DEVICE_VARIABLES, bindings: true, open: true });
  });
}

/** An object of unknown form. */
export function rawObject(f: Field<unknown>, max: number): void {
  if (f.value === undefined) f.missing();
  else if (Buffer.byteLength(JSON.stringify(f.value)) > max) f.tooLong(max);
  else f.check(typeof f.value === 'object' && !Array.isArray(f.value), 'must be a valid JSON object');
}

/** A driver's own parameters, an object of limited size. */
export function configuration(f: Field<{ opaque?: Json<k8s.V1OpaqueDeviceConfiguration> }>): void {
  const opaque = f.get('opaque');
  if (!opaque.isSet) return void opaque.missing();
  driverName(opaque.get('driver'));
  rawObject(opaque.get('parameters') as Field<unknown>, MAX.parameters);
}

const EFFECTS = ['NoExecute', 'NoSchedule', 'None'];

/** A device's taint: key, value, effect. */
export function taint(f: Field<Json<k8s.V1DeviceTaint>>): void {
  f.get('key').formatAll(qualifiedName);
  f.get('value').format(labelValue);
  f.get('effect').enumerated(EFFECTS);
}

/** What taints of devices a request puts up with. */
export function toleration(f: Field<Json<k8s.V1DeviceToleration>>): void {
  f.get('key').format(qualifiedName);
  const operator = f.get('operator').enumerated(['Equal', 'Exists']);
  const value = f.get('value');
  if (operator.value === 'Exists') value.check(value.isEmpty, 'must be empty for operator `Exists`');
  if (operator.value === 'Equal') value.formatAll(labelValue);
  if (f.value?.effect) f.get('effect').oneOf(EFFECTS);
}

/** Conditions that a device needs before pods may use it, and those that end the wait. */
export function bindingConditions(
  f: Field<{ bindingConditions?: string[]; bindingFailureConditions?: string[] }>,
): void {
  const good = f.get('bindingConditions');
  const bad = f.get('bindingFailureConditions');
  for (const list of [good, bad]) {
    bounded(list, MAX.bindingConditions, (c) => c.formatAll(qualifiedName));
    list.unique((c) => c);
  }
  bad.each((c) =>
    c.check(!good.value?.includes(c.value!), 'bindingFailureConditions must not overlap with bindingConditions'),
  );
  if (good.isEmpty && !bad.isEmpty) good.invalid('bindingConditions are required to use bindingFailureConditions');
  if (bad.isEmpty && !good.isEmpty) bad.invalid('bindingFailureConditions are required to use bindingConditions');
}
