/** Carrying out what the plan says. */
import { mkdir } from 'node:fs/promises';
import { errorText } from '../cri/client.ts';
import type { Image, SandboxConfig } from '../cri/types.ts';
import { VolumeError, type MountedVolume } from '../volumes/types.ts';
import { podIPs, refresh, type WorkerContext } from './context.ts';
import { ConfigError } from './env.ts';
import type { Action } from './plan.ts';
import { sandboxConfig } from './sandbox-config.ts';
import { containerType, StartError, startContainer } from './start-container.ts';
import { withContainer, withSandbox } from './state.ts';
import { gracePeriod, killContainer, killPod } from './termination.ts';

/** What is only waited for is worth an event when it lasts so long. */
const QUIET_WAIT_MS = 120_000;

/** Makes the pod's folders and volumes ready; false when containers can't start yet. */
export async function mountVolumes(w: WorkerContext, failuresBefore: number): Promise<boolean> {
  const { deps, pod } = w;
  if (!deps.hollow) {
    const paths = deps.paths(pod);
    await mkdir(paths.root, { recursive: true, mode: 0o750 });
    await mkdir(paths.logs, { recursive: true, mode: 0o755 });
  }
  try {
    w.volumes = await deps.volumes.mount(pod);
    return true;
  } catch (error) {
    if (w.signal.aborted) return false;
    const waitMs = error instanceof VolumeError ? error.waitMs : undefined;
    if (waitMs !== undefined && failuresBefore * waitMs < QUIET_WAIT_MS) {
      w.wakeAfter(waitMs);
      return false;
    }
    deps.logger.debug('volumes not ready', { pod: pod.metadata!.name, error });
    deps.event(pod, 'Warning', error instanceof VolumeError ? error.reason : 'FailedMount', (error as Error).message);
    w.wakeAfter(Math.min(500 * 2 ** failuresBefore, 15_000));
    return false;
  }
}

async function sandboxFor(w: WorkerContext, attempt: number, parent: string): Promise<SandboxConfig | undefined> {
  const { deps, pod } = w;
  try {
    return sandboxConfig(pod, attempt, {
      cgroupParent: parent,
      logDirectory: deps.paths(pod).logs,
      dns: deps.dns(),
      seccompDefault: deps.seccompDefault,
      seccompRoot: deps.seccompRoot,
      ids: await deps.userNamespaces?.of(pod),
    });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    deps.event(pod, 'Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${error.message}`);
    w.wakeAfter(10_000);
    return undefined;
  }
}

async function createSandbox(w: WorkerContext, config: SandboxConfig): Promise<void> {
  const { deps, pod } = w;
  const began = deps.clock.monotonic();
  const own = pod.spec!.hostUsers === false;
  let handler = '';
  try {
    handler = pod.spec!.runtimeClassName ? await deps.runtimeHandler(pod.spec!.runtimeClassName) : '';
    if (own && !deps.handlerFeatures(handler).user_namespaces)
      throw new Error(`RuntimeClass handler ${JSON.stringify(handler)} does not support user namespaces`);
    const id = await deps.runtime.runSandbox(config, handler);
    w.state = withSandbox(w.state, await deps.runtime.sandboxStatus(id));
    deps.metrics?.sandbox(handler, began, false, own);
  } catch (error) {
    deps.metrics?.sandbox(handler, began, true, own);
    deps.event(pod, 'Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${errorText(error)}`);
    throw error;
  }
  if (!pod.spec!.hostNetwork && w.state.ips.length === 0) throw new Error('the sandbox has no address');
}

async function begin(
  w: WorkerContext,
  action: Extract<Action, { kind: 'startContainer' }>,
  sandbox: SandboxConfig,
  looked: Promise<Image | undefined> | undefined,
): Promise<void> {
  const { deps } = w;
  // a container takes what was granted, whatever is wanted by now
  const granted = w.resizer.allocated(w.pod);
  const container =
    [...granted.spec!.containers, ...(granted.spec!.initContainers ?? [])].find(
      (c) => c.name === action.container.name,
    ) ?? action.container;
  try {
    const sandboxId = w.state.sandboxes[0]!.id;
    const id = await startContainer(
      {
        pod: granted,
        container,
        attempt: action.attempt,
        previous: action.previous,
        state: w.state,
        sandboxId,
        sandbox,
        volumes: w.volumes ?? new Map<string, MountedVolume>(),
        podIPs: podIPs(w),
        signal: w.signal,
        looked,
      },
      w.deps,
    );
    const status = await w.deps.runtime.containerStatus(id);
    if (status.state === 'CONTAINER_RUNNING') w.state = withContainer(w.state, status, sandboxId);
    else await refresh(w);
    w.resizer.applied(container.name, container.resources);
    w.waiting.delete(container.name);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    if (error.reason !== 'CrashLoopBackOff')
      deps.metrics?.startedContainerErrors.add([error.reason, containerType(w.pod, container.name)]);
    await refresh(w);
    w.waiting.set(container.name, { reason: error.reason, message: error.message });
    w.wakeAfter(error.retryMs);
  }
}

function probeGrace(w: WorkerContext, action: Extract<Action, { kind: 'killContainer' }>): number | undefined {
  if (!action.probe) return undefined;
  const c = [...w.pod.spec!.containers, ...(w.pod.spec!.initContainers ?? [])].find((x) => x.name === action.name);
  return (action.probe === 'startup' ? c?.startupProbe : c?.livenessProbe)?.terminationGracePeriodSeconds;
}

/** Looks for the images of the containers to be started, while something else is done. */
function lookForImages(w: WorkerContext, actions: readonly Action[]): Map<string, Promise<Image | undefined>> {
  const looks = new Map<string, Promise<Image | undefined>>();
  for (const action of actions) {
    const image = action.kind === 'startContainer' ? action.container.image : undefined;
    if (!image || looks.has(image)) continue;
    // what goes wrong shows when the container is started
    looks.set(
      image,
      w.deps.images.look(image).catch(() => undefined),
    );
  }
  return looks;
}

/** Carries out the actions in turn; `w.state` is up to date afterwards. */
export async function perform(w: WorkerContext, actions: readonly Action[]): Promise<void> {
  const { deps } = w;
  const parent = deps.cgroups ? await deps.cgroups.ensurePod(w.resizer.allocated(w.pod)) : '';
  let config = await sandboxFor(w, w.state.sandboxes[0]?.metadata.attempt ?? 0, parent);
  if (!config) return;
  let looks: ReturnType<typeof lookForImages> | undefined;
  for (const action of actions) {
    w.signal.throwIfAborted();
    switch (action.kind) {
      case 'killPod':
        deps.event(w.pod, 'Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.');
        await killPod(w.pod, w.state, gracePeriod(w.pod), deps);
        await refresh(w);
        break;
      case 'createSandbox':
        config = await sandboxFor(w, action.attempt, parent);
        if (!config) return;
        looks = lookForImages(w, actions);
        await createSandbox(w, config);
        break;
      case 'killContainer': {
        const c = w.state.containers.find((x) => x.id === action.id);
        if (c)
          await killContainer(
            w.pod,
            c,
            action.graceSeconds ?? probeGrace(w, action) ?? gracePeriod(w.pod),
            action.message,
            podIPs(w)[0] ?? '',
            deps,
          );
        await refresh(w);
        break;
      }
      case 'startContainer':
        await begin(w, action, config, looks?.get(action.container.image ?? ''));
        break;
    }
  }
}
