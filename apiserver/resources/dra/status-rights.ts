/**
 * Who may change which part of a claim's status (KEP-4817): the right to update the status isn't enough. Allocations and
 * reservations take the subresource `resourceclaims/binding`, what drivers report takes `resourceclaims/driver` for the
 * driver's name. Both exist for authorization only.
 */
import type * as k8s from '@kubernetes/client-node';
import { semanticEqual } from '../../../api/meta.ts';
import type { DeepReadonly, Json } from '../../../api/types.ts';
import { splitServiceAccountName } from '../../authentication/service-account.ts';
import type { UserInfo } from '../../authentication/types.ts';
import type { RequestRights } from '../../registry/definition.ts';
import type { Field } from '../validation/field.ts';
import { dns1123Subdomain } from '../validation/names.ts';

type Claim = Json<k8s.ResourceV1ResourceClaim>;
type Status = NonNullable<Claim['status']>;
type Allocation = NonNullable<Status['allocation']>;
type DeviceStatus = Json<k8s.V1AllocatedDeviceStatus>;

const NODE_NAME = 'authentication.kubernetes.io/node-name';

/** Identifies a device, and the share of it when it is shared. */
export const deviceId = (d: DeepReadonly<{ driver?: string; pool?: string; device?: string; shareID?: string }>) =>
  [d.driver, d.pool, d.device, d.shareID ?? ''].join('/');

/** Complains at the status of `f` about what changed without the right to it. */
export async function statusRights(
  f: Field<Claim>,
  old: DeepReadonly<Claim>,
  user: UserInfo,
  rights: RequestRights,
): Promise<void> {
  const status = f.get('status');
  await bindingRight(status, old.status, rights);
  // Without an allocation there are no devices, and their status goes by itself.
  if (status.value?.allocation) await driverRights(status, old.status, user, rights);
}

async function bindingRight(
  f: Field<Status>,
  old: DeepReadonly<Status> | undefined,
  rights: RequestRights,
): Promise<void> {
  const now = f.value;
  const sameAllocation = !now?.allocation === !old?.allocation && semanticEqual(now?.allocation, old?.allocation);
  if (sameAllocation && semanticEqual(now?.reservedFor, old?.reservedFor)) return;
  const { verb } = rights;
  // One scheduler serves all namespaces, so the right is asked for in the whole cluster.
  const why = await rights.refusal({ verb, subresource: 'binding', namespace: '', name: '' });
  if (why !== undefined)
    f.get('allocation').forbidden(
      `changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", verb="${verb}" permission: ${why}`,
    );
}

async function driverRights(
  f: Field<Status>,
  old: DeepReadonly<Status> | undefined,
  user: UserInfo,
  rights: RequestRights,
): Promise<void> {
  const verbs = [`arbitrary-node:${rights.verb}`];
  if (isOnNode(user, nodeOf(f.value?.allocation))) verbs.unshift(`associated-node:${rights.verb}`);
  for (const driver of changedDrivers(f.value?.devices ?? [], old?.devices ?? [])) {
    const why = await refusalOfAll(verbs, driver, rights);
    if (why !== undefined)
      f.get('devices').forbidden(
        `changing status.devices requires resource="resourceclaims/driver", verb="[${verbs.join(' ')}]" permission: ${why}`,
      );
  }
}

/** The first verb's refusal, unless one of them is allowed. */
async function refusalOfAll(
  verbs: readonly string[],
  driver: string,
  rights: RequestRights,
): Promise<string | undefined> {
  let first: string | undefined;
  for (const verb of verbs) {
    const why = await rights.refusal({ verb, subresource: 'driver', namespace: rights.namespace, name: driver });
    if (why === undefined) return undefined;
    first ??= why;
  }
  return first;
}

/** Drivers of which a device's status came, went or changed, in order. */
function changedDrivers(now: DeepReadonly<DeviceStatus[]>, old: DeepReadonly<DeviceStatus[]>): string[] {
  const left = new Map(old.map((d) => [deviceId(d), d]));
  const drivers = new Set<string>();
  for (const d of now) {
    const id = deviceId(d);
    const before = left.get(id);
    left.delete(id);
    if (!before || !semanticEqual(d, before)) drivers.add(d.driver);
  }
  for (const d of left.values()) drivers.add(d.driver);
  return [...drivers].sort();
}

/** The one node by name that an allocation is bound to. */
function nodeOf(allocation: DeepReadonly<Allocation> | undefined): string | undefined {
  const [term, ...others] = allocation?.nodeSelector?.nodeSelectorTerms ?? [];
  if (!term || others.length > 0 || term.matchExpressions?.length || term.matchFields?.length !== 1) return undefined;
  const { key, operator, values } = term.matchFields[0]!;
  return key === 'metadata.name' && operator === 'In' && values?.length === 1 ? values[0] : undefined;
}

/** Whether this is a service account by a token that is bound to the node. */
function isOnNode(user: UserInfo, node: string | undefined): boolean {
  if (!node || !splitServiceAccountName(user.name)) return false;
  const names = user.extra?.[NODE_NAME] ?? [];
  return names.length === 1 && names[0] === node && dns1123Subdomain(node).length === 0;
}
