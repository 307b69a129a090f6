/** Why a workload has fewer pods ready than it should, or a rollout doesn't go on. */
import type * as k8s from '@kubernetes/client-node';
import { Quantity } from '../../api/quantity.ts';
import { compileLabelSelector } from '../../api/selectors.ts';
import type { DeepReadonly, Json, Pod } from '../../api/types.ts';
import { podDisruptionBudgets, pods, replicaSets, resourceQuotas } from '../../client/resources.ts';
import { fine, type Explanation, type Reason } from './model.ts';
import { explainPod, isReady } from './pods.ts';
import { listOf, warningsOf, type Sources } from './sources.ts';

type Deployment = DeepReadonly<Json<k8s.V1Deployment>>;
type ReplicaSet = DeepReadonly<Json<k8s.V1ReplicaSet>>;
/** What ReplicaSets, StatefulSets, DaemonSets and ReplicationControllers have in common. */
export type Workload = DeepReadonly<Json<k8s.V1ReplicaSet | k8s.V1StatefulSet | k8s.V1DaemonSet>>;

/** Pods that are looked at one by one. */
const MOST_PODS = 5;
const REVISION = 'deployment.kubernetes.io/revision';
const waits = (summary: string, reasons: readonly Reason[]): Explanation => ({ state: 'Waiting', summary, reasons });

type Owned = {
  readonly metadata?: { readonly ownerReferences?: readonly { readonly uid: string; readonly controller?: boolean }[] };
};
const ownedBy = (o: Owned, uid: string | undefined) =>
  o.metadata?.ownerReferences?.some((r) => r.controller && r.uid === uid) === true;

async function podsOf(s: Sources, namespace: string, selector: unknown, uid: string | undefined): Promise<Pod[]> {
  const matcher = compileLabelSelector(selector as Parameters<typeof compileLabelSelector>[0]);
  if (matcher.isNothing) return [];
  const found = await listOf(s, pods, { namespace, labelSelector: matcher.toString() });
  return found.filter((p) => ownedBy(p, uid) && p.status?.phase !== 'Succeeded' && p.status?.phase !== 'Failed');
}

/** The pods that aren't ready, each with its own reasons. */
async function unready(s: Sources, all: readonly Pod[]): Promise<Reason[]> {
  const list = all.filter((p) => !isReady(p) && !p.metadata!.deletionTimestamp);
  const out: Reason[] = [];
  for (const p of list.slice(0, MOST_PODS)) {
    const e = await explainPod(s, p);
    const change = e.smallestChange;
    out.push({
      message: e.summary,
      object: { resource: 'pods', namespace: p.metadata!.namespace, name: p.metadata!.name! },
      because: e.reasons,
      ...(change ? { fix: change.changes.join('; and ') } : {}),
    });
  }
  if (list.length > MOST_PODS) out.push({ message: `${list.length - MOST_PODS} more pods are not ready` });
  const ending = all.filter((p) => p.metadata!.deletionTimestamp);
  if (ending.length > 0)
    out.push({
      message: `${ending.length} pods are still ending: ${ending
        .slice(0, 5)
        .map((p) => p.metadata!.name)
        .join(', ')}`,
    });
  return out;
}

/** Pods that can't be made: the controller's words, and quotas that are used up. */
async function uncreated(s: Sources, owner: Workload, missing: number): Promise<Reason[]> {
  const { namespace } = owner.metadata!;
  const told = (owner.status?.conditions as { type: string; status: string; message?: string }[] | undefined)?.find(
    (c) => c.type === 'ReplicaFailure' && c.status === 'True',
  )?.message;
  const warnings = told ? [] : await warningsOf(s, owner, 1);
  const why = told ?? warnings[0];
  const because: Reason[] = why ? [{ message: why }] : [];
  if (why?.includes('exceeded quota'))
    for (const q of await listOf(s, resourceQuotas, { namespace }))
      for (const [name, hard] of Object.entries(q.status?.hard ?? {})) {
        const used = q.status?.used?.[name] ?? '0';
        const [a, b] = [Quantity.tryParse(String(used)), Quantity.tryParse(String(hard))];
        if (a && b && a.compare(b) >= 0)
          because.push({
            message: `quota ${q.metadata!.name}: ${used} of ${hard} ${name} are used`,
            fix: `raise the quota, or ask for less ${name}`,
            object: { resource: 'resourcequotas', namespace, name: q.metadata!.name! },
          });
      }
  if (missing <= 0) return because.length > 0 && told ? because : [];
  return [{ message: `${missing} pods have not been made`, because }];
}

