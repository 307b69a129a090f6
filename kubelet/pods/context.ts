/** What the parts of a pod's worker share. */
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, Pod, PodStatus } from '../../api/types.ts';
import type { WaitingReason } from '../status/containers.ts';
import { generateStatus, type PodCondition, type StatusContext } from '../status/generate.ts';
import type { MountedVolume } from '../volumes/types.ts';
import type { PodDeps } from './deps.ts';
import { addMessages } from './messages.ts';
import { restartTriggers } from './plan.ts';
import type { Resizer } from './resize.ts';
import { readPodState, type PodRuntimeState } from './state.ts';

type ReadPod = DeepReadonly<Pod>;

/** Why a pod ends before its containers do. */
export interface EndReason {
  phase: 'Failed' | 'Succeeded';
  reason: string;
  message: string;
  condition?: PodCondition;
  graceSeconds?: number;
}

export interface WorkerContext {
  readonly deps: PodDeps;
  readonly logger: Logger;
  readonly uid: string;
  pod: ReadPod;
  /** The API's object that the status is written to: for a static pod its mirror. */
  target: ReadPod | undefined;
  state: PodRuntimeState;
  ending: EndReason | undefined;
  /** Never admitted. */
  readonly rejected: boolean;
  volumes: ReadonlyMap<string, MountedVolume> | undefined;
  readonly waiting: Map<string, WaitingReason>;
  readonly resizer: Resizer;
  /** When each container that had all start anew was seen to have ended; nanoseconds since the epoch. */
  readonly restartsOfAll: Map<string, number>;
  /** Aborted when the present step is to be left. */
  signal: AbortSignal;
  wakeAfter(ms: number): void;
}

export const podIPs = (w: WorkerContext): readonly string[] =>
  w.pod.spec!.hostNetwork ? w.deps.hostIPs() : w.state.ips;

/** What was last said of the pod. */
export const lastStatus = (w: WorkerContext): DeepReadonly<PodStatus> | undefined =>
  w.deps.status.get(w.uid) ?? w.target?.status;

/** Asks the runtime how the pod is. */
export async function refresh(w: WorkerContext): Promise<void> {
  const before = w.state;
  w.state = await addMessages(await readPodState(w.deps.runtime, w.uid, before), before);
}

/** Notes containers whose end has all others start anew; containers created before belong to the past. */
export function restartAllSince(w: WorkerContext): number {
  for (const id of restartTriggers(w.pod, w.state))
    if (!w.restartsOfAll.has(id)) w.restartsOfAll.set(id, w.deps.clock.now() * 1e6);
  return Math.max(0, ...w.restartsOfAll.values());
}

function statusContext(w: WorkerContext, terminating: boolean): StatusContext {
  const { deps, ending } = w;
  return {
    now: deps.clock.now(),
    hostIPs: deps.hostIPs(),
    runtimeName: deps.runtimeName(),
    previous: lastStatus(w),
    waiting: w.waiting,
    started: (c) => deps.probes.started(w.pod, c),
    ready: (c) => deps.probes.ready(w.pod, c),
    resources: (c) => w.resizer.resources(c),
    deviceHealth: (c) => deps.resources?.health(w.pod, c.name),
    granted: w.resizer.allocated(w.pod),
    inForce: w.resizer.actual(w.pod),
    resize: w.resizer.conditions(),
    terminating,
    restartAllSince: restartAllSince(w),
    ...(ending
      ? {
          override: {
            phase: terminating ? ending.phase : 'Running',
            reason: ending.reason,
            message: ending.message,
            condition: ending.condition,
          },
        }
      : {}),
  };
}

/** Works out the status and hands it to the status manager. */
export function publish(w: WorkerContext, terminating = false): PodStatus {
  // readiness gates are judged on the conditions that others wrote
  const pod = w.target?.status && w.target !== w.pod ? { ...w.pod, status: w.target.status } : w.pod;
  const status = generateStatus(pod, w.state, statusContext(w, terminating));
  if (w.rejected)
    for (const k of ['containerStatuses', 'initContainerStatuses', 'conditions'] as const) delete status[k];
  w.deps.status.set(w.uid, w.target, status);
  if (status.phase === 'Running') w.deps.metrics?.starts.running(w.uid);
  return status;
}

/** Tells how far a pod is that is being stopped; its terminal phase is for later. */
export function publishEnding(w: WorkerContext): void {
  const status = generateStatus(w.pod, w.state, { ...statusContext(w, true), override: undefined });
  if (status.phase !== 'Failed' && status.phase !== 'Succeeded') w.deps.status.set(w.uid, w.target, status);
}
