/** Keeps one pod of a DaemonSet on every node that it fits. */
import { isNotFound } from '../../api/status.ts';
import type { DaemonSet, DeepReadonly, Pod, PodSpec } from '../../api/types.ts';
import { splitKey, type Informer } from '../../client/informer.ts';
import { controllerRevisions, daemonSets, nodes, pods } from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { body, byAge, controllerRef, isDeleting, meta, semanticEqual } from '../lib/meta.ts';
import { claim, concernsOwner, ownerOrSelectorKeys } from '../lib/ownership.ts';
import {
  allDone,
  createPod,
  deletePod,
  isNamespaceTerminating,
  podFromTemplate,
  slowStart,
} from '../lib/podcontrol.ts';
import { isAvailable, isFinished, isReady, nextAvailability, type PodView } from '../lib/pods.ts';
import {
  createRevision,
  nextRevision,
  sameData,
  templatePatch,
  trimHistory,
  type RevisionView,
} from '../lib/revisions.ts';
import { lenientSelector } from '../lib/selectors.ts';
import { concurrency } from '../options.ts';
import { pinnedAffinity, placement, targetNode, withDaemonTolerations, type DaemonSetView } from './placement.ts';
import { planUpdate } from './update.ts';

const KIND = { apiVersion: 'apps/v1', kind: 'DaemonSet' };
const HASH = 'controller-revision-hash';
const GENERATION_LABEL = 'pod-template-generation';
const GENERATION_ANNOTATION = 'deprecated.daemonset.template.generation';
/** No more pods are made or deleted in one turn. */
const BURST = 250;

const inputs = { daemonSets, pods, nodes, revisions: controllerRevisions };
/** When failed pods may be replaced next, and after what delay then, by set and node. */
type State = Map<string, { at: number; delay: number }>;
type D = Deps<typeof inputs, State>;

interface Turn {
  deps: D;
  key: string;
  set: DaemonSetView;
  hash: string;
  now: number;
  podsByNode: Map<string, PodView[]>;
}

const owner = (set: DaemonSetView) => ({ object: set, ...KIND });

/** The revision of the present template; made when it is missing. Undefined after a collision of hashes. */
async function currentRevision(
  deps: D,
  key: string,
  set: DaemonSetView,
  revisions: readonly RevisionView[],
): Promise<RevisionView | undefined> {
  const data = templatePatch(set.spec!.template);
  const same = revisions.filter((r) => sameData(r.data, data));
  const have = same.toSorted((a, b) => b.revision - a.revision)[0];
  const next = nextRevision(revisions);
  const informer = deps.informers.revisions as unknown as Informer<object>;
  if (have) {
    if (have.revision === next - 1) return have;
    // A rollback: the old template is the newest again.
    const written = await deps.client.update(controllerRevisions, {
      ...body<NonNullable<(typeof controllerRevisions)['_type']>>(have),
      revision: next,
    });
    deps.expectations.wrote(key, informer, written);
    return written;
  }
  const made = await createRevision(deps.client, {
    owner: set,
    ...KIND,
    labels: set.spec!.template.metadata?.labels,
    hashLabel: HASH,
    data,
    revision: next,
    collisionCount: set.status?.collisionCount,
  });
  if (made) {
    deps.expectations.wrote(key, informer, made);
    return made;
  }
  const have2 = body<DaemonSet>(set);
  await deps.client.updateStatus(daemonSets, {
    ...have2,
    status: { ...have2.status!, collisionCount: (set.status?.collisionCount ?? 0) + 1 },
  });
  return undefined;
}

const templateGeneration = (set: DaemonSetView) => set.metadata?.annotations?.[GENERATION_ANNOTATION];

/** Whether a pod has the present template. */
function isUpdated(t: Turn, pod: PodView): boolean {
  const labels = pod.metadata?.labels ?? {};
  const generation = templateGeneration(t.set);
  return labels[HASH] === t.hash || (generation !== undefined && labels[GENERATION_LABEL] === generation);
}

function newPod(t: Turn, node: string): Pod {
  const { set } = t;
  const { name, namespace } = meta(set);
  const pod = podFromTemplate(set.spec!.template, controllerRef(set, KIND.apiVersion, KIND.kind), namespace, {
    prefix: name,
  });
  const generation = templateGeneration(set);
  pod.metadata!.labels = {
    ...pod.metadata!.labels,
    ...(generation === undefined ? {} : { [GENERATION_LABEL]: generation }),
    [HASH]: t.hash,
  };
  const spec = set.spec!.template.spec!;
  pod.spec = {
    ...pod.spec!,
    tolerations: withDaemonTolerations(spec) as PodSpec['tolerations'],
    affinity: pinnedAffinity(spec.affinity, node),
  };
  return pod;
}

interface Wishes {
  create: string[];
  remove: PodView[];
  /** When a failed pod may be replaced, in milliseconds from now. */
  later?: number;
}

