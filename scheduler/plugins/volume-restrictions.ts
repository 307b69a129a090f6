/** VolumeRestrictions: disks that one node (or one pod) alone may have. */
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { Action, failure, type Failure, type NodeFilter, type Plugin } from '../core/framework.ts';
import type { NodeInfo } from '../core/node-info.ts';
import type { PodInfo } from '../core/pod-info.ts';
import type { Listers } from '../listers.ts';
import { claimsOf, notFound } from './volumes.ts';

const NAME = 'VolumeRestrictions';
const DISK = failure(NAME, 'Unschedulable', 'node(s) had no available disk');
const ONCE_POD = failure(
  NAME,
  'Unschedulable',
  'node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod',
);

type PodVolume = NonNullable<NonNullable<DeepReadonly<Pod>['spec']>['volumes']>[number];

const isRestricted = (v: PodVolume) =>
  v.gcePersistentDisk !== undefined ||
  v.awsElasticBlockStore !== undefined ||
  v.rbd !== undefined ||
  v.iscsi !== undefined;

function conflict(a: PodVolume, b: PodVolume): boolean {
  const [gce, gce2] = [a.gcePersistentDisk, b.gcePersistentDisk];
  if (gce && gce2 && gce.pdName === gce2.pdName && !(gce.readOnly && gce2.readOnly)) return true;
  const [aws, aws2] = [a.awsElasticBlockStore, b.awsElasticBlockStore];
  if (aws && aws2 && aws.volumeID === aws2.volumeID) return true;
  const [iscsi, iscsi2] = [a.iscsi, b.iscsi];
  if (iscsi && iscsi2 && iscsi.iqn === iscsi2.iqn && !(iscsi.readOnly && iscsi2.readOnly)) return true;
  const [rbd, rbd2] = [a.rbd, b.rbd];
  if (!rbd || !rbd2) return false;
  const sameImage = (rbd.pool ?? 'rbd') === (rbd2.pool ?? 'rbd') && rbd.image === rbd2.image;
  return sameImage && rbd.monitors.some((m) => rbd2.monitors.includes(m)) && !(rbd.readOnly && rbd2.readOnly);
}

class RestrictionFilter implements NodeFilter {
  private readonly volumes: readonly PodVolume[];
  private readonly once: ReadonlySet<string>;
  private readonly namespace: string;
  private users: number;

  constructor(volumes: readonly PodVolume[], once: ReadonlySet<string>, namespace: string, users: number) {
    this.volumes = volumes;
    this.once = once;
    this.namespace = namespace;
    this.users = users;
  }
  filter(node: NodeInfo): Failure | undefined {
    for (const v of this.volumes)
      for (const p of node.pods) for (const w of p.pod.spec!.volumes ?? []) if (conflict(v, w)) return DISK;
    return this.users > 0 ? ONCE_POD : undefined;
  }
  private uses(pod: PodInfo): number {
    if (pod.namespace !== this.namespace) return 0;
    return pod.claims.filter((c) => this.once.has(c)).length;
  }
  addPod(pod: PodInfo): void {
    this.users += this.uses(pod);
  }
  removePod(pod: PodInfo): void {
    this.users -= this.uses(pod);
  }
  clone(): RestrictionFilter {
    return new RestrictionFilter(this.volumes, this.once, this.namespace, this.users);
  }
}

export const volumeRestrictions = (listers: Listers): Plugin => ({
  name: NAME,
  events: [
    {
      resource: 'Pod',
      actions: Action.Delete,
      hint(pod, before) {
        const gone = before as PodInfo;
        if (gone.namespace === pod.namespace && gone.claims.some((c) => pod.claims.includes(c))) return true;
        const mine = (pod.pod.spec!.volumes ?? []).filter(isRestricted);
        return mine.some((v) => (gone.pod.spec!.volumes ?? []).some((w) => conflict(v, w)));
      },
    },
    { resource: 'Node', actions: Action.Add },
    {
      resource: 'PersistentVolumeClaim',
      actions: Action.Add | Action.Update,
      hint: (pod, _before, after) => isClaimOf(pod, after),
    },
  ],
  preFilter(pod, cycle) {
    const volumes = pod.pod.spec!.volumes;
    if (!volumes?.length) return undefined;
    const restricted = volumes.filter(isRestricted);
    const once = new Set<string>();
    let users = 0;
    for (const { name, ephemeral } of claimsOf(pod)) {
      if (ephemeral) continue;
      const claim = listers.persistentVolumeClaims.get(name, pod.namespace);
      if (!claim)
        return { failure: failure(NAME, 'UnschedulableAndUnresolvable', notFound('persistentvolumeclaim', name)) };
      if (!claim.spec?.accessModes?.includes('ReadWriteOncePod')) continue;
      once.add(name);
      const key = `${pod.namespace}/${name}`;
      for (const n of cycle.snapshot.nodes) users += n.claims.get(key) ?? 0;
    }
    if (restricted.length === 0 && users === 0) return undefined;
    return { filter: new RestrictionFilter(restricted, once, pod.namespace, users) };
  },
});

/** Is the object a claim that the pod uses? */
export function isClaimOf(pod: PodInfo, object: unknown): boolean {
  const m = (object as { metadata?: { name?: string; namespace?: string } } | undefined)?.metadata;
  return m?.namespace === pod.namespace && pod.claims.includes(m.name ?? '');
}
