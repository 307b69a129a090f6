/** The status of one container from its spec and what the runtime says. */
import { formatTime } from '../../base/clock.ts';
import type { Container, ContainerStatus, DeepReadonly, Pod } from '../../api/types.ts';
import type { Resources } from '../pods/resize.ts';
import { hasExited, isRunning, type PodRuntimeState, type RuntimeContainerState } from '../pods/state.ts';

type ReadContainer = DeepReadonly<Container>;
type State = NonNullable<ContainerStatus['state']>;

/** Why a container doesn't run, as CrashLoopBackOff or ErrImagePull. */
export interface WaitingReason {
  reason: string;
  message: string;
}

export interface ContainerView {
  pod: DeepReadonly<Pod>;
  runtime: PodRuntimeState;
  runtimeName: string;
  waiting: ReadonlyMap<string, WaitingReason>;
  /** What was last said; undefined at first. */
  previous: DeepReadonly<ContainerStatus>[];
  started(c: RuntimeContainerState): boolean;
  ready(c: RuntimeContainerState): boolean;
  restarts(c: ReadContainer, exitCode: number): boolean;
  /** Granted and in force. */
  resources(c: ReadContainer): { allocated: Resources | undefined; actual: Resources | undefined };
  deviceHealth(c: ReadContainer): ContainerStatus['allocatedResourcesStatus'];
  /** No container is started any more. */
  terminating: boolean;
  defaultWaiting: string;
}

const fromNanos = (ns: number): string => formatTime(ns / 1e6);

function terminated(c: RuntimeContainerState, runtimeName: string): NonNullable<State['terminated']> {
  return {
    exitCode: c.exit_code,
    reason: c.reason || (c.exit_code === 0 ? 'Completed' : 'Error'),
    ...(c.message ? { message: c.message } : {}),
    startedAt: c.started_at > 0 ? fromNanos(c.started_at) : (null as unknown as string),
    finishedAt: c.finished_at > 0 ? fromNanos(c.finished_at) : (null as unknown as string),
    containerID: `${runtimeName}://${c.id}`,
  };
}

function mountStatuses(c: ReadContainer): ContainerStatus['volumeMounts'] {
  if (!c.volumeMounts?.length) return undefined;
  return c.volumeMounts.map((m) => ({
    name: m.name,
    mountPath: m.mountPath,
    ...(m.readOnly ? { readOnly: true, recursiveReadOnly: 'Disabled' } : {}),
  }));
}

/** `role` decides what ready means: an init container is ready once it has succeeded. */
export function containerStatus(
  spec: ReadContainer,
  role: 'init' | 'sidecar' | 'app' | 'ephemeral',
  view: ContainerView,
): ContainerStatus {
  const all = view.runtime.containers.filter((c) => c.name === spec.name);
  const now = all[0];
  const before = view.previous.find((p) => p.name === spec.name);
  const reason = view.waiting.get(spec.name);
  const status: ContainerStatus = {
    name: spec.name,
    state: {},
    lastState: {},
    ready: false,
    restartCount: now?.restartCount ?? before?.restartCount ?? 0,
    image: now?.image.image || spec.image || '',
    imageID: now?.image_ref ?? '',
  };
  const mounts = mountStatuses(spec);
  if (mounts) status.volumeMounts = mounts;
  if (!now) {
    const lost = before?.state?.running ? before.state.running : undefined;
    if (before?.state?.terminated && view.terminating) status.state = before.state as State;
    else if (lost && view.terminating)
      status.state = {
        terminated: {
          exitCode: 137,
          reason: 'ContainerStatusUnknown',
          message: 'The container could not be located when the pod was terminated',
          startedAt: null as unknown as string,
          finishedAt: null as unknown as string,
        },
      };
    else status.state = { waiting: reason ? { ...reason } : { reason: view.defaultWaiting } };
    if (role !== 'init') status.started = false;
    return status;
  }
  status.containerID = `${view.runtimeName}://${now.id}`;
  const older = all.slice(1).find(hasExited);
  if (older) status.lastState = { terminated: terminated(older, view.runtimeName) };
  else if (before?.lastState?.terminated && before.containerID === status.containerID)
    status.lastState = before.lastState as State;
  else if (before?.state?.terminated && before.containerID !== status.containerID)
    status.lastState = { terminated: before.state.terminated as State['terminated'] };

  const user = now.user?.linux;
  if (user)
    status.user = { linux: { uid: user.uid, gid: user.gid, supplementalGroups: [...user.supplemental_groups] } };
  if (isRunning(now)) {
    status.state = { running: { startedAt: fromNanos(now.started_at) } };
    status.started = view.started(now);
    status.ready = role === 'app' || role === 'sidecar' ? status.started && view.ready(now) : false;
  } else if (hasExited(now)) {
    const end = { terminated: terminated(now, view.runtimeName) };
    if (
      reason &&
      !view.terminating &&
      role !== 'ephemeral' &&
      (role === 'init' ? now.exit_code !== 0 : true) &&
      view.restarts(spec, now.exit_code)
    ) {
      status.state = { waiting: { ...reason } };
      status.lastState = end;
    } else status.state = end;
    status.started = false;
    status.ready = role === 'init' && now.exit_code === 0;
  } else {
    status.state = { waiting: reason ? { ...reason } : { reason: view.defaultWaiting } };
    status.started = false;
  }
  const devices = role === 'app' ? view.deviceHealth(spec) : undefined;
  if (devices) status.allocatedResourcesStatus = devices;
  if (role !== 'ephemeral') {
    const { allocated, actual } = view.resources(spec);
    if (allocated?.requests) status.allocatedResources = { ...allocated.requests };
    // one that doesn't run starts with what it was granted
    const has = isRunning(now) ? actual : allocated;
    status.resources = {
      ...(has?.limits ? { limits: { ...has.limits } } : {}),
      ...(has?.requests ? { requests: { ...has.requests } } : {}),
    };
  }
  return status;
}
