/** A pod's status as the API shows it: a pure function of spec, runtime state, probe results and what was said before. */
import { formatTime } from '../../base/clock.ts';
import type { Container, ContainerStatus, DeepReadonly, Pod, PodStatus } from '../../api/types.ts';
import { podTotals, type Amounts } from '../../api/pod-resources.ts';
import { bounded } from '../cgroups/manager.ts';
import { isSidecar, qosClass } from '../pods/resources.ts';
import { shouldRestart } from '../pods/plan.ts';
import type { PodRuntimeState, RuntimeContainerState } from '../pods/state.ts';
import type { ResizeCondition, Resources } from '../pods/resize.ts';
import { containerStatus, type ContainerView, type WaitingReason } from './containers.ts';
import { isRestartingAll, mayRestartAll } from '../pods/plan.ts';
import { podPhase, type Phase } from './phase.ts';

export type PodCondition = NonNullable<PodStatus['conditions']>[number];

export interface StatusContext {
  /** Milliseconds. */
  now: number;
  hostIPs: readonly string[];
  /** "containerd" in containerd://id. */
  runtimeName: string;
  /** What was last said of this pod. */
  previous: DeepReadonly<PodStatus> | undefined;
  waiting: ReadonlyMap<string, WaitingReason>;
  started(c: RuntimeContainerState): boolean;
  ready(c: RuntimeContainerState): boolean;
  /** Granted and in force; the spec's own when absent. */
  resources?(c: DeepReadonly<Container>): { allocated: Resources | undefined; actual: Resources | undefined };
  /** How the devices of a container are; undefined where it has none. */
  deviceHealth?(c: DeepReadonly<Container>): ContainerStatus['allocatedResourcesStatus'];
  /** The pod with what it was granted, and with what is in force; the pod itself when absent. */
  granted?: DeepReadonly<Pod>;
  inForce?: DeepReadonly<Pod>;
  resize?: readonly ResizeCondition[];
  /** Nothing is started any more. */
  terminating: boolean;
  /** Said by eviction, deadline, or failed admission. */
  /** See PlanContext. */
  restartAllSince?: number;
  override?: { phase: Phase; reason?: string; message?: string; condition?: PodCondition };
}

