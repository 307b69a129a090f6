/** Which addresses stand behind a port of a Service right now. */
import type { EndpointSlice, Service } from '../../api/types.ts';
import type { Informer } from '../../client/informer.ts';
import { isV6 } from '../network/addresses.ts';
import type { Target } from './table.ts';

/** How a backend is spoken to: HTTP/1.1 or HTTP/2, plain or over TLS (whose certificate nobody vouches for). */
export type Scheme = 'http' | 'https' | 'h2c' | 'h2';

export interface Address {
  host: string;
  port: number;
  scheme: Scheme;
}

/** What a port's `appProtocol` means (KEP-3726, and the names that gRPC has among ingress controllers). */
const SCHEMES: Readonly<Record<string, Scheme>> = {
  https: 'https',
  'kubernetes.io/wss': 'https',
  'kubernetes.io/h2c': 'h2c',
  h2c: 'h2c',
  grpc: 'h2c',
  h2: 'h2',
  grpcs: 'h2',
};
const schemeOf = (appProtocol: string | undefined): Scheme => SCHEMES[(appProtocol ?? '').toLowerCase()] ?? 'http';

export interface Backends {
  /** Addresses in the order to try them; each call begins with the next one. Empty when there is none. */
  addresses(target: Target): Address[];
}

/** `slices` needs an index `service`. */
export function createBackends(services: Informer<Service>, slices: Informer<EndpointSlice>): Backends {
  const known = new Map<string, { list: Address[]; next: number }>();
  const forget = () => known.clear();
  for (const i of [services, slices] as Informer<object>[]) i.on({ added: forget, updated: forget, deleted: forget });

  function find(t: Target): Address[] {
    const service = services.get(t.service, t.namespace);
    const port = service?.spec?.ports?.find((p) => (typeof t.port === 'string' ? p.name : p.port) === t.port);
    const scheme = schemeOf(port?.appProtocol);
    if (service?.spec?.type === 'ExternalName') {
      const number = port?.port ?? (typeof t.port === 'number' ? t.port : 0);
      return service.spec.externalName && number ? [{ host: service.spec.externalName, port: number, scheme }] : [];
    }
    if (!port) return [];
    const ready = new Map<string, Address>();
    const ending = new Map<string, Address>();
    for (const slice of slices.byIndex('service', `${t.namespace}/${t.service}`)) {
      const number = slice.ports?.find((p) => (p.name ?? '') === (port.name ?? ''))?.port;
      if (!number || slice.addressType === 'FQDN') continue;
      for (const e of slice.endpoints ?? []) {
        const host = e.addresses[0];
        if (!host) continue;
        if (e.conditions?.ready !== false) ready.set(host, { host, port: number, scheme });
        else if (e.conditions.serving) ending.set(host, { host, port: number, scheme });
      }
    }
    // an endpoint of both families is reached by IPv4, which every node has
    const all = [...(ready.size ? ready : ending).values()];
    const v4 = all.filter((a) => !isV6(a.host));
    return v4.length ? v4 : all;
  }

  return {
    addresses(t) {
      const key = `${t.namespace}/${t.service}:${t.port}`;
      let entry = known.get(key);
      if (!entry) known.set(key, (entry = { list: find(t), next: 0 }));
      const { list } = entry;
      if (list.length < 2) return list;
      const first = entry.next++ % list.length;
      return [...list.slice(first), ...list.slice(0, first)];
    },
  };
}
