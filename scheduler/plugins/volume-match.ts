/** Which volume a claim may take, and whether one could be made for it on a node. */
import { compileLabelSelector, SelectorError, type LabelMatcher } from '../../api/selectors.ts';
import { amountOf } from '../core/resources.ts';
import type { Selectable } from '../core/node-selector.ts';
import type { Listers } from '../listers.ts';
import { reaches, type Claim, type StorageClass, type Volume } from './volumes.ts';

/** The bytes that a claim asks for. */
export const claimSize = (claim: Claim): number => {
  const text = claim.spec?.resources?.requests?.['storage'];
  return text === undefined ? 0 : amountOf('storage', text);
};
const volumeSize = (volume: Volume): number => amountOf('storage', volume.spec?.capacity?.['storage'] ?? '0');

/** The volume was promised to this very claim. */
function isFor(volume: Volume, claim: Claim): boolean {
  const ref = volume.spec?.claimRef;
  if (!ref || ref.name !== claim.metadata?.name || ref.namespace !== claim.metadata?.namespace) return false;
  return !ref.uid || ref.uid === claim.metadata?.uid;
}

function selectorOf(claim: Claim): LabelMatcher | undefined | 'invalid' {
  if (!claim.spec?.selector) return undefined;
  try {
    return compileLabelSelector(claim.spec.selector);
  } catch (error) {
    if (error instanceof SelectorError) return 'invalid';
    throw error;
  }
}

/** The smallest available volume that suits the claim on this node; one promised to it comes first. */
export function findVolume(
  claim: Claim,
  volumes: readonly Volume[],
  node: Selectable,
  taken: ReadonlySet<string>,
): Volume | undefined {
  const size = claimSize(claim);
  const selector = selectorOf(claim);
  if (selector === 'invalid') return undefined;
  const mode = claim.spec?.volumeMode ?? 'Filesystem';
  let best: Volume | undefined;
  let bestSize = 0;
  for (const v of volumes) {
    if (taken.has(v.metadata!.name!)) continue;
    if (v.spec?.claimRef && !isFor(v, claim)) continue;
    const has = volumeSize(v);
    if (has < size || (v.spec?.volumeMode ?? 'Filesystem') !== mode) continue;
    if ((v.spec?.volumeAttributesClassName ?? '') !== (claim.spec?.volumeAttributesClassName ?? '')) continue;
    if (v.metadata?.deletionTimestamp) continue;
    if (isFor(v, claim)) return reaches(v, node) ? v : undefined;
    if (v.status?.phase !== 'Available') continue;
    if (selector && !selector.matches(v.metadata?.labels)) continue;
    if (!(claim.spec?.accessModes ?? []).every((m) => v.spec?.accessModes?.includes(m))) continue;
    if (!reaches(v, node)) continue;
    if (best === undefined || has < bestSize) {
      best = v;
      bestSize = has;
    }
  }
  return best;
}

/** Can the class's provisioner make a volume for the node: by topology and by the room that its driver reports. */
export function canProvision(
  claim: Claim,
  storageClass: StorageClass,
  node: Selectable,
  listers: Listers,
): 'yes' | 'no' | 'no room' {
  const { provisioner } = storageClass;
  if (!provisioner || provisioner === 'kubernetes.io/no-provisioner') return 'no';
  const terms = storageClass.allowedTopologies;
  if (terms?.length) {
    const ok = terms.some((t) =>
      (t.matchLabelExpressions ?? []).every((e) => {
        const value = node.labels[e.key];
        return value !== undefined && e.values.includes(value);
      }),
    );
    if (!ok) return 'no';
  }
  if (listers.csiDrivers.get(provisioner)?.spec?.storageCapacity !== true) return 'yes';
  if (claim.spec?.resources?.requests?.['storage'] === undefined) return 'yes';
  const size = claimSize(claim);
  for (const c of listers.csiStorageCapacities.list()) {
    if (c.storageClassName !== storageClass.metadata?.name || !c.nodeTopology) continue;
    const limit = c.maximumVolumeSize ?? c.capacity;
    if (limit === undefined || amountOf('storage', limit) < size) continue;
    try {
      if (compileLabelSelector(c.nodeTopology).matches(node.labels)) return 'yes';
    } catch (error) {
      if (!(error instanceof SelectorError)) throw error;
    }
  }
  return 'no room';
}
