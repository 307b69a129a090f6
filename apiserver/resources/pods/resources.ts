/** Requests and limits of containers and pods. */
import type * as k8s from '@kubernetes/client-node';
import { Quantity } from '../../../api/quantity.ts';
import type { Container, Json, PodSpec } from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';
import { dns1123Label } from '../validation/names.ts';
import {
  containerResourceName,
  isHugePages,
  isOvercommitAllowed,
  quantity,
  quantityOf,
  resourceName,
  resourceQuantity,
} from '../validation/values.ts';
import type { PodOptions } from './options.ts';

type Requirements = Json<k8s.V1ResourceRequirements>;
type NameRule = (f: Field<unknown>, name: string) => void;

const POD_LEVEL = ['cpu', 'memory'];
const podLevelName: NameRule = (f, name) => {
  if (resourceName(f, name) && !POD_LEVEL.includes(name) && !isHugePages(name))
    f.notSupported([...POD_LEVEL, 'hugepages-'], name);
};

function hugePages(q: Field<string>, resource: string, pod: PodOptions): void {
  const size = Quantity.tryParse(resource.slice('hugepages-'.length));
  const whole = size !== undefined && size.sign > 0 && size.asMilli() % 1000n === 0n;
  if (pod.allow?.indivisibleHugePages || (whole && quantity(q.value).asInteger() % size.asInteger() === 0n)) return;
  q.invalid(`${q.value} is not positive integer multiple of ${resource}`);
}

function requirements(f: Field<Requirements>, name: NameRule, claims: ReadonlySet<string>, pod: PodOptions): void {
  const limits = f.get('limits');
  const requests = f.get('requests');
  let compute = false;
  let huge = false;
  const both = (q: Field<string>, resource: string) => {
    name(q, resource);
    resourceQuantity(q, resource);
    if (isHugePages(resource)) {
      huge = true;
      hugePages(q, resource, pod);
    }
    compute ||= resource === 'cpu' || resource === 'memory';
  };
  limits.eachKey(both);
  requests.eachKey((q, resource) => {
    both(q, resource);
    const limit = quantityOf(limits.value, resource);
    const asked = quantity(q.value);
    if (limit === undefined) {
      if (!isOvercommitAllowed(resource)) limits.missing('Limit must be set for non overcommitable resources');
    } else if (!isOvercommitAllowed(resource) ? asked.compare(limit) !== 0 : asked.compare(limit) > 0) {
      const how = isOvercommitAllowed(resource) ? 'less than or equal to' : 'equal to';
      requests.invalid(`must be ${how} ${resource} limit of ${String(limit)}`, q.value);
    }
  });
  if (huge && !compute) f.forbidden('HugePages require cpu or memory');
  resourceClaims(f.get('claims'), claims);
}

function resourceClaims(f: Field<Json<k8s.CoreV1ResourceClaim>[]>, known: ReadonlySet<string>): void {
  const seen = new Set<string>();
  f.each((c) => {
    const { name, request } = c.value ?? { name: '' };
    if (!name) return void c.missing();
    c.get('request').format(dns1123Label);
    const key = request ? `${name}/${request}` : name;
    const clash = seen.has(name) || seen.has(key) || (!request && [...seen].some((k) => k.startsWith(`${name}/`)));
    if (clash) c.duplicate(key);
    seen.add(key);
    if (!known.has(name)) c.notFound(name);
  });
}

export const containerResources = (f: Field<Requirements>, claims: ReadonlySet<string>, pod: PodOptions) =>
  requirements(f, containerResourceName, claims, pod);

/** RuntimeClass overhead, as limits. */
export function overhead(f: Field<Record<string, string>>, pod: PodOptions): void {
  const errors = f.named<Requirements>('', { limits: f.value });
  requirements(errors, containerResourceName, new Set(), pod);
}

const NO_OVERHEAD: Record<string, Quantity> = {};
/** What the containers of a pod ask for at most at one time, sidecars included. */
export function aggregate(spec: PodSpec, of: 'requests' | 'limits'): Record<string, Quantity> {
  const sum: Record<string, Quantity> = { ...NO_OVERHEAD };
  const list = (c: Container) => Object.entries(c.resources?.[of] ?? {}).map(([k, v]) => [k, quantity(v)] as const);
  const add = (to: Record<string, Quantity>, c: Container) => list(c).forEach(([k, q]) => (to[k] = to[k]?.add(q) ?? q));
  for (const c of spec.containers ?? []) add(sum, c);
  const sidecars: Record<string, Quantity> = {};
  const peak: Record<string, Quantity> = {};
  for (const c of spec.initContainers ?? []) {
    const now = { ...sidecars };
    if (c.restartPolicy === 'Always') {
      add(sum, c);
      add(sidecars, c);
      add(now, c);
    } else {
      add(now, c);
    }
    for (const [k, q] of Object.entries(now)) if (!peak[k] || q.compare(peak[k]) > 0) peak[k] = q;
  }
  for (const [k, q] of Object.entries(peak)) if (!sum[k] || q.compare(sum[k]) > 0) sum[k] = q;
  return sum;
}

/** Resources of the pod as a whole. */
export function podResources(spec: Field<PodSpec>, claims: ReadonlySet<string>, pod: PodOptions): void {
  const f = spec.get('resources') as Field<Requirements>;
  if (!f.isSet || spec.value === undefined) return;
  if (spec.value.os?.name === 'windows') return void f.forbidden('may not be set for a windows pod');
  if (f.get('claims').isSet) f.get('claims').forbidden('claims may not be set for Resources at pod-level');
  requirements(f, podLevelName, claims, pod);
  const { requests, limits } = f.value ?? {};
  for (const [k, q] of Object.entries(aggregate(spec.value, 'requests'))) {
    const own = quantityOf(requests, k);
    if (own && q.compare(own) > 0) {
      f.get('requests')
        .key(k, own.toString())
        .invalid(`must be greater than or equal to aggregate container requests of ${String(q)}`);
    }
  }
  for (const [k, q] of Object.entries(aggregate(spec.value, 'limits'))) {
    const own = quantityOf(limits, k);
    if (isHugePages(k) && own && q.compare(own) > 0) {
      f.get('limits')
        .key(k, own.toString())
        .invalid(`must be greater than or equal to aggregate container limits of ${String(q)}`);
    }
  }
  spec.value.containers?.forEach((c, i) => {
    for (const [k, v] of Object.entries(c.resources?.limits ?? {})) {
      const own = quantityOf(limits, k);
      if (own && quantity(v).compare(own) > 0) {
        f.named('containers')
          .at(i, c)
          .key(k, v)
          .named('limits', v)
          .invalid(`must be less than or equal to pod limits of ${String(own)}`);
      }
    }
  });
}
