/** What a service gets when it is created or changed: families, addresses, node ports. */
import { semanticEqual } from '../../../api/meta.ts';
import { invalid, invalidObject, type FieldError } from '../../../api/field-errors.ts';
import { internalError, StatusError } from '../../../api/status.ts';
import type { DeepReadonly, Service } from '../../../api/types.ts';
import type { Allocation } from '../../registry/definition.ts';
import { Field } from '../validation/field.ts';
import { AllocationError, portsOf, type Owner, type ServiceAllocator } from './allocator.ts';
import { clusterIPs, familyOf, needsHealthCheck, type IPFamily, type ServiceSpec } from './validation.ts';

type Old = DeepReadonly<Service>;
type OldSpec = DeepReadonly<ServiceSpec>;

const isNone = (s: OldSpec) => s.clusterIPs?.[0] === 'None';
const needsClusterIP = (s: OldSpec) => s.type !== 'ExternalName';
const takesNodePorts = (s: OldSpec) => s.type === 'NodePort' || s.type === 'LoadBalancer';
const wantsNodePorts = (s: OldSpec) =>
  s.type === 'NodePort' || (s.type === 'LoadBalancer' && s.allocateLoadBalancerNodePorts !== false);
const sameList = (a: readonly unknown[] = [], b: readonly unknown[] = []) => semanticEqual(a, b);

const fail = (service: Service, errors: FieldError[]) =>
  invalidObject({ group: '', kind: 'Service' }, service.metadata?.name ?? '', errors);

/** The singular address and the list say the same. */
function normalizeClusterIPs(s: ServiceSpec, old: OldSpec | undefined): void {
  if (!old) {
    if (s.clusterIP && !s.clusterIPs?.length) s.clusterIPs = [s.clusterIP];
    return;
  }
  const before = old.clusterIPs ?? [];
  if (before.length > 0 && !s.clusterIPs?.length && (old.clusterIP ?? '') === (s.clusterIP ?? ''))
    s.clusterIPs = [...before];
  if ((old.clusterIP ?? '') === (s.clusterIP ?? '') || !sameList(before, s.clusterIPs)) return;
  if (old.clusterIP && !s.clusterIP) delete s.clusterIPs;
  else s.clusterIPs = [s.clusterIP ?? ''];
}

/** What clients leave out on update comes from what was allocated before. */
function keepAllocated(s: ServiceSpec, old: OldSpec): void {
  if (needsClusterIP(old) && needsClusterIP(s)) {
    s.clusterIP ||= old.clusterIP;
    if (!s.clusterIPs?.length && old.clusterIPs?.length) s.clusterIPs = [...old.clusterIPs];
  }
  if (wantsNodePorts(old) && wantsNodePorts(s)) {
    const before = new Map(old.ports?.map((p) => [p.name ?? '', p.nodePort ?? 0]));
    const kept = new Set(s.ports?.map((p) => p.nodePort).filter((p) => p && old.ports?.some((o) => o.nodePort === p)));
    for (const p of s.ports ?? []) {
      const was = before.get(p.name ?? '') ?? 0;
      if (!p.nodePort && was && !kept.has(was)) p.nodePort = was;
    }
  }
  if (needsHealthCheck(old) && needsHealthCheck(s)) s.healthCheckNodePort ||= old.healthCheckNodePort;
}

/** An older PreferDualStack service that isn't touched stays as it is. */
function untouchedPreference(s: ServiceSpec, old: OldSpec | undefined): boolean {
  if (!old || s.ipFamilyPolicy !== 'PreferDualStack' || old.type !== s.type || s.type === 'ExternalName') return false;
  if (old.ipFamilyPolicy !== undefined && old.ipFamilyPolicy !== 'PreferDualStack') return false;
  return sameList(old.clusterIPs, s.clusterIPs) && sameList(old.ipFamilies, s.ipFamilies);
}

const otherFamily = (f: string): IPFamily => (f === 'IPv4' ? 'IPv6' : 'IPv4');