/** A failed pod is replaced after 1 s, 2 s, 4 s ... up to 15 minutes. */
function failedDelay(state: State, id: string, now: number): number {
  const have = state.get(id);
  if (have && have.at > now) return have.at - now;
  const fresh = !have || now - have.at > 2 * 900_000;
  const delay = fresh ? 1000 : Math.min(have.delay * 2, 900_000);
  state.set(id, { at: now + delay, delay });
  return 0;
}

/** What one node lacks or has too much of. */
function wishesFor(t: Turn, node: string, place: { run: boolean; stay: boolean }, w: Wishes): void {
  const { deps, set, now } = t;
  const all = t.podsByNode.get(node) ?? [];
  const who = { apiVersion: KIND.apiVersion, kind: KIND.kind };
  if (place.run && all.length === 0) {
    w.create.push(node);
    return;
  }
  if (!place.stay) {
    w.remove.push(...all);
    return;
  }
  const running: PodView[] = [];
  for (const pod of all) {
    if (isDeleting(pod)) continue;
    const { namespace, name } = meta(pod);
    if (pod.status?.phase === 'Failed') {
      const wait = failedDelay(deps.state, `${meta(set).uid}/${node}`, now);
      if (wait > 0) {
        w.later = Math.min(w.later ?? Infinity, wait);
        continue;
      }
      deps.recorder.event(
        set,
        'Warning',
        'FailedDaemonPod',
        `Found failed daemon pod ${namespace}/${name} on node ${node}, will try to kill it`,
        who,
      );
      w.remove.push(pod);
    } else if (pod.status?.phase === 'Succeeded') {
      deps.recorder.event(
        set,
        'Normal',
        'SucceededDaemonPod',
        `Found succeeded daemon pod ${namespace}/${name} on node ${node}, will try to delete it`,
        who,
      );
      w.remove.push(pod);
    } else running.push(pod);
  }
  if (!place.run) return;
  const surging =
    set.spec?.updateStrategy?.type !== 'OnDelete' && Boolean(set.spec?.updateStrategy?.rollingUpdate?.maxSurge);
  if (running.length <= 1) return;
  if (!surging) {
    w.remove.push(...running.toSorted(byAge).slice(1));
    return;
  }
  // While surging, an old and a new pod may be side by side; the old goes when the new one is available.
  const old = running.filter((p) => !isUpdated(t, p)).toSorted(byAge);
  const fresh = running.filter((p) => isUpdated(t, p)).toSorted(byAge);
  w.remove.push(...old.slice(1), ...fresh.slice(1));
  if (old[0] && fresh[0] && isAvailable(fresh[0], set.spec?.minReadySeconds ?? 0, now)) w.remove.push(old[0]);
}

async function apply(t: Turn, create: readonly string[], remove: readonly PodView[]): Promise<void> {
  const { deps, key, set } = t;
  const informer = deps.informers.pods as unknown as Informer<object>;
  const made = await slowStart(Math.min(create.length, BURST), async (i) => {
    deps.expectations.wrote(key, informer, await createPod(deps, owner(set), newPod(t, create[i]!)));
  });
  await allDone(
    remove
      .filter((p) => !isDeleting(p))
      .slice(0, BURST)
      .map(async (pod) => {
        await deletePod(deps, owner(set), pod);
        deps.expectations.deleted(key, informer, pod);
      }),
  );
  if (made.error !== undefined && !isNamespaceTerminating(made.error)) throw made.error;
}

function statusOf(t: Turn, places: ReadonlyMap<string, { run: boolean }>): DaemonSet['status'] {
  const { set, now } = t;
  const status = {
    currentNumberScheduled: 0,
    desiredNumberScheduled: 0,
    numberMisscheduled: 0,
    numberReady: 0,
    numberAvailable: 0,
    numberUnavailable: 0,
    updatedNumberScheduled: 0,
  };
  for (const [node, place] of places) {
    const all = (t.podsByNode.get(node) ?? []).toSorted(byAge);
    if (!place.run) {
      if (all.length) status.numberMisscheduled++;
      continue;
    }
    status.desiredNumberScheduled++;
    const pod = all[0];
    if (!pod) continue;
    status.currentNumberScheduled++;
    if (all.some((p) => isUpdated(t, p) && !isDeleting(p)) && isUpdated(t, pod)) status.updatedNumberScheduled++;
    if (!isReady(pod)) continue;
    status.numberReady++;
    if (isAvailable(pod, set.spec?.minReadySeconds ?? 0, now)) status.numberAvailable++;
  }
  status.numberUnavailable = status.desiredNumberScheduled - status.numberAvailable;
  return { ...body<DaemonSet>(set).status, ...status, observedGeneration: meta(set).generation };
}

