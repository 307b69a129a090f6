/** Extended resources (`example.com/gpu: 2`) that a device class stands for: a claim is made for them (KEP-5004). */
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { NodeInfo } from '../core/node-info.ts';
import type { PodInfo } from '../core/pod-info.ts';
import { amountOf, isExtendedResource } from '../core/resources.ts';
import type { Lister } from '../listers.ts';
import type { RequestMapping } from './claim-calls.ts';
import type { Claim, Class, DeviceRequest } from './types.ts';

const EXTENDED_CLAIM = 'resource.kubernetes.io/extended-resource-claim';
/** Every class has a resource of this prefix and its own name. */
const IMPLICIT = 'deviceclass.resource.kubernetes.io/';

type Container = DeepReadonly<Pod['spec'] & object>['containers'][number];

/** Could devices stand for the resource at all? */
const mayBeDevices = (name: string): boolean => name.startsWith(IMPLICIT) || isExtendedResource(name);

/** The class behind an extended resource; of several that name it the newest, then the first by name. */
function classFor(resource: string, classes: Lister<Class>): Class | undefined {
  if (resource.startsWith(IMPLICIT)) return classes.get(resource.slice(IMPLICIT.length));
  let best: Class | undefined;
  for (const c of classes.list()) {
    if (c.spec.extendedResourceName !== resource) continue;
    const [a, b] = [c.metadata!, best?.metadata];
    const newer = (a.creationTimestamp ?? '') > (b?.creationTimestamp ?? '');
    const same = a.creationTimestamp === b?.creationTimestamp;
    if (!b || newer || (same && a.name! < b.name!)) best = c;
  }
  return best;
}

/** The extended resources of the pod that a class stands for. */
export function backedResources(pod: PodInfo, classes: Lister<Class>): Map<string, Class> | undefined {
  let out: Map<string, Class> | undefined;
  for (const [name, amount] of pod.requests.scalars ?? []) {
    if (amount === 0 || !mayBeDevices(name)) continue;
    const found = classFor(name, classes);
    if (found) (out ??= new Map<string, Class>()).set(name, found);
  }
  return out;
}

/** The claim that a scheduler made for the pod's extended resources in an earlier attempt. */
export const findExtendedClaim = (pod: PodInfo, claims: readonly Claim[]): Claim | undefined =>
  claims.find(
    (c) =>
      c.metadata?.annotations?.[EXTENDED_CLAIM] === 'true' &&
      c.metadata.ownerReferences?.some((o) => o.controller === true && o.uid === pod.uid),
  );

/** A claim on paper; it gets its name when it is written. */
export function newExtendedClaim(pod: PodInfo, uid: string, requests: readonly DeviceRequest[]): Claim {
  return {
    metadata: {
      namespace: pod.namespace,
      generateName: `${pod.name}-extended-resources-`,
      uid,
      annotations: { [EXTENDED_CLAIM]: 'true' },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: pod.name, uid: pod.uid, controller: true }],
    },
    spec: { devices: { requests } },
  };
}

/** The resources for which the node has no plugin, so that devices must stand in. */
export const neededFrom = (node: NodeInfo, backed: ReadonlyMap<string, Class>): Map<string, Class> =>
  new Map([...backed].filter(([name]) => node.allocatable.get(name) === 0));

/**
 * Device requests for the resources, one for each container that asks for them. What runs to its end before others begin
 * shares devices with them: of the init containers only the greatest need counts.
 */
export function requestsFor(
  pod: PodInfo,
  resources: ReadonlyMap<string, Class>,
): { requests: DeviceRequest[]; mappings: RequestMapping[] } {
  const { initContainers = [], containers } = pod.pod.spec!;
  const all: readonly Container[] = [...initContainers, ...containers];
  const isShort = (i: number) => i < initContainers.length && all[i]!.restartPolicy !== 'Always';
  const requests: DeviceRequest[] = [];
  const mappings: RequestMapping[] = [];
  for (const resource of [...resources.keys()].sort()) {
    const deviceClassName = resources.get(resource)!.metadata!.name!;
    const request = (i: number, count: number): DeviceRequest => {
      const place = Object.keys(all[i]!.resources?.requests ?? {})
        .sort()
        .indexOf(resource);
      return {
        name: `container-${i}-request-${place}`,
        exactly: { deviceClassName, allocationMode: 'ExactCount', count },
      };
    };
    const map = (i: number, requestName: string): RequestMapping => ({
      containerName: all[i]!.name,
      resourceName: resource,
      requestName,
    });
    const wants = all.map((c) => amountOf(resource, c.resources?.requests?.[resource] ?? '0'));
    const long = all.map((_, i) => (!isShort(i) && wants[i]! > 0 ? request(i, wants[i]!) : undefined));
    long.forEach((r, i) => r && mappings.push(map(i, r.name)));
    const short: { at: number; request: DeviceRequest }[] = [];
    const shortMappings: { at: number; name: string }[] = [];
    for (let i = 0; i < all.length; i++) {
      if (!isShort(i) || wants[i] === 0) continue;
      let missing = wants[i]!;
      for (let j = i; j < all.length && missing > 0; j++) {
        const later = long[j];
        if (!later) continue;
        missing -= later.exactly!.count!;
        shortMappings.push({ at: i, name: later.name });
      }
      if (missing <= 0) continue;
      const own = request(i, missing);
      short.push({ at: i, request: own });
      shortMappings.push({ at: i, name: own.name });
    }
    const greatest = short.reduce<DeviceRequest | undefined>(
      (a, b) => (a && a.exactly!.count! >= b.request.exactly!.count! ? a : b.request),
      undefined,
    );
    const replaced = new Set(short.map((s) => s.request.name));
    for (const m of shortMappings) mappings.push(map(m.at, replaced.has(m.name) ? greatest!.name : m.name));
    if (greatest) requests.push(greatest);
    for (const r of long) if (r) requests.push(r);
  }
  requests.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { requests, mappings };
}
