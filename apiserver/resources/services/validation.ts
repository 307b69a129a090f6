/** What a service must hold. */
import { isIP, isIPv6 } from 'node:net';
import type { DeepReadonly, Service } from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';
import { cidr, endpointIP, ip, isPort, portNumber, portNumberOrName } from '../validation/formats.ts';
import { dns1123Label, dns1123Subdomain, qualifiedName } from '../validation/names.ts';
import { labels, type Labels } from '../validation/values.ts';

type Old = DeepReadonly<Service>;
export type ServiceSpec = NonNullable<Service['spec']>;
export type IPFamily = 'IPv4' | 'IPv6';

const TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const FAMILIES = ['IPv4', 'IPv6'];
const POLICIES = ['SingleStack', 'PreferDualStack', 'RequireDualStack'];
export const isHeadless = (s: DeepReadonly<ServiceSpec> | undefined) =>
  s?.clusterIPs?.length === 1 && s.clusterIPs[0] === 'None';
/** Reachable from outside the cluster. */
export const isExternal = (s: DeepReadonly<ServiceSpec> | undefined) =>
  s?.type === 'LoadBalancer' || s?.type === 'NodePort' || (s?.type === 'ClusterIP' && (s.externalIPs?.length ?? 0) > 0);
export const needsHealthCheck = (s: DeepReadonly<ServiceSpec> | undefined) =>
  s?.type === 'LoadBalancer' && s.externalTrafficPolicy === 'Local';
export const familyOf = (address: string): IPFamily => (isIPv6(address) ? 'IPv6' : 'IPv4');

function typeRules(f: Field<ServiceSpec>): void {
  const s = f.value!;
  if (f.get('ports').isEmpty && !isHeadless(s) && s.type !== 'ExternalName') f.get('ports').missing();
  if (isHeadless(s) && (s.type === 'LoadBalancer' || s.type === 'NodePort')) {
    f.get('clusterIPs').at(0, s.clusterIPs![0]).invalid(`may not be set to 'None' for ${s.type} services`);
  }
  if (s.type !== 'ExternalName') return;
  for (const k of ['clusterIPs', 'ipFamilies', 'ipFamilyPolicy'] as const)
    f.get(k).absent('may not be set for ExternalName services');
  const name = (s.externalName ?? '').replace(/\.$/, '');
  f.named('externalName', name).requiredFormat(dns1123Subdomain);
}

function ports(f: Field<ServiceSpec>): void {
  const list = f.get('ports');
  const many = (list.value?.length ?? 0) > 1;
  const names = new Set<string>();
  const nodePorts = new Set<string>();
  const seen = new Set<string>();
  list.each((p) => {
    const { name, port, protocol, nodePort } = p.value!;
    if (many && !name) p.get('name').missing();
    else if (name) {
      p.get('name').format(dns1123Label);
      if (names.has(name)) p.get('name').duplicate();
      names.add(name);
    }
    portNumber(p.get('port'));
    p.get('protocol').enumerated(PROTOCOLS);
    portNumberOrName(p.get('targetPort'));
    p.get('appProtocol').with((a) => a.formatAll(qualifiedName));
    if (nodePort) {
      if (f.value?.type === 'ClusterIP') p.get('nodePort').forbidden("may not be used when `type` is 'ClusterIP'");
      if (nodePorts.has(`${protocol}/${nodePort}`)) p.get('nodePort').duplicate();
      nodePorts.add(`${protocol}/${nodePort}`);
    }
    if (seen.has(`${protocol}/${port}`)) p.duplicate({ protocol, port });
    seen.add(`${protocol}/${port}`);
  });
}

function affinity(f: Field<ServiceSpec>): void {
  f.get('sessionAffinity').enumerated(['ClientIP', 'None']);
  const config = f.get('sessionAffinityConfig');
  if (f.value?.sessionAffinity === 'None') {
    if (config.isSet) config.forbidden('must not be set when session affinity is None');
  } else if (f.value?.sessionAffinity === 'ClientIP') {
    const why = 'when session affinity type is ClientIP';
    const timeout = config.get('clientIP').get('timeoutSeconds');
    if (!config.isSet) config.missing(why);
    else if (!config.get('clientIP').isSet) config.get('clientIP').missing(why);
    else if (!timeout.isSet) timeout.missing(why);
    else timeout.check(timeout.value! > 0 && timeout.value! <= 86400, 'must be greater than 0 and less than 86400');
  }
}

