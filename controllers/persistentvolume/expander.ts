/** Makes volumes larger when their claims ask for more: those of a node's directory at once, others by their own controllers. */
import { LOCAL_PATH_PROVISIONER } from '../../api/local-path.ts';
import { Quantity } from '../../api/quantity.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '../../api/types.ts';
import { keyOf, splitKey } from '../../client/informer.ts';
import { persistentVolumeClaims, persistentVolumes } from '../../client/resources.ts';
import { defineController, type Deps } from '../framework.ts';
import { body, isDeleting, meta } from '../lib/meta.ts';
import { isBound, PROVISIONED_BY, type ClaimView } from './match.ts';

const inputs = { claims: persistentVolumeClaims, volumes: persistentVolumes };
type D = Deps<typeof inputs, undefined>;

const CLAIM = { apiVersion: 'v1', kind: 'PersistentVolumeClaim' };
const sizeOf = (text: string | undefined) => Quantity.tryParse(text ?? '0') ?? Quantity.zero;
const wantsMore = (c: ClaimView): boolean =>
  isBound(c) &&
  !isDeleting(c) &&
  c.status?.phase === 'Bound' &&
  sizeOf(c.spec?.resources?.requests?.['storage']).compare(sizeOf(c.status.capacity?.['storage'])) > 0;

export const persistentVolumeExpanderController = defineController({
  name: 'persistentvolume-expander-controller',
  account: 'expand-controller',
  component: 'volume_expand',
  inputs,
  outputs: ['update persistentvolumes', 'update persistentvolumeclaims/status'],
  triggers: { claims: (claim) => (wantsMore(claim) ? [keyOf(claim)] : []) },
  async reconcile(key, deps: D) {
    const { name, namespace } = splitKey(key);
    const claim = deps.informers.claims.get(name, namespace);
    if (!claim || !wantsMore(claim)) return;
    const volume = deps.informers.volumes.get(claim.spec?.volumeName ?? '');
    if (!volume || volume.spec?.claimRef?.uid !== meta(claim).uid) return;
    if (volume.metadata?.annotations?.[PROVISIONED_BY] !== LOCAL_PATH_PROVISIONER) {
      deps.recorder.event(
        claim,
        'Normal',
        'ExternalExpanding',
        'waiting for an external controller to expand this PVC',
        CLAIM,
      );
      return;
    }
    // a directory has no size of its own: it is enough to say so, the volume first
    const storage = claim.spec!.resources!.requests!['storage']!;
    if (sizeOf(volume.spec.capacity?.['storage']).compare(sizeOf(storage)) < 0) {
      const have = body<PersistentVolume>(volume);
      await deps.client.update(persistentVolumes, {
        ...have,
        spec: { ...have.spec, capacity: { ...have.spec?.capacity, storage } },
      });
    }
    const have = body<PersistentVolumeClaim>(claim);
    await deps.client.updateStatus(persistentVolumeClaims, {
      ...have,
      status: { ...have.status, capacity: { ...have.status?.capacity, storage } },
    });
  },
});
