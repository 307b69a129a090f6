/** Starting one container: image, configuration, create, start, postStart hook. */
import { mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import { errorText } from '../cri/client.ts';
import type { Image, SandboxConfig } from '../cri/types.ts';
import { ImageError } from '../images/manager.ts';
import type { MountedVolume } from '../volumes/types.ts';
import { containerConfig } from './container-config.ts';
import type { PodDeps } from './deps.ts';
import { ConfigError } from './env.ts';
import { containerHash, legacyLogName } from './identity.ts';
import { runHook } from './lifecycle.ts';
import { verifyNonRoot } from './security.ts';
import type { PodRuntimeState, RuntimeContainerState } from './state.ts';
import { gracePeriod, killContainer, specOf } from './termination.ts';

/** Why a container didn't start: what its waiting state shows, and when to try again (milliseconds). */
export class StartError extends Error {
  readonly reason: string;
  readonly retryMs: number;
  constructor(reason: string, message: string, retryMs: number) {
    super(message);
    this.reason = reason;
    this.retryMs = retryMs;
  }
}

export interface StartInput {
  pod: DeepReadonly<Pod>;
  container: DeepReadonly<Container>;
  attempt: number;
  previous: RuntimeContainerState | undefined;
  state: PodRuntimeState;
  sandboxId: string;
  sandbox: SandboxConfig;
  volumes: ReadonlyMap<string, MountedVolume>;
  podIPs: readonly string[];
  signal: AbortSignal;
  /** A look for the image that is under way. */
  looked?: Promise<Image | undefined>;
}

const RETRY_MS = 10_000;

/** Resolves with the container's id once it is started; rejects with a StartError. */
export async function startContainer(input: StartInput, deps: PodDeps): Promise<string> {
  const { pod, container: c, signal } = input;
  const m = pod.metadata!;
  const where = { name: c.name, field: specOf(pod, c.name).field };
  const warn = (message: string) => deps.event(pod, 'Warning', 'Failed', `Error: ${message}`, where);

  const key = `${m.uid}/${c.name}/${containerHash(c)}`;
  if (input.previous?.state === 'CONTAINER_EXITED') {
    const ended = input.previous.finished_at / 1e6;
    const wait = deps.crashBackoff.remaining(key, ended);
    if (wait > 0) {
      const total = Math.round((wait + deps.clock.now() - ended) / 1000);
      const pretty = total >= 60 ? `${Math.floor(total / 60)}m${total % 60}s` : `${total}s`;
      const message = `back-off ${pretty} restarting failed container=${c.name} pod=${m.name}_${m.namespace}(${m.uid})`;
      deps.event(
        pod,
        'Warning',
        'BackOff',
        `Back-off restarting failed container ${c.name} in pod ${m.name}_${m.namespace}(${m.uid})`,
        where,
      );
      throw new StartError('CrashLoopBackOff', message, wait + 1);
    }
    deps.crashBackoff.next(key, ended);
  }

  deps.metrics?.startedContainers.add([containerType(pod, c.name)]);
  let config;
  let image;
  try {
    // a pull goes on by itself when the pod is to end: it helps the next one
    image = await orAborted(deps.images.ensure(pod, c, input.sandbox, await input.looked), signal);
    signal.throwIfAborted();
    verifyNonRoot(pod, c, image);
    const target = specTarget(pod, c.name);
    const targetId = target
      ? input.state.containers.find((x) => x.name === target && x.state === 'CONTAINER_RUNNING')?.id
      : undefined;
    config = await containerConfig(
      { pod, container: c, attempt: input.attempt, image, volumes: input.volumes, podIPs: input.podIPs, targetId },
      deps,
    );
  } catch (error) {
    if (signal.aborted) throw error;
    if (error instanceof ImageError) {
      if (error.reason === 'ErrImagePull' || error.reason === 'ImagePullBackOff') warn(error.reason);
      else warn(error.reason);
      throw new StartError(error.reason, error.message, error.retryMs ?? RETRY_MS);
    }
    const message = (error as Error).message;
    warn(message);
    throw new StartError(error instanceof ConfigError ? error.reason : 'CreateContainerConfigError', message, RETRY_MS);
  }
  signal.throwIfAborted();

  let id: string;
  try {
    id = await deps.runtime.createContainer(input.sandboxId, config, input.sandbox);
  } catch (error) {
    const message = `failed to create containerd container: ${errorText(error)}`.replace(
      /^failed to create containerd container: rpc error/,
      'rpc error',
    );
    warn(message);
    throw new StartError('CreateContainerError', message, RETRY_MS);
  }
  deps.event(pod, 'Normal', 'Created', 'Container created', where);
  try {
    await deps.resources?.beforeStart(m.uid!, c.name);
    await deps.runtime.startContainer(id);
  } catch (error) {
    const message = errorText(error);
    warn(message);
    throw new StartError('RunContainerError', message, RETRY_MS);
  }
  deps.event(pod, 'Normal', 'Started', 'Container started', where);

  if (!deps.hollow) await linkLog(pod, c.name, id, config.log_path, deps);

  const hook = c.lifecycle?.postStart;
  if (hook) {
    try {
      await orAborted(runHook(hook, { id, podIP: input.podIPs[0] ?? '', container: c }, deps, signal), signal);
    } catch (error) {
      if (signal.aborted) throw error;
      deps.event(pod, 'Warning', 'FailedPostStartHook', 'PostStartHook failed', where);
      const run = { id, name: c.name, annotations: config.annotations } as RuntimeContainerState;
      await killContainer(pod, run, gracePeriod(pod), 'FailedPostStartHook', input.podIPs[0] ?? '', deps);
      throw new StartError('PostStartHookError', (error as Error).message, 0);
    }
  }
  return id;
}

const TYPES = {
  containers: 'container',
  initContainers: 'init_container',
  ephemeralContainers: 'ephemeral_container',
} as const;

/** What metrics call the container's kind. */
export const containerType = (pod: DeepReadonly<Pod>, name: string): string => TYPES[specOf(pod, name).field];

/** The promise's outcome, or the signal's reason as soon as it is aborted. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function specTarget(pod: DeepReadonly<Pod>, name: string): string | undefined {
  return pod.spec!.ephemeralContainers?.find((c) => c.name === name)?.targetContainerName;
}

/** /var/log/containers holds a link per container, for log collectors. */
async function linkLog(
  pod: DeepReadonly<Pod>,
  name: string,
  id: string,
  logPath: string,
  deps: PodDeps,
): Promise<void> {
  try {
    const link = join(deps.containerLogsDir, legacyLogName(pod, name, id));
    await mkdir(deps.containerLogsDir, { recursive: true });
    await rm(link, { force: true });
    await symlink(join(deps.paths(pod).logs, logPath), link);
  } catch (error) {
    deps.logger.debug('no log link', { container: name, error });
  }
}
