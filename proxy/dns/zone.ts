/**
 * What the names of a cluster resolve to.
 * Specification: https://github.com/kubernetes/dns/blob/master/docs/specification.md
 */
import type { DeepReadonly, EndpointSlice, Namespace, Service } from '../../api/types.ts';
import type { Informer } from '../../client/informer.ts';
import { HEADLESS } from '../slim.ts';
import { serviceOfSlice } from '../rules/translate.ts';
import { RCODE, TYPE, type Answer, type ResourceRecord } from './wire.ts';

const TTL = 30;
const VERSION = '1.1.0';

export interface ZoneSources {
  services: Informer<Service>;
  slices: Informer<EndpointSlice>;
  namespaces: Informer<Namespace>;
}

/** Indexes that the zone needs on its informers. */
export const serviceIndexers = {
  ip: (s: DeepReadonly<Service>): readonly string[] =>
    (s.spec?.clusterIPs ?? [s.spec?.clusterIP ?? '']).filter((ip) => ip !== '' && ip !== 'None'),
};
export const sliceIndexers = {
  service: (s: DeepReadonly<EndpointSlice>): readonly string[] => [serviceOfSlice(s) ?? ''],
  // only endpoints with a name of their own have one to be found by
  ip: (s: DeepReadonly<EndpointSlice>): readonly string[] =>
    (s.endpoints ?? []).flatMap((e) =>
      e.hostname !== undefined || HEADLESS in (s.metadata?.labels ?? {}) ? e.addresses : [],
    ),
};

interface Endpoint {
  /** First label of its own name. */
  label: string;
  hostname: string | undefined;
  address: string;
  ports: readonly { readonly name?: string; readonly protocol?: string; readonly port?: number }[];
}

const isHeadless = (s: DeepReadonly<Service>) => s.spec?.clusterIP === 'None';
const dashed = (ip: string) => ip.replaceAll('.', '-').replaceAll(':', '-');
const addressType = (ip: string) => (ip.includes(':') ? TYPE.AAAA : TYPE.A);

