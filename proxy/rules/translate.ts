/** Services and EndpointSlices into service ports with backends. Pure. */
import type { DeepReadonly, EndpointSlice, Service } from '../../api/types.ts';
import { isV6, plainAddress, plainRange } from '../network/addresses.ts';
import type { Backend, Protocol, ServicePort } from './model.ts';

const SERVICE_NAME = 'kubernetes.io/service-name';
const PROXY_NAME = 'service.kubernetes.io/service-proxy-name';
const HEADLESS = 'service.kubernetes.io/headless';
const DEFAULT_AFFINITY_SECONDS = 10_800;
const PROTOCOLS: ReadonlySet<string> = new Set(['tcp', 'udp', 'sctp']);

const isPort = (n: number | undefined): n is number => n !== undefined && Number.isInteger(n) && n > 0 && n < 65_536;

/** The Service a slice belongs to, as namespace/name. */
export function serviceOfSlice(slice: DeepReadonly<EndpointSlice>): string | undefined {
  const name = slice.metadata?.labels?.[SERVICE_NAME];
  return name === undefined ? undefined : `${slice.metadata?.namespace}/${name}`;
}

/** The index of slices by their Service, for informers. */
export const slicesByService = {
  service: (s: DeepReadonly<EndpointSlice>): readonly string[] => [serviceOfSlice(s) ?? ''],
};

/** Whether this proxy is to serve it: not ExternalName, not headless, not claimed by another proxy. */
function isProxied(service: DeepReadonly<Service>): boolean {
  const labels = service.metadata?.labels ?? {};
  const ip = service.spec?.clusterIP;
  return (
    service.spec?.type !== 'ExternalName' &&
    ip !== undefined &&
    ip !== '' &&
    ip !== 'None' &&
    !(PROXY_NAME in labels) &&
    !(HEADLESS in labels)
  );
}

/** An endpoint that is none of this family's addresses is left out, whatever the slice says of itself. */
function backendsOf(
  slices: readonly DeepReadonly<EndpointSlice>[],
  portName: string,
  protocol: Protocol,
  ours: (ip: string) => boolean,
): Backend[] {
  const found = new Map<string, Backend>();
  for (const slice of slices) {
    const port = slice.ports?.find(
      (p) => (p.name ?? '') === portName && (p.protocol ?? 'TCP').toLowerCase() === protocol,
    );
    if (!isPort(port?.port)) continue;
    for (const e of slice.endpoints ?? []) {
      const ip = plainAddress(e.addresses?.[0]);
      if (ip === undefined || !ours(ip)) continue;
      const ready = e.conditions?.ready ?? true;
      const backend: Backend = {
        ip,
        port: port.port,
        ready,
        serving: e.conditions?.serving ?? ready,
        terminating: e.conditions?.terminating ?? false,
        node: e.nodeName,
        zoneHints: e.hints?.forZones?.map((z) => z.name) ?? [],
        nodeHints: e.hints?.forNodes?.map((n) => n.name) ?? [],
      };
      const key = `${ip} ${port.port}`;
      const have = found.get(key);
      // the same address may stand in two slices for a moment; the better state counts
      if (!have || (!have.ready && ready)) found.set(key, backend);
    }
  }
  return [...found.values()].sort((a, b) => (a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : a.port - b.port));
}

/** @throws when it can't be read: without it the Service might be open to all. */
function readableRange(text: string): string {
  const range = plainRange(text);
  if (range === undefined) throw new Error(`loadBalancerSourceRanges: ${JSON.stringify(text)} is no range`);
  return range;
}

/** The service ports of one Service in one address family; what can't be read of it is left out. @throws for ranges. */
export function servicePorts(
  service: DeepReadonly<Service>,
  slices: readonly DeepReadonly<EndpointSlice>[],
  family: 4 | 6,
): ServicePort[] {
  if (!isProxied(service)) return [];
  const spec = service.spec!;
  const ours = (ip: string) => isV6(ip) === (family === 6);
  const addresses = (list: readonly (string | undefined)[]) =>
    list.map(plainAddress).filter((ip) => ip !== undefined && ours(ip)) as string[];
  const clusterIP = addresses(spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP])[0];
  if (clusterIP === undefined) return [];
  const familySlices = slices.filter((s) => s.addressType === (family === 6 ? 'IPv6' : 'IPv4'));
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  const { namespace = '', name = '' } = service.metadata ?? {};
  return (spec.ports ?? []).flatMap((p) => {
    const protocol = (p.protocol ?? 'TCP').toLowerCase() as Protocol;
    if (!PROTOCOLS.has(protocol) || !isPort(p.port)) return [];
    return {
      id: `${namespace}/${name}:${p.name ?? ''}`,
      namespace,
      name,
      portName: p.name ?? '',
      protocol,
      port: p.port,
      clusterIP,
      externalIPs: addresses(spec.externalIPs ?? []),
      loadBalancerIPs: addresses(ingress.filter((i) => i.ipMode !== 'Proxy').map((i) => i.ip)),
      sourceRanges: (spec.loadBalancerSourceRanges ?? []).map(readableRange).filter(ours),
      nodePort: p.nodePort ?? 0,
      healthCheckNodePort: spec.healthCheckNodePort ?? 0,
      affinitySeconds:
        spec.sessionAffinity === 'ClientIP'
          ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS)
          : 0,
      internalLocal: spec.internalTrafficPolicy === 'Local',
      externalLocal: spec.externalTrafficPolicy === 'Local',
      backends: backendsOf(familySlices, p.name ?? '', protocol, ours),
    };
  });
}

/** Which backends a connection may get. */
export interface Chosen {
  /** For traffic under the Cluster policy, after topology hints. */
  cluster: readonly Backend[];
  /** On this node. */
  local: readonly Backend[];
}

/** Ready backends, or those that still serve while they terminate when none is ready (KEP-1669). */
function usable(backends: readonly Backend[]): readonly Backend[] {
  const ready = backends.filter((b) => b.ready);
  return ready.length ? ready : backends.filter((b) => b.serving && b.terminating);
}

/** Hints count only when every ready backend has one and one is meant for us (KEP-2433, KEP-4444). */
function byHints(backends: readonly Backend[], node: string, zone: string): readonly Backend[] {
  if (backends.length === 0) return backends;
  if (backends.every((b) => b.nodeHints.length > 0)) {
    const mine = backends.filter((b) => b.nodeHints.includes(node));
    if (mine.length) return mine;
  }
  if (zone !== '' && backends.every((b) => b.zoneHints.length > 0)) {
    const mine = backends.filter((b) => b.zoneHints.includes(zone));
    if (mine.length) return mine;
  }
  return backends;
}

/** Those for traffic from anywhere, and those on this node, for policies that say Local. */
export function chooseBackends(port: ServicePort, node: string, zone: string): Chosen {
  const here = port.backends.filter((b) => b.node === node);
  const ready = port.backends.filter((b) => b.ready);
  return { cluster: ready.length ? byHints(ready, node, zone) : usable(port.backends), local: usable(here) };
}
