/** Keeps the status of PodDisruptionBudgets, by which the API server decides about evictions. */
import { isConflict, isNotFound } from '../../api/status.ts';
import { formatTime } from '../../base/clock.ts';
import { keyOf, splitKey } from '../../client/informer.ts';
import {
  deployments,
  podDisruptionBudgets,
  pods,
  replicaSets,
  replicationControllers,
  resourcePath,
  statefulSets,
} from '../../client/resources.ts';
import { parseApiVersion } from '../../api/types.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { discover } from '../../client/discovery.ts';
import { body, controllerOf, isDeleting, meta, millis, semanticEqual } from '../lib/meta.ts';
import { errorText } from '../lib/podcontrol.ts';
import { isFinished, podCondition, type PodView } from '../lib/pods.ts';
import { lenientSelector } from '../lib/selectors.ts';
import {
  budgetStatus,
  countHealthy,
  disrupted,
  expectedPods,
  failedStatus,
  needsScale,
  type Budget,
  type BudgetView,
} from './budget.ts';

const KIND = { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget' };
const STALE = '@stale/';
const STALE_MS = 2 * 60_000;

const inputs = { budgets: podDisruptionBudgets, pods, replicaSets, deployments, statefulSets, replicationControllers };
type D = Deps<typeof inputs, undefined>;

/** The controller (or the Deployment above it) and its size; undefined when it is gone. */
async function scaleOf(
  deps: D,
  ref: NonNullable<ReturnType<typeof controllerOf>>,
  namespace: string,
): Promise<{ uid: string; size: number } | undefined> {
  const { informers, client } = deps;
  const sized = (
    o: { readonly spec?: { readonly replicas?: number }; readonly metadata?: object } | undefined,
    uid: string,
  ) => (o && meta(o).uid === uid ? { uid, size: o.spec?.replicas ?? 1 } : undefined);
  switch (ref.kind) {
    case 'ReplicaSet': {
      const set = informers.replicaSets.get(ref.name, namespace);
      const above = set && controllerOf(set);
      if (above?.kind === 'Deployment') return sized(informers.deployments.get(above.name, namespace), above.uid);
      return sized(set, ref.uid);
    }
    case 'StatefulSet':
      return sized(informers.statefulSets.get(ref.name, namespace), ref.uid);
    case 'ReplicationController':
      return sized(informers.replicationControllers.get(ref.name, namespace), ref.uid);
  }
  const { group } = parseApiVersion(ref.apiVersion);
  const resource = (await discover(client)).resources.find((r) => r.group === group && r.kind === ref.kind);
  if (!resource) return undefined;
  try {
    const scale = await client.request<{ metadata?: { uid?: string }; spec?: { replicas?: number } }>({
      path: resourcePath(resource, namespace, ref.name, 'scale'),
    });
    return scale.metadata?.uid === ref.uid ? { uid: ref.uid, size: scale.spec?.replicas ?? 0 } : undefined;
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new Error(`${resource.resource}.${group} does not implement the scale subresource`, { cause: error });
  }
}

async function totalScale(deps: D, budget: BudgetView, selected: readonly PodView[]): Promise<number> {
  const sizes = new Map<string, number>();
  const unmanaged: string[] = [];
  const asked = new Set<string>();
  for (const pod of selected) {
    const ref = controllerOf(pod);
    if (!ref) {
      unmanaged.push(meta(pod).name);
      continue;
    }
    if (asked.has(ref.uid)) continue;
    asked.add(ref.uid);
    const found = await scaleOf(deps, ref, meta(pod).namespace);
    if (!found) throw new Error(`found no controllers for pod ${JSON.stringify(meta(pod).name)}`);
    sizes.set(found.uid, found.size);
  }
  if (unmanaged.length)
    deps.recorder.event(
      budget,
      'Warning',
      'UnmanagedPods',
      `Pods selected by this PodDisruptionBudget (selector: ${lenientSelector(budget.spec?.selector).text}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`,
      KIND,
    );
  return [...sizes.values()].reduce((a, b) => a + b, 0);
}

/** A pod that was to be disrupted and lives on is no longer a target. */
async function dropStaleTarget(deps: D, key: string): Promise<Result | void> {
  const { name, namespace } = splitKey(key);
  const pod = deps.informers.pods.get(name, namespace);
  const left = pod && staleIn(pod, deps.clock.now());
  if (!pod || left === undefined) return;
  if (left > 0) return { requeueAfterMs: left };
  const condition = { type: 'DisruptionTarget', status: 'False', lastTransitionTime: formatTime(deps.clock.now()) };
  await deps.client
    .patch(
      pods,
      name,
      'strategic',
      { metadata: { uid: meta(pod).uid }, status: { conditions: [condition] } },
      { namespace, subresource: 'status' },
    )
    .catch((error: unknown) => {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    });
}

/** Milliseconds until the condition is stale; undefined when the pod has none. */
function staleIn(pod: PodView, now: number): number | undefined {
  const c = podCondition(pod, 'DisruptionTarget');
  if (isDeleting(pod) || isFinished(pod) || c?.status !== 'True' || c.reason === 'TerminationByKubelet')
    return undefined;
  return Math.max(millis(c.lastTransitionTime) + STALE_MS - now, 0);
}

export const disruptionController = defineController({
  name: 'disruption-controller',
  account: 'disruption-controller',
  component: 'controllermanager',
  inputs,
  outputs: ['update poddisruptionbudgets/status.policy', 'patch pods/status'],
  triggers: {
    budgets: 'self',
    pods(pod, deps: D) {
      const { namespace, labels } = meta(pod);
      const keys = deps.informers.budgets
        .list(namespace)
        .filter((b) => lenientSelector(b.spec?.selector).matches(labels))
        .map(keyOf);
      return staleIn(pod, 0) === undefined ? keys : [...keys, STALE + keyOf(pod)];
    },
  },
  async reconcile(key, deps: D): Promise<Result | void> {
    if (key.startsWith(STALE)) return dropStaleTarget(deps, key.slice(STALE.length));
    const { informers, client, clock, recorder } = deps;
    const { name, namespace } = splitKey(key);
    const budget = informers.budgets.get(name, namespace);
    if (!budget) return;
    const selector = lenientSelector(budget.spec?.selector);
    const selected = informers.pods.list(namespace).filter((p) => selector.matches(p.metadata?.labels));
    const now = clock.now();
    if (selected.length === 0) recorder.event(budget, 'Normal', 'NoPods', 'No matching pods found', KIND);
    let status: Budget['status'];
    let recheckAt: number | undefined;
    try {
      const scale = needsScale(budget) ? await totalScale(deps, budget, selected) : 0;
      const { expected, desired } = expectedPods(budget, selected.length, scale);
      const d = disrupted(budget, selected, now);
      for (const pod of d.overdue)
        recorder.event(
          pod,
          'Warning',
          'NotDeleted',
          `Pod was expected by PDB ${namespace}/${name} to be deleted but it wasn't`,
          { apiVersion: 'v1', kind: 'Pod' },
        );
      recheckAt = d.recheckAt;
      status = budgetStatus(budget, { healthy: countHealthy(selected, d.pending), desired, expected }, d.pending, now);
    } catch (error) {
      recorder.event(
        budget,
        'Warning',
        'CalculateExpectedPodCountFailed',
        `Failed to calculate the number of expected pods: ${errorText(error)}`,
        KIND,
      );
      status = failedStatus(budget, errorText(error), now);
    }
    if (!semanticEqual(budget.status, status))
      await client.updateStatus(podDisruptionBudgets, { ...body<Budget>(budget), status });
    return recheckAt === undefined ? undefined : { requeueAfterMs: recheckAt - now + 1000 };
  },
});
