/** Gives Services of type LoadBalancer addresses of a pool; nodes answer for them by the service proxy's rules. */
import { splitKey } from '../../client/informer.ts';
import { services } from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { isDeleting, keyFor, meta } from '../lib/meta.ts';
import { CidrPool, formatAddress, overlaps, parseCidr } from '../nodeipam/cidrs.ts';
import type { ControllerOptions } from '../options.ts';

/** What spec.loadBalancerClass may say for this controller, besides nothing. */
const LOAD_BALANCER_CLASS = 'k8ts.io/pool';
const KIND = { apiVersion: 'v1', kind: 'Service' };
const inputs = { services };
type D = Deps<typeof inputs, undefined>;

const single = (ip: string) => parseCidr(`${ip}/${ip.includes(':') ? 128 : 32}`);

/** The next address of the pool that nobody has; a wanted one only when it is in the pool and free. Pure. */
export function pickAddress(ranges: readonly string[], taken: readonly string[], wanted?: string): string | undefined {
  const free = (ip: string) => !taken.includes(ip);
  if (wanted) return ranges.some((r) => overlaps(parseCidr(r), single(wanted))) && free(wanted) ? wanted : undefined;
  for (const text of ranges) {
    const range = parseCidr(text);
    const pool = new CidrPool(range, range.family === 4 ? 32 : 128);
    for (const ip of taken) pool.occupy(single(ip));
    const got = pool.allocate();
    if (got) return formatAddress(got.family, got.base);
  }
  return undefined;
}

const familyOf = (ip: string) => (ip.includes(':') ? 'IPv6' : 'IPv4');

/** Whether a Service has what it asks for: an address for each of its families, and the one it names. */
const isSettled = (have: readonly string[], families: readonly string[], wanted: string | undefined) =>
  have.length > 0 && have.map(familyOf).join() === families.join() && (!wanted || have.includes(wanted));

/** An address for each family that the pool has one for; those there are stay. Pure. */
export function addressesFor(
  ranges: readonly string[],
  taken: readonly string[],
  service: { families: readonly string[]; have: readonly string[]; wanted?: string },
): string[] {
  const out: string[] = [];
  for (const family of service.families) {
    const named = service.wanted && familyOf(service.wanted) === family ? service.wanted : undefined;
    const keep = service.have.find((ip) => familyOf(ip) === family && (named === undefined || ip === named));
    const range = ranges.filter((r) => familyOf(r) === family);
    const ip = keep && pickAddress(range, taken, keep) ? keep : pickAddress(range, taken, named);
    if (ip) out.push(ip);
  }
  return out;
}

const addressesOf = (s: {
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] } };
}) => (s.status?.loadBalancer?.ingress ?? []).flatMap((i) => (i.ip ? [i.ip] : []));

export const serviceLBController = defineController({
  name: 'service-lb-controller',
  account: 'service-controller',
  inputs,
  outputs: ['patch services/status'],
  enabled: (options: ControllerOptions) => options.loadBalancerCIDRs.length > 0,
  // One at a time: two must not be given the same address.
  workers: () => 1,
  triggers: { services: 'self' },
  async reconcile(key, deps: D): Promise<Result | void> {
    const { informers, client, options, recorder } = deps;
    const { name, namespace } = splitKey(key);
    const service = informers.services.get(name, namespace);
    if (!service || isDeleting(service)) return;
    const have = addressesOf(service);
    const spec = service.spec ?? {};
    const ours = spec.type === 'LoadBalancer' && [undefined, LOAD_BALANCER_CLASS].includes(spec.loadBalancerClass);
    const write = (ingress: { ip: string; ipMode: string }[] | null) =>
      client.patch(
        services,
        name,
        'merge',
        { status: { loadBalancer: { ingress } } },
        { namespace, subresource: 'status' },
      );
    if (!ours) {
      if (have.length > 0 && spec.type !== 'LoadBalancer') await write(null);
      return;
    }
    const families = spec.ipFamilies?.length ? spec.ipFamilies : ['IPv4'];
    if (isSettled(have, families, spec.loadBalancerIP)) return;
    const fresh = (await client.list(services)).items;
    const taken = fresh.filter((s) => keyFor(meta(s).namespace, meta(s).name) !== key).flatMap(addressesOf);
    const ips = addressesFor(options.loadBalancerCIDRs, taken, { families, have, wanted: spec.loadBalancerIP });
    if (ips.length === 0) {
      recorder.event(
        service,
        'Warning',
        'SyncLoadBalancerFailed',
        'Error syncing load balancer: no address of the pool is free',
        KIND,
      );
      return { requeueAfterMs: 30_000 };
    }
    if (ips.join() === have.join()) return;
    await write(ips.map((ip) => ({ ip, ipMode: 'VIP' })));
    recorder.event(service, 'Normal', 'EnsuredLoadBalancer', 'Ensured load balancer', KIND);
  },
});
