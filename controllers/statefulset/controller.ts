/** Runs the members of StatefulSets: pods with names, places and storage that stay. */
import { isAlreadyExists, isConflict, isNotFound } from '../../api/status.ts';
import type { DeepReadonly, PersistentVolumeClaim, Pod, StatefulSet } from '../../api/types.ts';
import { splitKey, type Informer } from '../../client/informer.ts';
import { controllerRevisions, persistentVolumeClaims, pods, statefulSets } from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { body, isDeleting, meta, semanticEqual } from '../lib/meta.ts';
import { claim, concernsOwner, ownerOrSelectorKeys } from '../lib/ownership.ts';
import { allDone, errorText, isNamespaceTerminating, slowStart } from '../lib/podcontrol.ts';
import { nextAvailability, type PodView } from '../lib/pods.ts';
import {
  byRevision,
  createRevision,
  nextRevision,
  sameData,
  templatePatch,
  trimHistory,
  type Revision,
  type RevisionView,
} from '../lib/revisions.ts';
import { lenientSelector } from '../lib/selectors.ts';
import { concurrency } from '../options.ts';
import {
  claimOwners,
  claimsFor,
  isStaleClaim,
  KIND,
  missingLabels,
  newPod,
  ordinalOf,
  podName,
  REVISION_LABEL,
  revisionOf,
  type SetView,
} from './identity.ts';
import { countReplicas, isUpdateComplete, planStatefulSet } from './plan.ts';

const inputs = { sets: statefulSets, pods, claims: persistentVolumeClaims, revisions: controllerRevisions };
type D = Deps<typeof inputs, undefined>;

interface Turn {
  readonly deps: D;
  readonly key: string;
  readonly set: SetView;
  readonly revisions: readonly RevisionView[];
  current: RevisionView;
  update: RevisionView;
}

const podInformer = (t: Turn) => t.deps.informers.pods as unknown as Informer<object>;

function note(t: Turn, verb: string, pod: string, error?: unknown, claimName?: string): void {
  const what = claimName === undefined ? `${verb} Pod ${pod}` : `${verb} Claim ${claimName} Pod ${pod}`;
  const reason = verb[0]!.toUpperCase() + verb.slice(1);
  if (error === undefined)
    t.deps.recorder.event(
      t.set,
      'Normal',
      `Successful${reason}`,
      `${what} in StatefulSet ${meta(t.set).name} ${claimName === undefined ? 'successful' : 'success'}`,
      KIND,
    );
  else
    t.deps.recorder.event(
      t.set,
      'Warning',
      `Failed${reason}`,
      `${what} in StatefulSet ${meta(t.set).name} failed error: ${errorText(error)}`,
      KIND,
    );
}

/** The revision that the members shall have and the one they had before; undefined after a collision of hashes. */
async function findRevisions(
  deps: D,
  key: string,
  set: SetView,
  revisions: readonly RevisionView[],
): Promise<{ current: RevisionView; update: RevisionView } | undefined> {
  const sorted = revisions.toSorted(byRevision);
  const data = templatePatch(set.spec!.template);
  const same = sorted.filter((r) => sameData(r.data, data)).at(-1);
  const next = nextRevision(sorted);
  const informer = deps.informers.revisions as unknown as Informer<object>;
  let update: RevisionView | undefined = same;
  if (same && same !== sorted.at(-1)) {
    update = await deps.client.update(controllerRevisions, { ...body<Revision>(same), revision: next });
    deps.expectations.wrote(key, informer, update);
  } else if (!same) {
    update = await createRevision(deps.client, {
      owner: set,
      ...KIND,
      labels: set.spec!.template.metadata?.labels,
      hashLabel: REVISION_LABEL,
      data,
      revision: next,
      collisionCount: set.status?.collisionCount,
    });
    if (!update) {
      const have = body<StatefulSet>(set);
      await deps.client.updateStatus(statefulSets, {
        ...have,
        status: { ...have.status!, collisionCount: (set.status?.collisionCount ?? 0) + 1 },
      });
      return undefined;
    }
    deps.expectations.wrote(key, informer, update);
  }
  const current = sorted.find((r) => meta(r).name === set.status?.currentRevision) ?? update!;
  return { current, update: update! };
}

/** Makes the claims of a member that are missing. @throws when one of them can't be used yet. */
async function ensureClaims(t: Turn, name: string): Promise<void> {
  const { informers, client } = t.deps;
  for (const wanted of claimsFor(t.set, name)) {
    const { name: claimName, namespace } = meta(wanted);
    const have = informers.claims.get(claimName, namespace);
    if (have) {
      if (isDeleting(have) || isStaleClaim(t.set, have, name)) throw new Error(`pvc ${claimName} is being deleted`);
      continue;
    }
    try {
      await client.create(persistentVolumeClaims, wanted);
      note(t, 'create', name, undefined, claimName);
    } catch (error) {
      if (isAlreadyExists(error)) continue;
      note(t, 'create', name, error, claimName);
      throw error;
    }
  }
}

async function createMember(t: Turn, ordinal: number, revisionName: string): Promise<void> {
  const revision = revisionName === meta(t.current).name ? t.current : t.update;
  const name = podName(t.set, ordinal);
  try {
    await ensureClaims(t, name);
    const pod = await t.deps.client.create(pods, newPod(t.set, ordinal, revision));
    t.deps.expectations.wrote(t.key, podInformer(t), pod);
    note(t, 'create', name);
    await fixClaims(t, pod);
  } catch (error) {
    if (!isNamespaceTerminating(error)) note(t, 'create', name, error);
    throw error;
  }
}

