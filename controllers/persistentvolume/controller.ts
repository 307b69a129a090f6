/** Binds claims to volumes, and lets volumes go whose claim is gone. */
import type * as k8s from '@kubernetes/client-node';
import { isNotFound } from '../../api/status.ts';
import type { DeepReadonly, Json, PersistentVolume, PersistentVolumeClaim } from '../../api/types.ts';
import { keyOf, splitKey, type Informer } from '../../client/informer.ts';
import { persistentVolumeClaims, persistentVolumes, pods, storageClasses } from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { body, isDeleting, keyFor, meta, semanticEqual } from '../lib/meta.ts';
import { podsByClaim } from '../pvprotection/controllers.ts';
import { LOCAL_PATH_PROVISIONER } from '../../api/local-path.ts';
import { localVolume } from './localpath.ts';
import * as match from './match.ts';
import type { ClaimView, VolumeView } from './match.ts';

const CLAIM = { apiVersion: 'v1', kind: 'PersistentVolumeClaim' };
const VOLUME = { apiVersion: 'v1', kind: 'PersistentVolume' };
const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class';
const VOLUME_KEY = '@pv/';

type StorageClass = DeepReadonly<Json<k8s.V1StorageClass>>;
const inputs = { claims: persistentVolumeClaims, volumes: persistentVolumes, classes: storageClasses, pods };
type D = Deps<typeof inputs, undefined>;

interface Turn {
  readonly deps: D;
  readonly key: string;
}

function note(
  t: Turn,
  object: ClaimView | VolumeView,
  type: 'Normal' | 'Warning',
  reason: string,
  message: string,
  kind = CLAIM,
): void {
  t.deps.recorder.event(object, type, reason, message, kind);
}

async function updateVolume(t: Turn, volume: PersistentVolume, status = false): Promise<PersistentVolume> {
  const written = await (status
    ? t.deps.client.updateStatus(persistentVolumes, volume)
    : t.deps.client.update(persistentVolumes, volume));
  t.deps.expectations.wrote(t.key, t.deps.informers.volumes as unknown as Informer<object>, written);
  return written;
}

async function updateClaim(t: Turn, claim: PersistentVolumeClaim, status = false): Promise<PersistentVolumeClaim> {
  const written = await (status
    ? t.deps.client.updateStatus(persistentVolumeClaims, claim)
    : t.deps.client.update(persistentVolumeClaims, claim));
  t.deps.expectations.wrote(t.key, t.deps.informers.claims as unknown as Informer<object>, written);
  return written;
}

async function setVolumePhase(t: Turn, volume: VolumeView, phase: string, message?: string): Promise<void> {
  if (volume.status?.phase === phase && volume.status.message === message) return;
  const have = body<PersistentVolume>(volume);
  await updateVolume(t, { ...have, status: { ...have.status, phase, message } }, true);
}

async function setClaimPhase(t: Turn, claim: PersistentVolumeClaim, phase: string, volume?: VolumeView): Promise<void> {
  const bound = phase === 'Bound' && volume;
  const have = claim.status ?? {};
  const status: NonNullable<PersistentVolumeClaim['status']> = bound
    ? {
        ...have,
        phase,
        accessModes: [...(volume.spec?.accessModes ?? [])],
        capacity: have.phase === 'Bound' && have.capacity ? have.capacity : { ...volume.spec?.capacity },
      }
    : phase === 'Pending'
      ? { ...have, phase, accessModes: undefined, capacity: undefined }
      : { ...have, phase };
  if (!semanticEqual(claim.status, status)) await updateClaim(t, { ...claim, status }, true);
}