/** Addresses, families and their policy; also the last check before addresses are allocated. */
export function clusterIPs(f: Field<ServiceSpec>, old: Old | undefined): void {
  const s = f.value!;
  if (s.type === 'ExternalName') return;
  const list = f.get('clusterIPs');
  const values = s.clusterIPs ?? [];
  if (s.clusterIP) {
    if (values.length === 0) list.missing();
    else if (values[0] !== s.clusterIP) list.invalid('first value must match `clusterIP`');
  } else if (values.length > 0) list.invalid('must be empty when `clusterIP` is not specified');
  f.get('ipFamilies')
    .each((x) => x.oneOf(FAMILIES))
    .unique((x: string) => x);
  f.get('ipFamilyPolicy').oneOf(POLICIES);
  let bad = false;
  list.each((x, i) => {
    if (i === 0 && x.value === 'None') {
      if (values.length > 1) {
        bad = true;
        list.invalid("'None' must be the first and only value");
      }
      return;
    }
    const errors = old?.spec?.clusterIPs?.includes(x.value!) ? [] : ip(x.value!);
    for (const m of errors) x.invalid(m);
    bad ||= errors.length > 0;
  });
  if (values.length > 2) list.invalid('may only hold up to 2 values');
  if (bad) return;
  const families = new Set(values.map(familyOf));
  if (values.length > 1 && (families.size < 2 || values.length > 2))
    list.invalid('may specify no more than one IP for each IP family');
  if (isHeadless(s)) return;
  values.forEach((v, i) => {
    const want = s.ipFamilies?.[i];
    if (want && FAMILIES.includes(want) && familyOf(v) !== want)
      list.at(i, v).invalid(`expected an ${want} value as indicated by \`ipFamilies[${i}]\``);
  });
}

const annotationKey = 'service.beta.kubernetes.io/load-balancer-source-ranges';

function loadBalancer(f: Field<Service>, old: Old | undefined): void {
  const spec = f.get('spec') as Field<ServiceSpec>;
  const s = spec.value!;
  const isBalancer = s.type === 'LoadBalancer';
  const only = "may only be used when `type` is 'LoadBalancer'";
  const annotation = f.value?.metadata?.annotations?.[annotationKey];
  if (s.loadBalancerSourceRanges?.length) {
    const ranges = spec.named('LoadBalancerSourceRanges', s.loadBalancerSourceRanges);
    if (!isBalancer) ranges.forbidden(only);
    const before = old?.spec?.loadBalancerSourceRanges?.map((r) => r.trim()) ?? [];
    ranges.each((r) => {
      const v = r.value!.trim();
      if (!before.includes(v)) for (const m of cidr(v)) r.invalid(m);
    });
  } else if (annotation !== undefined) {
    const at = f.get('metadata').named('annotations').key(annotationKey, annotation);
    if (!isBalancer) at.forbidden(only);
    if (old?.metadata?.annotations?.[annotationKey] !== annotation && annotation.trim() !== '') {
      for (const r of annotation.split(',')) for (const m of cidr(r.trim())) at.invalid(m, r);
    }
  }
  const allocate = spec.get('allocateLoadBalancerNodePorts');
  if (allocate.isSet && !isBalancer) allocate.forbidden(only);
  if (isBalancer && !allocate.isSet) f.named('allocateLoadBalancerNodePorts').missing();
  const balancerClass = spec.get('loadBalancerClass');
  if (isBalancer) balancerClass.with((c) => c.formatAll(qualifiedName));
  else if (balancerClass.isSet) balancerClass.forbidden(only);
}

