/**
 * What has to be done next for a pod: a pure function of its spec and what runs.
 * The order of init containers and sidecars: https://kubernetes.io/docs/concepts/workloads/pods/init-containers/ and KEP-753.
 */
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import { CONTAINER_HASH, containerHash } from './identity.ts';
import { isSidecar } from './resources.ts';
import { hasExited, isRunning, latest, type PodRuntimeState, type RuntimeContainerState } from './state.ts';

type ReadPod = DeepReadonly<Pod>;
type ReadContainer = DeepReadonly<Container>;
export type ContainerRole = 'init' | 'sidecar' | 'app' | 'ephemeral';

export type Action =
  /** Stops whatever runs in the pod, then its sandbox. */
  | { kind: 'killPod' }
  | { kind: 'createSandbox'; attempt: number }
  | {
      kind: 'killContainer';
      id: string;
      name: string;
      message: string;
      probe?: 'liveness' | 'startup';
      /** In place of the pod's grace period. */
      graceSeconds?: number;
    }
  | {
      kind: 'startContainer';
      role: ContainerRole;
      container: ReadContainer;
      attempt: number;
      previous?: RuntimeContainerState;
    };

export interface PlanContext {
  /** Container ids that liveness or startup probes have given up. */
  unhealthy: ReadonlyMap<string, 'liveness' | 'startup'>;
  /** True when the running container's startup probe succeeded, or it has none. */
  started(container: RuntimeContainerState): boolean;
  /** Restarts that the API knew of when the runtime knows nothing of the container any more (a node that booted anew). */
  lostRestarts?(name: string): number | undefined;
  /** Containers that were ended to start again with other resources. */
  resized?: ReadonlySet<string>;
  /** When it was last seen that all containers are to start anew: older ones belong to the past. Nanoseconds since the epoch. */
  restartAllSince?: number;
}

/** The action of the first of the container's rules that the exit code meets. */
function ruleFor(c: ReadContainer, exitCode: number): string | undefined {
  return c.restartPolicyRules?.find(({ exitCodes }) => {
    if (!exitCodes) return false;
    const listed = (exitCodes.values ?? []).includes(exitCode);
    return exitCodes.operator === 'In' ? listed : !listed;
  })?.action;
}

/** Whether an ended container runs again (restartPolicy, per-container rules of KEP-5307). */
export function shouldRestart(pod: ReadPod, c: ReadContainer, exitCode: number): boolean {
  // the other action, RestartAllContainers, has its own way
  if (ruleFor(c, exitCode) === 'Restart') return true;
  const policy = c.restartPolicy ?? pod.spec!.restartPolicy ?? 'Always';
  if (policy === 'Always') return true;
  return policy === 'OnFailure' && exitCode !== 0;
}

/** Init containers end once: only failure brings them back, unless the policy is Never. */
function initShouldRestart(pod: ReadPod, c: ReadContainer, exitCode: number): boolean {
  if (c.restartPolicy || c.restartPolicyRules) return shouldRestart(pod, c, exitCode);
  return pod.spec!.restartPolicy !== 'Never';
}

/**
 * Ids of containers that have ended in a way that has all containers start anew, and have not been started again
 * (restartPolicyRules with the action RestartAllContainers, KEP-5532).
 */
export function restartTriggers(pod: ReadPod, state: PodRuntimeState): string[] {
  return [...(pod.spec!.initContainers ?? []), ...pod.spec!.containers].flatMap((c) => {
    const have = c.restartPolicyRules?.length ? latest(state, c.name) : undefined;
    return hasExited(have) && ruleFor(c, have!.exit_code) === 'RestartAllContainers' ? [have!.id] : [];
  });
}

/** Whether some container's rules can have all containers start anew. */
export const mayRestartAll = (pod: ReadPod): boolean =>
  [...(pod.spec!.initContainers ?? []), ...pod.spec!.containers].some((c) =>
    c.restartPolicyRules?.some((r) => r.action === 'RestartAllContainers'),
  );

/** Whether containers of before `since` (nanoseconds) have still to be replaced. */
export const isRestartingAll = (pod: ReadPod, state: PodRuntimeState, since: number): boolean =>
  since > 0 &&
  [...(pod.spec!.initContainers ?? []), ...pod.spec!.containers].some(
    (c) => (latest(state, c.name)?.created_at ?? since) < since,
  );

export interface Plan {
  actions: Action[];
  /** An init container failed for good, or every container has ended for good. */
  finished: boolean;
}

