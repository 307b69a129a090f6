/** Puts changed resources into force. */
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import { memoryLimit } from '../cgroups/manager.ts';
import { errorText } from '../cri/client.ts';
import { containerResources } from './container-config.ts';
import { podIPs, refresh, type WorkerContext } from './context.ts';
import { isStatic } from './identity.ts';
import { needsRestart, resizeMessage, withPodLimits } from './resize.ts';
import { amountsOf, podAmounts, qosClass } from './resources.ts';
import { isRunning, latest } from './state.ts';
import { gracePeriod, killContainer } from './termination.ts';

type ReadContainer = DeepReadonly<Container>;

/** Why the node can't give it: never, or not now. */
interface Refusal {
  reason: 'Infeasible' | 'Deferred';
  message: string;
}

/**
 * Grants what is wanted if the node can give it; else says why not. Comes before a status is told: one that knows the new
 * generation must not look as if nothing were to be done.
 */
export function grantResize(w: WorkerContext): void {
  const { deps, pod, resizer } = w;
  if (!resizer.wanted(pod)) return resizer.clearCondition('PodResizePending');
  const generation = pod.metadata!.generation;
  const since = deps.clock.now();
  const no = refusal(w);
  if (no) {
    if (resizer.setCondition({ type: 'PodResizePending', ...no, generation, since }))
      deps.event(pod, 'Warning', `Resize${no.reason}`, resizeMessage(no.reason, pod, generation, no.message));
    return;
  }
  resizer.grant(pod);
  resizer.clearCondition('PodResizePending');
  resizer.clearCondition('PodResizeInProgress');
  resizer.setCondition({ type: 'PodResizeInProgress', generation, since });
  deps.event(pod, 'Normal', 'ResizeStarted', resizeMessage('started', pod, generation));
}

function refusal(w: WorkerContext): Refusal | undefined {
  const { deps, pod } = w;
  if (isStatic(pod)) return { reason: 'Infeasible', message: 'In-place resize of static-pods is not supported' };
  const before = w.resizer.allocated(pod);
  if (deps.swap?.behavior === 'LimitedSwap' && changesSwap(before, pod))
    return { reason: 'Infeasible', message: 'In-place resize of containers with swap is not supported.' };
  if (qosClass(pod) === 'Guaranteed')
    for (const [resource, manager] of [
      ['cpu', 'CPU'],
      ['memory', 'Memory'],
    ] as const)
      if (deps.exclusive(resource) && changed(before, pod, resource))
        return {
          reason: 'Infeasible',
          message: `Resize is infeasible for Guaranteed Pods alongside ${manager} Manager policy "static"`,
        };
  const want = podAmounts(pod, 'requests');
  const have = amountsOf(deps.allocatable());
  for (const k of ['cpu', 'memory']) {
    const capacity = have[k] ?? Infinity;
    const asked = want[k] ?? 0;
    if (asked > capacity)
      return {
        reason: 'Infeasible',
        message: `Node didn't have enough capacity: ${k}, requested: ${asked}, capacity: ${capacity}`,
      };
    const used = deps.requestedByOthers(w.uid, k);
    if (asked > capacity - used)
      return {
        reason: 'Deferred',
        message: `Node didn't have enough resource: ${k}, requested: ${asked}, used: ${used}, capacity: ${capacity}`,
      };
  }
  return undefined;
}

const containers = (pod: DeepReadonly<Pod>): ReadContainer[] => [
  ...pod.spec!.containers,
  ...(pod.spec!.initContainers ?? []),
];

/** Containers whose requests for a resource differ. */
const differing = (before: DeepReadonly<Pod>, after: DeepReadonly<Pod>, resource: string): ReadContainer[] =>
  containers(after).filter((c, i) => {
    const of = (x: ReadContainer | undefined) => amountsOf(x?.resources?.requests)[resource] ?? 0;
    return of(c) !== of(containers(before)[i]);
  });
const changed = (before: DeepReadonly<Pod>, after: DeepReadonly<Pod>, resource: string): boolean =>
  differing(before, after, resource).length > 0;

/** A container's swap follows from its memory request; only a restart may change that. */
const changesSwap = (before: DeepReadonly<Pod>, after: DeepReadonly<Pod>): boolean =>
  differing(before, after, 'memory').some(
    (c) => !c.resizePolicy?.some((p) => p.resourceName === 'memory' && p.restartPolicy === 'RestartContainer'),
  );