/** Fills in families and policy from what is given and what the cluster has. */
function initFamilies(service: Service, old: Old | undefined, available: readonly IPFamily[]): void {
  const s = service.spec!;
  const before = old?.spec;
  if (s.type === 'ExternalName' || untouchedPreference(s, before)) return;
  const headlessWithoutSelector = s.clusterIP === 'None' && Object.keys(s.selector ?? {}).length === 0;
  s.ipFamilyPolicy ??= before?.ipFamilyPolicy ?? (headlessWithoutSelector ? 'RequireDualStack' : 'SingleStack');
  const check = new Field<Service>(service, []);
  clusterIPs(check.get('spec') as Field<ServiceSpec>, old);
  if (check.errors.length > 0) throw fail(service, check.errors);

  const errors: FieldError[] = [];
  const policy = (detail: string) => errors.push(invalid('spec.ipFamilyPolicy', s.ipFamilyPolicy, detail));
  const single = s.ipFamilyPolicy === 'SingleStack';
  if (before) {
    if (single) {
      if (sameList(before.clusterIPs, s.clusterIPs) && (s.clusterIPs?.length ?? 0) > 1) s.clusterIPs!.length = 1;
      if (sameList(before.ipFamilies, s.ipFamilies) && (s.ipFamilies?.length ?? 0) > 1) s.ipFamilies!.length = 1;
    } else {
      const fewer = (now: readonly unknown[] = [], was: readonly unknown[] = []) =>
        now.length > 0 && now.length < was.length;
      if (fewer(s.clusterIPs, before.clusterIPs)) policy("must be 'SingleStack' to release the secondary cluster IP");
      if (fewer(s.ipFamilies, before.ipFamilies)) policy("must be 'SingleStack' to release the secondary IP family");
    }
  }
  if (single && s.clusterIPs?.length === 2)
    policy("must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified");
  if (single && s.ipFamilies?.length === 2)
    policy("must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified");
  const families = [...(s.ipFamilies ?? [])];
  for (const [i, address] of (s.clusterIPs ?? []).entries()) {
    if (address === 'None') break;
    if (i < families.length) continue;
    const family = familyOf(address);
    if (available.includes(family)) families.push(family);
    else errors.push(invalid(`spec.clusterIPs[${i}]`, s.clusterIPs, `${family} is not configured on this cluster`));
  }
  if (errors.length > 0) throw fail(service, errors);
  if (headlessWithoutSelector) {
    if (families.length === 0) families.push(available[0]!);
    if (families.length < 2 && !single) families.push(otherFamily(families[0]!));
    s.ipFamilies = families;
    return;
  }
  if (s.ipFamilyPolicy === 'RequireDualStack' && available.length < 2)
    policy('this cluster is not configured for dual-stack services');
  families.forEach((f, i) => {
    if (!available.includes(f as IPFamily))
      errors.push(invalid(`spec.ipFamilies[${i}]`, f, 'not configured on this cluster'));
  });
  if (errors.length > 0) throw fail(service, errors);
  if (families.length === 0) families.push(available[0]!);
  if (!single && families.length === 1 && available.length === 2) families.push(otherFamily(families[0]!));
  s.ipFamilies = families;
}

/** Collects what was claimed and what is to be given back. */
class Claims {
  readonly #allocator: ServiceAllocator;
  readonly #owner: Owner;
  readonly #service: Service;
  readonly #dryRun: boolean;
  readonly #ips: string[] = [];
  readonly #ports: number[] = [];
  readonly releasedIPs: string[] = [];
  readonly releasedPorts: number[] = [];

  constructor(allocator: ServiceAllocator, service: Service, dryRun: boolean) {
    this.#allocator = allocator;
    this.#service = service;
    this.#owner = { namespace: service.metadata?.namespace ?? '', name: service.metadata?.name ?? '' };
    this.#dryRun = dryRun;
  }

