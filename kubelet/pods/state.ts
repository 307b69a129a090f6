/** What the runtime knows of one pod. */
import type { Clock } from '../../base/clock.ts';
import { isGrpcNotFound } from '../cri/client.ts';
import type { ContainerRuntimeStatus, Runtime, SandboxStatus } from '../cri/types.ts';
import { CONTAINER_NAME, RESTART_COUNT } from './identity.ts';

export interface RuntimeContainerState extends ContainerRuntimeStatus {
  sandboxId: string;
  name: string;
  restartCount: number;
}

export interface PodRuntimeState {
  readonly uid: string;
  /** Newest first. */
  readonly sandboxes: readonly SandboxStatus[];
  /** Newest first. */
  readonly containers: readonly RuntimeContainerState[];
  /** Of the newest sandbox that is ready. */
  readonly ips: readonly string[];
}

export const emptyState = (uid: string): PodRuntimeState => ({ uid, sandboxes: [], containers: [], ips: [] });

/** The newest container of a name. */
export function latest(state: PodRuntimeState, name: string): RuntimeContainerState | undefined {
  return state.containers.find((c) => c.name === name);
}

export const isRunning = (c: { state: string } | undefined): boolean => c?.state === 'CONTAINER_RUNNING';
export const hasExited = (c: { state: string } | undefined): boolean => c?.state === 'CONTAINER_EXITED';

/** Newest first. */
const newest = <T extends { created_at: number }>(a: T, b: T) => b.created_at - a.created_at;

function stateOf(uid: string, sandboxes: SandboxStatus[], containers: RuntimeContainerState[]): PodRuntimeState {
  const network = sandboxes.sort(newest).find((x) => x.state === 'SANDBOX_READY')?.network;
  const ips = network?.ip ? [network.ip, ...(network.additional_ips ?? []).map((x) => x.ip)] : [];
  return { uid, sandboxes, containers: containers.sort(newest), ips };
}

const containerState = (status: ContainerRuntimeStatus, sandboxId: string): RuntimeContainerState => ({
  ...status,
  sandboxId,
  name: status.labels[CONTAINER_NAME] ?? status.metadata.name,
  restartCount: Number(status.annotations[RESTART_COUNT] ?? status.metadata.attempt) || 0,
});

/** With a sandbox that was just made. */
export const withSandbox = (state: PodRuntimeState, made: SandboxStatus): PodRuntimeState =>
  stateOf(state.uid, [made, ...state.sandboxes.filter((s) => s.id !== made.id)], [...state.containers]);

/** With a container that was just started in a sandbox. */
export const withContainer = (
  state: PodRuntimeState,
  made: ContainerRuntimeStatus,
  sandboxId: string,
): PodRuntimeState =>
  stateOf(
    state.uid,
    [...state.sandboxes],
    [containerState(made, sandboxId), ...state.containers.filter((c) => c.id !== made.id)],
  );

/** Asks the runtime; what can't change any more is taken from `previous`. */
export async function readPodState(
  runtime: Runtime,
  uid: string,
  previous: PodRuntimeState | undefined,
): Promise<PodRuntimeState> {
  const [sandboxList, containerList] = await Promise.all([runtime.listSandboxes(uid), runtime.listContainers(uid)]);
  const known = new Map(previous?.containers.map((c) => [c.id, c]));
  const knownSandboxes = new Map(previous?.sandboxes.map((s) => [s.id, s]));
  const gone = (error: unknown) => {
    if (isGrpcNotFound(error)) return undefined;
    throw error;
  };
  const [sandboxes, containers] = await Promise.all([
    Promise.all(
      sandboxList.map(async (s) => {
        const have = knownSandboxes.get(s.id);
        if (
          have &&
          have.state === s.state &&
          (s.state === 'SANDBOX_NOTREADY' || have.network?.ip || have.linux?.namespaces?.options?.network === 'NODE')
        )
          return have;
        return runtime.sandboxStatus(s.id).catch(gone);
      }),
    ),
    Promise.all(
      containerList.map(async (c): Promise<RuntimeContainerState | undefined> => {
        const have = known.get(c.id);
        if (have && have.state === c.state && c.state !== 'CONTAINER_UNKNOWN' && c.state !== 'CONTAINER_CREATED')
          return have;
        const status = await runtime.containerStatus(c.id).catch(gone);
        return status && containerState(status, c.pod_sandbox_id);
      }),
    ),
  ]);
  return stateOf(
    uid,
    sandboxes.filter((x) => x !== undefined),
    containers.filter((x) => x !== undefined),
  );
}

/**
 * Waits until the runtime itself knows that a container ended: its own handling of the exit runs beside the event.
 * Gives up after about two seconds; the relist will see it then.
 */
export async function settleExit(runtime: Runtime, clock: Clock, id: string): Promise<void> {
  for (const ms of [0, 5, 10, 20, 40, 80, 160, 320, 640, 1000]) {
    if (ms) await clock.sleep(ms);
    try {
      const c = await runtime.containerStatus(id);
      if (c.state !== 'CONTAINER_RUNNING') return;
    } catch {
      return;
    }
  }
}
