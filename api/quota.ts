/**
 * What objects count for in a ResourceQuota, the same for the admission plugin and for the controller that recounts.
 * https://kubernetes.io/docs/concepts/policy/resource-quotas/
 */
import type * as k8s from '@kubernetes/client-node';
import { addTo, amounts, podTotals, type Amounts } from './pod-resources.ts';
import { Quantity } from './quantity.ts';
import type { DeepReadonly, Json, KubeObject, PersistentVolumeClaim, Pod, Service } from './types.ts';

export type ResourceQuota = DeepReadonly<Json<k8s.V1ResourceQuota>>;
export type ScopeRequirement = DeepReadonly<Json<k8s.V1ScopedResourceSelectorRequirement>>;
type ResourceClaim = DeepReadonly<Json<k8s.ResourceV1ResourceClaim>>;

/** One kind of objects as quotas see it. */
export interface QuotaEvaluator {
  /** The names in `hard` that this kind counts for. */
  tracks(name: string): boolean;
  /** What the object uses; `now` in milliseconds. */
  usage(object: DeepReadonly<KubeObject>, now: number): Amounts;
  /** Absent: a quota with any scope doesn't speak of this kind. */
  matchesScope?(requirement: ScopeRequirement, object: DeepReadonly<KubeObject>): boolean;
  /** A sentence when the object must say more about itself for these names to be counted. */
  constraint?(names: readonly string[], object: DeepReadonly<KubeObject>): string | undefined;
}

const ONE = Quantity.fromInteger(1);
const CLASS_SUFFIX = '.storageclass.storage.k8s.io/';
const DEVICE_SUFFIX = '.deviceclass.resource.k8s.io/devices';
/** Claims for all devices of a class count as the most that one may be given. */
const MAX_DEVICES = 32;

const POD_NAMES = new Set([
  'count/pods',
  'pods',
  'cpu',
  'memory',
  'ephemeral-storage',
  'requests.cpu',
  'requests.memory',
  'requests.ephemeral-storage',
  'limits.cpu',
  'limits.memory',
  'limits.ephemeral-storage',
]);
/** For these a quota demands that every container names its share. */
const DEMANDED = new Set(['cpu', 'memory', 'requests.cpu', 'requests.memory', 'limits.cpu', 'limits.memory']);

