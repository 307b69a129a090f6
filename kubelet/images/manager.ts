/** Brings images to the node: policies, credentials, back-off, one pull per image at a time. */
import type { Clock } from '../../base/clock.ts';
import type { Container, DeepReadonly, Pod, Secret } from '../../api/types.ts';
import { errorText } from '../cri/client.ts';
import type { AuthConfig, Image, Runtime, SandboxConfig } from '../cri/types.ts';
import { createBackoff } from '../pods/backoff.ts';
import { credentialsFor } from './credentials.ts';
import type { CredentialProviders } from './providers.ts';
import type { PulledImages } from './pulled.ts';
import { defaultPullPolicy, parseImage, pullName } from './names.ts';

/** The image can't be used: `reason` is what stands in the waiting state. */
export class ImageError extends Error {
  readonly reason: 'ErrImagePull' | 'ImagePullBackOff' | 'InvalidImageName' | 'ErrImageNeverPull' | 'ImageInspectError';
  /** When trying again makes sense; milliseconds. */
  readonly retryMs: number | undefined;
  constructor(reason: ImageError['reason'], message: string, retryMs?: number) {
    super(message);
    this.reason = reason;
    this.retryMs = retryMs;
  }
}

export interface ImageManager {
  /** The image if it is there by now. */
  look(image: string): Promise<Image | undefined>;
  /** Resolves with the image once it is there; `looked` is what a look has just found. */
  ensure(
    pod: DeepReadonly<Pod>,
    container: DeepReadonly<Container>,
    sandbox: SandboxConfig | undefined,
    looked?: Image,
  ): Promise<Image>;
  /** The image was removed from the node. */
  forget(id: string): void;
}

