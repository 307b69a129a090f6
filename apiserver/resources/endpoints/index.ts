/** Endpoints and EndpointSlices. */
import type * as k8s from '@kubernetes/client-node';
import { semanticEqual } from '../../../api/meta.ts';
import type { Endpoints, EndpointSlice, Json } from '../../../api/types.ts';
import { define } from '../define.ts';
import { addressWarnings } from '../pods/warnings.ts';
import { rules } from '../rules.ts';
import { age, nameOf, NONE, UNSET } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { canonicalIP, endpointIP, ip, portNumber } from '../validation/formats.ts';
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from '../validation/names.ts';
import { labels, type Labels } from '../validation/values.ts';

export const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
const CONTROLLERS = ['endpointslice-controller.k8s.io', 'endpointslicemirroring-controller.k8s.io'];

function address(a: Field<Json<k8s.V1EndpointAddress>>): void {
  a.get('ip').formatAll(ip, endpointIP);
  a.get('hostname').format(dns1123Label);
  a.get('nodeName').with((n) => n.formatAll(dns1123Subdomain));
}

function subsets(f: Field<Json<k8s.V1EndpointSubset>[]>): void {
  f.each((s) => {
    if (s.get('addresses').isEmpty && s.get('notReadyAddresses').isEmpty)
      s.missing('must specify `addresses` or `notReadyAddresses`');
    s.get('addresses').each(address);
    s.get('notReadyAddresses').each(address);
    const many = (s.value?.ports?.length ?? 0) > 1;
    s.get('ports').each((p) => {
      if (many) p.get('name').required();
      p.get('name').format(dns1123Label);
      portNumber(p.get('port'));
      p.get('protocol').enumerated(PROTOCOLS);
      p.get('appProtocol').with((a) => a.formatAll(qualifiedName));
    });
  });
}

/** At most three of a list, and how many more there are. */
function someOf(list: string[], max: number): string {
  if (list.length > max) return `${list.slice(0, max).join(',')} + ${list.length - max} more...`;
  return list.join(',');
}
const hostPort = (host: string, port: number) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

export const endpoints = define<Endpoints>('', 'endpoints', 'Endpoints', 'Namespaced', {
  allowCreateOnUpdate: true,
  strategy: {
    defaults(e) {
      for (const s of e.subsets ?? []) for (const p of s.ports ?? []) p.protocol ||= 'TCP';
    },
    ...rules<Endpoints>({
      scope: 'Namespaced',
      always(f, _ctx, old) {
        if (old && semanticEqual(old.subsets, f.value?.subsets)) return;
        subsets(f.get('subsets'));
      },
    }),
    warnings: endpointIPs,
  },
  table: {
    cells(e, now) {
      const list = (e.subsets ?? []).flatMap((s) => {
        const ips = (s.addresses ?? []).map((a) => a.ip);
        return s.ports?.length ? s.ports.flatMap((p) => ips.map((i) => hostPort(i, p.port))) : ips;
      });
      return [nameOf(e), e.subsets?.length ? someOf(list, 3) : NONE, age(e, now)];
    },
  },
});

function endpointIPs(e: Endpoints): string[] {
  return (e.subsets ?? []).flatMap((s, i) =>
    (['addresses', 'notReadyAddresses'] as const).flatMap((k) =>
      (s[k] ?? []).flatMap((a, j) => addressWarnings(`subsets[${i}].${k}[${j}].ip`, a.ip)),
    ),
  );
}

const FQDN = (v: string): string[] => {
  const name = v.replace(/\.$/, '');
  const errors = [...dns1123Subdomain(name)];
  if (name.split('.').length < 2) errors.push('should be a domain with at least two segments separated by dots');
  return errors;
};

function sliceEndpoints(f: Field<Json<k8s.V1Endpoint>[]>, type: string): void {
  if ((f.value?.length ?? 0) > 1000) return void f.maxItems(1000);
  f.each((e) => {
    const list = e.get('addresses');
    if (list.need('must contain at least 1 address')) list.maxItems(100);
    list.each((a) => {
      const v = a.value!;
      if (type === 'FQDN') return void a.formatAll(FQDN);
      if (type !== 'IPv4' && type !== 'IPv6') return;
      const errors = type === 'IPv4' ? ip(v) : canonicalIP(v);
      for (const m of errors) a.invalid(m);
      if (errors.length > 0) return;
      // The family is a matter of the whole list.
      if (v.includes(':') !== (type === 'IPv6')) list.invalid(`must be an ${type} address`, v);
      a.formatAll(endpointIP);
    });
    e.get('nodeName').with((n) => n.formatAll(dns1123Subdomain));
    const topology = e.get('deprecatedTopology') as Field<Labels>;
    if (Object.keys(topology.value ?? {}).length > 16)
      topology.add({
        type: 'FieldValueTooMany',
        field: topology.path,
        message: 'Too many: must have at most 16 items',
      });
    labels(topology);
    e.get('hostname').with((h) => h.formatAll(dns1123Label));
    e.get('hints').with(hints);
  });
}

