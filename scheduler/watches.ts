/** The informers of a running scheduler: they fill the cache and the queue, and tell the queue what has changed. */
import type * as k8s from '@kubernetes/client-node';
import type { Clock, Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { deepEqual } from '../api/meta.ts';
import type { DeepReadonly, Json, Node, Pod } from '../api/types.ts';
import type { Client } from '../client/client.ts';
import { createInformer, type Informer } from '../client/informer.ts';
import * as r from '../client/resources.ts';
import type { Cache } from './core/cache.ts';
import { Action, type ClusterEvent, type EventResource } from './core/framework.ts';
import { PodInfo, sameLabels } from './core/pod-info.ts';
import type { Listers } from './listers.ts';
import { trimPod, trimSelecting } from './trim.ts';
import type { SchedulingQueue } from './queue/queue.ts';

const csiStorageCapacities: r.ResourceRef<Json<k8s.V1CSIStorageCapacity>> = {
  group: 'storage.k8s.io',
  version: 'v1',
  resource: 'csistoragecapacities',
  kind: 'CSIStorageCapacity',
  namespaced: true,
};

export interface WatchOptions {
  client: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
  /** Keep whole pods, not only what the scheduler itself reads: extenders are sent them. */
  wholePods: boolean;
}

export interface Watches {
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly listers: Listers;
  /** Connects them to cache and queue; `mine` says whether a pod is ours to place. */
  connect(
    cache: Cache,
    queue: SchedulingQueue,
    mine: (pod: DeepReadonly<Pod>) => boolean,
    gone: (uid: string) => void,
  ): void;
  start(): void;
  stop(): void;
  synced(): Promise<void>;
}

const event = (resource: EventResource, action: number, label: string): ClusterEvent => ({ resource, action, label });
const POD_ADD = event('Pod', Action.Add, 'AssignedPodAdd');
const POD_DELETE = event('Pod', Action.Delete, 'AssignedPodDelete');
const NODE_ADD = event('Node', Action.Add, 'NodeAdd');

/** What of a node's change may matter; 0 when nothing does. */
function nodeChanges(before: DeepReadonly<Node>, after: DeepReadonly<Node>): number {
  let bits = 0;
  if (before.spec?.unschedulable !== after.spec?.unschedulable || !deepEqual(before.spec?.taints, after.spec?.taints))
    bits |= Action.UpdateNodeTaint;
  if (!deepEqual(before.status?.allocatable, after.status?.allocatable)) bits |= Action.UpdateNodeAllocatable;
  if (!sameLabels(before.metadata?.labels, after.metadata?.labels)) bits |= Action.UpdateNodeLabel;
  if (!sameLabels(before.metadata?.annotations, after.metadata?.annotations)) bits |= Action.UpdateNodeAnnotation;
  const features = (n: DeepReadonly<Node>) => (n.status as { declaredFeatures?: readonly string[] })?.declaredFeatures;
  if (!deepEqual(features(before), features(after))) bits |= Action.UpdateNodeDeclaredFeature;
  const statuses = (n: DeepReadonly<Node>) => n.status?.conditions?.map((c) => [c.type, c.status]);
  if (!deepEqual(statuses(before), statuses(after))) bits |= Action.UpdateNodeCondition;
  return bits;
}

/** What of a pod's change may matter to itself or to others. */
function podChanges(before: PodInfo, after: PodInfo): number {
  let bits = 0;
  if (!sameLabels(before.labels, after.labels)) bits |= Action.UpdatePodLabel;
  const was = before.requests;
  const is = after.requests;
  if (!was.equals(is)) {
    const less =
      is.milliCPU < was.milliCPU ||
      is.memory < was.memory ||
      is.ephemeralStorage < was.ephemeralStorage ||
      [...(was.scalars ?? [])].some(([k, v]) => is.get(k) < v);
    if (less) bits |= Action.UpdatePodScaleDown;
  }
  if (!deepEqual(before.pod.spec!.tolerations, after.pod.spec!.tolerations)) bits |= Action.UpdatePodTolerations;
  if ((before.pod.spec!.schedulingGates?.length ?? 0) > 0 && !after.pod.spec!.schedulingGates?.length)
    bits |= Action.UpdatePodSchedulingGates;
  return bits;
}

export function createWatches(options: WatchOptions): Watches {
  const { client, clock, rand, logger } = options;
  const informers: Informer<never>[] = [];
  function informer<T extends object>(
    ref: r.ResourceRef<T>,
    more: { fieldSelector?: string; transform?(o: T): T } = {},
  ): Informer<T> {
    const i = createInformer(ref, { client, clock, rand, logger, ...more });
    informers.push(i as unknown as Informer<never>);
    return i;
  }
  const pods = informer(r.pods, {
    fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
    transform: options.wholePods ? undefined : trimPod,
  });
  const nodes = informer(r.nodes);
  const namespaces = informer(r.namespaces);
  const services = informer(r.services, { transform: trimSelecting });
  const replicationControllers = informer(r.replicationControllers, { transform: trimSelecting });
  const replicaSets = informer(r.replicaSets, { transform: trimSelecting });
  const statefulSets = informer(r.statefulSets, { transform: trimSelecting });
  const podDisruptionBudgets = informer(r.podDisruptionBudgets);
  const persistentVolumes = informer(r.persistentVolumes);
  const persistentVolumeClaims = informer(r.persistentVolumeClaims);
  const storageClasses = informer(r.storageClasses);
  const csiNodes = informer(r.csiNodes);
  const csiDrivers = informer(r.csiDrivers);
  const capacities = informer(csiStorageCapacities);
  const volumeAttachments = informer(r.volumeAttachments);
  // Not waited for: a server may not have them, and pods with claims are held back until theirs are seen.
  const claims = createInformer(r.resourceClaims, { client, clock, rand, logger });
  const slices = createInformer(r.resourceSlices, { client, clock, rand, logger });
  const classes = createInformer(r.deviceClasses, { client, clock, rand, logger });
  const optional = [claims, slices, classes];

  /** Terminal pods hold nothing; a server that doesn't filter them out is told apart here. */
  const over = (pod: DeepReadonly<Pod>) => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';

  function connectPods(
    cache: Cache,
    queue: SchedulingQueue,
    mine: (pod: DeepReadonly<Pod>) => boolean,
    gone: (uid: string) => void,
  ): void {
    function assigned(pod: DeepReadonly<Pod>, fresh: boolean): void {
      const uid = pod.metadata!.uid!;
      const { before, after } = cache.setPod(pod);
      // Somebody else may have placed it, and elsewhere.
      queue.nominate(after, '', after.nodeName);
      queue.delete(uid);
      if (!before || fresh) queue.move(POD_ADD, undefined, after);
      else if (before !== after) {
        const bits = podChanges(before, after);
        if (bits !== 0) queue.move(event('Pod', bits, 'AssignedPodUpdate'), before, after);
      }
    }
    function removed(pod: DeepReadonly<Pod>): void {
      const uid = pod.metadata!.uid!;
      const nominated = queue.nominator.nodeOf(uid) !== undefined;
      const waiting = queue.get(uid);
      queue.delete(uid);
      gone(uid);
      const placed = cache.removePod(uid);
      if (placed) queue.move(POD_DELETE, placed, undefined);
      else if (waiting && nominated) queue.move(POD_DELETE, waiting.info, undefined);
    }
    pods.on({
      added(pod) {
        if (over(pod)) return;
        if (pod.spec!.nodeName) assigned(pod, true);
        else if (mine(pod)) queue.add(new PodInfo(pod));
      },
      updated(pod, old) {
        if (over(pod)) {
          if (!over(old)) removed(old);
          return;
        }
        if (pod.spec!.nodeName) return assigned(pod, !old.spec!.nodeName);
        if (!mine(pod)) return;
        const uid = pod.metadata!.uid!;
        // Its binding is under way; the confirmation comes as a change of its node.
        if (cache.isAssumed(uid)) return;
        const before = queue.get(uid)?.info ?? new PodInfo(old);
        const after = new PodInfo(pod);
        const bits = podChanges(before, after);
        const sameSpec =
          bits === 0 && old.metadata!.generation === pod.metadata!.generation && pod.metadata!.generation !== undefined;
        const events =
          bits !== 0
            ? [event('WaitingPod', bits, 'UnschedulablePodUpdate')]
            : sameSpec || deepEqual(old.spec, pod.spec)
              ? []
              : [event('WaitingPod', Action.Update, 'UnschedulablePodUpdate')];
        queue.update(after, events, before);
      },
      deleted(pod) {
        removed(pod);
      },
    });
  }

  function connectNodes(cache: Cache, queue: SchedulingQueue): void {
    nodes.on({
      added(node) {
        cache.setNode(node);
        queue.move(NODE_ADD, undefined, node);
      },
      updated(node, old) {
        cache.setNode(node);
        const bits = nodeChanges(old, node);
        if (bits !== 0) queue.move(event('Node', bits, 'NodeUpdate'), old, node);
      },
      deleted(node) {
        cache.removeNode(node.metadata!.name!);
        queue.move(event('Node', Action.Delete, 'NodeDelete'), node, undefined);
      },
    });
    namespaces.on({
      added: (n) => cache.setNamespace(n.metadata!.name!, n.metadata!.labels ?? {}),
      updated: (n) => cache.setNamespace(n.metadata!.name!, n.metadata!.labels ?? {}),
      deleted: (n) => cache.setNamespace(n.metadata!.name!, undefined),
    });
  }

  function tell<T extends object>(queue: SchedulingQueue, from: Informer<T>, resource: EventResource): void {
    const add = event(resource, Action.Add, `${resource}Add`);
    const update = event(resource, Action.Update, `${resource}Update`);
    const remove = event(resource, Action.Delete, `${resource}Delete`);
    from.on({
      added: (o) => queue.move(add, undefined, o),
      updated: (o, old) => queue.move(update, old, o),
      deleted: (o) => queue.move(remove, o, undefined),
    });
  }

  return {
    pods,
    nodes,
    listers: {
      services,
      replicationControllers,
      replicaSets,
      statefulSets,
      podDisruptionBudgets,
      persistentVolumes,
      persistentVolumeClaims,
      storageClasses,
      csiNodes,
      csiDrivers,
      csiStorageCapacities: capacities,
      volumeAttachments,
      resourceClaims: claims,
      resourceSlices: slices,
      deviceClasses: classes,
    },
    connect(cache, queue, mine, gone) {
      connectNodes(cache, queue);
      connectPods(cache, queue, mine, gone);
      tell(queue, persistentVolumes, 'PersistentVolume');
      tell(queue, persistentVolumeClaims, 'PersistentVolumeClaim');
      tell(queue, storageClasses, 'StorageClass');
      tell(queue, csiNodes, 'CSINode');
      tell(queue, csiDrivers, 'CSIDriver');
      tell(queue, capacities, 'CSIStorageCapacity');
      tell(queue, volumeAttachments, 'VolumeAttachment');
      tell(queue, claims, 'ResourceClaim');
      tell(queue, slices, 'ResourceSlice');
      tell(queue, classes, 'DeviceClass');
    },
    start() {
      for (const i of informers) i.start();
      for (const i of optional) i.start();
    },
    stop() {
      for (const i of informers) i.stop();
      for (const i of optional) i.stop();
    },
    async synced() {
      await Promise.all(informers.map((i) => i.synced()));
    },
  };
}
