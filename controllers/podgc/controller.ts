/** Removes pods that nobody else will: too many finished ones, those of nodes that are gone, those never scheduled. */
import { isNotFound } from '../../api/status.ts';
import { formatTime } from '../../base/clock.ts';
import { nodes, pods } from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { byAge, controllerOf, isDeleting, meta } from '../lib/meta.ts';
import { nodeCondition, TAINT_OUT_OF_SERVICE } from '../lib/nodes.ts';
import { allDone } from '../lib/podcontrol.ts';
import { isFinished, type PodView } from '../lib/pods.ts';

const PERIOD_MS = 20_000;
/** A node unknown for less may only not have reached our cache. */
const QUARANTINE_MS = 40_000;

const inputs = { pods, nodes };
/** Since when (monotonic) a node is missed. */
type State = Map<string, number>;
type D = Deps<typeof inputs, State>;

async function forceDelete(deps: D, pod: PodView, reason?: string): Promise<void> {
  const { name, namespace, uid } = meta(pod);
  try {
    if (reason !== undefined && !isFinished(pod)) {
      const time = formatTime(deps.clock.now());
      const condition = {
        type: 'DisruptionTarget',
        status: 'True',
        reason: 'DeletionByPodGC',
        message: reason,
        lastTransitionTime: time,
      };
      await deps.client.patch(
        pods,
        name,
        'strategic',
        { metadata: { uid }, status: { phase: 'Failed', conditions: [condition] } },
        { namespace, subresource: 'status' },
      );
    }
    await deps.client.delete(pods, name, { namespace, gracePeriodSeconds: 0, preconditions: { uid } });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** Nodes that pods name and that are gone for good. */
async function goneNodes(deps: D, named: ReadonlySet<string>): Promise<Set<string>> {
  const { state, clock, informers, client } = deps;
  const gone = new Set<string>();
  for (const name of state.keys()) if (!named.has(name) || informers.nodes.get(name)) state.delete(name);
  for (const name of named) {
    if (informers.nodes.get(name)) continue;
    const missed = state.get(name);
    if (missed === undefined) state.set(name, clock.monotonic());
    else if (clock.monotonic() - missed >= QUARANTINE_MS) {
      try {
        await client.get(nodes, name);
      } catch (error) {
        if (!isNotFound(error)) throw error;
        gone.add(name);
      }
    }
  }
  return gone;
}

/** The oldest finished pods beyond the threshold; pods that a Job still counts (by finalizer) stay. Pure. */
export function surplus(all: readonly PodView[], threshold: number): PodView[] {
  if (threshold <= 0) return [];
  const finished = all.filter((p) => isFinished(p) && !isDeleting(p));
  if (finished.length <= threshold) return [];
  return finished.toSorted(byAge).slice(0, finished.length - threshold);
}

export const podGCController = defineController({
  name: 'pod-garbage-collector-controller',
  account: 'pod-garbage-collector',
  inputs,
  outputs: ['delete pods', 'patch pods/status'],
  workers: () => 1,
  state: (): State => new Map(),
  triggers: {},
  seeds: () => ['all'],
  async reconcile(_key, deps: D): Promise<Result> {
    const all = deps.informers.pods.list();
    const named = new Set<string>();
    const work: Promise<void>[] = [];
    for (const pod of all) {
      const node = pod.spec?.nodeName;
      if (node) named.add(node);
      else if (isDeleting(pod))
        work.push(forceDelete(deps, pod, 'PodGC: unscheduled pod is being deleted').catch(swallow(deps, pod)));
      const host = node ? deps.informers.nodes.get(node) : undefined;
      const outOfService =
        host?.spec?.taints?.some((t) => t.key === TAINT_OUT_OF_SERVICE) &&
        nodeCondition(host, 'Ready')?.status !== 'True';
      if (outOfService && isDeleting(pod))
        work.push(forceDelete(deps, pod, 'PodGC: node is out of service').catch(swallow(deps, pod)));
    }
    const gone = await goneNodes(deps, named);
    if (gone.size)
      for (const pod of all)
        if (pod.spec?.nodeName && gone.has(pod.spec.nodeName))
          work.push(forceDelete(deps, pod, 'PodGC: node no longer exists').catch(swallow(deps, pod)));
    for (const pod of surplus(all, deps.options.terminatedPodGCThreshold))
      work.push(forceDelete(deps, pod).catch(swallow(deps, pod)));
    await allDone(work);
    return { requeueAfterMs: PERIOD_MS };
  },
});

/** One pod that can't be deleted must not keep the others. */
function swallow(deps: D, pod: PodView): (error: unknown) => void {
  return (error) =>
    deps.logger.warn('pod not removed', {
      pod: `${meta(pod).namespace}/${meta(pod).name}`,
      owner: controllerOf(pod)?.name,
      error,
    });
}