/** Writes both sides of a binding, the volume's first: what happens twice does no harm. */
async function bind(t: Turn, claim: ClaimView, volume: VolumeView): Promise<void> {
  const { name, namespace, uid, resourceVersion } = meta(claim);
  let v = body<PersistentVolume>(volume);
  const ref = v.spec?.claimRef;
  if (!ref || ref.uid !== uid) {
    const annotations = ref
      ? v.metadata?.annotations
      : { ...v.metadata?.annotations, [match.BOUND_BY_CONTROLLER]: 'yes' };
    v = await updateVolume(t, {
      ...v,
      metadata: { ...v.metadata, annotations },
      spec: { ...v.spec!, claimRef: { ...CLAIM, name, namespace, uid, resourceVersion } },
    });
  }
  if (v.status?.phase !== 'Bound') v = await updateVolume(t, { ...v, status: { ...v.status, phase: 'Bound' } }, true);
  let c = body<PersistentVolumeClaim>(claim);
  if (c.spec?.volumeName !== meta(v).name || !match.isBound(c)) {
    const annotations: Record<string, string> = { ...c.metadata?.annotations, [match.BIND_COMPLETED]: 'yes' };
    if (!c.spec?.volumeName) annotations[match.BOUND_BY_CONTROLLER] = 'yes';
    c = await updateClaim(t, {
      ...c,
      metadata: { ...c.metadata, annotations },
      spec: { ...c.spec, volumeName: meta(v).name },
    });
  }
  await setClaimPhase(t, c, 'Bound', v);
}

function defaultClass(classes: readonly StorageClass[]): StorageClass | undefined {
  return classes
    .filter((c) => c.metadata?.annotations?.[DEFAULT_CLASS] === 'true')
    .toSorted((a, b) => (meta(b).creationTimestamp < meta(a).creationTimestamp ? -1 : 1))[0];
}

/** Says what the claim waits for, or has a volume made. */
async function provision(t: Turn, claim: ClaimView, cls: StorageClass | undefined, className: string): Promise<void> {
  const { deps } = t;
  if (className === '') {
    note(
      t,
      claim,
      'Normal',
      'FailedBinding',
      'no persistent volumes available for this claim and no storage class is set',
    );
    return setClaimPhase(t, body<PersistentVolumeClaim>(claim), 'Pending');
  }
  if (!cls) {
    note(
      t,
      claim,
      'Warning',
      'ProvisioningFailed',
      `storageclass.storage.k8s.io ${JSON.stringify(className)} not found`,
    );
    return setClaimPhase(t, body<PersistentVolumeClaim>(claim), 'Pending');
  }
  await setClaimPhase(t, body<PersistentVolumeClaim>(claim), 'Pending');
  if (cls.provisioner === 'kubernetes.io/no-provisioner') return;
  const directory = deps.options.localPathDirectory;
  if (cls.provisioner === LOCAL_PATH_PROVISIONER && directory !== undefined) {
    const node = claim.metadata?.annotations?.[match.SELECTED_NODE];
    const why = !node
      ? 'a volume on a node needs volumeBindingMode WaitForFirstConsumer'
      : claim.spec?.volumeMode === 'Block'
        ? 'volumeMode Block is not supported'
        : undefined;
    if (!node || why !== undefined)
      return note(
        t,
        claim,
        'Warning',
        'ProvisioningFailed',
        `failed to provision volume with StorageClass ${JSON.stringify(className)}: ${why}`,
      );
    const volume = localVolume(claim, cls, node, directory);
    const made = await deps.client.create(persistentVolumes, volume);
    deps.expectations.wrote(t.key, deps.informers.volumes as unknown as Informer<object>, made);
    note(
      t,
      claim,
      'Normal',
      'ProvisioningSucceeded',
      `Successfully provisioned volume ${meta(made).name} using ${LOCAL_PATH_PROVISIONER}`,
    );
    return;
  }
  const fresh = await deps.client.get(persistentVolumeClaims, meta(claim).name, meta(claim).namespace);
  if (fresh.metadata?.annotations?.[match.PROVISIONER] !== cls.provisioner) {
    const annotations = {
      ...fresh.metadata?.annotations,
      [match.PROVISIONER]: cls.provisioner,
      [match.BETA_PROVISIONER]: cls.provisioner,
    };
    await updateClaim(t, { ...fresh, metadata: { ...fresh.metadata, annotations } });
  }
  note(
    t,
    claim,
    'Normal',
    'ExternalProvisioning',
    `Waiting for a volume to be created either by the external provisioner '${cls.provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`,
  );
}