export function plan(pod: ReadPod, state: PodRuntimeState, context: PlanContext): Plan {
  const spec = pod.spec!;
  const sandbox = state.sandboxes[0];
  const usable = sandbox?.state === 'SANDBOX_READY' && (spec.hostNetwork === true || Boolean(sandbox.network?.ip));
  if (!usable) return planNewSandbox(pod, state, context);

  const actions: Action[] = [];
  const since = context.restartAllSince ?? 0;
  const current = (name: string): RuntimeContainerState | undefined => {
    const c = latest(state, name);
    return c?.sandboxId === sandbox.id && c.created_at >= since ? c : undefined;
  };
  const past = state.containers.filter((c) => isRunning(c) && c.created_at < since && !isEphemeral(pod, c.name));
  if (past.length)
    return {
      actions: past.map((c) => ({
        kind: 'killContainer',
        id: c.id,
        name: c.name,
        message: `Container ${c.name} is restarted with all containers of the pod`,
        graceSeconds: 0,
      })),
      finished: false,
    };
  const attempt = (name: string): number => {
    const c = latest(state, name);
    return nextAttempt(c, name, context);
  };
  const start = (role: ContainerRole, container: ReadContainer) => {
    // the back-off counts from the last end that was known before this look
    const previous = state.containers.find((c) => c.name === container.name && hasExited(c));
    actions.push({ kind: 'startContainer', role, container, attempt: attempt(container.name), previous });
  };

  for (const c of spec.ephemeralContainers ?? [])
    if (!latest(state, c.name)) start('ephemeral', c as unknown as ReadContainer);

  const inits = spec.initContainers ?? [];
  const appsBegan = spec.containers.some((c) => current(c.name) !== undefined);
  let initialized = true;
  for (const c of inits) {
    const have = current(c.name);
    if (isSidecar(c)) {
      if (isRunning(have)) {
        if (unhealthy(c, have!, actions, context)) {
          start('sidecar', c);
          if (!appsBegan) initialized = false;
        } else if (!appsBegan && !context.started(have!)) initialized = false;
      } else {
        start('sidecar', c);
        if (!appsBegan) initialized = false;
      }
    } else if (!appsBegan) {
      if (isRunning(have)) initialized = false;
      else if (!have || have.state === 'CONTAINER_CREATED' || have.state === 'CONTAINER_UNKNOWN') {
        start('init', c);
        initialized = false;
      } else if (have.exit_code !== 0) {
        if (!initShouldRestart(pod, c, have.exit_code)) return { actions: [], finished: true };
        start('init', c);
        initialized = false;
      }
    }
    if (!initialized) break;
  }
  if (!initialized) return { actions, finished: false };

  let alive = 0;
  for (const c of spec.containers) {
    const have = current(c.name);
    if (!have || have.state === 'CONTAINER_CREATED' || have.state === 'CONTAINER_UNKNOWN') {
      start('app', c);
      alive++;
    } else if (hasExited(have)) {
      if (!context.resized?.has(c.name) && !shouldRestart(pod, c, have.exit_code)) continue;
      start('app', c);
      alive++;
    } else {
      alive++;
      const hash = have.annotations[CONTAINER_HASH];
      if (hash !== undefined && hash !== containerHash(c)) {
        actions.push({
          kind: 'killContainer',
          id: have.id,
          name: c.name,
          message: `Container ${c.name} definition changed, will be restarted`,
        });
        start('app', c);
      } else if (unhealthy(c, have, actions, context) && restartsAfterProbe(pod, c)) start('app', c);
    }
  }
  if (alive === 0) return { actions: [], finished: true };
  return { actions, finished: false };
}

const isEphemeral = (pod: ReadPod, name: string): boolean =>
  pod.spec!.ephemeralContainers?.some((c) => c.name === name) ?? false;

/** A container killed for a probe ends with a failure, so only Never keeps it down. */
function restartsAfterProbe(pod: ReadPod, c: ReadContainer): boolean {
  return (c.restartPolicy ?? pod.spec!.restartPolicy) !== 'Never';
}

function unhealthy(c: ReadContainer, have: RuntimeContainerState, actions: Action[], context: PlanContext): boolean {
  const why = context.unhealthy.get(have.id);
  if (!why) return false;
  actions.push({
    kind: 'killContainer',
    id: have.id,
    name: c.name,
    probe: why,
    message: `Container ${c.name} failed ${why} probe, will be restarted`,
  });
  return true;
}

function nextAttempt(c: RuntimeContainerState | undefined, name: string, context: PlanContext): number {
  if (c) return c.restartCount + 1;
  const lost = context.lostRestarts?.(name);
  return lost === undefined ? 0 : lost + 1;
}

function planNewSandbox(pod: ReadPod, state: PodRuntimeState, context: PlanContext): Plan {
  const spec = pod.spec!;
  const old = state.sandboxes[0];
  const attempt = old ? old.metadata.attempt + 1 : 0;
  // nothing may be started a second time in a pod that doesn't restart
  if (old && state.containers.length > 0 && !anyToStart(pod, state))
    return { actions: state.containers.some(isRunning) ? [{ kind: 'killPod' }] : [], finished: true };
  const actions: Action[] = [];
  if (old) actions.push({ kind: 'killPod' });
  actions.push({ kind: 'createSandbox', attempt });
  const again = (c: ReadContainer, role: ContainerRole): Action => {
    const previous = latest(state, c.name);
    return { kind: 'startContainer', role, container: c, attempt: nextAttempt(previous, c.name, context), previous };
  };
  const first = spec.initContainers?.[0];
  if (first) actions.push(again(first, isSidecar(first) ? 'sidecar' : 'init'));
  else for (const c of spec.containers) if (mayStart(pod, c, latest(state, c.name))) actions.push(again(c, 'app'));
  return { actions, finished: false };
}

function mayStart(pod: ReadPod, c: ReadContainer, have: RuntimeContainerState | undefined): boolean {
  if (!have || have.state === 'CONTAINER_CREATED') return true;
  // what ran when the sandbox went away counts as failed
  return shouldRestart(pod, c, hasExited(have) ? have.exit_code : 137);
}

function anyToStart(pod: ReadPod, state: PodRuntimeState): boolean {
  const inits = pod.spec!.initContainers ?? [];
  const began = pod.spec!.containers.some((c) => latest(state, c.name) !== undefined);
  if (!began)
    return inits.every((c) => {
      const have = latest(state, c.name);
      return !have || !hasExited(have) || have.exit_code === 0 || initShouldRestart(pod, c, have.exit_code);
    });
  return pod.spec!.containers.some((c) => mayStart(pod, c, latest(state, c.name)));
}
