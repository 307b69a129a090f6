/** One pod's life on the node: looks, plans, acts, tells; one step at a time, woken by events. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Timer } from '../../base/clock.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { errorText, isGrpcNotFound } from '../cri/client.ts';
import { terminal } from '../status/generate.ts';
import { AdmissionError } from '../topology/manager.ts';
import { applyResize, grantResize } from './apply-resize.ts';
import { collectGarbage } from './container-gc.ts';
import {
  lastStatus,
  podIPs,
  publish,
  restartAllSince,
  publishEnding,
  refresh,
  type EndReason,
  type WorkerContext,
} from './context.ts';
import type { PodDeps } from './deps.ts';
import { isStatic, legacyLogName } from './identity.ts';
import { mountVolumes, perform } from './perform.ts';
import { plan, type PlanContext } from './plan.ts';
import { createResizer } from './resize.ts';
import { emptyState, type PodRuntimeState } from './state.ts';
import { gracePeriod, killPod } from './termination.ts';

export type { EndReason } from './context.ts';
type ReadPod = DeepReadonly<Pod>;
export type WorkerPhase = 'syncing' | 'terminating' | 'terminated' | 'finished';

export interface PodWorker {
  readonly uid: string;
  readonly phase: WorkerPhase;
  readonly pod: ReadPod;
  readonly state: PodRuntimeState;
  /** Its source knows it no more. */
  readonly isGone: boolean;
  /** What is mounted, by volume name; undefined before. */
  readonly volumes: WorkerContext['volumes'];
  /** A resize waits until other pods leave room. */
  readonly waitsForRoom: boolean;
  /** Since when; milliseconds since the epoch. */
  readonly waitsSince: number;
  /** The pod with the resources that it was granted. */
  readonly granted: ReadPod;
  /** Looks at once whether there is room. */
  tryResize(): void;
  /** A newer object of the same pod; `target` is what its status is written to (the mirror of a static pod). */
  update(pod: ReadPod, target: ReadPod | undefined): void;
  /** Something happened to it, or its runtime state may have changed. */
  wake(): void;
  /** Ends the pod. */
  end(why: EndReason): void;
  /** The pod is no more in its source: ends it and removes all traces. */
  gone(): void;
  /** Resolves when no step is being taken. */
  idle(): Promise<void>;
  /** Takes no more steps (the kubelet stops); containers run on. */
  stop(): Promise<void>;
}

export interface WorkerOptions {
  pod: ReadPod;
  target: ReadPod | undefined;
  /** Not admitted: it ends at once. */
  rejected?: EndReason;
  /** The runtime can't know it yet. */
  fresh?: boolean;
  deps: PodDeps;
  /** Nothing of it runs any more; what it had may still have to be given back. */
  down(uid: string): void;
  /** All traces are gone. */
  finished(uid: string): void;
}

/** Ends a step on purpose. */
class Interrupted extends Error {}

/** Whether a newer object asks for more than to be remembered: most updates are our own status coming back. */
function needsLook(before: ReadPod, after: ReadPod): boolean {
  const asked = (p: ReadPod) =>
    JSON.stringify([
      p.metadata!.generation,
      p.spec,
      p.metadata!.labels,
      p.metadata!.annotations,
      p.metadata!.deletionTimestamp,
      (p.spec!.readinessGates ?? []).map((g) => p.status?.conditions?.find((c) => c.type === g.conditionType)?.status),
    ]);
  return asked(before) !== asked(after);
}