async function syncUnbound(t: Turn, claim: ClaimView): Promise<Result | void> {
  const { deps, key } = t;
  const { informers } = deps;
  const c = body<PersistentVolumeClaim>(claim);
  if (claim.spec?.volumeName) {
    const volume = informers.volumes.get(claim.spec.volumeName);
    if (!volume) return setClaimPhase(t, c, 'Pending');
    if (volume.spec?.claimRef && !match.refersTo(volume, claim)) {
      note(
        t,
        claim,
        'Warning',
        'FailedBinding',
        `volume ${JSON.stringify(meta(volume).name)} already bound to a different claim.`,
      );
      await setClaimPhase(t, c, 'Pending');
      return { requeueAfterMs: deps.options.pvClaimBinderSyncPeriodMs };
    }
    const why = volume.spec?.claimRef ? undefined : match.mismatch(volume, claim);
    if (why !== undefined) {
      note(
        t,
        claim,
        'Warning',
        'VolumeMismatch',
        `Cannot bind to requested volume ${JSON.stringify(meta(volume).name)}: ${why}`,
      );
      return setClaimPhase(t, c, 'Pending');
    }
    return bind(t, claim, volume);
  }
  let className = match.classOf(claim);
  if (className === undefined) {
    const fallback = defaultClass(informers.classes.list());
    if (fallback) {
      await updateClaim(t, { ...c, spec: { ...c.spec, storageClassName: meta(fallback).name } });
      return;
    }
    className = '';
  }
  const cls = informers.classes.get(className);
  const delayed =
    cls?.volumeBindingMode === 'WaitForFirstConsumer' &&
    claim.metadata?.annotations?.[match.SELECTED_NODE] === undefined;
  const volume = match.bestMatch(claim, informers.volumes.list(), delayed);
  if (volume) return bind(t, claim, volume);
  if (delayed) {
    const waiting = informers.pods.lookup(podsByClaim, key).filter((p) => !p.spec?.nodeName && !isDeleting(p));
    if (waiting.length)
      note(t, claim, 'Normal', 'WaitForPodScheduled', `waiting for pod ${meta(waiting[0]!).name} to be scheduled`);
    else note(t, claim, 'Normal', 'WaitForFirstConsumer', 'waiting for first consumer to be created before binding');
    await setClaimPhase(t, c, 'Pending');
  } else await provision(t, claim, cls, className);
  return { requeueAfterMs: deps.options.pvClaimBinderSyncPeriodMs };
}

async function syncBound(t: Turn, claim: ClaimView): Promise<void> {
  const c = body<PersistentVolumeClaim>(claim);
  const lost = async (reason: string, message: string) => {
    if (claim.status?.phase !== 'Lost') note(t, claim, 'Warning', reason, message);
    await setClaimPhase(t, c, 'Lost');
  };
  if (!claim.spec?.volumeName)
    return lost('ClaimLost', 'Bound claim has lost reference to PersistentVolume. Data on the volume is lost!');
  const volume = t.deps.informers.volumes.get(claim.spec.volumeName);
  if (!volume) return lost('ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!');
  const ref = volume.spec?.claimRef;
  if (!ref || match.refersTo(volume, claim)) return bind(t, claim, volume);
  return lost('ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly');
}

