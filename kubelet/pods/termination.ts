/** Stopping containers: hooks first, then the signal, sidecars after all others, all within the grace period. */
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import { errorText, isGrpcNotFound } from '../cri/client.ts';
import type { PodDeps } from './deps.ts';
import { PRE_STOP } from './identity.ts';
import { runHook } from './lifecycle.ts';
import { isSidecar } from './resources.ts';
import { untilStoppable } from './signals.ts';
import type { PodRuntimeState, RuntimeContainerState } from './state.ts';

type ReadPod = DeepReadonly<Pod>;
type Field = 'containers' | 'initContainers' | 'ephemeralContainers';

/** A container always gets this long after its preStop hook, in seconds. */
const MINIMUM_GRACE = 2;

/** The container of that name, and in which list of the pod's spec it stands. */
export function specOf(pod: ReadPod, name: string): { container: DeepReadonly<Container> | undefined; field: Field } {
  const spec = pod.spec!;
  const app = spec.containers.find((c) => c.name === name);
  if (app) return { container: app, field: 'containers' };
  const init = spec.initContainers?.find((c) => c.name === name);
  if (init) return { container: init, field: 'initContainers' };
  return {
    container: spec.ephemeralContainers?.find((c) => c.name === name) as unknown as DeepReadonly<Container> | undefined,
    field: 'ephemeralContainers',
  };
}

/** Seconds that a pod's containers get. */
export function gracePeriod(pod: ReadPod, override?: number): number {
  const asked = override ?? pod.metadata!.deletionGracePeriodSeconds ?? pod.spec!.terminationGracePeriodSeconds ?? 30;
  return Math.max(asked, 1);
}

/** Stops one container. `before` is waited for between the preStop hook and the signal (order of sidecars). */
export async function killContainer(
  pod: ReadPod,
  c: RuntimeContainerState,
  graceSeconds: number,
  message: string,
  podIP: string,
  deps: PodDeps,
  before?: Promise<unknown>,
): Promise<void> {
  const { container, field } = specOf(pod, c.name);
  deps.event(pod, 'Normal', 'Killing', message, { name: c.name, field });
  const began = deps.clock.monotonic();
  const hook = container
    ? container.lifecycle?.preStop
    : (JSON.parse(c.annotations[PRE_STOP] ?? 'null') as
        | NonNullable<DeepReadonly<Container>['lifecycle']>['preStop']
        | null);
  const giveUp = new AbortController();
  const limit = deps.clock.after(graceSeconds * 1000, () => giveUp.abort(new Error('grace period over')), {
    background: true,
  });
  try {
    const late = new Promise<void>((resolve) =>
      giveUp.signal.addEventListener('abort', () => resolve(), { once: true }),
    );
    if (hook) {
      const run = runHook(
        hook,
        { id: c.id, podIP, container: container ?? ({ name: c.name } as Container) },
        deps,
        giveUp.signal,
      ).catch((error: unknown) => {
        deps.logger.debug('preStop hook failed', { container: c.name, error });
        if (!giveUp.signal.aborted)
          deps.event(pod, 'Warning', 'FailedPreStopHook', 'PreStopHook failed', { name: c.name, field });
      });
      await Promise.race([run, late]);
    }
    if (before) await Promise.race([before, late]);
    if (graceSeconds > MINIMUM_GRACE)
      await untilStoppable(c.started_at / 1e6, () => deps.runtime.containerPid(c.id), deps.clock);
  } finally {
    limit.cancel();
  }
  const left = Math.max(MINIMUM_GRACE, Math.ceil(graceSeconds - (deps.clock.monotonic() - began) / 1000));
  const seconds =
    graceSeconds <= 1 && !hook
      ? graceSeconds
      : hook
        ? left
        : Math.max(1, Math.ceil(graceSeconds - (deps.clock.monotonic() - began) / 1000));
  try {
    await deps.runtime.stopContainer(c.id, seconds);
  } catch (error) {
    if (!isGrpcNotFound(error)) throw new Error(errorText(error));
  }
}

/** Stops all containers of a pod, then its sandboxes. */
export async function killPod(
  pod: ReadPod,
  state: PodRuntimeState,
  graceSeconds: number,
  deps: PodDeps,
): Promise<void> {
  const running = state.containers.filter((c) => c.state === 'CONTAINER_RUNNING' || c.state === 'CONTAINER_UNKNOWN');
  const podIP = (pod.spec!.hostNetwork ? deps.hostIPs()[0] : state.ips[0]) ?? '';
  const sidecarOrder = (pod.spec!.initContainers ?? []).filter(isSidecar).map((c) => c.name);
  const ends = new Map<string, Promise<void>>();
  const kill = (c: RuntimeContainerState, before?: Promise<unknown>) => {
    const p = killContainer(pod, c, graceSeconds, `Stopping container ${c.name}`, podIP, deps, before);
    p.catch(() => {});
    ends.set(c.id, p);
    return p;
  };
  const main = running.filter((c) => !sidecarOrder.includes(c.name));
  let last: Promise<unknown> = Promise.allSettled(main.map((c) => kill(c)));
  for (const name of sidecarOrder.toReversed()) {
    const c = running.find((x) => x.name === name);
    if (c) last = Promise.allSettled([kill(c, last)]);
  }
  const results = await Promise.allSettled(ends.values());
  const failed = results.find((r) => r.status === 'rejected');
  for (const s of state.sandboxes)
    if (s.state === 'SANDBOX_READY' || s === state.sandboxes[0])
      await deps.runtime.stopSandbox(s.id).catch((error: unknown) => {
        if (!isGrpcNotFound(error)) throw error;
      });
  if (failed) throw failed.reason;
}
