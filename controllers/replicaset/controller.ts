/** Keeps as many pods as a ReplicaSet (or a ReplicationController, which differs in its selector alone) wants. */
import { isNotFound } from '../../api/status.ts';
import type { DeepReadonly, Json, KubeObject, Pod, PodTemplateSpec } from '../../api/types.ts';
import type * as k8s from '@kubernetes/client-node';
import { splitKey, type Informer } from '../../client/informer.ts';
import { pods, replicaSets, replicationControllers, type ResourceRef } from '../../client/resources.ts';
import { defineController, type AnyController, type Deps } from '../framework.ts';
import { body, controllerOf, controllerRef, isDeleting, meta } from '../lib/meta.ts';
import { claim, concernsOwner, controlledBy, ownerOrSelectorKeys } from '../lib/ownership.ts';
import {
  createPod,
  deletePod,
  errorText,
  isNamespaceTerminating,
  podFromTemplate,
  slowStart,
  allDone,
} from '../lib/podcontrol.ts';
import { compareForDeletion, isActive, isTerminating, nextAvailability, type PodView } from '../lib/pods.ts';
import { lenientSelector, setSelector, type Selector } from '../lib/selectors.ts';
import { concurrency } from '../options.ts';
import { replicaSetStatus, statusDiffers, type ReplicaFailure, type ReplicaSetStatus } from './status.ts';

/** No more pods are made or deleted in one turn. */
const BURST = 500;

/** A ReplicaSet or ReplicationController: the same fields but for the selector. */
interface ReplicaOwner extends KubeObject {
  spec?: { replicas?: number; minReadySeconds?: number; selector?: unknown; template?: PodTemplateSpec };
  status?: ReplicaSetStatus;
}
type OwnerView = DeepReadonly<ReplicaOwner>;

interface Variant {
  name: string;
  account: string;
  kind: 'ReplicaSet' | 'ReplicationController';
  resource: ResourceRef<ReplicaOwner>;
  concurrency: string;
  /** ReplicationControllers don't report terminating pods. */
  countsTerminating: boolean;
  selector: (owner: OwnerView) => Selector;
}