async function syncVolume(t: Turn, name: string): Promise<void> {
  const { informers, client } = t.deps;
  const volume = informers.volumes.get(name);
  if (!volume) return;
  const ref = volume.spec?.claimRef;
  if (!ref) return setVolumePhase(t, volume, 'Available');
  if (!ref.uid) {
    const claim = informers.claims.get(ref.name!, ref.namespace);
    if (claim) t.deps.enqueue(keyOf(claim));
    return setVolumePhase(t, volume, 'Available');
  }
  let claim: ClaimView | undefined = informers.claims.get(ref.name!, ref.namespace);
  if (!claim || meta(claim).uid !== ref.uid) {
    // Before data are given up, the truth.
    claim = await client.get(persistentVolumeClaims, ref.name!, ref.namespace).catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
  }
  if (claim && meta(claim).uid === ref.uid) {
    if (claim.spec?.volumeName === name)
      return match.isBound(claim) ? setVolumePhase(t, volume, 'Bound') : t.deps.enqueue(keyOf(claim));
    if (!claim.spec?.volumeName) return t.deps.enqueue(keyOf(claim));
    // The claim took another one: if the controller had bound this, it is free again.
    if (volume.metadata?.annotations?.[match.BOUND_BY_CONTROLLER] === undefined) return;
    const have = body<PersistentVolume>(volume);
    const { [match.BOUND_BY_CONTROLLER]: _by, ...annotations } = have.metadata?.annotations ?? {};
    await updateVolume(t, {
      ...have,
      metadata: { ...have.metadata, annotations },
      spec: { ...have.spec!, claimRef: undefined },
    });
    return;
  }
  if (volume.status?.phase !== 'Released' && volume.status?.phase !== 'Failed')
    await setVolumePhase(t, volume, 'Released');
  if (volume.spec?.persistentVolumeReclaimPolicy !== 'Delete' || isDeleting(volume)) return;
  const by = volume.metadata?.annotations?.[match.PROVISIONED_BY];
  if (by === LOCAL_PATH_PROVISIONER) {
    await client
      .delete(persistentVolumes, name, { preconditions: { uid: meta(volume).uid } })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  } else if (by === undefined && !volume.spec.csi) {
    const message = `error getting deleter volume plugin for volume ${JSON.stringify(name)}: no volume plugin matched`;
    if (volume.status?.phase !== 'Failed') note(t, volume, 'Warning', 'VolumeFailedDelete', message, VOLUME);
    const fresh = informers.volumes.get(name);
    if (fresh && fresh.status?.phase === 'Released') await setVolumePhase(t, fresh, 'Failed', message);
  }
}

export const persistentVolumeBinderController = defineController({
  name: 'persistentvolume-binder-controller',
  account: 'persistent-volume-binder',
  component: 'persistentvolume-controller',
  inputs,
  outputs: [
    'create,delete,update persistentvolumes',
    'update persistentvolumes/status',
    'get,update persistentvolumeclaims',
    'update persistentvolumeclaims/status',
  ],
  // Two claims must not find the same volume free.
  workers: () => 1,
  triggers: {
    claims(claim, deps: D) {
      const keys = [keyOf(claim)];
      if (claim.spec?.volumeName) keys.push(VOLUME_KEY + claim.spec.volumeName);
      else
        for (const v of deps.informers.volumes.list())
          if (match.refersTo(v, claim)) keys.push(VOLUME_KEY + meta(v).name);
      return keys;
    },
    volumes(volume, deps: D) {
      const keys = [VOLUME_KEY + meta(volume).name];
      const ref = volume.spec?.claimRef;
      if (ref?.name && ref.namespace) return [...keys, keyFor(ref.namespace, ref.name)];
      // A free volume may be what somebody waits for.
      return [
        ...keys,
        ...deps.informers.claims
          .list()
          .filter((c) => !match.isBound(c))
          .map(keyOf),
      ];
    },
    classes: (_c, deps: D) =>
      deps.informers.claims
        .list()
        .filter((c) => !match.isBound(c))
        .map(keyOf),
  },
  async reconcile(key, deps: D): Promise<Result | void> {
    if (!deps.expectations.satisfied(key)) return { requeueAfterMs: 20 };
    if (key.startsWith(VOLUME_KEY)) return syncVolume({ deps, key }, key.slice(VOLUME_KEY.length));
    const { name, namespace } = splitKey(key);
    const claim = deps.informers.claims.get(name, namespace);
    if (!claim) return deps.expectations.forget(key);
    const t = { deps, key };
    if (isDeleting(claim) && !match.isBound(claim)) return;
    return match.isBound(claim) ? syncBound(t, claim) : syncUnbound(t, claim);
  },
});
