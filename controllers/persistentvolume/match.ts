/** Which PersistentVolume suits a claim, and who is bound to whom. Pure. */
import { Quantity } from '../../api/quantity.ts';
import type { DeepReadonly, PersistentVolume, PersistentVolumeClaim } from '../../api/types.ts';
import { isDeleting, meta } from '../lib/meta.ts';
import { labelSelector } from '../lib/selectors.ts';

export type VolumeView = DeepReadonly<PersistentVolume>;
export type ClaimView = DeepReadonly<PersistentVolumeClaim>;

export const BOUND_BY_CONTROLLER = 'pv.kubernetes.io/bound-by-controller';
export const BIND_COMPLETED = 'pv.kubernetes.io/bind-completed';
export const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by';
export const SELECTED_NODE = 'volume.kubernetes.io/selected-node';
export const PROVISIONER = 'volume.kubernetes.io/storage-provisioner';
export const BETA_PROVISIONER = 'volume.beta.kubernetes.io/storage-provisioner';
const BETA_CLASS = 'volume.beta.kubernetes.io/storage-class';

/** The claim's class; '' asks for none, undefined for the default one. */
export function classOf(claim: ClaimView): string | undefined {
  return claim.metadata?.annotations?.[BETA_CLASS] ?? claim.spec?.storageClassName;
}

function volumeClassOf(volume: VolumeView): string {
  return volume.metadata?.annotations?.[BETA_CLASS] ?? volume.spec?.storageClassName ?? '';
}

/** Whether binding of a claim has come to its end. */
export function isBound(claim: ClaimView): boolean {
  return claim.metadata?.annotations?.[BIND_COMPLETED] !== undefined;
}

/** Whether the volume is meant for this claim; one pre-bound by name has no uid yet. */
export function refersTo(volume: VolumeView, claim: ClaimView): boolean {
  const ref = volume.spec?.claimRef;
  if (!ref || ref.name !== meta(claim).name || ref.namespace !== meta(claim).namespace) return false;
  return !ref.uid || ref.uid === meta(claim).uid;
}

const size = (q: string | undefined) => Quantity.tryParse(q ?? '0') ?? Quantity.zero;

/** Why the volume can't serve the claim; undefined when it can. */
export function mismatch(volume: VolumeView, claim: ClaimView): string | undefined {
  if (size(volume.spec?.capacity?.['storage']).compare(size(claim.spec?.resources?.requests?.['storage'])) < 0)
    return 'requested PV is too small';
  if (volumeClassOf(volume) !== (classOf(claim) ?? '')) return 'storageClassName does not match';
  if ((volume.spec?.volumeMode ?? 'Filesystem') !== (claim.spec?.volumeMode ?? 'Filesystem'))
    return 'incompatible volumeMode';
  if (!(claim.spec?.accessModes ?? []).every((m) => volume.spec?.accessModes?.includes(m)))
    return 'incompatible accessMode';
  if ((volume.spec?.volumeAttributesClassName ?? '') !== (claim.spec?.volumeAttributesClassName ?? ''))
    return 'volumeAttributesClassName does not match';
  return undefined;
}

/** The volume for the claim: one that names it, else the smallest free one that suits. */
export function bestMatch(claim: ClaimView, volumes: readonly VolumeView[], delayed: boolean): VolumeView | undefined {
  let best: VolumeView | undefined;
  for (const v of volumes) {
    if (isDeleting(v)) continue;
    if (v.spec?.claimRef) {
      if (refersTo(v, claim) && mismatch(v, claim) === undefined) return v;
      continue;
    }
    // Where the scheduler has a say, it names the volume.
    if (delayed || v.status?.phase !== 'Available' || mismatch(v, claim) !== undefined) continue;
    if (claim.spec?.selector && !labelSelector(claim.spec.selector).matches(v.metadata?.labels)) continue;
    const d = best ? size(v.spec?.capacity?.['storage']).compare(size(best.spec?.capacity?.['storage'])) : -1;
    if (d < 0 || (d === 0 && meta(v).name < meta(best!).name)) best = v;
  }
  return best;
}
