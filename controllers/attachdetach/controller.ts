/** Asks CSI drivers to attach volumes to the nodes whose pods use them, and to detach them when nobody does. */
import { isAlreadyExists, isNotFound } from '../../api/status.ts';
import { splitKey } from '../../client/informer.ts';
import {
  csiDrivers,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  volumeAttachments,
} from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { isDeleting, keyFor, meta } from '../lib/meta.ts';
import { nodeCondition, TAINT_OUT_OF_SERVICE } from '../lib/nodes.ts';
import { errorText } from '../lib/podcontrol.ts';
import { isFinished, podsByNode } from '../lib/pods.ts';
import { podsByClaim } from '../pvprotection/controllers.ts';
import {
  isOurs,
  isShareable,
  uniqueVolumeName,
  wantedAttachments,
  type AttachmentView,
  type Lookups,
  type Wanted,
} from './plan.ts';

const POD = { apiVersion: 'v1', kind: 'Pod' };
/** A node that says nothing for so long has lost its right to a clean unmount. */
const UNMOUNT_WAIT_MS = 6 * 60_000;

const inputs = {
  pods,
  nodes,
  claims: persistentVolumeClaims,
  volumes: persistentVolumes,
  attachments: volumeAttachments,
  drivers: csiDrivers,
};
/** Since when (monotonic) an attachment is unwanted, by its name. */
type State = Map<string, number>;
type D = Deps<typeof inputs, State>;

function lookups({ informers }: D): Lookups {
  return {
    claim: (namespace, name) => informers.claims.get(name, namespace),
    volume: (name) => informers.volumes.get(name),
    attachable: (driver) => informers.drivers.get(driver)?.spec.attachRequired !== false,
  };
}

function tell(deps: D, wanted: Wanted, type: 'Normal' | 'Warning', reason: string, message: string): void {
  for (const pod of wanted.pods) deps.recorder.event(pod, type, reason, message, POD);
}

/** Another node that has the volume, when only one may. */
function takenBy(deps: D, node: string, wanted: Wanted): string | undefined {
  const volume = deps.informers.volumes.get(wanted.volumeName);
  if (!volume || isShareable(volume)) return undefined;
  return deps.informers.attachments
    .list()
    .find((a) => a.spec.source.persistentVolumeName === wanted.volumeName && a.spec.nodeName !== node)?.spec.nodeName;
}

/** What node status calls the volume of an attachment. */
function uniqueNameOf(deps: D, a: AttachmentView): string | undefined {
  const csi = deps.informers.volumes.get(a.spec.source.persistentVolumeName ?? '')?.spec?.csi;
  return csi && uniqueVolumeName(csi.driver, csi.volumeHandle);
}

async function detach(deps: D, name: string): Promise<void> {
  await deps.client.delete(volumeAttachments, name).catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
  });
  deps.state.delete(name);
}

const nodesOf = (deps: D, claimKey: string) =>
  deps.informers.pods.lookup(podsByClaim, claimKey).flatMap((p) => (p.spec?.nodeName ? [p.spec.nodeName] : []));