/** A cluster's zone; `resolve` returns undefined for names outside of it. */
export function createZone(domain: string, sources: ZoneSources) {
  const { services, slices, namespaces } = sources;
  const suffix = `.${domain}`;

  const soa = (): ResourceRecord => ({
    type: TYPE.SOA,
    name: domain,
    ttl: TTL,
    primary: `ns.dns.${domain}`,
    mailbox: `hostmaster.${domain}`,
    serial: 1,
    minimum: TTL,
  });
  const found = (answers: ResourceRecord[], additional: ResourceRecord[] = []): Answer =>
    answers.length
      ? { rcode: RCODE.NOERROR, authoritative: true, answers, additional }
      : { rcode: RCODE.NOERROR, authoritative: true, answers, authority: [soa()] };
  const missing = (): Answer => ({ rcode: RCODE.NXDOMAIN, authoritative: true, answers: [], authority: [soa()] });
  const address = (name: string, ip: string): ResourceRecord => ({
    type: addressType(ip),
    name,
    ttl: TTL,
    address: ip,
  });

  function endpointsOf(key: string): Endpoint[] {
    const out = new Map<string, Endpoint>();
    for (const slice of slices.byIndex('service', key))
      for (const e of slice.endpoints ?? []) {
        if (e.conditions?.ready === false) continue;
        for (const ip of e.addresses)
          out.set(ip, { label: e.hostname ?? dashed(ip), hostname: e.hostname, address: ip, ports: slice.ports ?? [] });
      }
    return [...out.values()];
  }
  const clusterIPs = (s: DeepReadonly<Service>) => s.spec?.clusterIPs ?? [s.spec?.clusterIP ?? ''];

  /** SRV records for ports that `wanted` accepts, with the addresses of their targets. */
  function srv(
    qname: string,
    base: string,
    service: DeepReadonly<Service>,
    key: string,
    wanted: (name: string, protocol: string) => boolean,
  ): Answer {
    const answers: ResourceRecord[] = [];
    const additional: ResourceRecord[] = [];
    const add = (port: number, target: string) =>
      answers.push({ type: TYPE.SRV, name: qname, ttl: TTL, priority: 0, weight: 0, port, target });
    if (isHeadless(service))
      for (const e of endpointsOf(key)) {
        const target = `${e.label}.${base}`;
        const ports = e.ports.filter((p) => p.port !== undefined && wanted(p.name ?? '', p.protocol ?? 'TCP'));
        for (const p of ports) add(p.port!, target);
        if (ports.length) additional.push(address(target, e.address));
      }
    else {
      for (const p of service.spec?.ports ?? []) if (wanted(p.name ?? '', p.protocol ?? 'TCP')) add(p.port, base);
      if (answers.length) for (const ip of clusterIPs(service)) additional.push(address(base, ip));
    }
    if (answers.length === 0) return missing();
    const weight = Math.max(1, Math.floor(100 / answers.length));
    for (const a of answers) if (a.type === TYPE.SRV) a.weight = weight;
    return found(answers, additional);
  }

  function serviceName(qname: string, type: number, labels: string[]): Answer {
    // [port, protocol | endpoint,] service, namespace
    const namespace = labels.at(-1);
    const name = labels.at(-2);
    if (namespace === undefined) return found([]);
    if (name === undefined) return namespaces.get(namespace) ? found([]) : missing();
    const service = services.get(name, namespace);
    if (!service) return missing();
    const key = `${namespace}/${name}`;
    const base = `${name}.${namespace}.svc${suffix}`;
    const rest = labels.slice(0, -2);
    if (service.spec?.type === 'ExternalName') {
      if (rest.length) return missing();
      return found([
        {
          type: TYPE.CNAME,
          name: qname,
          ttl: TTL,
          target: (service.spec.externalName ?? '').toLowerCase().replace(/\.$/, ''),
        },
      ]);
    }
    if (rest.length === 2 && rest[0]!.startsWith('_') && rest[1]!.startsWith('_')) {
      const [port, protocol] = [rest[0]!.slice(1), rest[1]!.slice(1)];
      const answer = srv(qname, base, service, key, (n, p) => n.toLowerCase() === port && p.toLowerCase() === protocol);
      return answer.rcode === RCODE.NOERROR && type !== TYPE.SRV && type !== TYPE.ANY ? found([]) : answer;
    }
    if (rest.length > 1) return missing();
    if (rest.length === 1) {
      const mine = endpointsOf(key).filter((e) => e.label.toLowerCase() === rest[0]);
      if (mine.length === 0) return missing();
      return found(
        mine.filter((e) => type === addressType(e.address) || type === TYPE.ANY).map((e) => address(qname, e.address)),
      );
    }
    if (type === TYPE.SRV) return srv(qname, base, service, key, () => true);
    const ips = isHeadless(service) ? endpointsOf(key).map((e) => e.address) : clusterIPs(service);
    if (isHeadless(service) && ips.length === 0) return missing();
    return found(ips.filter((ip) => type === addressType(ip) || type === TYPE.ANY).map((ip) => address(qname, ip)));
  }

  /** a-b-c-d.namespace.pod: no look-up of the pod, as CoreDNS' "insecure" mode. */
  function podName(qname: string, type: number, labels: string[]): Answer {
    const [dashes, namespace, more] = labels;
    if (dashes === undefined) return found([]);
    if (namespace === undefined) return namespaces.get(dashes) ? found([]) : missing();
    if (more !== undefined || !namespaces.get(namespace)) return missing();
    const v4 = /^(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})$/.exec(dashes);
    const ip = v4 ? v4.slice(1).join('.') : dashes.replaceAll('-', ':');
    if (v4 ? v4.slice(1).some((p) => Number(p) > 255) : !/^[0-9a-f:]*:[0-9a-f:]*$/.test(ip)) return missing();
    return found(type === addressType(ip) || type === TYPE.ANY ? [address(qname, ip)] : []);
  }

  function reverse(qname: string): Answer | undefined {
    const ip = reverseAddress(qname);
    if (ip === undefined) return undefined;
    const answers: ResourceRecord[] = [];
    const ptr = (target: string) => answers.push({ type: TYPE.PTR, name: qname, ttl: TTL, target });
    for (const s of services.byIndex('ip', ip)) ptr(`${s.metadata?.name}.${s.metadata?.namespace}.svc${suffix}`);
    if (answers.length === 0)
      for (const slice of slices.byIndex('ip', ip)) {
        const [namespace, name] = (serviceOfSlice(slice) ?? '').split('/');
        const e = slice.endpoints?.find((x) => x.addresses.includes(ip));
        const service = services.get(name ?? '', namespace);
        if (e && service && (isHeadless(service) || e.hostname))
          ptr(`${e.hostname ?? dashed(ip)}.${name}.${namespace}.svc${suffix}`);
      }
    return answers.length ? found(answers) : undefined;
  }

  let version = 0;
  const changed = () => void version++;
  for (const i of [services, slices, namespaces] as Informer<object>[])
    i.on({ added: changed, updated: changed, deleted: changed });

  return {
    domain,
    /** Grows with every change of what names resolve to. */
    get version() {
      return version;
    },
    /** Undefined: not ours, ask upstream. */
    resolve(qname: string, type: number): Answer | undefined {
      if (qname === domain) return type === TYPE.SOA ? found([soa()]) : found([]);
      if (qname.endsWith(suffix)) {
        const labels = qname.slice(0, -suffix.length).split('.');
        const kind = labels.pop();
        if (kind === 'svc') return serviceName(qname, type, labels);
        if (kind === 'pod') return podName(qname, type, labels);
        if (kind === 'dns-version' && labels.length === 0)
          return found(type === TYPE.TXT ? [{ type: TYPE.TXT, name: qname, ttl: TTL, text: VERSION }] : []);
        return missing();
      }
      return qname.endsWith('.arpa') ? reverse(qname) : undefined;
    },
  };
}
export type Zone = ReturnType<typeof createZone>;

/** The address that a name below in-addr.arpa or ip6.arpa stands for. */
export function reverseAddress(name: string): string | undefined {
  if (name.endsWith('.in-addr.arpa')) {
    const parts = name.slice(0, -'.in-addr.arpa'.length).split('.');
    return parts.length === 4 ? parts.reverse().join('.') : undefined;
  }
  if (!name.endsWith('.ip6.arpa')) return undefined;
  const nibbles = name.slice(0, -'.ip6.arpa'.length).split('.').reverse().join('');
  if (!/^[0-9a-f]{32}$/.test(nibbles)) return undefined;
  return compressIpv6(nibbles.match(/.{4}/g)!.map((g) => parseInt(g, 16)));
}

function compressIpv6(groups: number[]): string {
  let best = { at: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > best.length) best = { at: i, length: j - i };
  }
  const hex = (g: number[]) => g.map((x) => x.toString(16)).join(':');
  return best.at < 0 ? hex(groups) : `${hex(groups.slice(0, best.at))}::${hex(groups.slice(best.at + best.length))}`;
}