/** A number of pods, of percent of `total` where it is written so. */
function share(value: number | string | undefined, total: number, up: boolean): number {
  const text = String(value ?? '25%');
  if (!text.endsWith('%')) return Number(text);
  const exact = (Number(text.slice(0, -1)) * total) / 100;
  return up ? Math.ceil(exact) : Math.floor(exact);
}

/** With its ReplicaSets, the limits of its strategy, pauses and deadlines. */
export async function explainDeployment(s: Sources, d: Deployment): Promise<Explanation> {
  const { name, namespace, uid, generation } = d.metadata!;
  const wanted = d.spec?.replicas ?? 1;
  const status = d.status ?? {};
  const ready = status.readyReplicas ?? 0;
  const updated = status.updatedReplicas ?? 0;
  const reasons: Reason[] = [];
  if ((status.observedGeneration ?? 0) < (generation ?? 0))
    reasons.push({ message: 'its controller has not looked at the last change yet' });
  const sets = (await listOf(s, replicaSets, { namespace })).filter((r) => ownedBy(r, uid));
  const revision = (r: ReplicaSet) => Number(r.metadata?.annotations?.[REVISION] ?? 0);
  sets.sort((a, b) => revision(b) - revision(a));
  const current = sets[0];
  const old = sets.slice(1).filter((r) => (r.spec?.replicas ?? 0) > 0 || (r.status?.replicas ?? 0) > 0);
  const done = updated >= wanted && ready >= wanted && old.length === 0 && reasons.length === 0;
  if (done) {
    const paused = d.spec?.paused ? ' (paused: changes of its template wait)' : '';
    return fine(`deployment ${name} has ${ready} of ${wanted} pods ready${paused}`);
  }
  if (d.spec?.paused)
    reasons.push({ message: 'it is paused', fix: `kubectl -n ${namespace} rollout resume deployment/${name}` });
  const progressing = status.conditions?.find((c) => c.type === 'Progressing');
  if (progressing?.reason === 'ProgressDeadlineExceeded')
    reasons.push({
      message: `nothing has moved for ${d.spec?.progressDeadlineSeconds ?? 600} s: ${progressing.message ?? ''}`,
      fix: `correct the template, or kubectl -n ${namespace} rollout undo deployment/${name}`,
    });
  if (current) {
    const made = await podsOf(s, namespace!, current.spec?.selector, current.metadata!.uid);
    reasons.push(...(await uncreated(s, current, (current.spec?.replicas ?? 0) - made.length)));
    reasons.push(...(await unready(s, made)));
  } else reasons.push({ message: 'it has no ReplicaSet yet' });
  if (d.spec?.strategy?.type !== 'Recreate') reasons.push(...pace(d, wanted, status, old));
  else if (old.length > 0)
    reasons.push({ message: `strategy Recreate: ${old.length} old ReplicaSets must end before new pods are made` });
  reasons.push(...(await budgets(s, d)));
  return waits(`deployment ${name}: ${updated} of ${wanted} pods are new, ${ready} are ready`, reasons);
}

