/** NodeVolumeLimits: a CSI driver attaches only so many volumes to a node. */
import { Action, failure, type Plugin } from '../core/framework.ts';
import type { NodeInfo } from '../core/node-info.ts';
import type { PodInfo } from '../core/pod-info.ts';
import type { Listers } from '../listers.ts';
import { isClaimOf } from './volume-restrictions.ts';
import { classOf, claimsOf, notFound, type Claim } from './volumes.ts';

const NAME = 'NodeVolumeLimits';
const EXCEEDED = failure(NAME, 'Unschedulable', 'node(s) exceed max volume count');

/** The driver of a claim's volume and the volume's unique name; undefined when it isn't a CSI volume. */
function csiVolume(claim: Claim, listers: Listers): { driver: string; id: string } | undefined {
  const volumeName = claim.spec?.volumeName;
  const volume = volumeName ? listers.persistentVolumes.get(volumeName) : undefined;
  if (volume) {
    const csi = volume.spec?.csi;
    return csi && { driver: csi.driver, id: `${csi.driver}/${csi.volumeHandle}` };
  }
  // Not provisioned yet: it will be one more of its class's driver.
  const className = classOf(claim);
  const driver = className === '' ? undefined : listers.storageClasses.get(className)?.provisioner;
  return driver ? { driver, id: `${driver}/claim:${claim.metadata!.namespace}/${claim.metadata!.name}` } : undefined;
}

function collect(pod: PodInfo, listers: Listers, into: Map<string, string>): string | undefined {
  if (pod.claims.length === 0) return undefined;
  for (const { name } of claimsOf(pod)) {
    const claim = listers.persistentVolumeClaims.get(name, pod.namespace);
    if (!claim) return `looking up PVC ${pod.namespace}/${name}: ${notFound('persistentvolumeclaim', name)}`;
    const v = csiVolume(claim, listers);
    if (v) into.set(v.id, v.driver);
  }
  return undefined;
}

export const nodeVolumeLimits = (listers: Listers): Plugin => ({
  name: NAME,
  events: [
    { resource: 'CSINode', actions: Action.Add | Action.Update },
    { resource: 'CSIDriver', actions: Action.Update | Action.Delete },
    { resource: 'Pod', actions: Action.Delete, hint: (_pod, before) => (before as PodInfo).claims.length > 0 },
    {
      resource: 'PersistentVolumeClaim',
      actions: Action.Add | Action.Update,
      hint: (pod, _b, after) => isClaimOf(pod, after),
    },
    { resource: 'VolumeAttachment', actions: Action.Delete },
  ],
  preFilter(pod) {
    if (pod.claims.length === 0) return undefined;
    const wanted = new Map<string, string>();
    const problem = collect(pod, listers, wanted);
    if (problem) return { failure: failure(NAME, 'UnschedulableAndUnresolvable', problem) };
    if (wanted.size === 0) return undefined;
    const required = new Set<string>();
    for (const driver of new Set(wanted.values())) {
      const spec = listers.csiDrivers.get(driver)?.spec as { preventPodSchedulingIfMissing?: boolean } | undefined;
      if (spec?.preventPodSchedulingIfMissing) required.add(driver);
    }
    return {
      filter: {
        filter(node: NodeInfo) {
          const drivers = listers.csiNodes.get(node.name)?.spec?.drivers ?? [];
          for (const d of required)
            if (!drivers.some((x) => x.name === d))
              return failure(NAME, 'Unschedulable', `${d} CSI driver is not installed on the node`);
          const limits = new Map<string, number>();
          for (const d of drivers) if (d.allocatable?.count !== undefined) limits.set(d.name, d.allocatable.count);
          if (limits.size === 0) return undefined;
          const attached = new Map<string, string>();
          for (const p of node.pods) collect(p, listers, attached);
          for (const a of listers.volumeAttachments.list()) {
            const name = a.spec?.nodeName === node.name ? a.spec.source.persistentVolumeName : undefined;
            const csi = name ? listers.persistentVolumes.get(name)?.spec?.csi : undefined;
            if (csi) attached.set(`${csi.driver}/${csi.volumeHandle}`, csi.driver);
          }
          const count = new Map<string, number>();
          for (const driver of attached.values()) count.set(driver, (count.get(driver) ?? 0) + 1);
          const more = new Map<string, number>();
          for (const [id, driver] of wanted) if (!attached.has(id)) more.set(driver, (more.get(driver) ?? 0) + 1);
          for (const [driver, n] of more) {
            const limit = limits.get(driver);
            if (limit !== undefined && (count.get(driver) ?? 0) + n > limit) return EXCEEDED;
          }
          return undefined;
        },
      },
    };
  },
});
