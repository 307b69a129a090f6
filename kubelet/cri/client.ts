/** A Runtime over CRI v1: gRPC to the runtime's socket. */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { CODE } from '../../base/grpc.ts';
import { connect, loadService, openChannel, type Caller } from '../grpc.ts';
import { watchContainerdEvents } from './events.ts';
import { createLeases, type Leases } from './leases.ts';
import { namespaceOf, networksOf } from './networks.ts';
import { createSnapshots, type Snapshots } from './snapshots.ts';
import type * as t from './types.ts';

const FOREVER = 24 * 3600_000;

/** True for "no such container/sandbox/image". */
export function isGrpcNotFound(error: unknown): boolean {
  return (error as { code?: number } | undefined)?.code === CODE.notFound;
}

/** The runtime's words without gRPC's prefix. */
export function errorText(error: unknown): string {
  const e = error as { details?: string; code?: number; message?: string };
  if (e.details !== undefined && typeof e.code === 'number')
    return `rpc error: code = ${GRPC_NAMES[e.code] ?? 'Unknown'} desc = ${e.details}`;
  return e.message ?? String(error);
}
const GRPC_NAMES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

/** `endpoint` is unix:///path; `timeoutMs` bounds each call that has no longer bound of its own (runtimeRequestTimeout). */
export function createCriRuntime(options: {
  endpoint: string;
  imageEndpoint?: string;
  timeoutMs: number;
  clock: Clock;
  logger: Logger;
}): t.Runtime {
  const channel = openChannel(options.endpoint, options.clock);
  const { imageEndpoint } = options;
  const apart = imageEndpoint !== undefined && imageEndpoint !== options.endpoint;
  const imageChannel = apart ? openChannel(imageEndpoint, options.clock) : channel;
  const runtime = connect(loadService('cri', 'runtime.v1.RuntimeService'), channel, options.clock);
  const images = connect(loadService('cri', 'runtime.v1.ImageService'), imageChannel, options.clock);

  const invoke = <R>(service: Caller, method: string, request: object, timeoutMs = options.timeoutMs) =>
    service.call<R>(method, request, timeoutMs);
  const call = <R = object>(method: string, request: object, timeoutMs?: number) =>
    invoke<R>(runtime, method, request, timeoutMs);
  const image = <R = object>(method: string, request: object, timeoutMs?: number) =>
    invoke<R>(images, method, request, timeoutMs);
  let snapshots: Snapshots | undefined;
  const views = () => (snapshots ??= createSnapshots({ address: options.endpoint, clock: options.clock }));
  let leases: Leases | undefined;
  /** When the calls under way began. */
  const starting = new Set<{ at: number }>();
  const uidFilter = (uid: string | undefined) =>
    uid === undefined ? {} : { filter: { label_selector: { 'io.kubernetes.pod.uid': uid } } };

  return {
    version: () => call('Version', {}),
    async status() {
      const r = await call<{
        status?: { conditions: t.RuntimeCondition[] };
        runtime_handlers?: t.RuntimeHandler[];
        features?: t.RuntimeFeatures;
      }>('Status', {});
      return {
        conditions: r.status?.conditions ?? [],
        handlers: r.runtime_handlers ?? [],
        features: r.features ?? {},
      };
    },
    async updatePodCidr(cidr) {
      await call('UpdateRuntimeConfig', { runtime_config: { network_config: { pod_cidr: cidr } } });
    },
    async runSandbox(config, handler) {
      const mark = { at: options.clock.monotonic() };
      starting.add(mark);
      try {
        // creating a sandbox may pull the pause image and call slow network plugins: twice the usual patience
        return (
          await call<{ pod_sandbox_id: string }>(
            'RunPodSandbox',
            { config, runtime_handler: handler },
            options.timeoutMs * 2,
          )
        ).pod_sandbox_id;
      } finally {
        starting.delete(mark);
      }
    },
    async stopSandbox(id) {
      await call('StopPodSandbox', { pod_sandbox_id: id });
    },
    async removeSandbox(id) {
      await call('RemovePodSandbox', { pod_sandbox_id: id });
    },
    async sandboxStatus(id) {
      return (await call<{ status: t.SandboxStatus }>('PodSandboxStatus', { pod_sandbox_id: id })).status;
    },
    async listSandboxes(uid) {
      return (await call<{ items: t.Sandbox[] }>('ListPodSandbox', uidFilter(uid))).items;
    },
    async networks() {
      return networksOf((await call<{ info?: Record<string, string> }>('Status', { verbose: true })).info);
    },
    async sandboxNamespace(id) {
      const r = await call<{ status: t.SandboxStatus; info?: Record<string, string> }>('PodSandboxStatus', {
        pod_sandbox_id: id,
        verbose: true,
      });
      return r.status.linux?.namespaces?.options?.network === 'NODE' ? '' : namespaceOf(r.info);
    },
    // they are kept in the order in which they began
    oldestStart: () => starting.values().next().value?.at,
    dropStaleLeases: () => (leases ??= createLeases({ address: options.endpoint, clock: options.clock })).dropStale(),
    async createContainer(sandboxId, config, sandbox) {
      return (
        await call<{ container_id: string }>('CreateContainer', {
          pod_sandbox_id: sandboxId,
          config,
          sandbox_config: sandbox,
        })
      ).container_id;
    },
    async startContainer(id) {
      await call('StartContainer', { container_id: id });
    },
    async stopContainer(id, timeoutSeconds) {
      await call(
        'StopContainer',
        { container_id: id, timeout: timeoutSeconds },
        options.timeoutMs + timeoutSeconds * 1000,
      );
    },
    async removeContainer(id) {
      await call('RemoveContainer', { container_id: id });
    },
    async listContainers(uid) {
      return (await call<{ containers: t.RuntimeContainer[] }>('ListContainers', uidFilter(uid))).containers;
    },
    async containerStatus(id) {
      return (await call<{ status: t.ContainerRuntimeStatus }>('ContainerStatus', { container_id: id })).status;
    },
    async containerPid(id) {
      const { info } = await call<{ info?: Record<string, string> }>('ContainerStatus', {
        container_id: id,
        verbose: true,
      });
      return (JSON.parse(info?.['info'] ?? '{}') as { pid?: number }).pid;
    },
    async updateContainerResources(id, resources) {
      await call('UpdateContainerResources', { container_id: id, linux: resources });
    },
    async checkpoint(id, location, timeoutSeconds) {
      await call(
        'CheckpointContainer',
        { container_id: id, location, timeout: timeoutSeconds },
        options.timeoutMs + timeoutSeconds * 1000,
      );
    },
    async reopenLog(id) {
      await call('ReopenContainerLog', { container_id: id });
    },
    execSync: (id, cmd, timeout) =>
      call('ExecSync', { container_id: id, cmd, timeout }, timeout > 0 ? timeout * 1000 + options.timeoutMs : FOREVER),
    async exec(request) {
      return (await call<{ url: string }>('Exec', request)).url;
    },
    async attach(request) {
      return (await call<{ url: string }>('Attach', request)).url;
    },
    async portForward(id, port) {
      return (await call<{ url: string }>('PortForward', { pod_sandbox_id: id, port })).url;
    },
    async containerStats() {
      return (await call<{ stats: t.ContainerStats[] }>('ListContainerStats', {})).stats;
    },
    async listImages() {
      return (await image<{ images: t.Image[] }>('ListImages', {})).images;
    },
    async imageStatus(name) {
      const r = await image<{ image?: t.Image | null }>('ImageStatus', { image: { image: name } });
      return r.image?.id ? r.image : undefined;
    },
    async pullImage(name, auth, sandbox) {
      return (
        await image<{ image_ref: string }>(
          'PullImage',
          { image: { image: name }, auth, sandbox_config: sandbox },
          FOREVER,
        )
      ).image_ref;
    },
    async removeImage(name) {
      await image('RemoveImage', { image: { image: name } });
    },
    async imageFsInfo() {
      return (await image<{ image_filesystems: t.FilesystemUsage[] }>('ImageFsInfo', {})).image_filesystems;
    },
    async viewImage(key, id) {
      const r = await image<{ info?: Record<string, string> }>('ImageStatus', { image: { image: id }, verbose: true });
      const { chainID } = JSON.parse(r.info?.['info'] ?? '{}') as { chainID?: string };
      if (!chainID) throw new Error(`the runtime does not tell the layers of image ${id}`);
      return views().view(key, chainID);
    },
    releaseImage: (key) => views().remove(key),
    watchEvents(handlers, signal) {
      watchContainerdEvents({
        address: options.endpoint,
        clock: options.clock,
        logger: options.logger,
        signal,
        ...handlers,
      });
    },
    close() {
      snapshots?.close();
      leases?.close();
      runtime.close();
      images.close();
    },
  };
}