/** What the strategy lets the rollout do next. */
function pace(
  d: Deployment,
  wanted: number,
  status: NonNullable<Deployment['status']>,
  old: readonly ReplicaSet[],
): Reason[] {
  if (old.length === 0) return [];
  const { maxUnavailable, maxSurge } = d.spec?.strategy?.rollingUpdate ?? {};
  const surge = share(maxSurge, wanted, true);
  const least = wanted - (share(maxUnavailable, wanted, false) || (surge === 0 ? 1 : 0));
  const available = status.availableReplicas ?? 0;
  const total = status.replicas ?? 0;
  const names = old.map((r) => `${r.metadata!.name} (${r.status?.replicas ?? 0})`).join(', ');
  const out: Reason[] = [{ message: `old pods are still there: ${names}` }];
  if (available <= least)
    out.push({
      message: `no old pod may end: ${available} are available and at least ${least} must be (maxUnavailable ${maxUnavailable ?? '25%'})`,
    });
  if (total >= wanted + surge)
    out.push({
      message: `no new pod may be made: there are ${total}, at most ${wanted + surge} (maxSurge ${maxSurge ?? '25%'})`,
    });
  return out;
}

/** Budgets that allow no disruption: they hold back drains and evictions of these pods. */
async function budgets(s: Sources, d: Deployment): Promise<Reason[]> {
  const { namespace } = d.metadata!;
  const labels = d.spec?.template?.metadata?.labels ?? {};
  const found = await listOf(s, podDisruptionBudgets, { namespace });
  return found
    .filter((b) => (b.status?.disruptionsAllowed ?? 0) === 0 && compileLabelSelector(b.spec?.selector).matches(labels))
    .map((b) => ({
      message: `disruption budget ${b.metadata!.name} allows no eviction now (${b.status?.currentHealthy ?? 0} healthy, ${b.status?.desiredHealthy ?? 0} needed)`,
      object: { resource: 'poddisruptionbudgets', group: 'policy', namespace, name: b.metadata!.name! },
    }));
}

/** Of a workload that is no Deployment, by its pods. */
export async function explainWorkload(s: Sources, kind: string, w: Workload): Promise<Explanation> {
  const { name, namespace, uid, generation } = w.metadata!;
  const status = (w.status ?? {}) as Record<string, number | undefined>;
  const daemon = kind === 'DaemonSet';
  const wanted = daemon
    ? (status['desiredNumberScheduled'] ?? 0)
    : ((w.spec as { replicas?: number } | undefined)?.replicas ?? 1);
  const ready = (daemon ? status['numberReady'] : status['readyReplicas']) ?? 0;
  const updated = (daemon ? status['updatedNumberScheduled'] : status['updatedReplicas']) ?? wanted;
  const reasons: Reason[] = [];
  if ((status['observedGeneration'] ?? 0) < (generation ?? 0))
    reasons.push({ message: 'its controller has not looked at the last change yet' });
  const what = `${kind.toLowerCase()} ${name}`;
  const strategy = (w.spec as { updateStrategy?: { type?: string; rollingUpdate?: { partition?: number } } })
    .updateStrategy;
  const partition = strategy?.rollingUpdate?.partition ?? 0;
  const due = wanted - Math.min(partition, wanted);
  if (ready >= wanted && updated >= due && reasons.length === 0)
    return fine(`${what} has ${ready} of ${wanted} pods ready`);
  const made = await podsOf(s, namespace!, w.spec?.selector, uid);
  reasons.push(...(await uncreated(s, w, wanted - made.length)), ...(await unready(s, made)));
  if (updated < due) {
    if (strategy?.type === 'OnDelete')
      reasons.push({
        message: `${wanted - updated} pods are of an old revision and stay until somebody deletes them (OnDelete)`,
      });
    else reasons.push({ message: `${due - updated} pods are still of an old revision` });
  }
  const ordered =
    kind === 'StatefulSet' && (w.spec as { podManagementPolicy?: string }).podManagementPolicy !== 'Parallel';
  if (ordered && reasons.length > 0)
    reasons.push({
      message: 'pods are made and replaced one after the other: the next waits until the one before is ready',
    });
  return waits(`${what}: ${ready} of ${wanted} pods are ready`, reasons);
}