/** Gives the member's claims the owners that the retention policy wants. */
async function fixClaims(t: Turn, pod: PodView): Promise<void> {
  for (const wanted of claimsFor(t.set, meta(pod).name)) {
    const { name, namespace } = meta(wanted);
    const have = t.deps.informers.claims.get(name, namespace);
    const owners = have && claimOwners(t.set, have, pod);
    if (!have || !owners) continue;
    const next = body<PersistentVolumeClaim>(have);
    const written = await t.deps.client.update(persistentVolumeClaims, {
      ...next,
      metadata: { ...next.metadata, ownerReferences: owners },
    });
    t.deps.expectations.wrote(t.key, t.deps.informers.claims as unknown as Informer<object>, written);
  }
}

async function refresh(t: Turn, pod: PodView): Promise<void> {
  if (pod.status?.phase === 'Pending' && !isDeleting(pod)) await ensureClaims(t, meta(pod).name);
  await fixClaims(t, pod);
  const labels = missingLabels(t.set, pod);
  if (!labels) return;
  const { name, namespace, uid } = meta(pod);
  await t.deps.client.patch(pods, name, 'strategic', { metadata: { uid, labels } }, { namespace });
}

async function removeMember(t: Turn, pod: PodView): Promise<void> {
  const { name, namespace, uid } = meta(pod);
  try {
    await t.deps.client.delete(pods, name, { namespace, preconditions: { uid } });
    t.deps.expectations.deleted(t.key, podInformer(t), pod);
    note(t, 'delete', name);
  } catch (error) {
    if (isNotFound(error) || isConflict(error)) return;
    note(t, 'delete', name, error);
    throw error;
  }
}

async function act(t: Turn, members: readonly PodView[], now: number): Promise<void> {
  const plan = planStatefulSet(t.set, members, { current: meta(t.current).name, update: meta(t.update).name }, now);
  await allDone(
    [...plan.refresh, ...plan.leaving].map((p) => (plan.leaving.includes(p) ? fixClaims(t, p) : refresh(t, p))),
  );
  const made = await slowStart(plan.create.length, (i) =>
    createMember(t, plan.create[i]!.ordinal, plan.create[i]!.revision),
  );
  await allDone(plan.remove.map((p) => removeMember(t, p)));
  if (made.error !== undefined && !isNamespaceTerminating(made.error)) throw made.error;
}

async function writeStatus(t: Turn, members: readonly PodView[], now: number): Promise<void> {
  const { set } = t;
  const names = { current: meta(t.current).name, update: meta(t.update).name };
  const counts = countReplicas(set, members, names, now);
  const done = isUpdateComplete(set, counts);
  const have = body<StatefulSet>(set);
  const status: NonNullable<StatefulSet['status']> = {
    ...have.status,
    ...counts,
    currentReplicas: done ? counts.updatedReplicas : counts.currentReplicas,
    currentRevision: done ? names.update : names.current,
    updateRevision: names.update,
    observedGeneration: meta(set).generation,
    collisionCount: set.status?.collisionCount ?? 0,
  };
  const nonZero = (s: object | undefined) => Object.fromEntries(Object.entries(s ?? {}).filter(([, v]) => v !== 0));
  if (set.status?.collisionCount !== undefined && semanticEqual(nonZero(set.status), nonZero(status))) return;
  try {
    const written = await t.deps.client.updateStatus(statefulSets, { ...have, status });
    t.deps.expectations.wrote(t.key, t.deps.informers.sets as unknown as Informer<object>, written);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

const selectorOf = (s: SetView) => lenientSelector(s.spec?.selector);

export const statefulSetController = defineController({
  name: 'statefulset-controller',
  account: 'statefulset-controller',
  inputs,
  outputs: [
    'create,delete,patch pods',
    'create,update persistentvolumeclaims',
    'create,delete,get,patch,update controllerrevisions.apps',
    'update statefulsets/status.apps',
  ],
  workers: concurrency('statefulset'),
  triggers: {
    sets: 'self',
    pods: {
      keys: (pod, deps: D) => ownerOrSelectorKeys(pod, KIND.kind, deps.informers.sets, selectorOf),
      when: concernsOwner,
    },
    revisions: {
      keys: (r, deps: D) => ownerOrSelectorKeys(r, KIND.kind, deps.informers.sets, selectorOf),
      when: concernsOwner,
    },
  },
  async reconcile(key, deps: D): Promise<Result | void> {
    const { informers, expectations, clock, client } = deps;
    const { name, namespace } = splitKey(key);
    const set = informers.sets.get(name, namespace);
    if (!set) return expectations.forget(key);
    if (!expectations.satisfied(key)) return;
    const common = { client, owner: set, ownerResource: statefulSets, selector: selectorOf(set) };
    const revisions = await claim({ ...common, resource: controllerRevisions, informer: informers.revisions });
    const members: DeepReadonly<Pod>[] = await claim({
      ...common,
      resource: pods,
      informer: informers.pods,
      filter: (p) => ordinalOf(set, p) >= 0,
    });
    const found = await findRevisions(deps, key, set, revisions);
    if (!found) return { retry: true };
    const t: Turn = { deps, key, set, revisions, ...found };
    const now = clock.now();
    let failure: unknown;
    if (!isDeleting(set)) {
      try {
        await act(t, members, now);
      } catch (error) {
        failure = error;
      }
    }
    await writeStatus(t, members, now);
    const live = new Set([meta(t.current).name, meta(t.update).name, ...members.map(revisionOf)]);
    await trimHistory(client, revisions, (r) => live.has(meta(r).name), set.spec?.revisionHistoryLimit ?? 10);
    if (failure !== undefined) throw failure;
    const next = nextAvailability(members, set.spec?.minReadySeconds ?? 0, now);
    return next === undefined ? undefined : { requeueAfterMs: next };
  },
});