  async ip(family: IPFamily, wanted: string | undefined): Promise<string> {
    try {
      const address = await this.#allocator.claimIP(family, wanted || undefined, this.#owner, this.#dryRun);
      this.#ips.push(address);
      return address;
    } catch (error) {
      if (!(error instanceof AllocationError)) throw error;
      if (error.full)
        throw internalError(
          `failed to allocate a serviceIP for Service ${JSON.stringify(this.#owner.name)}: ${error.message}`,
        );
      throw fail(this.#service, [
        invalid(
          'spec.clusterIPs',
          this.#service.spec?.clusterIPs,
          `failed to allocate IP ${wanted ?? ''}: ${error.message}`,
        ),
      ]);
    }
  }

  /** `field` is where a complaint about a port that was asked for goes. */
  port(wanted: number | undefined, field: string | undefined): number {
    try {
      if (wanted && this.#ports.includes(wanted)) throw new AllocationError('provided port is already allocated');
      const port = this.#allocator.claimPort(wanted || undefined, this.#dryRun);
      this.#ports.push(port);
      return port;
    } catch (error) {
      if (!(error instanceof AllocationError)) throw error;
      if (field && !error.full) throw fail(this.#service, [invalid(field, wanted, error.message)]);
      throw internalError(`failed to allocate a nodePort: ${error.message}`);
    }
  }

  allocation(): Allocation {
    const dryRun = this.#dryRun;
    const give = async (ips: readonly string[], ports: readonly number[]) => {
      if (dryRun) return;
      for (const p of ports) this.#allocator.releasePort(p);
      for (const address of ips) await this.#allocator.releaseIP(address);
    };
    return {
      commit: () => give(this.releasedIPs, this.releasedPorts),
      revert: () => give(this.#ips, this.#ports),
    };
  }
}

async function claimIPs(s: ServiceSpec, claims: Claims): Promise<void> {
  if (s.type === 'ExternalName' || isNone(s)) return;
  const list = [...(s.clusterIPs ?? [])];
  for (const [i, family] of (s.ipFamilies ?? []).entries()) list[i] = await claims.ip(family as IPFamily, list[i]);
  s.clusterIPs = list;
  s.clusterIP = list[0];
}

/** The ports of a new service: one number serves all protocols of a port unless they ask for others. */
function claimNewPorts(s: ServiceSpec, claims: Claims): void {
  const byPort = new Map<number, number>();
  s.ports?.forEach((p, i) => {
    if (!p.nodePort && !wantsNodePorts(s)) return;
    const shared = byPort.get(p.port);
    const field = `spec.ports[${i}].nodePort`;
    if (shared === undefined) {
      const wanted = s.ports!.find((o) => o.port === p.port && o.nodePort)?.nodePort;
      p.nodePort = claims.port(wanted, wanted ? field : undefined);
      byPort.set(p.port, p.nodePort);
    } else if (!p.nodePort) p.nodePort = shared;
    else if (p.nodePort !== shared) claims.port(p.nodePort, field);
  });
}

/** The ports of a service that was there: what it had stays its own, even across protocols. */
function claimPorts(s: ServiceSpec, had: ReadonlySet<number>, claims: Claims): void {
  const mine = new Set<number>();
  const pairs = new Set<string>();
  s.ports?.forEach((p, i) => {
    if (!p.nodePort && !wantsNodePorts(s)) return;
    if (!p.nodePort) p.nodePort = claims.port(undefined, undefined);
    else if (!had.has(p.nodePort) && !mine.has(p.nodePort)) claims.port(p.nodePort, `spec.ports[${i}].nodePort`);
    const pair = `${p.protocol ?? ''}/${p.nodePort}`;
    // Validation, which comes later, would call it a duplicate.
    if (pairs.has(pair)) throw new StatusError(500, '', `duplicate nodePort: {${p.protocol ?? ''} ${p.nodePort}}`);
    pairs.add(pair);
    mine.add(p.nodePort);
  });
  for (const p of had) if (!mine.has(p)) claims.releasedPorts.push(p);
}

function claimHealthCheck(s: ServiceSpec, old: OldSpec | undefined, claims: Claims): void {
  const needed = needsHealthCheck(s);
  if (needed && !needsHealthCheck(old)) s.healthCheckNodePort = claims.port(s.healthCheckNodePort, undefined);
  else if (!needed && needsHealthCheck(old) && old?.healthCheckNodePort)
    claims.releasedPorts.push(old.healthCheckNodePort);
}

async function changeIPs(s: ServiceSpec, old: OldSpec, claims: Claims): Promise<void> {
  if (untouchedPreference(s, old)) return;
  if (old.type === 'ExternalName') return claimIPs(s, claims);
  if (isNone(old)) return;
  if (s.type === 'ExternalName') return void claims.releasedIPs.push(...(old.clusterIPs ?? []));
  const [was, now] = [old.ipFamilies?.length ?? 0, s.ipFamilies?.length ?? 0];
  if (was === 1 && now === 2) {
    const list = [...(s.clusterIPs ?? [])];
    list[1] = await claims.ip(s.ipFamilies![1] as IPFamily, list[1]);
    s.clusterIPs = list;
  } else if (was === 2 && now === 1 && old.clusterIPs?.[1]) claims.releasedIPs.push(old.clusterIPs[1]);
}

/** Claims all that the service needs beyond what it had. */
export async function allocateService(
  allocator: ServiceAllocator,
  service: Service,
  old: Old | undefined,
  dryRun: boolean,
): Promise<Allocation> {
  const s = (service.spec ??= {});
  const before = old?.spec;
  if (before) keepAllocated(s, before);
  normalizeClusterIPs(s, before);
  initFamilies(service, old, allocator.families());
  const claims = new Claims(allocator, service, dryRun);
  const allocation = claims.allocation();
  try {
    if (before) await changeIPs(s, before, claims);
    else await claimIPs(s, claims);
    if (before && takesNodePorts(before) && !takesNodePorts(s))
      claims.releasedPorts.push(...portsOf({ ports: before.ports }));
    if (takesNodePorts(s)) {
      if (before) claimPorts(s, new Set(portsOf({ ports: before.ports })), claims);
      else claimNewPorts(s, claims);
    }
    claimHealthCheck(s, before, claims);
  } catch (error) {
    await allocation.revert();
    throw error;
  }
  return allocation;
}

/** Gives back all that a service had. */
export async function releaseService(allocator: ServiceAllocator, service: Old): Promise<void> {
  const s = service.spec ?? {};
  for (const p of portsOf(s)) allocator.releasePort(p);
  if (s.type !== 'ExternalName' && !isNone(s))
    for (const address of s.clusterIPs ?? []) await allocator.releaseIP(address);
  await allocator.forget({ namespace: service.metadata?.namespace ?? '', name: service.metadata?.name ?? '' });
}