function traffic(f: Field<ServiceSpec>): void {
  const s = f.value!;
  const external = f.get('externalTrafficPolicy');
  if (isExternal(s)) external.enumerated(['Cluster', 'Local']);
  else if (!external.isEmpty) external.invalid('may only be set for externally-accessible services');
  const health = f.get('healthCheckNodePort');
  if (needsHealthCheck(s)) {
    if (health.need()) health.check(isPort(health.value!), 'must be between 1 and 65535, inclusive');
  } else if (!health.isEmpty)
    health.invalid("may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
  const internal = f.get('internalTrafficPolicy');
  if (!internal.isSet && ['ClusterIP', 'NodePort', 'LoadBalancer'].includes(s.type ?? '')) internal.missing();
  internal.oneOf(['Cluster', 'Local']);
  f.get('trafficDistribution').oneOf(['PreferClose', 'PreferSameZone', 'PreferSameNode']);
}

const HINTS = 'service.kubernetes.io/topology-aware-hints';
const MODE = 'service.kubernetes.io/topology-mode';

/** All rules that hold on create and update. */
export function service(f: Field<Service>, old: Old | undefined): void {
  const notes = f.value?.metadata?.annotations ?? {};
  if (notes[HINTS] !== undefined && notes[MODE] !== undefined && notes[HINTS] !== notes[MODE]) {
    f.get('metadata')
      .named('annotations')
      .key(MODE, notes[MODE])
      .invalid(`must match annotations[${HINTS}] when both are specified`);
  }
  const spec = f.get('spec') as Field<ServiceSpec>;
  typeRules(spec);
  ports(spec);
  labels(spec.get('selector') as Field<Labels>);
  affinity(spec);
  clusterIPs(spec, old);
  spec.get('externalIPs').each((x) => {
    const errors = old?.spec?.externalIPs?.includes(x.value!) ? [] : ip(x.value!);
    for (const m of errors) x.invalid(m);
    if (errors.length === 0) x.formatAll(endpointIP);
  });
  spec.get('type').enumerated(TYPES);
  loadBalancer(f, old);
  traffic(spec);
}

/** The first value of a pair stays; the second comes and goes with the policy. */
function pair(
  f: Field<ServiceSpec>,
  name: 'clusterIPs' | 'ipFamilies',
  old: readonly string[],
  now: readonly string[],
): void {
  const list = f.get(name) as Field<string[]>;
  const at = (i: number) => list.at(i, now);
  const what = name === 'clusterIPs' ? 'clusterIP' : 'ipFamily';
  if (old.length === now.length) {
    old.forEach((v, i) => {
      if (v !== now[i]) at(name === 'clusterIPs' ? i : 0).invalid('may not change once set');
    });
    return;
  }
  const primary = old.length > 0 && now.length > 0 && old[0] !== now[0];
  if (old.length > now.length) {
    if ((f.value?.clusterIPs?.length ?? 0) === 0) at(0).invalid(`primary ${what} can not be unset`);
    if (now.length === 1 && f.value?.ipFamilyPolicy !== 'SingleStack') {
      f.get('ipFamilyPolicy').invalid(`must be set to 'SingleStack' when releasing the secondary ${what}`);
    }
  }
  if (primary) at(0).invalid('may not change once set');
}

/** What may not change: cluster IPs and families that are taken already. */
export function serviceUpdate(f: Field<Service>, old: Old): void {
  const spec = f.get('spec') as Field<ServiceSpec>;
  const s = spec.value!;
  const before = old.spec!;
  if (s.type !== 'ExternalName' && before.type !== 'ExternalName') {
    const [wasHeadless, headless] = [isHeadless(before), isHeadless(s)];
    if (!(wasHeadless && headless)) pair(spec, 'clusterIPs', before.clusterIPs ?? [], s.clusterIPs ?? []);
    if (!wasHeadless && !headless) pair(spec, 'ipFamilies', before.ipFamilies ?? [], s.ipFamilies ?? []);
  }
  if (s.type === 'LoadBalancer' && before.type === 'LoadBalancer' && s.loadBalancerClass !== before.loadBalancerClass) {
    spec.get('loadBalancerClass').invalid('may not change once set');
  }
  if (needsHealthCheck(before) && needsHealthCheck(s) && s.healthCheckNodePort !== before.healthCheckNodePort) {
    spec.get('healthCheckNodePort').forbidden('field is immutable');
  }
}

type Ingress = NonNullable<NonNullable<NonNullable<Service['status']>['loadBalancer']>['ingress']>[number];

export function loadBalancerStatus(f: Field<Service>, old: Old): void {
  const list = f.get('status').get('loadBalancer').get('ingress');
  if (f.value?.spec?.type !== 'LoadBalancer' && !list.isEmpty) {
    return void list.forbidden("may only be used when `spec.type` is 'LoadBalancer'");
  }
  const known = old.status?.loadBalancer?.ingress?.map((i) => i.ip) ?? [];
  list.each((i) => {
    const { ip: address, ipMode, hostname } = i.value as Ingress;
    if (address && !known.includes(address)) i.get('ip').formatAll(ip);
    const mode = i.get('ipMode');
    if (ipMode === undefined) {
      if (address) mode.missing('must be specified when `ip` is set');
    } else if (!address) mode.forbidden('may not be specified when `ip` is not set');
    else mode.oneOf(['Proxy', 'VIP']);
    if (!hostname) return;
    i.get('hostname').format(dns1123Subdomain);
    if (isIP(hostname)) i.get('hostname').invalid('must be a DNS name, not an IP address');
  });
}
