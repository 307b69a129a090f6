/** Rolls Deployments out: one ReplicaSet per template, sizes moved from the old to the new. */
import { isNotFound } from '../../api/status.ts';
import type { Deployment, PodTemplateSpec } from '../../api/types.ts';
import { splitKey, type Informer } from '../../client/informer.ts';
import { deployments, replicaSets } from '../../client/resources.ts';
import { defineController, type Result } from '../framework.ts';
import { body, byAge, controllerOf, isDeleting, keyFor, meta } from '../lib/meta.ts';
import { claim, concernsOwner, controlledBy, ownerKeys, ownerOrSelectorKeys } from '../lib/ownership.ts';
import { isFinished } from '../lib/pods.ts';
import { lenientSelector } from '../lib/selectors.ts';
import { concurrency } from '../options.ts';
import { syncNewest } from './newest.ts';
import * as rev from './revisions.ts';
import { newSetSize, proportionalSizes, shrinkOldSets } from './rollout.ts';
import * as st from './status.ts';
import {
  active,
  all,
  CollisionError,
  inputs,
  KIND,
  note,
  scale,
  setProgressing,
  warn,
  writeStatus,
  type D,
  type Turn,
} from './turn.ts';

/** Whether the Deployment's size was changed since its sets were last scaled. */
function isScaling(t: Turn): boolean {
  return active(all(t)).some((s) => {
    const desired = rev.numberAnnotation(s, rev.DESIRED_REPLICAS);
    return desired !== undefined && desired !== t.spec.replicas;
  });
}

async function applySize(t: Turn): Promise<void> {
  const running = active(all(t));
  const only =
    running.length === 1 ? running[0] : running.length === 0 ? (t.newest ?? t.old.toSorted(byAge).at(-1)) : undefined;
  if (running.length <= 1) {
    if (only) await scale(t, only, t.spec.replicas);
    return;
  }
  const { newest } = t;
  const saturated =
    newest &&
    rev.numberAnnotation(newest, rev.DESIRED_REPLICAS) === t.spec.replicas &&
    rev.replicasOf(newest) === t.spec.replicas &&
    (newest.status?.availableReplicas ?? 0) === t.spec.replicas;
  if (saturated) {
    for (const s of active(t.old)) await scale(t, s, 0);
    return;
  }
  if (!t.spec.rolling) return;
  const sizes = proportionalSizes(t.spec, t.d.status?.replicas ?? 0, running.map(rev.sizeOf));
  for (const s of running) await scale(t, s, sizes.get(meta(s).name)!, true);
}

/** Deletes the oldest sets beyond revisionHistoryLimit. */
async function cleanup(t: Turn): Promise<void> {
  const limit = t.d.spec?.revisionHistoryLimit;
  if (limit === undefined || limit === 2 ** 31 - 1) return;
  const candidates = t.old.filter((s) => !isDeleting(s));
  const tooMany = candidates.length - limit;
  if (tooMany <= 0) return;
  const oldest = candidates
    .toSorted((a, b) => Number(rev.revisionOf(a) - rev.revisionOf(b)) || byAge(a, b))
    .slice(0, tooMany);
  for (const s of oldest) {
    if (
      (s.status?.replicas ?? 0) !== 0 ||
      rev.replicasOf(s) !== 0 ||
      (meta(s).generation ?? 0) > (s.status?.observedGeneration ?? 0)
    )
      continue;
    await t.deps.client
      .delete(replicaSets, meta(s).name, { namespace: meta(s).namespace, propagationPolicy: 'Background' })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  }
}

async function rollBack(t: Turn, revision: bigint): Promise<void> {
  await syncNewest(t, true);
  const sets = all(t);
  const { d } = t;
  const wanted = revision === 0n ? rev.lastRevision(sets) : revision;
  const target = wanted === 0n ? undefined : sets.find((s) => rev.revisionOf(s) === wanted);
  const { [rev.ROLLBACK_TO]: _gone, ...annotations } = d.metadata?.annotations ?? {};
  let next: Deployment = { ...body<Deployment>(d), metadata: { ...body<Deployment>(d).metadata, annotations } };
  if (!target)
    warn(
      t,
      'DeploymentRollbackRevisionNotFound',
      wanted === 0n ? 'Unable to find last revision.' : 'Unable to find the revision to rollback to.',
    );
  else if (rev.sameTemplate(d.spec?.template, target.spec?.template))
    warn(
      t,
      'DeploymentRollbackTemplateUnchanged',
      `The rollback revision contains the same template as current deployment "${meta(d).name}"`,
    );
  else {
    const { [rev.ROLLBACK_TO]: _also, ...kept } = rev.rolledBackAnnotations(d, target);
    next = {
      ...next,
      metadata: { ...next.metadata, annotations: kept },
      spec: { ...next.spec!, template: body<PodTemplateSpec>(rev.withoutHash(target.spec?.template)!) },
    };
    note(t, 'DeploymentRollback', `Rolled back deployment "${meta(d).name}" to revision ${wanted}`);
  }
  t.deps.expectations.wrote(
    t.key,
    t.deps.informers.deployments as unknown as Informer<object>,
    await t.deps.client.update(deployments, next),
  );
}

