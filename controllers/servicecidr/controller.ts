/** Guards the ranges of Service addresses: a range in use can't go. */
import type * as k8s from '@kubernetes/client-node';
import { isNotFound } from '../../api/status.ts';
import { formatTime } from '../../base/clock.ts';
import type { DeepReadonly, Json } from '../../api/types.ts';
import { ipAddresses, serviceCIDRs } from '../../client/resources.ts';
import { defineController, type Result } from '../framework.ts';
import { body, isDeleting, meta, millis } from '../lib/meta.ts';
import { overlaps, parseCidr } from '../nodeipam/cidrs.ts';

const FINALIZER = 'networking.k8s.io/service-cidr-finalizer';
/** API servers that don't know yet of the deletion may still hand out addresses. */
const GRACE_MS = 10_000;

type ServiceCIDR = Json<k8s.V1ServiceCIDR>;
type View = DeepReadonly<ServiceCIDR>;

const rangesOf = (c: View) => (c.spec?.cidrs ?? []).map(parseCidr);
const single = (address: string) => parseCidr(`${address}/${address.includes(':') ? 128 : 32}`);

/** Addresses that would belong to no range if this one went. Pure. */
export function orphanedBy(cidr: View, others: readonly View[], addresses: readonly string[]): string[] {
  const own = rangesOf(cidr);
  const rest = others.filter((o) => meta(o).name !== meta(cidr).name && !isDeleting(o)).flatMap(rangesOf);
  return addresses.filter((a) => {
    const ip = single(a);
    return own.some((r) => overlaps(r, ip)) && !rest.some((r) => overlaps(r, ip));
  });
}

export const serviceCIDRController = defineController({
  name: 'service-cidr-controller',
  account: 'service-cidrs-controller',
  inputs: { cidrs: serviceCIDRs, addresses: ipAddresses },
  outputs: ['patch servicecidrs.networking.k8s.io', 'patch servicecidrs/status.networking.k8s.io'],
  triggers: {
    // A range that comes or goes may decide about another one.
    cidrs: (_c, { informers }) => informers.cidrs.list().map((c) => meta(c).name),
    addresses: {
      keys: (_a, { informers }) =>
        informers.cidrs
          .list()
          .filter(isDeleting)
          .map((c) => meta(c).name),
      when: () => false,
    },
  },
  async reconcile(key, { informers, client, clock }): Promise<Result | void> {
    const cidr = informers.cidrs.get(key);
    if (!cidr) return;
    const has = cidr.metadata?.finalizers?.includes(FINALIZER) ?? false;
    const setReady = async (status: 'True' | 'False', reason: string, message: string) => {
      const have = cidr.status?.conditions?.find((c) => c.type === 'Ready');
      if (have?.status === status && have.reason === reason && have.message === message) return;
      const time = have?.status === status ? have.lastTransitionTime : formatTime(clock.now());
      const conditions = [
        ...(body<ServiceCIDR>(cidr).status?.conditions ?? []).filter((c) => c.type !== 'Ready'),
        { type: 'Ready', status, reason, message, lastTransitionTime: time },
      ];
      const { apiVersion, kind } = { apiVersion: 'networking.k8s.io/v1', kind: 'ServiceCIDR' };
      await client.patch(
        serviceCIDRs,
        key,
        'apply',
        { apiVersion, kind, metadata: { name: key }, status: { conditions } },
        { subresource: 'status', fieldManager: 'service-cidr-controller', force: true },
      );
    };
    if (!isDeleting(cidr)) {
      if (!has)
        await client.patch(serviceCIDRs, key, 'strategic', {
          metadata: { uid: meta(cidr).uid, finalizers: [FINALIZER] },
        });
      return setReady('True', '', 'Kubernetes Service CIDR is ready');
    }
    if (!has) return;
    if (
      orphanedBy(
        cidr,
        informers.cidrs.list(),
        informers.addresses.list().map((a) => meta(a).name),
      ).length > 0
    ) {
      await setReady(
        'False',
        'Terminating',
        'There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR',
      );
      return { requeueAfterMs: GRACE_MS };
    }
    const left = millis(meta(cidr).deletionTimestamp) + GRACE_MS - clock.now();
    if (left > 0) return { requeueAfterMs: left };
    await client
      .patch(serviceCIDRs, key, 'strategic', { metadata: { '$deleteFromPrimitiveList/finalizers': [FINALIZER] } })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  },
});