function defineReplicaController(v: Variant): AnyController {
  const inputs = { owners: v.resource, pods };
  type D = Deps<typeof inputs, undefined>;
  const apiVersion = v.resource.group === '' ? v.resource.version : `${v.resource.group}/${v.resource.version}`;

  /** Creates what is missing or deletes what is too much; resolves with the failure that the status shall show. */
  async function manage(
    deps: D,
    key: string,
    owner: OwnerView,
    active: readonly PodView[],
  ): Promise<{ failure?: ReplicaFailure; error?: unknown }> {
    const { informers, expectations, clock } = deps;
    const who = { object: owner, apiVersion, kind: v.kind };
    const { namespace, name } = meta(owner);
    const diff = active.length - (owner.spec?.replicas ?? 0);
    if (diff < 0) {
      const ref = controllerRef(owner, apiVersion, v.kind);
      const { error } = await slowStart(Math.min(-diff, BURST), async () => {
        const pod = await createPod(deps, who, podFromTemplate(owner.spec?.template, ref, namespace, { prefix: name }));
        expectations.wrote(key, informers.pods as unknown as Informer<object>, pod);
      });
      if (error === undefined || isNamespaceTerminating(error)) return {};
      return { error, failure: { reason: 'FailedCreate', message: errorText(error) } };
    }
    if (diff === 0) return {};
    const related = relatedPods(deps, owner);
    const perNode = new Map<string, number>();
    for (const p of related)
      if (isActive(p) && p.spec?.nodeName) perNode.set(p.spec.nodeName, (perNode.get(p.spec.nodeName) ?? 0) + 1);
    const rank = new Map<string, number>();
    for (const p of active) rank.set(meta(p).uid, perNode.get(p.spec?.nodeName ?? '') ?? 0);
    const now = clock.now();
    const doomed = active.toSorted((a, b) => compareForDeletion(a, b, rank, now)).slice(0, Math.min(diff, BURST));
    try {
      await allDone(
        doomed.map(async (pod) => {
          await deletePod(deps, who, pod);
          expectations.deleted(key, informers.pods as unknown as Informer<object>, pod);
        }),
      );
      return {};
    } catch (error) {
      return { error, failure: { reason: 'FailedDelete', message: errorText(error) } };
    }
  }

  /** Pods of all owners that have the same controller as this one: the sets of one Deployment. */
  function relatedPods(deps: D, owner: OwnerView): PodView[] {
    const ref = controllerOf(owner);
    if (!ref) return controlledBy(deps.informers.pods, meta(owner).uid);
    return controlledBy(deps.informers.owners, ref.uid).flatMap((o) => controlledBy(deps.informers.pods, meta(o).uid));
  }

  async function writeStatus(deps: D, owner: OwnerView, status: ReplicaSetStatus): Promise<void> {
    for (let attempt = 0, current = owner; ; attempt++) {
      try {
        await deps.client.updateStatus(v.resource, {
          ...body<ReplicaOwner>(current),
          status: {
            ...status,
            observedGeneration: current === owner ? meta(owner).generation : status.observedGeneration,
          },
        });
        return;
      } catch (error) {
        if (isNotFound(error)) return;
        if (attempt >= 1) throw error;
        current = (await deps.client.get(v.resource, meta(owner).name, meta(owner).namespace)) as OwnerView;
        if (meta(current).uid !== meta(owner).uid) return;
      }
    }
  }

  return defineController({
    name: v.name,
    account: v.account,
    inputs,
    outputs: [
      'create,delete,patch pods',
      `get ${v.resource.resource}${v.resource.group ? `.${v.resource.group}` : ''}`,
      `update ${v.resource.resource}/status${v.resource.group ? `.${v.resource.group}` : ''}`,
    ],
    workers: concurrency(v.concurrency),
    triggers: {
      owners: 'self',
      pods: {
        keys: (pod, deps: D) => ownerOrSelectorKeys(pod, v.kind, deps.informers.owners, v.selector),
        when: concernsOwner,
      },
    },
    async reconcile(key, deps: D) {
      const { informers, expectations, clock } = deps;
      const { name, namespace } = splitKey(key);
      const owner = informers.owners.get(name, namespace) as OwnerView | undefined;
      if (!owner) return expectations.forget(key);
      const ready = expectations.satisfied(key);
      const mine: DeepReadonly<Pod>[] = await claim({
        client: deps.client,
        resource: pods,
        informer: informers.pods,
        owner,
        ownerResource: v.resource,
        selector: v.selector(owner),
      });
      const active = mine.filter(isActive);
      const outcome = ready && !isDeleting(owner) ? await manage(deps, key, owner, active) : {};
      const now = clock.now();
      const spec = {
        replicas: owner.spec?.replicas ?? 0,
        minReadySeconds: owner.spec?.minReadySeconds ?? 0,
        templateLabels: owner.spec?.template?.metadata?.labels,
      };
      const terminating = v.countsTerminating ? mine.filter(isTerminating).length : undefined;
      const status = replicaSetStatus(
        owner.status,
        spec,
        meta(owner).generation,
        active,
        terminating,
        outcome.failure,
        now,
      );
      if (statusDiffers(owner.status, status)) await writeStatus(deps, owner, status);
      if (outcome.error !== undefined) throw outcome.error;
      const next = nextAvailability(active, spec.minReadySeconds, now);
      return next === undefined ? undefined : { requeueAfterMs: next };
    },
  });
}

export const replicaSetController = defineReplicaController({
  name: 'replicaset-controller',
  account: 'replicaset-controller',
  kind: 'ReplicaSet',
  resource: replicaSets as ResourceRef<ReplicaOwner>,
  concurrency: 'replicaset',
  countsTerminating: true,
  selector: (rs) => lenientSelector((rs as DeepReadonly<Json<k8s.V1ReplicaSet>>).spec?.selector),
});

export const replicationControllerController = defineReplicaController({
  name: 'replicationcontroller-controller',
  account: 'replication-controller',
  kind: 'ReplicationController',
  resource: replicationControllers as ResourceRef<ReplicaOwner>,
  concurrency: 'rc',
  countsTerminating: false,
  selector(rc) {
    const set = rc.spec?.selector as Readonly<Record<string, string>> | undefined;
    return setSelector(set && Object.keys(set).length ? set : rc.spec?.template?.metadata?.labels);
  },
});