async function writeStatus(t: Turn, status: DaemonSet['status']): Promise<void> {
  const nonZero = (s: object | undefined) => Object.fromEntries(Object.entries(s ?? {}).filter(([, v]) => v !== 0));
  if (semanticEqual(nonZero(t.set.status), nonZero(status))) return;
  await t.deps.client.updateStatus(daemonSets, { ...body<DaemonSet>(t.set), status }).catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
  });
}

export const daemonSetController = defineController({
  name: 'daemonset-controller',
  account: 'daemon-set-controller',
  component: 'daemonset-controller',
  inputs,
  outputs: [
    'create,delete,patch pods',
    'update daemonsets/status.apps',
    'create,delete,get,patch,update controllerrevisions.apps',
  ],
  workers: concurrency('daemonset', 2),
  state: (): State => new Map(),
  triggers: {
    daemonSets: 'self',
    pods: {
      keys: (pod, deps: D) =>
        ownerOrSelectorKeys(pod, KIND.kind, deps.informers.daemonSets, (s) => lenientSelector(s.spec?.selector)),
      when: concernsOwner,
    },
    revisions: {
      keys: (r, deps: D) =>
        ownerOrSelectorKeys(r, KIND.kind, deps.informers.daemonSets, (s) => lenientSelector(s.spec?.selector)),
      when: concernsOwner,
    },
    nodes: {
      keys: (node, deps: D, other) =>
        deps.informers.daemonSets
          .list()
          .filter((s) => {
            if (!other) return true;
            const [a, b] = [placement(s, node), placement(s, other)];
            return a.run !== b.run || a.stay !== b.stay;
          })
          .map((s) => `${meta(s).namespace}/${meta(s).name}`),
      when: (now, before) =>
        !semanticEqual(now.metadata?.labels, before.metadata?.labels) ||
        !semanticEqual(now.spec?.taints, before.spec?.taints),
    },
  },
  async reconcile(key, deps: D): Promise<Result | void> {
    const { informers, expectations, clock } = deps;
    const { name, namespace } = splitKey(key);
    const set = informers.daemonSets.get(name, namespace);
    if (!set) return expectations.forget(key);
    const selector = lenientSelector(set.spec?.selector);
    if (selector.empty) {
      deps.recorder.event(
        set,
        'Warning',
        'SelectingAll',
        'This daemon set is selecting all pods. A non-empty selector is required.',
        KIND,
      );
      return;
    }
    if (isDeleting(set) || !expectations.satisfied(key)) return;
    const common = { client: deps.client, owner: set, ownerResource: daemonSets, selector };
    const revisions = await claim({ ...common, resource: controllerRevisions, informer: informers.revisions });
    const current = await currentRevision(deps, key, set, revisions);
    if (!current) return { retry: true };
    const mine: DeepReadonly<Pod>[] = await claim({ ...common, resource: pods, informer: informers.pods });
    const podsByNode = new Map<string, PodView[]>();
    for (const pod of mine) {
      const node = targetNode(pod);
      if (node === undefined) continue;
      const list = podsByNode.get(node);
      if (list) list.push(pod);
      else podsByNode.set(node, [pod]);
    }
    const t: Turn = { deps, key, set, hash: meta(current).labels?.[HASH] ?? '', now: clock.now(), podsByNode };
    const places = new Map<string, { run: boolean; stay: boolean }>();
    for (const node of informers.nodes.list()) places.set(meta(node).name, placement(set, node));
    const w: Wishes = { create: [], remove: [] };
    for (const [node, place] of places) wishesFor(t, node, place, w);
    // Pods for nodes that are gone and that never ran: nobody else would delete them.
    for (const [node, list] of podsByNode)
      if (!places.has(node)) w.remove.push(...list.filter((p) => !p.spec?.nodeName && !isDeleting(p)));
    if (w.create.length === 0 && w.remove.length === 0 && set.spec?.updateStrategy?.type !== 'OnDelete') {
      const desired = new Set([...places].filter(([, p]) => p.run).map(([n]) => n));
      const alive = new Map([...podsByNode].map(([n, list]) => [n, list.filter((p) => !isFinished(p))] as const));
      const plan = planUpdate({ set, podsByNode: alive, desired, isUpdated: (p) => isUpdated(t, p), now: t.now });
      w.create.push(...plan.surge);
      w.remove.push(...plan.remove);
    }
    try {
      await apply(t, w.create, w.remove);
    } finally {
      await writeStatus(t, statusOf(t, places));
    }
    const used = new Set(mine.map((p) => p.metadata?.labels?.[HASH]));
    await trimHistory(
      deps.client,
      revisions,
      (r) => meta(r).uid === meta(current).uid || used.has(meta(r).labels?.[HASH]),
      set.spec?.revisionHistoryLimit ?? 10,
    );
    const next = nextAvailability(mine, set.spec?.minReadySeconds ?? 0, t.now);
    const waits = [next, w.later].filter((x): x is number => x !== undefined);
    return waits.length ? { requeueAfterMs: Math.min(...waits) } : undefined;
  },
});
