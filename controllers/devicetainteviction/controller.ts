/**
 * Deletes pods whose devices have NoExecute taints that their claims don't tolerate, at once or when their patience
 * ends (KEP-5055).
 */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json } from '../../api/types.ts';
import { splitKey, type Index } from '../../client/informer.ts';
import { pods, resourceClaims, resourceSlices } from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { isDeleting, keyFor, meta, millis, semanticEqual } from '../lib/meta.ts';
import { evictTainted } from '../lib/podcontrol.ts';
import { isFinished, type PodView } from '../lib/pods.ts';

type Claim = DeepReadonly<Json<k8s.ResourceV1ResourceClaim>>;
type Slice = DeepReadonly<Json<k8s.V1ResourceSlice>>;
type Taint = DeepReadonly<Json<k8s.V1DeviceTaint>>;
type Toleration = DeepReadonly<Json<k8s.V1DeviceToleration>>;

const inputs = { pods, claims: resourceClaims, slices: resourceSlices };
/** Pods that are to go, by uid. */
type State = Set<string>;
type D = Deps<typeof inputs, State>;
const POD = { apiVersion: 'v1', kind: 'Pod' };

const poolKey = (driver: string, pool: string) => `${driver}\0${pool}`;
const byPool: Index<Json<k8s.V1ResourceSlice>> = {
  values: (s) => [poolKey(s.spec.driver, s.spec.pool.name)],
};
const claimsByPool: Index<Json<k8s.ResourceV1ResourceClaim>> = {
  values: (c) => (c.status?.allocation?.devices?.results ?? []).map((r) => poolKey(r.driver, r.pool)),
};

function tolerates(t: Toleration, taint: Taint): boolean {
  if (t.effect !== 'NoExecute' || (t.key && t.key !== taint.key)) return false;
  return t.operator === 'Exists' || ((t.operator ?? 'Equal') === 'Equal' && (t.value ?? '') === (taint.value ?? ''));
}

/** When a device with the taints must be given up, in milliseconds since the epoch; undefined for never. Pure. */
function endOfPatience(taints: readonly Taint[], tolerations: readonly Toleration[], now: number): number | undefined {
  let end: number | undefined;
  for (const taint of taints) {
    if (taint.effect !== 'NoExecute') continue;
    const covering = tolerations.filter((t) => tolerates(t, taint));
    if (covering.some((t) => t.tolerationSeconds === undefined)) continue;
    const since = taint.timeAdded === undefined ? now : millis(taint.timeAdded);
    const seconds = covering.length === 0 ? 0 : Math.min(...covering.map((t) => Math.max(t.tolerationSeconds!, 0)));
    const at = since + seconds * 1000;
    if (end === undefined || at < end) end = at;
  }
  return end;
}

/** The taints of a device, from the newest slices of its pool. */
function taintsOf(deps: D, driver: string, pool: string, device: string): readonly Taint[] {
  let newest: Slice | undefined;
  for (const s of deps.informers.slices.lookup(byPool, poolKey(driver, pool))) {
    if (newest && s.spec.pool.generation < newest.spec.pool.generation) continue;
    if (s.spec.devices?.some((d) => d.name === device)) newest = s;
  }
  return newest?.spec.devices?.find((d) => d.name === device)?.taints ?? [];
}

/** The claims that the pod has in use. */
function claimsOf(deps: D, pod: PodView): Claim[] {
  const { namespace, uid } = meta(pod);
  const names = [
    ...(pod.spec?.resourceClaims ?? []).map(
      (c) =>
        c.resourceClaimName ?? pod.status?.resourceClaimStatuses?.find((s) => s.name === c.name)?.resourceClaimName,
    ),
    pod.status?.extendedResourceClaimStatus?.resourceClaimName,
  ];
  return names.flatMap((n) => {
    const claim = n === undefined ? undefined : deps.informers.claims.get(n, namespace);
    return claim?.status?.reservedFor?.some((r) => r.uid === uid) ? [claim] : [];
  });
}

const users = (claim: Claim) =>
  (claim.status?.reservedFor ?? []).flatMap((r) =>
    r.resource === 'pods' ? [keyFor(meta(claim).namespace, r.name)] : [],
  );

export const deviceTaintEvictionController = defineController({
  name: 'device-taint-eviction-controller',
  account: 'device-taint-eviction-controller',
  component: 'device-taint-eviction',
  inputs,
  outputs: ['delete pods', 'patch pods/status'],
  workers: () => 8,
  state: (): State => new Set(),
  triggers: {
    pods: {
      keys: (pod) =>
        pod.spec?.resourceClaims?.length || pod.status?.extendedResourceClaimStatus
          ? [keyFor(meta(pod).namespace, meta(pod).name)]
          : [],
      when: (now, before) =>
        now.spec?.nodeName !== before.spec?.nodeName ||
        !semanticEqual(now.status?.resourceClaimStatuses, before.status?.resourceClaimStatuses),
    },
    claims: users,
    slices: {
      keys: (slice, deps: D) =>
        deps.informers.claims
          .lookup(claimsByPool, poolKey(slice.spec.driver, slice.spec.pool.name))
          .flatMap((c) => users(c)),
      when: (now, before) => !semanticEqual(now.spec, before.spec),
    },
  },
  async reconcile(key, deps: D): Promise<Result | void> {
    const { informers, clock, state, recorder } = deps;
    const { name, namespace } = splitKey(key);
    const pod = informers.pods.get(name, namespace);
    if (!pod?.spec?.nodeName || isDeleting(pod) || isFinished(pod)) return;
    const { uid } = meta(pod);
    const now = clock.now();
    const ends = claimsOf(deps, pod).flatMap((c) =>
      (c.status?.allocation?.devices?.results ?? []).map((r) =>
        endOfPatience(taintsOf(deps, r.driver, r.pool, r.device), r.tolerations ?? [], now),
      ),
    );
    const end = Math.min(...ends.filter((e) => e !== undefined));
    if (end === Infinity) {
      if (state.delete(uid)) recorder.event(pod, 'Normal', 'DeviceTaintManagerEviction', 'Cancelling deletion', POD);
      return;
    }
    if (end > now) {
      state.add(uid);
      return { requeueAfterMs: end - now };
    }
    state.delete(uid);
    recorder.event(pod, 'Normal', 'DeviceTaintManagerEviction', 'Marking for deletion', POD);
    await evictTainted(
      deps,
      pod,
      'DeletionByDeviceTaintManager',
      'Device Taint manager: deleting due to NoExecute taint',
    );
  },
});
