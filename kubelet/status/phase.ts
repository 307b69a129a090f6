/** A pod's phase: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase */
import type { Container, ContainerStatus, DeepReadonly, Pod } from '../../api/types.ts';
import { isSidecar } from '../pods/resources.ts';

export type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

/** Whether one of the container's rules has it, or all of the pod's, start again after this end. */
const ruled = (c: DeepReadonly<Container>, exitCode: number): boolean =>
  c.restartPolicyRules?.some(
    (r) => r.exitCodes && (r.exitCodes.operator === 'In') === (r.exitCodes.values ?? []).includes(exitCode),
  ) ?? false;

/** `ending`: the kubelet lets nothing start any more, so what has stopped stays stopped. */
export function podPhase(
  pod: DeepReadonly<Pod>,
  init: ContainerStatus[],
  apps: ContainerStatus[],
  ending: boolean,
): Phase {
  const spec = pod.spec!;
  const policy = spec.restartPolicy ?? 'Always';
  let pendingInit = 0;
  let failedInit = 0;
  let sidecarsRunning = 0;
  for (const c of spec.initContainers ?? []) {
    const s = init.find((x) => x.name === c.name);
    if (isSidecar(c)) {
      if (s?.state?.running) sidecarsRunning++;
      if (!s?.started && !s?.state?.terminated && !s?.lastState?.terminated) pendingInit++;
      continue;
    }
    const end = s?.state?.terminated ?? (s?.state?.waiting ? s.lastState?.terminated : undefined);
    if (!end) pendingInit++;
    else if (end.exitCode !== 0) {
      const comesBack = ruled(c, end.exitCode) || (c.restartPolicy ?? policy) !== 'Never';
      if (!comesBack || ending) failedInit++;
      else pendingInit++;
    }
  }
  let running = 0;
  let waiting = 0;
  let stopped = 0;
  let succeeded = 0;
  let restarting = 0;
  for (const c of spec.containers) {
    const s = apps.find((x) => x.name === c.name);
    if (s?.state?.running) running++;
    else if (s?.state?.terminated) {
      stopped++;
      if (s.state.terminated.exitCode === 0) succeeded++;
      else if (ruled(c, s.state.terminated.exitCode)) restarting++;
      if (c.restartPolicy === 'Always' || (c.restartPolicy === 'OnFailure' && s.state.terminated.exitCode !== 0))
        restarting++;
    } else if (s?.lastState?.terminated) {
      stopped++;
      restarting++;
    } else waiting++;
  }
  if (failedInit > 0 && running === 0) return sidecarsRunning > 0 ? 'Pending' : 'Failed';
  const began = running + stopped > 0;
  if (ending) {
    if (running > 0 || sidecarsRunning > 0) return began ? 'Running' : 'Pending';
    return stopped === spec.containers.length && succeeded === stopped ? 'Succeeded' : 'Failed';
  }
  if (pendingInit > 0 && !began) return 'Pending';
  if (waiting > 0) return 'Pending';
  if (running > 0) return 'Running';
  if (stopped === 0) return 'Pending';
  const settle = (phase: Phase): Phase => (sidecarsRunning > 0 ? 'Running' : phase);
  if (restarting > 0) return 'Running';
  if (policy === 'Always' && spec.containers.some((c) => !c.restartPolicy)) return 'Running';
  if (succeeded === stopped) return settle('Succeeded');
  if (policy === 'OnFailure') return 'Running';
  return settle('Failed');
}
