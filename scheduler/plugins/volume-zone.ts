/** VolumeZone: bound volumes with zone labels keep their pods in their zone. */
import { Action, failure, type Plugin, type PreFilterResult } from '../core/framework.ts';
import type { PodInfo } from '../core/pod-info.ts';
import type { Listers } from '../listers.ts';
import { isClaimOf } from './volume-restrictions.ts';
import { classOf, claimsOf, notFound } from './volumes.ts';

const NAME = 'VolumeZone';
const ELSEWHERE = failure(NAME, 'UnschedulableAndUnresolvable', 'node(s) had no available volume zone');
const refuse = (reason: string): PreFilterResult => ({
  failure: failure(NAME, 'UnschedulableAndUnresolvable', reason),
});

/** Old labels, and what they are called now. */
const LABELS: Readonly<Record<string, string>> = {
  'failure-domain.beta.kubernetes.io/zone': 'topology.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region': 'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone': 'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region': 'topology.kubernetes.io/region',
};

interface Topology {
  readonly key: string;
  readonly values: ReadonlySet<string>;
}

function topologies(pod: PodInfo, listers: Listers): Topology[] | PreFilterResult {
  const out: Topology[] = [];
  for (const { name } of claimsOf(pod)) {
    if (name === '') return refuse('PersistentVolumeClaim had no name');
    const claim = listers.persistentVolumeClaims.get(name, pod.namespace);
    if (!claim) return refuse(notFound('persistentvolumeclaim', name));
    const volumeName = claim.spec?.volumeName;
    if (!volumeName) {
      const className = classOf(claim);
      if (className === '') return refuse('PersistentVolumeClaim had no pv name and storageClass name');
      const storageClass = listers.storageClasses.get(className);
      if (!storageClass) return refuse(notFound('storageclass.storage.k8s.io', className));
      if (!storageClass.volumeBindingMode) return refuse(`VolumeBindingMode not set for StorageClass "${className}"`);
      if (storageClass.volumeBindingMode === 'WaitForFirstConsumer') continue;
      return refuse('PersistentVolume had no name');
    }
    const volume = listers.persistentVolumes.get(volumeName);
    if (!volume) return refuse(notFound('persistentvolume', volumeName));
    for (const key in LABELS) {
      const value = volume.metadata?.labels?.[key];
      // Several zones are written with two underscores between them.
      if (value !== undefined) out.push({ key, values: new Set(value.split('__')) });
    }
  }
  return out;
}

export const volumeZone = (listers: Listers): Plugin => ({
  name: NAME,
  events: [
    { resource: 'StorageClass', actions: Action.Add },
    { resource: 'Node', actions: Action.Add | Action.UpdateNodeLabel },
    {
      resource: 'PersistentVolumeClaim',
      actions: Action.Add | Action.Update,
      hint: (pod, _before, after) => isClaimOf(pod, after),
    },
    { resource: 'PersistentVolume', actions: Action.Add | Action.Update },
  ],
  preFilter(pod) {
    if (pod.claims.length === 0) return undefined;
    const found = topologies(pod, listers);
    if (!Array.isArray(found)) return found;
    if (found.length === 0) return undefined;
    return {
      filter: {
        filter({ labels }) {
          if (!Object.keys(LABELS).some((k) => labels[k] !== undefined)) return undefined;
          for (const t of found) {
            const value = labels[t.key] ?? labels[LABELS[t.key]!];
            if (value === undefined || !t.values.has(value)) return ELSEWHERE;
          }
          return undefined;
        },
      },
    };
  },
});