/** Brings what is granted into force for running containers; true when something was changed. */
export async function applyResize(w: WorkerContext): Promise<boolean> {
  const { deps, resizer } = w;
  grantResize(w);
  const pod = resizer.allocated(w.pod);
  const running = (c: ReadContainer) => w.state.containers.find((x) => x.name === c.name && isRunning(x));
  // one that doesn't run takes the new ones when it starts
  const open = resizer.pending(pod).filter(running);
  if (open.length === 0 && !resizer.podPending()) {
    // those that were ended for it have to be back
    if (resizer.restarting.size === 0 && resizer.condition('PodResizeInProgress')) finish(w, pod);
    return false;
  }
  const generation = resizer.condition('PodResizeInProgress')?.generation ?? pod.metadata!.generation;
  try {
    await checkMemory(w, pod, open);
    // a pod's own bounds grow before its containers' and shrink after them: both orders are served by no bound between
    await deps.cgroups?.updatePod(pod, 'grow');
    for (const c of open) {
      const run = running(c);
      if (!run) continue;
      if (needsRestart(c, resizer.bounds(c.name), withPodLimits(c.resources, pod.spec!.resources))) {
        const message = `Container ${c.name} resize requires restart`;
        resizer.restarting.add(c.name);
        await killContainer(pod, run, gracePeriod(pod), message, podIPs(w)[0] ?? '', deps);
        await refresh(w);
        continue;
      }
      const numbers = containerResources(pod, c, deps);
      await deps.runtime.updateContainerResources(run.id, {
        ...numbers,
        ...(numbers.cpu_quota ? {} : { cpu_quota: -1, cpu_period: deps.quotaPeriodMicros }),
      });
      resizer.applied(c.name, c.resources);
    }
    await deps.cgroups?.updatePod(pod, 'exact');
    resizer.podApplied();
  } catch (error) {
    const message = errorText(error);
    const said = {
      type: 'PodResizeInProgress',
      reason: 'Error',
      message,
      generation,
      since: deps.clock.now(),
    } as const;
    if (resizer.setCondition(said))
      deps.event(w.pod, 'Warning', 'ResizeError', resizeMessage('error', pod, generation, message));
    w.wakeAfter(5000);
    return true;
  }
  if (resizer.restarting.size === 0) finish(w, pod);
  return true;
}

/**
 * Rejects when a limit of memory would be set below what is in use: the kernel would refuse it or end processes, and half
 * of the change would have been made.
 */
async function checkMemory(w: WorkerContext, pod: DeepReadonly<Pod>, open: readonly ReadContainer[]): Promise<void> {
  const { deps, resizer } = w;
  const shrinks = (before: number | undefined, after: number | undefined) =>
    after !== undefined && after > 0 && (before === undefined || before === 0 || after < before);
  const problems: string[] = [];
  const limit = memoryLimit(pod);
  if (shrinks(memoryLimit(resizer.actual(w.pod)), limit)) {
    const used = (await deps.cgroups?.usage(pod))?.memoryBytes;
    if (used !== undefined && used >= limit!)
      problems.push(`attempting to set pod memory limit (${limit}) below current usage (${used})`);
  }
  const smaller = open.flatMap((c) => {
    const after = amountsOf(withPodLimits(c.resources, pod.spec!.resources)?.limits)['memory'];
    const restarts = needsRestart(c, resizer.bounds(c.name), withPodLimits(c.resources, pod.spec!.resources));
    return !restarts && shrinks(amountsOf(resizer.bounds(c.name)?.limits)['memory'], after) ? [{ c, after }] : [];
  });
  const stats = smaller.length > 0 && !deps.hollow ? await deps.runtime.containerStats() : [];
  for (const { c, after } of smaller) {
    const used = stats.find((s) => s.attributes.id === latest(w.state, c.name)?.id)?.memory?.usage_bytes?.value;
    if (used !== undefined && used >= after!)
      problems.push(
        `attempting to set container ${JSON.stringify(c.name)} memory limit (${after}) below current usage (${used})`,
      );
  }
  if (problems.length > 0)
    throw new Error(
      `cannot decrease memory limits: ${problems.length === 1 ? problems[0] : `[${problems.join(', ')}]`}`,
    );
}

function finish(w: WorkerContext, pod: DeepReadonly<Pod>): void {
  const generation = w.resizer.condition('PodResizeInProgress')?.generation;
  w.resizer.clearCondition('PodResizeInProgress');
  w.deps.event(w.pod, 'Normal', 'ResizeCompleted', resizeMessage('completed', pod, generation));
  w.deps.roomMade();
}