export interface ImageOptions {
  runtime: Runtime;
  clock: Clock;
  /** One pull at a time on the whole node. */
  serialize: boolean;
  maxParallel?: number;
  /** Whether one more pull may begin now (registryPullQPS); defaults to yes. */
  mayPull?(): boolean;
  providers?: CredentialProviders;
  pulled?: PulledImages;
  /** An image of so many bytes was brought for a pod; `began` in monotonic milliseconds. */
  pulledFor?(uid: string, bytes: number, began: number): void;
  secret(namespace: string, name: string): Promise<DeepReadonly<Secret> | undefined>;
  event(pod: DeepReadonly<Pod>, container: string, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

const duration = (ms: number): string => (ms < 1000 ? `${Math.round(ms)}ms` : `${Math.round(ms) / 1000}s`);

export function createImageManager(options: ImageOptions): ImageManager {
  const { runtime, clock, event } = options;
  const backoff = createBackoff({ clock, initialMs: 10_000, maxMs: 300_000 });
  const pulling = new Map<string, ReturnType<typeof pull>>();
  const failures = new Map<string, string>();
  const limit = options.serialize ? 1 : (options.maxParallel ?? Infinity);
  let active = 0;
  const queue: (() => void)[] = [];

  async function slot<T>(fn: () => Promise<T>): Promise<T> {
    if (active >= limit) await new Promise<void>((resolve) => queue.push(resolve));
    active++;
    try {
      return await fn();
    } finally {
      active--;
      queue.shift()?.();
    }
  }

  async function credentials(pod: DeepReadonly<Pod>, name: string): Promise<AuthConfig[]> {
    const secrets: DeepReadonly<Secret>[] = [];
    for (const s of pod.spec!.imagePullSecrets ?? []) {
      const found = s.name ? await options.secret(pod.metadata!.namespace!, s.name).catch(() => undefined) : undefined;
      if (found) secrets.push(found);
    }
    return credentialsFor(name, secrets, await options.providers?.credentials(name, pod));
  }

  /** Resolves with the image's id and what opened the registry. */
  async function pull(
    name: string,
    auths: readonly AuthConfig[],
    sandbox: SandboxConfig | undefined,
  ): Promise<{ id: string; auth: AuthConfig | undefined }> {
    const once = async (auth: AuthConfig | undefined) => {
      if (options.mayPull?.() === false) throw new Error('pull QPS exceeded');
      return { id: await runtime.pullImage(name, auth, sandbox), auth };
    };
    if (auths.length === 0) return slot(() => once(undefined));
    let last: unknown;
    for (const auth of auths) {
      try {
        return await slot(() => once(auth));
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }

  return {
    forget: (id) => options.pulled?.forget(id),
    look: async (image) => (parseImage(image) ? runtime.imageStatus(pullName(image)) : undefined),
    async ensure(pod, container, sandbox, looked) {
      const given = container.image ?? '';
      const say = (type: 'Normal' | 'Warning', reason: string, message: string) =>
        event(pod, container.name, type, reason, message);
      if (!parseImage(given)) {
        const message = `Failed to apply default image tag ${JSON.stringify(given)}: couldn't parse image name ${JSON.stringify(given)}: invalid reference format`;
        say('Warning', 'InspectFailed', message);
        throw new ImageError('InvalidImageName', message, 60_000);
      }
      const name = pullName(given);
      const policy = container.imagePullPolicy ?? defaultPullPolicy(given);
      let have: Image | undefined;
      try {
        have = looked ?? (await runtime.imageStatus(name));
      } catch (error) {
        const message = `Failed to inspect image ${JSON.stringify(name)}: ${errorText(error)}`;
        say('Warning', 'InspectFailed', message);
        throw new ImageError('ImageInspectError', message, 5000);
      }
      let auths: AuthConfig[] | undefined;
      /** What is here may have been pulled with credentials that this pod has not. */
      const mayUse = async (image: Image): Promise<boolean> => {
        if (!options.pulled || options.pulled.allowed(image.id, name, [])) return true;
        auths = await credentials(pod, name);
        return options.pulled.allowed(image.id, name, auths);
      };
      if (have && policy !== 'Always' && (await mayUse(have))) {
        say(
          'Normal',
          'Pulled',
          `Container image ${JSON.stringify(given)} already present on machine and can be accessed by the pod`,
        );
        return have;
      }
      if (policy === 'Never') {
        const message = have
          ? `image ${JSON.stringify(given)} is present, but the pod has no credentials that were used to pull it, and its pull policy is Never`
          : `Container image ${JSON.stringify(given)} is not present with pull policy of Never`;
        say('Warning', 'ErrImageNeverPull', message);
        throw new ImageError('ErrImageNeverPull', message, 10_000);
      }
      const key = `${pod.metadata!.uid}_${name}`;
      const wait = backoff.remaining(key);
      if (wait > 0) {
        const message = `Back-off pulling image ${JSON.stringify(given)}`;
        say('Normal', 'BackOff', message);
        throw new ImageError(
          'ImagePullBackOff',
          failures.has(key) ? `${message}: ErrImagePull: ${failures.get(key)}` : message,
          wait,
        );
      }
      say('Normal', 'Pulling', `Pulling image ${JSON.stringify(given)}`);
      const began = clock.monotonic();
      try {
        // pods without secrets of their own share one pull
        auths ??= await credentials(pod, name);
        const shared = auths.length ? undefined : name;
        options.pulled?.pulling(name);
        let one = shared === undefined ? undefined : pulling.get(shared);
        if (!one) {
          one = pull(name, auths, sandbox);
          if (shared !== undefined) {
            pulling.set(shared, one);
            void one.finally(() => pulling.delete(shared)).catch(() => {});
          }
        }
        const { id: ref, auth } = await one;
        backoff.reset(key);
        failures.delete(key);
        const image = (await runtime.imageStatus(ref)) ?? (await runtime.imageStatus(name));
        if (!image) throw new Error(`image ${name} is not there after the pull`);
        options.pulled?.pulled(image.id, name, auth);
        options.pulledFor?.(pod.metadata!.uid!, image.size, began);
        const took = duration(clock.monotonic() - began);
        say(
          'Normal',
          'Pulled',
          `Successfully pulled image ${JSON.stringify(given)} in ${took} (${took} including waiting). Image size: ${image.size} bytes.`,
        );
        return image;
      } catch (error) {
        const text = errorText(error);
        options.pulled?.failed(name);
        say('Warning', 'Failed', `Failed to pull image ${JSON.stringify(given)}: ${text}`);
        backoff.next(key);
        failures.set(key, text);
        // the next look comes soon, to say that it waits
        throw new ImageError('ErrImagePull', text, Math.min(backoff.remaining(key), 2000));
      }
    },
  };
}