export function createPodWorker(options: WorkerOptions): PodWorker {
  const { deps } = options;
  const uid = options.pod.metadata!.uid!;
  const logger = deps.logger.with({ pod: `${options.pod.metadata!.namespace}/${options.pod.metadata!.name}` });
  let phase: WorkerPhase = 'syncing';
  let isGone = false;
  let dirty = false;
  let running: Promise<void> | undefined;
  let stopped = false;
  let timer: Timer | undefined;
  let timerAt = Infinity;
  let syncing = new AbortController();
  let mountFailures = 0;
  let failures = 0;
  let killGrace: number | undefined;
  let observing = false;
  let fresh = options.fresh === true;
  /** What the next step is for, as metrics name it. */
  let cause: 'create' | 'update' | 'sync' = 'create';
  const seen = deps.clock.monotonic();
  const w: WorkerContext = {
    deps,
    logger,
    uid,
    pod: options.pod,
    target: options.target,
    state: emptyState(uid),
    ending: options.rejected,
    rejected: options.rejected !== undefined,
    volumes: undefined,
    waiting: new Map(),
    restartsOfAll: new Map(),
    resizer: createResizer(options.pod, deps.status.get(uid) ?? options.target?.status),
    signal: syncing.signal,
    wakeAfter,
  };
  /** A pod that had ended before this kubelet began: what was said of it stands. */
  const overBefore = terminal(lastStatus(w)?.phase);

  function wakeAfter(ms: number): void {
    const at = deps.clock.monotonic() + ms;
    if (at >= timerAt) return;
    timer?.cancel();
    timerAt = at;
    timer = deps.clock.after(Math.max(ms, 1), () => ((timerAt = Infinity), wake()), { background: true });
  }

  function wake(): void {
    if (stopped || phase === 'finished') return;
    dirty = true;
    if (!running) running = loop().finally(() => (running = undefined));
    else if (phase === 'terminating') void observe();
  }

  async function loop(): Promise<void> {
    while (dirty && !stopped && phase !== 'finished') {
      dirty = false;
      turn();
      const at = phase;
      const began = deps.clock.monotonic();
      const step = at === 'syncing' ? cause : at === 'terminating' ? 'kill' : 'terminated';
      if (step === 'create') deps.metrics?.workerStarted(seen);
      cause = 'sync';
      try {
        await (at === 'syncing' ? sync() : at === 'terminating' ? terminate() : cleanUp());
        failures = 0;
      } catch (error) {
        // Only what runs can be interrupted, and what interrupted it has woken the worker as well.
        if (stopped || (at === 'syncing' && syncing.signal.aborted)) continue;
        failures++;
        const ms = Math.min(500 * 2 ** failures, 10_000);
        logger.warn('pod step failed', { error: errorText(error), phase, retryMs: ms });
        wakeAfter(ms);
      } finally {
        deps.metrics?.workerStep(step, began);
      }
    }
  }

  /** A pod that shall run no longer is ended from now on. */
  function turn(): void {
    if (phase === 'syncing' && (w.pod.metadata!.deletionTimestamp || w.ending || isGone || overBefore))
      phase = 'terminating';
  }

  /** While containers are being stopped: tells which have ended. */
  async function observe(): Promise<void> {
    if (observing) return;
    observing = true;
    try {
      await refresh(w);
      if (phase === 'terminating' && !overBefore && w.state.containers.some((c) => c.state === 'CONTAINER_RUNNING'))
        publishEnding(w);
    } catch (error) {
      logger.debug('could not look at the pod', { error });
    } finally {
      observing = false;
    }
  }

  function planContext(): PlanContext {
    return {
      unhealthy: deps.probes.unhealthy(uid),
      started: (c) => deps.probes.started(w.pod, c),
      restartAllSince: restartAllSince(w),
      resized: w.resizer.restarting,
      lostRestarts(name) {
        const said = lastStatus(w);
        const s = [...(said?.containerStatuses ?? []), ...(said?.initContainerStatuses ?? [])].find(
          (x) => x.name === name,
        );
        return s?.containerID ? s.restartCount : undefined;
      },
    };
  }

  async function sync(): Promise<void> {
    syncing = new AbortController();
    w.signal = syncing.signal;
    if (!fresh) await refresh(w);
    fresh = false;
    deps.probes.sync(w.pod, w.state, podIPs(w)[0] ?? '');
    if (deadlinePassed())
      return end({
        phase: 'Failed',
        reason: 'DeadlineExceeded',
        message: 'Pod was active on the node longer than the specified deadline',
      });
    grantResize(w);
    const status = publish(w);
    let todo = plan(w.pod, w.state, planContext());
    if (terminal(status.phase) || (todo.finished && todo.actions.length === 0)) {
      phase = 'terminating';
      dirty = true;
      return;
    }
    const problem = w.pod.spec!.hostNetwork ? undefined : deps.networkProblem();
    if (problem && todo.actions.some((a) => a.kind === 'createSandbox')) {
      deps.event(w.pod, 'Warning', 'NetworkNotReady', `network is not ready: ${problem}`);
      return wakeAfter(2000);
    }
    // the control plane itself may be static pods: they can't wait for it
    if (!isStatic(w.pod)) await deps.servicesSynced();
    if (!(await giveResources())) return;
    if (await mountVolumes(w, mountFailures)) mountFailures = 0;
    else {
      mountFailures++;
      // what is mounted stays good for containers that run
      if (!w.volumes) return;
    }
    syncing.signal.throwIfAborted();
    const resized = await applyResize(w);
    if (resized || todo.actions.length > 0) {
      // time has passed with the volumes: what is to be done may have changed
      todo = plan(w.pod, w.state, planContext());
      if (todo.actions.length > 0) await perform(w, todo.actions);
      if (resized) {
        await applyResize(w);
        await refresh(w);
      }
      deps.probes.sync(w.pod, w.state, podIPs(w)[0] ?? '');
    }
    publish(w);
    await collectGarbage(w.pod, w.state, deps);
    wakeAfter(deps.syncMs * (0.75 + deps.rand.next() * 0.5));
  }

  /** Devices, CPUs and claims of the pod; false when it can't have them (now). */
  async function giveResources(): Promise<boolean> {
    try {
      await deps.resources?.allocate(w.pod);
    } catch (error) {
      const [reason, why] =
        error instanceof AdmissionError
          ? [error.reason, error.message]
          : ['UnexpectedAdmissionError', `Allocate failed due to ${errorText(error)}, which is unexpected`];
      deps.metrics?.rejected(reason);
      end({ phase: 'Failed', reason, message: `Pod was rejected: ${why}` });
      return false;
    }
    try {
      await deps.resources?.prepare(w.pod);
      return true;
    } catch (error) {
      const message = `Failed to prepare dynamic resources: ${errorText(error)}`;
      deps.event(w.pod, 'Warning', 'FailedPrepareDynamicResources', message);
      wakeAfter(Math.min(500 * 2 ** mountFailures++, 15_000));
      return false;
    }
  }

  function deadlinePassed(): boolean {
    const seconds = w.pod.spec!.activeDeadlineSeconds;
    const start = lastStatus(w)?.startTime;
    if (seconds === undefined || !start) return false;
    const left = Date.parse(start) + seconds * 1000 - deps.clock.now();
    if (left <= 0) return true;
    wakeAfter(left);
    return false;
  }

  async function terminate(): Promise<void> {
    await refresh(w);
    deps.probes.terminating(uid);
    deps.probes.sync(w.pod, w.state, podIPs(w)[0] ?? '');
    const active =
      w.state.containers.some((c) => c.state === 'CONTAINER_RUNNING') ||
      w.state.sandboxes.some((s) => s.state === 'SANDBOX_READY');
    if (active && !overBefore && !isGone) publishEnding(w);
    killGrace = gracePeriod(w.pod, w.ending?.graceSeconds);
    await killPod(w.pod, w.state, killGrace, deps);
    await refresh(w);
    deps.probes.remove(uid);
    if (!overBefore) publish(w, true);
    phase = 'terminated';
    dirty = true;
    options.down(uid);
  }

  async function cleanUp(): Promise<void> {
    timer?.cancel();
    timerAt = Infinity;
    await deps.resources?.release(uid);
    deps.userNamespaces?.release(uid);
    await deps.volumes.remove(w.pod);
    if (deps.cgroups) await deps.cgroups.removePod(uid);
    deps.objects.untrack(uid);
    if (!isGone) {
      const target = w.target ?? w.pod;
      if (target.metadata!.deletionTimestamp) deps.status.finish(uid, target);
      return;
    }
    for (const s of w.state.sandboxes)
      await deps.runtime.removeSandbox(s.id).catch((error: unknown) => {
        if (!isGrpcNotFound(error)) throw error;
      });
    for (const c of w.state.containers)
      await rm(join(deps.containerLogsDir, legacyLogName(w.pod, c.name, c.id)), { force: true });
    await rm(deps.paths(w.pod).logs, { recursive: true, force: true });
    deps.crashBackoff.forget(`${uid}/`);
    deps.status.forget(uid);
    phase = 'finished';
    options.finished(uid);
  }

  function end(why: EndReason): void {
    if (w.ending || phase !== 'syncing') return;
    w.ending = why;
    deps.event(w.pod, why.reason === 'DeadlineExceeded' ? 'Normal' : 'Warning', why.reason, why.message);
    syncing.abort(new Interrupted());
    wake();
  }

  return {
    uid,
    get phase() {
      return phase;
    },
    get pod() {
      return w.pod;
    },
    get state() {
      return w.state;
    },
    get isGone() {
      return isGone;
    },
    get volumes() {
      return w.volumes;
    },
    get waitsForRoom() {
      return w.resizer.condition('PodResizePending')?.reason === 'Deferred';
    },
    get waitsSince() {
      return w.resizer.condition('PodResizePending')?.since ?? Infinity;
    },
    get granted() {
      return w.resizer.allocated(w.pod);
    },
    tryResize() {
      grantResize(w);
      wake();
    },
    update(pod, target) {
      const before = w.pod;
      const otherTarget = w.target?.metadata?.uid !== target?.metadata?.uid;
      w.pod = pod;
      w.target = target;
      if (pod.metadata!.deletionTimestamp && !before.metadata!.deletionTimestamp) syncing.abort(new Interrupted());
      else if (phase === 'syncing' && !otherTarget && !needsLook(before, pod)) return;
      else if (phase === 'terminating' && killGrace !== undefined) {
        // asked to be quicker
        const grace = gracePeriod(pod, w.ending?.graceSeconds);
        if (grace < killGrace) {
          killGrace = grace;
          for (const c of w.state.containers)
            if (c.state === 'CONTAINER_RUNNING') void deps.runtime.stopContainer(c.id, grace).catch(() => {});
        }
      }
      if (cause === 'sync') cause = 'update';
      wake();
    },
    wake,
    end,
    gone() {
      if (isGone) return;
      isGone = true;
      syncing.abort(new Interrupted());
      wake();
    },
    idle: async () => running,
    async stop() {
      stopped = true;
      timer?.cancel();
      syncing.abort(new Interrupted());
      await running;
    },
  };
}
