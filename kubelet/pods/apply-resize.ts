/** Puts changed resources into force. */
import type { Container, DeepReadonly } from '../../api/types.ts';
import { errorText } from '../cri/client.ts';
import { containerResources } from './container-config.ts';
import { podIPs, refresh, type WorkerContext } from './context.ts';
import { needsRestart } from './resize.ts';
import { amountsOf, podAmounts } from './resources.ts';
import { gracePeriod, killContainer } from './termination.ts';

/**
 * Grants what is wanted if the node can give it; else says why not. Comes before a status is told: one that knows the new
 * generation must not look as if nothing were to be done.
 */
export function grantResize(w: WorkerContext): void {
  const { deps, pod, resizer } = w;
  if (resizer.wanted(pod).length === 0) {
    if (resizer.condition()?.type === 'PodResizePending') resizer.setCondition(undefined);
    return;
  }
  const refuse = (reason: 'Infeasible' | 'Deferred', message: string) => {
    const before = resizer.condition();
    resizer.setCondition({ type: 'PodResizePending', reason, message });
    if (before?.reason !== reason) deps.event(pod, 'Warning', `Resize${reason}`, message);
  };
  if (pod.metadata!.annotations?.['kubernetes.io/config.source'] === 'file')
    return refuse('Infeasible', 'In-place resize of static-pods is not supported');
  const want = podAmounts(pod, 'requests');
  const have = amountsOf(deps.allocatable());
  for (const k of ['cpu', 'memory']) {
    const capacity = have[k] ?? Infinity;
    if ((want[k] ?? 0) > capacity)
      return refuse(
        'Infeasible',
        `Node didn't have enough capacity: ${k}, requested: ${want[k]}, capacity: ${capacity}`,
      );
    const used = deps.requestedByOthers(w.uid, k);
    if ((want[k] ?? 0) > capacity - used)
      return refuse(
        'Deferred',
        `Node didn't have enough resource: ${k}, requested: ${want[k]}, used: ${used}, capacity: ${capacity}`,
      );
  }
  resizer.grant(pod);
  resizer.setCondition({ type: 'PodResizeInProgress' });
}

/** Brings what is granted into force for running containers; true when something was changed. */
export async function applyResize(w: WorkerContext): Promise<boolean> {
  const { deps, resizer } = w;
  grantResize(w);
  const pod = resizer.allocated(w.pod);
  const open = resizer.pending(pod);
  if (open.length === 0) {
    if (resizer.condition()?.type === 'PodResizeInProgress') finish(w);
    return false;
  }
  const running = (c: DeepReadonly<Container>) =>
    w.state.containers.find((x) => x.name === c.name && x.state === 'CONTAINER_RUNNING');
  try {
    // a pod's own bounds grow before its containers' and shrink after them: both orders are served by no bound between
    await deps.cgroups?.updatePod(pod, 'grow');
    for (const c of open) {
      const run = running(c);
      if (!run) continue; // takes the new ones when it starts
      const before = resizer.resources(c).actual;
      if (needsRestart(c, before, c.resources)) {
        await killContainer(
          pod,
          run,
          gracePeriod(pod),
          `Container ${c.name} resize requires restart`,
          podIPs(w)[0] ?? '',
          deps,
        );
        await refresh(w);
        continue;
      }
      await deps.runtime.updateContainerResources(run.id, {
        ...containerResources(pod, c, deps),
        ...(c.resources?.limits?.['cpu'] ? {} : { cpu_quota: -1, cpu_period: deps.quotaPeriodMicros }),
      });
      resizer.applied(c.name, c.resources);
    }
    await deps.cgroups?.updatePod(pod, 'exact');
  } catch (error) {
    resizer.setCondition({ type: 'PodResizeInProgress', reason: 'Error', message: errorText(error) });
    deps.event(w.pod, 'Warning', 'ResizeError', `Pod resize failed: ${errorText(error)}`);
    w.wakeAfter(5000);
    return true;
  }
  if (resizer.pending(pod).length === 0) finish(w);
  return true;
}

function finish(w: WorkerContext): void {
  w.resizer.setCondition(undefined);
  w.deps.event(w.pod, 'Normal', 'ResizeCompleted', 'Pod resize completed');
}