export function generateStatus(pod: DeepReadonly<Pod>, runtime: PodRuntimeState, context: StatusContext): PodStatus {
  const spec = pod.spec!;
  const said = context.previous;
  const inits = spec.initContainers ?? [];
  const view: ContainerView = {
    pod,
    runtime,
    runtimeName: context.runtimeName,
    waiting: context.waiting,
    previous: [
      ...(said?.containerStatuses ?? []),
      ...(said?.initContainerStatuses ?? []),
      ...(said?.ephemeralContainerStatuses ?? []),
    ] as DeepReadonly<ContainerStatus>[],
    started: context.started,
    ready: context.ready,
    restarts: (c, code) => shouldRestart(pod, c, code) || (inits.includes(c) && spec.restartPolicy !== 'Never'),
    terminating: context.terminating,
    deviceHealth: (c) => context.deviceHealth?.(c),
    resources: context.resources ?? ((c) => ({ allocated: c.resources, actual: c.resources })),
    defaultWaiting: inits.length > 0 ? 'PodInitializing' : 'ContainerCreating',
  };
  const initStatuses = inits.map((c) => containerStatus(c, isSidecar(c) ? 'sidecar' : 'init', view));
  const initialized = initDone(inits, initStatuses, runtime, spec.containers);
  if (initialized) view.defaultWaiting = 'ContainerCreating';
  const appStatuses = spec.containers.map((c) => containerStatus(c, 'app', view));
  const ephemeral = (spec.ephemeralContainers ?? []).map((c) =>
    containerStatus(c as unknown as DeepReadonly<Container>, 'ephemeral', view),
  );

  let phase: Phase = context.override?.phase ?? podPhase(pod, initStatuses, appStatuses, context.terminating);
  if (context.override && context.terminating === false) phase = context.override.phase;
  const over = said?.phase === 'Failed' || said?.phase === 'Succeeded';
  if (over && !context.override) phase = said!.phase as Phase;
  // what has ended is about to begin again with all others
  const restarting = isRestartingAll(pod, runtime, context.restartAllSince ?? 0);
  if (terminal(phase) && !over && !context.terminating && !context.override && restarting)
    phase = (said?.phase as Phase | undefined) ?? 'Pending';
  // terminal only when all is down
  if (
    (phase === 'Failed' || phase === 'Succeeded') &&
    !over &&
    runtime.containers.some((c) => c.state === 'CONTAINER_RUNNING') &&
    context.override === undefined
  )
    phase = 'Running';

  const generation = pod.metadata!.generation;
  const status: PodStatus = {
    ...(generation ? { observedGeneration: generation } : {}),
    phase,
    conditions: [],
    hostIP: context.hostIPs[0],
    hostIPs: context.hostIPs.map((ip) => ({ ip })),
    startTime: said?.startTime ?? formatTime(context.now),
    qosClass: qosClass(pod),
  };
  if (context.override?.reason ?? said?.reason) status.reason = context.override?.reason ?? said?.reason;
  if (context.override?.message ?? said?.message) status.message = context.override?.message ?? said?.message;
  const ips = spec.hostNetwork
    ? runtime.sandboxes.length > 0
      ? context.hostIPs
      : []
    : runtime.ips.length
      ? runtime.ips
      : (said?.podIPs ?? []).map((p) => p.ip);
  if (ips.length) {
    status.podIP = ips[0];
    status.podIPs = ips.map((ip) => ({ ip }));
  }
  if (initStatuses.length) status.initContainerStatuses = initStatuses;
  status.containerStatuses = appStatuses;
  if (ephemeral.length) status.ephemeralContainerStatuses = ephemeral;
  status.conditions = conditions(pod, runtime, status, initialized, context);
  // init containers stand in the order of the spec, the others by name
  status.containerStatuses = byName(appStatuses);
  if (ephemeral.length) status.ephemeralContainerStatuses = byName(ephemeral);
  Object.assign(status, wholeResources(context.granted ?? pod, context.inForce ?? pod));
  return status;
}

/** What the pod as a whole was granted and has in force (KEP-5419). */
function wholeResources(
  granted: DeepReadonly<Pod>,
  inForce: DeepReadonly<Pod>,
): Pick<PodStatus, 'resources' | 'allocatedResources'> {
  const texts = (a: Amounts) => Object.fromEntries([...a].map(([k, q]) => [k, q.toString()]));
  const allocated = texts(podTotals(granted.spec!, 'requests', true));
  const own = inForce.spec!.resources;
  const list = (which: 'requests' | 'limits') => {
    const total = podTotals(inForce.spec!, which, true);
    // huge pages are told where they are the pod's own; a limit only where the pod is bounded
    for (const k of total.keys())
      if (k !== 'cpu' && k !== 'memory' ? own?.[which]?.[k] === undefined : which === 'limits' && !bounded(inForce, k))
        total.delete(k);
    return total.size > 0 ? { [which]: texts(total) } : {};
  };
  return {
    ...(Object.keys(allocated).length > 0 ? { allocatedResources: allocated } : {}),
    resources: { ...list('limits'), ...list('requests') },
  };
}

const byName = (list: ContainerStatus[]): ContainerStatus[] =>
  list.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));

/** Every init container has succeeded and every sidecar has begun, or the containers already run. */
function initDone(
  inits: readonly DeepReadonly<Container>[],
  statuses: ContainerStatus[],
  runtime: PodRuntimeState,
  apps: readonly DeepReadonly<Container>[],
): boolean {
  if (inits.length === 0) return true;
  const sandbox = runtime.sandboxes[0]?.id;
  if (apps.some((a) => runtime.containers.some((c) => c.name === a.name && c.sandboxId === sandbox))) return true;
  return inits.every((c, i) => {
    const s = statuses[i]!;
    return isSidecar(c) ? s.started === true : s.state?.terminated?.exitCode === 0;
  });
}

