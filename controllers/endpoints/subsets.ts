/** The subsets of an Endpoints object. Pure. */
import { isIP } from 'node:net';
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../api/types.ts';
import { addressTypes, findPort, hostnameOf, podIPs, type ServiceView } from '../endpointslice/desired.ts';
import { isDeleting, meta } from '../lib/meta.ts';
import { isFinished, isReady, type PodView } from '../lib/pods.ts';

export type Subset = Json<k8s.V1EndpointSubset>;
export type Address = Json<k8s.V1EndpointAddress>;
type Port = Json<k8s.CoreV1EndpointPort>;

/** No Endpoints object lists more addresses. */
const MAX_ADDRESSES = 1000;

function portsOf(service: ServiceView, pod: PodView): Port[] {
  const out: Port[] = [];
  for (const p of service.spec?.ports ?? []) {
    const port = findPort(pod, p);
    if (port === undefined) continue;
    const found: Port = { port, protocol: p.protocol ?? 'TCP' };
    if (p.name) found.name = p.name;
    if (p.appProtocol !== undefined) found.appProtocol = p.appProtocol;
    out.push(found);
  }
  return out;
}

const portKey = (p: Port) => `${p.name ?? ''}/${p.port}/${p.protocol ?? ''}/${p.appProtocol ?? ''}`;

/** A form in which addresses of one family sort by their number. */
function sortable(ip: string): string {
  if (isIP(ip) === 4)
    return ip
      .split('.')
      .map((n) => n.padStart(3, '0'))
      .join('.');
  return ip;
}

function compareAddresses(a: Address, b: Address): number {
  const x = sortable(a.ip);
  const y = sortable(b.ip);
  if (x !== y) return x < y ? -1 : 1;
  return (a.targetRef?.uid ?? '') < (b.targetRef?.uid ?? '') ? -1 : 1;
}

/** The subsets for a Service's pods: addresses with the same ports together, everything sorted. */
export function subsetsOf(service: ServiceView, pods: readonly PodView[]): Subset[] {
  const unready = service.spec?.publishNotReadyAddresses === true;
  const family = addressTypes(service)[0] === 'IPv6' ? 6 : 4;
  const headlessWithoutPorts = (service.spec?.ports ?? []).length === 0 && service.spec?.clusterIP === 'None';
  const groups = new Map<string, { ports: Port[]; ready: Address[]; notReady: Address[] }>();
  for (const pod of pods) {
    if (isFinished(pod) || (isDeleting(pod) && !unready)) continue;
    const ip = podIPs(pod).find((x) => isIP(x) === family);
    if (!ip) continue;
    const ports = portsOf(service, pod).toSorted((a, b) => (portKey(a) < portKey(b) ? -1 : 1));
    if (ports.length === 0 && !headlessWithoutPorts) continue;
    const { name, namespace, uid } = meta(pod);
    const address: Address = { ip, targetRef: { kind: 'Pod', namespace, name, uid } };
    if (pod.spec?.nodeName) address.nodeName = pod.spec.nodeName;
    const hostname = hostnameOf(pod, service);
    if (hostname) address.hostname = hostname;
    const key = ports.map(portKey).join(';');
    let group = groups.get(key);
    if (!group) groups.set(key, (group = { ports, ready: [], notReady: [] }));
    (unready || isReady(pod) ? group.ready : group.notReady).push(address);
  }
  return [...groups.entries()]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, g]) => {
      const s: Subset = {};
      if (g.ready.length) s.addresses = g.ready.toSorted(compareAddresses);
      if (g.notReady.length) s.notReadyAddresses = g.notReady.toSorted(compareAddresses);
      if (g.ports.length) s.ports = g.ports;
      return s;
    });
}

/** Shortens subsets to MAX_ADDRESSES, ready ones first; says whether anything was left out. */
export function truncate(subsets: Subset[]): { subsets: Subset[]; truncated: boolean } {
  const count = (f: (s: Subset) => unknown[] | undefined) => subsets.reduce((n, s) => n + (f(s)?.length ?? 0), 0);
  const total = count((s) => s.addresses) + count((s) => s.notReadyAddresses);
  if (total <= MAX_ADDRESSES) return { subsets, truncated: false };
  let ready = MAX_ADDRESSES;
  const first = subsets.map((s) => {
    const taken = (s.addresses ?? []).slice(0, ready);
    ready -= taken.length;
    return { ...s, addresses: taken };
  });
  const out = first.map((s) => {
    const taken = (s.notReadyAddresses ?? []).slice(0, ready);
    ready -= taken.length;
    return { ...s, notReadyAddresses: taken };
  });
  return { subsets: out.filter((s) => s.addresses.length + s.notReadyAddresses.length > 0), truncated: true };
}

/** Sorts what others wrote, so that it can be compared. */
export function canonical(subsets: readonly Subset[]): Subset[] {
  return subsets.map((s) => ({
    ...s,
    addresses: s.addresses?.toSorted(compareAddresses),
    notReadyAddresses: s.notReadyAddresses?.toSorted(compareAddresses),
    ports: s.ports?.toSorted((a, b) => (portKey(a) < portKey(b) ? -1 : 1)),
  }));
}
