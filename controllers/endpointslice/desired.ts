/** Which endpoints a Service has, from its pods. Pure. */
import { isIP } from 'node:net';
import type { DeepReadonly, Node, Pod, Service } from '../../api/types.ts';
import { isDeleting, meta } from '../lib/meta.ts';
import { isFinished, isReady, type PodView } from '../lib/pods.ts';
import { wantsZones } from './zones.ts';
import { groupKey, type Endpoint, type EndpointPort, type Group } from './pack.ts';

export type ServiceView = DeepReadonly<Service>;
type ServicePort = NonNullable<NonNullable<ServiceView['spec']>['ports']>[number];

/** The container port a service port leads to on that pod; undefined when the pod has no such port. */
export function findPort(pod: PodView, port: ServicePort): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target;
  const protocol = port.protocol ?? 'TCP';
  const sidecars = (pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === 'Always');
  for (const c of [...(pod.spec?.containers ?? []), ...sidecars])
    for (const p of c.ports ?? []) if (p.name === target && (p.protocol ?? 'TCP') === protocol) return p.containerPort;
  return undefined;
}

/** Whether a Service has no address of its own. */
export function isHeadless(service: ServiceView): boolean {
  const ip = service.spec?.clusterIP;
  return ip === undefined || ip === '' || ip === 'None';
}

/** A pod's host name in the Service's domain, if it has one. */
export function hostnameOf(pod: PodView, service: ServiceView): string | undefined {
  const { hostname, subdomain } = pod.spec ?? {};
  return hostname && subdomain === meta(service).name ? hostname : undefined;
}

function portsOf(service: ServiceView, pod: PodView): EndpointPort[] {
  const out: EndpointPort[] = [];
  for (const p of service.spec?.ports ?? []) {
    const port = findPort(pod, p);
    if (port === undefined) continue;
    const found: EndpointPort = { name: p.name ?? '', port, protocol: p.protocol ?? 'TCP' };
    if (p.appProtocol !== undefined) found.appProtocol = p.appProtocol;
    out.push(found);
  }
  return out;
}

/** IPv4 and/or IPv6, as the Service has them. */
export function addressTypes(service: ServiceView): string[] {
  const families = service.spec?.ipFamilies;
  if (families?.length) return [...families];
  const ip = service.spec?.clusterIP;
  return [ip && isIP(ip) === 6 ? 'IPv6' : 'IPv4'];
}

function hints(service: ServiceView, e: Endpoint): Endpoint['hints'] {
  const how = wantsZones(service) ? undefined : service.spec?.trafficDistribution;
  if (how !== 'PreferClose' && how !== 'PreferSameZone' && how !== 'PreferSameNode') return undefined;
  if (!e.conditions?.ready) return undefined;
  const out: NonNullable<Endpoint['hints']> = {};
  if (e.zone !== undefined) out.forZones = [{ name: e.zone }];
  if (how === 'PreferSameNode' && e.nodeName !== undefined) out.forNodes = [{ name: e.nodeName }];
  return out.forZones || out.forNodes ? out : undefined;
}

/** The endpoint that a pod is, for one of its addresses. */
export function endpointOf(
  service: ServiceView,
  pod: PodView,
  addresses: string[],
  node: DeepReadonly<Node> | undefined,
): Endpoint {
  const { name, namespace, uid } = meta(pod);
  const serving = isReady(pod);
  const terminating = isDeleting(pod);
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const e: Endpoint = {
    addresses,
    conditions: { ready, serving, terminating },
    targetRef: { kind: 'Pod', namespace, name, uid },
  };
  if (pod.spec?.nodeName) e.nodeName = pod.spec.nodeName;
  const zone = node?.metadata?.labels?.['topology.kubernetes.io/zone'];
  if (zone) e.zone = zone;
  const hostname = hostnameOf(pod, service);
  if (hostname) e.hostname = hostname;
  const h = hints(service, e);
  if (h) e.hints = h;
  return e;
}

/** All endpoints, grouped; each address family has at least one (maybe empty) group. */
export function desiredGroups(
  service: ServiceView,
  pods: readonly PodView[],
  nodeOf: (name: string) => DeepReadonly<Node> | undefined,
): Group[] {
  const groups = new Map<string, Group>();
  const types = addressTypes(service);
  for (const pod of pods) {
    if (isFinished(pod)) continue;
    const ips = podIPs(pod);
    if (ips.length === 0) continue;
    const ports = portsOf(service, pod);
    for (const addressType of types) {
      const addresses = ips.filter((ip) => isIP(ip) === (addressType === 'IPv6' ? 6 : 4));
      if (addresses.length === 0) continue;
      const key = groupKey({ addressType, ports });
      let group = groups.get(key);
      if (!group) groups.set(key, (group = { addressType, ports, endpoints: [] }));
      group.endpoints.push(
        endpointOf(service, pod, addresses, pod.spec?.nodeName ? nodeOf(pod.spec.nodeName) : undefined),
      );
    }
  }
  const out = [...groups.values()];
  for (const addressType of types)
    if (!out.some((g) => g.addressType === addressType)) out.push({ addressType, ports: [], endpoints: [] });
  return out;
}

/** Addresses of all families, the primary one first. */
export function podIPs(pod: PodView): string[] {
  const { podIP, podIPs: all } = pod.status ?? {};
  if (all?.length) return all.map((x) => x.ip).filter((ip) => ip !== '');
  return podIP ? [podIP] : [];
}

/** Whether an update of a pod can change a Service's endpoints. */
export function endpointRelevant(now: DeepReadonly<Pod>, before: DeepReadonly<Pod>): boolean {
  return (
    now.metadata?.uid !== before.metadata?.uid ||
    isDeleting(now) !== isDeleting(before) ||
    isFinished(now) !== isFinished(before) ||
    isReady(now) !== isReady(before) ||
    now.spec?.nodeName !== before.spec?.nodeName ||
    podIPs(now).join() !== podIPs(before).join() ||
    JSON.stringify(now.metadata?.labels) !== JSON.stringify(before.metadata?.labels)
  );
}