export const attachDetachController = defineController({
  name: 'persistentvolume-attach-detach-controller',
  account: 'attachdetach-controller',
  inputs,
  outputs: ['create,delete volumeattachments.storage.k8s.io', 'patch nodes/status'],
  state: (): State => new Map(),
  triggers: {
    pods: {
      keys: (pod) =>
        pod.spec?.nodeName && pod.spec.volumes?.some((v) => v.persistentVolumeClaim ?? v.ephemeral)
          ? [pod.spec.nodeName]
          : [],
      when: (now, before) => now.spec?.nodeName !== before.spec?.nodeName || isFinished(now) !== isFinished(before),
    },
    claims: {
      keys: (claim, deps: D) => nodesOf(deps, keyFor(meta(claim).namespace, meta(claim).name)),
      when: (now, before) => now.spec?.volumeName !== before.spec?.volumeName,
    },
    attachments: (a) => [a.spec.nodeName],
    nodes: {
      keys: 'self',
      when: (now, before) =>
        JSON.stringify(now.status?.volumesInUse) !== JSON.stringify(before.status?.volumesInUse) ||
        JSON.stringify(now.spec?.taints) !== JSON.stringify(before.spec?.taints),
    },
  },
  async reconcile(key, deps: D): Promise<Result | void> {
    const { informers, client, clock, state } = deps;
    const node = informers.nodes.get(key);
    const wanted = node
      ? wantedAttachments(key, informers.pods.lookup(podsByNode, key), lookups(deps))
      : new Map<string, Wanted>();
    // others' attachments have other names: they are theirs to end
    const have = informers.attachments.list().filter((a) => a.spec.nodeName === key && isOurs(meta(a).name));
    let wait: number | undefined;
    for (const a of have) {
      const { name } = meta(a);
      if (wanted.has(name) || isDeleting(a)) {
        state.delete(name);
        continue;
      }
      const unique = uniqueNameOf(deps, a);
      const inUse = node && unique !== undefined && node.status?.volumesInUse?.includes(unique);
      const since = state.get(name) ?? clock.monotonic();
      state.set(name, since);
      const left = since + UNMOUNT_WAIT_MS - clock.monotonic();
      const outOfService = node?.spec?.taints?.some((t) => t.key === TAINT_OUT_OF_SERVICE);
      const healthy = node && nodeCondition(node, 'Ready')?.status === 'True';
      if (inUse && !outOfService && (healthy || left > 0)) wait = Math.min(wait ?? Infinity, Math.max(left, 10_000));
      else await detach(deps, name);
    }
    for (const [name, w] of wanted) {
      if (have.some((a) => meta(a).name === name)) continue;
      const other = takenBy(deps, key, w);
      if (other !== undefined) {
        tell(
          deps,
          w,
          'Warning',
          'FailedAttachVolume',
          `Multi-Attach error for volume "${w.volumeName}" Volume is already exclusively attached to one node and can't be attached to another`,
        );
        wait = Math.min(wait ?? Infinity, 10_000);
        continue;
      }
      try {
        await client.create(volumeAttachments, {
          metadata: { name },
          spec: { attacher: w.attacher, nodeName: key, source: { persistentVolumeName: w.volumeName } },
        });
      } catch (error) {
        if (isAlreadyExists(error)) continue;
        tell(
          deps,
          w,
          'Warning',
          'FailedAttachVolume',
          `AttachVolume.Attach failed for volume "${w.volumeName}" : ${errorText(error)}`,
        );
        throw error;
      }
    }
    if (node) await reportAttached(deps, key, have, wanted);
    return wait === undefined ? undefined : { requeueAfterMs: wait };
  },
});

/** The kubelet mounts only what the node's status says is attached. */
async function reportAttached(
  deps: D,
  key: string,
  have: readonly AttachmentView[],
  wanted: ReadonlyMap<string, Wanted>,
): Promise<void> {
  const { name } = splitKey(key);
  const node = deps.informers.nodes.get(name);
  const attached = have.filter((a) => a.status?.attached && !isDeleting(a)).flatMap((a) => uniqueNameOf(deps, a) ?? []);
  const old = new Set((node?.status?.volumesAttached ?? []).map((v) => v.name));
  const now = new Set(attached);
  const same = old.size === now.size && [...now].every((v) => old.has(v));
  if (same) return;
  const volumesAttached = [...now].toSorted((a, b) => (a < b ? -1 : 1)).map((v) => ({ name: v, devicePath: '' }));
  await deps.client.patch(
    nodes,
    name,
    'merge',
    { status: { volumesAttached: volumesAttached.length ? volumesAttached : null } },
    { subresource: 'status' },
  );
  for (const w of wanted.values())
    if (now.has(w.uniqueName) && !old.has(w.uniqueName))
      tell(deps, w, 'Normal', 'SuccessfulAttachVolume', `AttachVolume.Attach succeeded for volume "${w.volumeName}" `);
}