const isExtended = (name: string) =>
  name.startsWith('deviceclass.resource.kubernetes.io/') ||
  (name.includes('/') && !/^(?:[^/]*\.)?kubernetes\.io\//.test(name));

function computeUsage(requests: Amounts, limits: Amounts): Amounts {
  const out: Amounts = new Map([['pods', ONE]]);
  for (const name of ['cpu', 'memory', 'ephemeral-storage']) {
    const request = requests.get(name);
    const limit = limits.get(name);
    if (request) out.set(name, request).set(`requests.${name}`, request);
    if (limit) out.set(`limits.${name}`, limit);
  }
  for (const [name, request] of requests) {
    if (name.startsWith('hugepages-')) out.set(name, request).set(`requests.${name}`, request);
    else if (isExtended(name)) out.set(`requests.${name}`, request);
  }
  return out;
}

/** The pod takes no more room: it has ended, or its time to go has passed. */
function isOver(pod: DeepReadonly<Pod>, now: number): boolean {
  if (pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded') return true;
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata ?? {};
  if (!deletionTimestamp || deletionGracePeriodSeconds === undefined) return false;
  return now > Date.parse(deletionTimestamp) + deletionGracePeriodSeconds * 1000;
}

export const hasDeadline = (pod: DeepReadonly<Pod>) => (pod.spec?.activeDeadlineSeconds ?? -1) >= 0;

function isBestEffort(pod: DeepReadonly<Pod>): boolean {
  const spec = pod.spec!;
  const asks = (r: DeepReadonly<Json<k8s.V1ResourceRequirements>> | undefined) =>
    [r?.requests, r?.limits].some((list) =>
      ['cpu', 'memory'].some((n) => list?.[n] !== undefined && !Quantity.tryParse(list[n])?.isZero),
    );
  return !asks(spec.resources) && ![...spec.containers, ...(spec.initContainers ?? [])].some((c) => asks(c.resources));
}

function reachesOtherNamespaces(pod: DeepReadonly<Pod>): boolean {
  const { podAffinity, podAntiAffinity } = pod.spec?.affinity ?? {};
  return [podAffinity, podAntiAffinity].some((a) =>
    [
      ...(a?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
      ...(a?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((w) => w.podAffinityTerm),
    ].some((t) => (t.namespaces?.length ?? 0) > 0 || t.namespaceSelector !== undefined),
  );
}

/** In, NotIn, Exists or DoesNotExist over the values that the object has for the scope. */
function matchesValues(r: ScopeRequirement, values: readonly string[]): boolean {
  const listed = values.some((v) => r.values?.includes(v));
  switch (r.operator) {
    case 'In':
      return listed;
    case 'NotIn':
      return !listed;
    case 'Exists':
      return values.length > 0;
    default:
      return values.length === 0;
  }
}

const pods: QuotaEvaluator = {
  tracks: (name) =>
    POD_NAMES.has(name) ||
    name.startsWith('hugepages-') ||
    name.startsWith('requests.hugepages-') ||
    (name.startsWith('requests.') && name.includes('/')),
  usage(object, now) {
    const pod = object as DeepReadonly<Pod>;
    const out: Amounts = new Map([['count/pods', ONE]]);
    if (isOver(pod, now)) return out;
    addTo(out, computeUsage(podTotals(pod.spec!, 'requests', true), podTotals(pod.spec!, 'limits', true)));
    return out;
  },
  matchesScope(r, object) {
    const pod = object as DeepReadonly<Pod>;
    switch (r.scopeName) {
      case 'Terminating':
        return hasDeadline(pod);
      case 'NotTerminating':
        return !hasDeadline(pod);
      case 'BestEffort':
        return isBestEffort(pod);
      case 'NotBestEffort':
        return !isBestEffort(pod);
      case 'PriorityClass':
        return matchesValues(r, pod.spec?.priorityClassName ? [pod.spec.priorityClassName] : []);
      case 'CrossNamespacePodAffinity':
        return reachesOtherNamespaces(pod);
      default:
        return false;
    }
  },
  constraint(names, object) {
    const demanded = names.filter((n) => DEMANDED.has(n)).sort();
    if (demanded.length === 0) return undefined;
    const spec = (object as DeepReadonly<Pod>).spec!;
    const lacks = (requests: Amounts, limits: Amounts) => {
      const has = computeUsage(requests, limits);
      return demanded.filter((n) => !has.has(n));
    };
    const perPod = spec.resources && (spec.resources.requests || spec.resources.limits);
    if (perPod && lacks(podTotals(spec, 'requests', false), podTotals(spec, 'limits', false)).length === 0)
      return undefined;
    const missing = new Map<string, Set<string>>();
    for (const c of [...spec.containers, ...(spec.initContainers ?? [])]) {
      for (const n of lacks(amounts(c.resources?.requests), amounts(c.resources?.limits))) {
        missing.set(n, (missing.get(n) ?? new Set()).add(c.name));
      }
    }
    if (missing.size === 0) return undefined;
    return `must specify ${[...missing]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([n, who]) => `${n} for: ${[...who].sort().join(',')}`)
      .join('; ')}`;
  },
};

const SERVICE_NAMES = new Set(['services', 'count/services', 'services.nodeports', 'services.loadbalancers']);
const services: QuotaEvaluator = {
  tracks: (name) => SERVICE_NAMES.has(name),
  usage(object) {
    const spec = (object as DeepReadonly<Service>).spec;
    const ports = spec?.ports ?? [];
    const isBalanced = spec?.type === 'LoadBalancer';
    let nodePorts = 0;
    if (spec?.type === 'NodePort' || isBalanced) nodePorts = ports.length;
    if (isBalanced && spec?.allocateLoadBalancerNodePorts === false)
      nodePorts = ports.filter((p) => (p.nodePort ?? 0) !== 0).length;
    return new Map([
      ['count/services', ONE],
      ['services', ONE],
      ['services.loadbalancers', isBalanced ? ONE : Quantity.zero],
      ['services.nodeports', Quantity.fromInteger(nodePorts)],
    ]);
  },
};

const CLAIM_NAMES = ['persistentvolumeclaims', 'requests.storage'];
const persistentVolumeClaims: QuotaEvaluator = {
  tracks: (name) =>
    name === 'count/persistentvolumeclaims' ||
    CLAIM_NAMES.includes(name) ||
    CLAIM_NAMES.some((n) => name.endsWith(CLASS_SUFFIX + n)),
  usage(object) {
    const claim = object as DeepReadonly<PersistentVolumeClaim>;
    const out: Amounts = new Map([
      ['persistentvolumeclaims', ONE],
      ['count/persistentvolumeclaims', ONE],
    ]);
    const storageClass =
      claim.metadata?.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? claim.spec?.storageClassName ?? '';
    if (storageClass) out.set(`${storageClass}${CLASS_SUFFIX}persistentvolumeclaims`, ONE);
    const request = Quantity.tryParse(claim.spec?.resources?.requests?.['storage'] ?? '');
    if (!request) return out;
    const allocated = Quantity.tryParse(claim.status?.allocatedResources?.['storage'] ?? '');
    const exact = allocated && allocated.compare(request) > 0 ? allocated : request;
    const whole = Quantity.fromInteger(exact.asInteger(), exact.format);
    const size = whole.equals(exact) ? exact : whole;
    out.set('requests.storage', size);
    if (storageClass) out.set(`${storageClass}${CLASS_SUFFIX}requests.storage`, size);
    return out;
  },
  matchesScope(r, object) {
    if (r.scopeName !== 'VolumeAttributesClass') return false;
    const { spec, status } = object as DeepReadonly<PersistentVolumeClaim>;
    const names = [
      spec?.volumeAttributesClassName,
      status?.currentVolumeAttributesClassName,
      status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
    ];
    return matchesValues(
      r,
      names.filter((n): n is string => !!n),
    );
  },
};

const resourceClaims: QuotaEvaluator = {
  tracks: (name) => name === 'count/resourceclaims.resource.k8s.io' || name.endsWith(DEVICE_SUFFIX),
  usage(object) {
    const out: Amounts = new Map([['count/resourceclaims.resource.k8s.io', ONE]]);
    const devices = (r: { readonly allocationMode?: string; readonly count?: number }) =>
      r.allocationMode === 'All' ? MAX_DEVICES : (r.count ?? 1);
    for (const request of (object as ResourceClaim).spec?.devices?.requests ?? []) {
      const most = new Map<string, number>();
      // Of alternatives only one is taken, so each class counts with its largest.
      for (const r of request.exactly ? [request.exactly] : (request.firstAvailable ?? [])) {
        most.set(r.deviceClassName, Math.max(most.get(r.deviceClassName) ?? 0, devices(r)));
      }
      for (const [name, n] of most) addTo(out, new Map([[`${name}${DEVICE_SUFFIX}`, Quantity.fromInteger(n)]]));
    }
    return out;
  },
};

/** Core kinds whose plain name counts objects too. */
const PLAIN_COUNTS = new Set(['configmaps', 'resourcequotas', 'replicationcontrollers', 'secrets']);

function countOnly(group: string, resource: string): QuotaEvaluator {
  const names = [`count/${group === '' ? resource : `${resource}.${group}`}`];
  if (group === '' && PLAIN_COUNTS.has(resource)) names.push(resource);
  const used: Amounts = new Map(names.map((n) => [n, ONE]));
  return { tracks: (name) => names.includes(name), usage: () => new Map(used) };
}

/** How objects of this resource count; every namespaced resource can at least be counted. */
export function quotaEvaluator(group: string, resource: string): QuotaEvaluator {
  if (group === '' && resource === 'pods') return pods;
  if (group === '' && resource === 'services') return services;
  if (group === '' && resource === 'persistentvolumeclaims') return persistentVolumeClaims;
  if (group === 'resource.k8s.io' && resource === 'resourceclaims') return resourceClaims;
  return countOnly(group, resource);
}

/** What a quota demands of the objects that it counts. */
export function scopesOf(quota: ResourceQuota): ScopeRequirement[] {
  return [
    ...(quota.spec?.scopes ?? []).map((scopeName) => ({ scopeName, operator: 'Exists' })),
    ...(quota.spec?.scopeSelector?.matchExpressions ?? []),
  ];
}

/** True when the quota's scopes (all of them) take in the object. */
export function inQuotaScope(
  quota: ResourceQuota,
  evaluator: QuotaEvaluator,
  object: DeepReadonly<KubeObject>,
): boolean {
  return scopesOf(quota).every((r) => evaluator.matchesScope?.(r, object) ?? false);
}