function conditions(
  pod: DeepReadonly<Pod>,
  runtime: PodRuntimeState,
  status: PodStatus,
  initialized: boolean,
  context: StatusContext,
): PodCondition[] {
  const said = context.previous?.conditions ?? [];
  const generation = pod.metadata!.generation;
  const make = (type: string, ok: boolean, reason?: string, message?: string): PodCondition => {
    const value = ok ? 'True' : 'False';
    const before = said.find((c) => c.type === type);
    return {
      type,
      ...(generation ? { observedGeneration: generation } : {}),
      status: value,
      lastProbeTime: null as unknown as string,
      lastTransitionTime: before?.status === value ? (before.lastTransitionTime as string) : formatTime(context.now),
      ...(reason ? { reason } : {}),
      ...(message ? { message } : {}),
    };
  };
  const sandbox = runtime.sandboxes[0];
  const network = sandbox?.state === 'SANDBOX_READY' && (pod.spec!.hostNetwork === true || runtime.ips.length > 0);
  const out: PodCondition[] = [
    make('PodReadyToStartContainers', network && !(context.terminating && terminal(status.phase))),
  ];

  const waitingInit = (pod.spec!.initContainers ?? []).filter((c, i) => {
    const s = status.initContainerStatuses?.[i];
    return isSidecar(c) ? s?.started !== true : s?.state?.terminated?.exitCode !== 0;
  });
  if (status.phase === 'Succeeded') out.push(make('Initialized', true, 'PodCompleted'));
  else if (initialized || waitingInit.length === 0) out.push(make('Initialized', true));
  else
    out.push(
      make(
        'Initialized',
        false,
        'ContainersNotInitialized',
        `containers with incomplete status: [${waitingInit.map((c) => c.name).join(' ')}]`,
      ),
    );

  const sidecars = (pod.spec!.initContainers ?? []).filter(isSidecar).map((c) => c.name);
  const unready = [
    ...(status.initContainerStatuses ?? []).filter((s) => sidecars.includes(s.name) && !s.ready),
    ...(status.containerStatuses ?? []).filter((s) => !s.ready),
  ].map((s) => s.name);
  let reason: string | undefined;
  let message: string | undefined;
  if (status.phase === 'Succeeded') reason = 'PodCompleted';
  else if (status.phase === 'Failed') reason = 'PodFailed';
  else if (unready.length) {
    reason = 'ContainersNotReady';
    message = `containers with unready status: [${unready.join(' ')}]`;
  }
  const containersReady = reason === undefined;
  let ready = make('Ready', containersReady, reason, message);
  if (containersReady) {
    const closed = (pod.spec!.readinessGates ?? [])
      .map((g) => ({ g, c: (pod.status?.conditions ?? []).find((c) => c.type === g.conditionType) }))
      .filter(({ c }) => c?.status !== 'True')
      .map(({ g, c }) =>
        c
          ? `the status of pod readiness gate ${JSON.stringify(g.conditionType)} is not "True", but ${c.status}`
          : `corresponding condition of pod readiness gate ${JSON.stringify(g.conditionType)} does not exist.`,
      );
    if (closed.length) ready = make('Ready', false, 'ReadinessGatesNotReady', closed.join(', '));
  }
  out.push(ready, make('ContainersReady', containersReady, reason, message), make('PodScheduled', true));
  if (mayRestartAll(pod)) {
    const restarting = !terminal(status.phase) && isRestartingAll(pod, runtime, context.restartAllSince ?? 0);
    const why = restarting
      ? (['RestartAllContainersStarted', 'container exited with restart policy rule'] as const)
      : [];
    out.push(make('AllContainersRestarting', restarting, ...why));
  }
  for (const r of context.resize ?? [])
    out.push({
      ...make(r.type, true, r.reason, r.message),
      ...(r.generation ? { observedGeneration: r.generation } : {}),
    });
  const extra =
    context.override?.condition ??
    (said.find((c) => c.type === 'DisruptionTarget' && c.reason === 'TerminationByKubelet') as
      | PodCondition
      | undefined);
  if (extra) out.push(extra);
  return out;
}

export const terminal = (phase: string | undefined): boolean => phase === 'Succeeded' || phase === 'Failed';
