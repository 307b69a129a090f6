/** Gives Services of type LoadBalancer addresses of a pool; nodes answer for them by the service proxy's rules. */
import type { Service } from '../../api/types.ts';
import { splitKey } from '../../client/informer.ts';
import { services } from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { body, isDeleting, keyFor, meta } from '../lib/meta.ts';
import { CidrPool, formatAddress, overlaps, parseCidr } from '../nodeipam/cidrs.ts';
import type { ControllerOptions } from '../options.ts';

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
    const ours = service.spec?.type === 'LoadBalancer' && !service.spec.loadBalancerClass;
    if (!ours) {
      if (have.length > 0 && service.spec?.type !== 'LoadBalancer')
        await client.patch(
          services,
          name,
          'merge',
          { status: { loadBalancer: { ingress: null } } },
          { namespace, subresource: 'status' },
        );
      return;
    }
    if (have.length > 0) return;
    const fresh = (await client.list(services)).items;
    const taken = fresh.filter((s) => keyFor(meta(s).namespace, meta(s).name) !== key).flatMap(addressesOf);
    const ip = pickAddress(options.loadBalancerCIDRs, taken, service.spec?.loadBalancerIP);
    if (!ip) {
      recorder.event(
        service,
        'Warning',
        'SyncLoadBalancerFailed',
        'Error syncing load balancer: no address of the pool is free',
        KIND,
      );
      return { requeueAfterMs: 30_000 };
    }
    const status: Service['status'] = {
      ...body<Service>(service).status,
      loadBalancer: { ingress: [{ ip, ipMode: 'VIP' }] },
    };
    await client.patch(
      services,
      name,
      'merge',
      { status: { loadBalancer: status.loadBalancer } },
      { namespace, subresource: 'status' },
    );
    recorder.event(service, 'Normal', 'EnsuredLoadBalancer', 'Ensured load balancer', KIND);
  },
});