async function roll(t: Turn): Promise<void> {
  await syncNewest(t, true);
  const newest = t.newest!;
  if (await scale(t, newest, newSetSize(t.spec, all(t).map(rev.sizeOf), rev.replicasOf(newest)))) return;
  const sizes = shrinkOldSets(t.spec, rev.sizeOf(newest), active(t.old).map(rev.sizeOf));
  for (const s of t.old) {
    const size = sizes.get(meta(s).name);
    if (size !== undefined) await scale(t, s, size);
  }
  if (sizes.size === 0 && st.isComplete(t.d, t.d.status)) await cleanup(t);
}

async function recreate(t: Turn): Promise<void> {
  await syncNewest(t, false);
  let shrunk = false;
  for (const s of active(t.old)) shrunk = (await scale(t, s, 0)) || shrunk;
  if (shrunk || oldPodsRun(t)) return;
  if (!t.newest) await syncNewest(t, true);
  await scale(t, t.newest!, t.spec.replicas);
  if (st.isComplete(t.d, t.d.status)) await cleanup(t);
}

function oldPodsRun(t: Turn): boolean {
  return t.old.some(
    (s) =>
      (s.status?.replicas ?? 0) > 0 || controlledBy(t.deps.informers.pods, meta(s).uid).some((p) => !isFinished(p)),
  );
}

/** Notes that the Deployment was paused or resumed, so that the time in between doesn't count. */
function notePause(t: Turn): void {
  if (!st.hasDeadline(t.d)) return;
  const c = st.conditionOf(t.status, 'Progressing');
  if (c?.reason === 'ProgressDeadlineExceeded') return;
  const noted = c?.reason === 'DeploymentPaused';
  const paused = t.d.spec?.paused === true;
  if (paused && !noted)
    setProgressing(t, st.newCondition('Progressing', 'Unknown', 'DeploymentPaused', 'Deployment is paused', t.now));
  if (!paused && noted)
    setProgressing(t, st.newCondition('Progressing', 'Unknown', 'DeploymentResumed', 'Deployment is resumed', t.now));
}

async function sync(t: Turn): Promise<Result | void> {
  const { d } = t;
  const rolling = async (): Promise<Result | void> => {
    const status = st.rolloutStatus(d, t.status, t.newest, all(t), t.now);
    await writeStatus(t, status);
    const after = st.deadlineCheck(d, status, t.now);
    return after === undefined ? undefined : { requeueAfterMs: after };
  };
  if (isDeleting(d)) {
    await syncNewest(t, false);
    return writeStatus(t, st.countStatus(d, t.status, t.newest, all(t), t.now));
  }
  notePause(t);
  const rollbackTo = d.metadata?.annotations?.[rev.ROLLBACK_TO];
  if (!d.spec?.paused && rollbackTo !== undefined && /^[0-9]+$/.test(rollbackTo))
    return rollBack(t, BigInt(rollbackTo));
  if (d.spec?.paused || isScaling(t)) {
    await syncNewest(t, false);
    await applySize(t);
    if (d.spec?.paused) await cleanup(t);
    return writeStatus(t, st.countStatus(d, t.status, t.newest, all(t), t.now));
  }
  await (t.spec.rolling ? roll(t) : recreate(t));
  return rolling();
}

export const deploymentController = defineController({
  name: 'deployment-controller',
  account: 'deployment-controller',
  inputs,
  outputs: [
    'get,update deployments.apps',
    'update deployments/status.apps',
    'create,delete,get,patch,update replicasets.apps',
  ],
  workers: concurrency('deployment'),
  triggers: {
    deployments: 'self',
    replicaSets: {
      keys: (set, deps: D) =>
        ownerOrSelectorKeys(set, KIND.kind, deps.informers.deployments, (d) => lenientSelector(d.spec?.selector)),
      when: concernsOwner,
    },
    // Recreate waits for the last old pod.
    pods: {
      keys(pod, deps: D) {
        const ref = controllerOf(pod);
        const set =
          ref?.kind === 'ReplicaSet' ? deps.informers.replicaSets.get(ref.name, meta(pod).namespace) : undefined;
        const keys = set ? ownerKeys(set, KIND.kind, deps.informers.deployments) : [];
        return keys.filter((k) => {
          const { name, namespace } = splitKey(k);
          return deps.informers.deployments.get(name, namespace)?.spec?.strategy?.type === 'Recreate';
        });
      },
      when: (now, before) => now.status?.phase !== before.status?.phase,
    },
  },
  async reconcile(key, deps: D) {
    const { name, namespace } = splitKey(key);
    const d = deps.informers.deployments.get(name, namespace);
    if (!d) return deps.expectations.forget(key);
    if (!deps.expectations.satisfied(key)) return;
    const selector = lenientSelector(d.spec?.selector);
    if (selector.empty) {
      deps.recorder.event(
        d,
        'Warning',
        'SelectingAll',
        'This deployment is selecting all pods. A non-empty selector is required.',
        KIND,
      );
      return;
    }
    const sets = await claim({
      client: deps.client,
      resource: replicaSets,
      informer: deps.informers.replicaSets,
      owner: d,
      ownerResource: deployments,
      selector,
    });
    const t: Turn = {
      deps,
      key: keyFor(namespace!, name),
      d,
      spec: rev.rolloutSpec(d),
      now: deps.clock.now(),
      status: { ...body<Deployment>(d).status },
      revision: undefined,
      ...rev.splitSets(d, sets),
    };
    try {
      return await sync(t);
    } catch (error) {
      if (error instanceof CollisionError) await writeStatus(t, { ...t.status });
      throw error;
    }
  },
});