function hints(f: Field<Json<k8s.V1EndpointHints>>): void {
  for (const [k, format] of [
    ['forZones', labelValue],
    ['forNodes', dns1123Subdomain],
  ] as const) {
    const list = f.get(k as 'forZones');
    if ((list.value?.length ?? 0) > 8) return void list.maxItems(8);
    list.unique(
      (z) => z.name,
      (z) => z.get('name'),
    );
    list.each((z) => z.get('name').formatAll(format));
  }
}

function slicePorts(f: Field<Json<k8s.DiscoveryV1EndpointPort>[]>): void {
  if ((f.value?.length ?? 0) > 20000) return void f.maxItems(20000);
  f.unique(
    (p) => p.name ?? '',
    (p) => p.get('name'),
  );
  f.each((p) => {
    p.get('name').format(dns1123Label);
    if (!p.get('protocol').isSet) p.get('protocol').missing();
    else p.get('protocol').oneOf(PROTOCOLS);
    p.get('appProtocol').with((a) => a.formatAll(qualifiedName));
  });
}

const ADDRESS_TYPES = ['IPv4', 'IPv6', 'FQDN'];

/** Topology labels belong to an older version of the API. */
function dropTopology(s: EndpointSlice): void {
  for (const e of s.endpoints ?? []) delete e.deprecatedTopology;
}

export const endpointSlices = define<EndpointSlice>(
  'discovery.k8s.io',
  'endpointslices',
  'EndpointSlice',
  'Namespaced',
  {
    strategy: {
      defaults(s) {
        for (const p of s.ports ?? []) {
          p.name ??= '';
          p.protocol ??= 'TCP';
        }
      },
      prepareForCreate(s) {
        (s.metadata ??= {}).generation = 1;
        dropTopology(s);
      },
      prepareForUpdate(s, old) {
        const rest = (o: object) => ({ ...o, metadata: null });
        const changed = !semanticEqual(rest(s), rest(old)) || !semanticEqual(s.metadata?.labels, old.metadata?.labels);
        (s.metadata ??= {}).generation = (old.metadata?.generation ?? 0) + (changed ? 1 : 0);
        if (!semanticEqual(s.endpoints, old.endpoints)) dropTopology(s);
      },
      ...rules<EndpointSlice>({
        scope: 'Namespaced',
        always(f, _ctx, old) {
          f.get('addressType').enumerated(ADDRESS_TYPES);
          slicePorts(f.get('ports'));
          if (!old || !semanticEqual(old.endpoints, f.value?.endpoints))
            sliceEndpoints(f.get('endpoints'), f.value?.addressType ?? '');
        },
        update: (f, old) => f.get('addressType').immutable(old.addressType),
      }),
      warnings(s, old) {
        const fqdn = s.addressType === 'FQDN' && !old ? ['spec.addressType: FQDN endpoints are deprecated'] : [];
        if (CONTROLLERS.includes(s.metadata?.labels?.[MANAGED_BY] ?? '')) return fqdn;
        return [
          ...fqdn,
          ...(s.endpoints ?? []).flatMap((e, i) =>
            e.addresses.flatMap((a, j) => addressWarnings(`endpoints[${i}].addresses[${j}]`, a)),
          ),
        ];
      },
    },
    table: {
      cells(s, now) {
        const ports = (s.ports ?? []).map((p) => (p.port === undefined ? (p.name ?? '*') : `${p.port}`));
        const addresses = (s.endpoints ?? []).flatMap((e) => e.addresses ?? []);
        return [
          nameOf(s),
          s.addressType ?? '',
          someOf(ports, 3) || UNSET,
          someOf([...addresses], 3) || UNSET,
          age(s, now),
        ];
      },
    },
  },
);
