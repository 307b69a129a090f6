/** Finds where a node's kubelet, a pod or a Service answers. */
import type http from 'node:http';
import { badRequest, notFound, serviceUnavailable, StatusError } from '../../api/status.ts';
import type { DeepReadonly, EndpointSlice, Node, Pod, Service } from '../../api/types.ts';
import type { Rand } from '../../base/clock.ts';
import type { ObjectReader } from '../registry/definition.ts';

export interface Located {
  scheme: 'http' | 'https';
  host: string;
  port: number;
}

/** How kubelets are reached. */
export interface KubeletSettings {
  /** Kinds of node addresses in order of preference. */
  preferredAddressTypes: readonly string[];
  /** Presents the API server's client certificate. */
  agent: http.Agent;
}

const DEFAULT_KUBELET_PORT = 10_250;

/** By the first of the preferred types of address that the node has. Throws StatusErrors. */
export function locateKubelet(reader: ObjectReader, nodeName: string, settings: KubeletSettings): Located {
  const node = reader.get<Node>('nodes', '', nodeName);
  if (!node) throw notFound({ group: '', resource: 'nodes' }, nodeName);
  const addresses = node.status?.addresses ?? [];
  for (const type of settings.preferredAddressTypes) {
    const found = addresses.find((a) => a.type === type);
    if (found)
      return {
        scheme: 'https',
        host: found.address,
        port: node.status?.daemonEndpoints?.kubeletEndpoint?.Port || DEFAULT_KUBELET_PORT,
      };
  }
  throw new StatusError(500, '', `no preferred addresses found for node ${JSON.stringify(nodeName)}`);
}

/** `[scheme:]name[:port]` as proxy paths have it. */
export function splitProxyName(id: string): { scheme: string; name: string; port: string } {
  const parts = id.split(':');
  if (parts.length === 1) return { scheme: '', name: id, port: '' };
  if (parts.length === 2) return { scheme: '', name: parts[0]!, port: parts[1]! };
  if (parts.length === 3 && (parts[0] === 'http' || parts[0] === 'https' || parts[0] === ''))
    return { scheme: parts[0], name: parts[1]!, port: parts[2]! };
  throw badRequest(`invalid proxy request ${JSON.stringify(id)}`);
}

const schemeOf = (scheme: string): 'http' | 'https' => (scheme === 'https' ? 'https' : 'http');

/** `id` is `[scheme:]name[:port]`; the port defaults to the pod's first. Throws StatusErrors. */
export function locatePod(reader: ObjectReader, namespace: string, id: string): Located {
  const { scheme, name, port } = splitProxyName(id);
  const pod = reader.get<Pod>('pods', namespace, name);
  if (!pod) throw notFound({ group: '', resource: 'pods' }, name);
  const ip = pod.status?.podIP;
  if (!ip) throw badRequest('address not allowed');
  const first = pod.spec?.containers?.flatMap((c) => c.ports ?? [])[0]?.containerPort;
  return {
    scheme: schemeOf(scheme),
    host: ip,
    port: port === '' ? (first ?? (scheme === 'https' ? 443 : 80)) : portNumber(port),
  };
}

function portNumber(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1 || n > 65_535) throw badRequest(`invalid port ${JSON.stringify(text)}`);
  return n;
}

/** A ready endpoint of a Service's port, taken at random; the port is a name, a number, or the only one. */
export function locateService(reader: ObjectReader, rand: Rand, namespace: string, id: string): Located {
  const { scheme, name, port } = splitProxyName(id);
  const service = reader.get<Service>('services', namespace, name);
  if (!service) throw notFound({ group: '', resource: 'services' }, name);
  const ports = service.spec?.ports ?? [];
  const wanted = ports.find((p) =>
    port === '' ? ports.length === 1 || (p.name ?? '') === '' : p.name === port || String(p.port) === port,
  );
  if (!wanted)
    throw serviceUnavailable(`no service port ${JSON.stringify(port)} found for service ${JSON.stringify(name)}`);
  if (service.spec?.type === 'ExternalName')
    return { scheme: schemeOf(scheme), host: service.spec.externalName ?? '', port: wanted.port };
  const found = readyEndpoints(reader, namespace, name, wanted.name ?? '');
  if (found.length === 0) throw serviceUnavailable(`no endpoints available for service ${JSON.stringify(id)}`);
  return { scheme: schemeOf(scheme), ...found[Math.floor(rand.next() * found.length)]! };
}

/** Addresses and ports that serve a Service's port now. */
function readyEndpoints(
  reader: ObjectReader,
  namespace: string,
  service: string,
  portName: string,
): { host: string; port: number }[] {
  const out: { host: string; port: number }[] = [];
  for (const slice of reader.list<EndpointSlice>(
    'discovery.k8s.io/endpointslices',
    namespace,
  ) as DeepReadonly<EndpointSlice>[]) {
    if (slice.metadata?.labels?.['kubernetes.io/service-name'] !== service) continue;
    const port = slice.ports?.find((p) => (p.name ?? '') === portName)?.port;
    if (!port) continue;
    for (const e of slice.endpoints ?? [])
      if (e.conditions?.ready !== false) for (const host of e.addresses) out.push({ host, port });
  }
  return out;
}
