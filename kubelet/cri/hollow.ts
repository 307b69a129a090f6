/**
 * A runtime that keeps all in memory: containers "run" without processes. For hollow nodes, which show a control plane
 * many nodes at the cost of a few megabytes, and for tests of everything above the runtime.
 */
import { CODE } from '../../base/grpc.ts';
import { createHash } from 'node:crypto';
import type { Clock, Ids } from '../../base/clock.ts';
import type * as t from './types.ts';

/** How a hollow container behaves; what is absent stays as it is by default. */
export interface HollowBehaviour {
  /** Ends by itself with this code, after `afterMs` (default 0). */
  exit?: { code: number; afterMs?: number };
  /** Does not stop on the signal but only when killed. */
  ignoresSignal?: boolean;
  /** What exec answers; success with no output when absent. */
  exec?(command: string[]): { exit_code: number; stdout?: string };
}

export interface HollowOptions {
  clock: Clock;
  ids: Ids;
  /** Prefix of pod addresses; defaults to 10.88. */
  network?: string;
  /** By the container's configuration; default: runs until it is stopped. */
  behaviour?(config: t.ContainerConfig, sandbox: t.SandboxConfig): HollowBehaviour;
  /** Images that can't be pulled. */
  missingImage?(name: string): boolean;
}

/** A runtime with a few handles for tests. */
export interface HollowRuntime extends t.Runtime {
  /** Ends a container's "process". */
  exit(containerId: string, code: number): void;
}

interface Container extends t.ContainerRuntimeStatus {
  sandboxId: string;
  behaviour: HollowBehaviour;
}

/** An error with a gRPC code, as a real runtime gives. */
class RuntimeError extends Error {
  readonly code: number;
  readonly details: string;
  constructor(code: number, details: string) {
    super(details);
    this.code = code;
    this.details = details;
  }
}

export function createHollowRuntime(options: HollowOptions): HollowRuntime {
  const { clock, ids } = options;
  const sandboxes = new Map<string, t.SandboxStatus>();
  const configs = new Map<string, t.SandboxConfig>();
  const containers = new Map<string, Container>();
  const images = new Map<string, t.Image>();
  const listeners = new Set<(e: t.RuntimeEvent) => void>();
  let addresses = 1;

  const nanos = () => clock.now() * 1e6;
  const newId = () => (ids.uuid() + ids.uuid()).replaceAll('-', '');
  const tell = (type: t.RuntimeEvent['type'], id: string) => {
    for (const l of listeners) l({ type, id });
  };
  const missing = (what: string, id: string) =>
    new RuntimeError(CODE.notFound, `${what} ${JSON.stringify(id)}: not found`);
  const sandboxOf = (id: string): t.SandboxStatus => {
    const s = sandboxes.get(id);
    if (!s) throw missing('sandbox', id);
    return s;
  };
  const containerOf = (id: string): Container => {
    const c = containers.get(id);
    if (!c) throw missing('container', id);
    return c;
  };
  const plain = (c: Container): t.ContainerRuntimeStatus => {
    const { sandboxId: _s, behaviour: _b, ...status } = c;
    return status;
  };

  function exit(id: string, code: number): void {
    const c = containers.get(id);
    if (!c || c.state !== 'CONTAINER_RUNNING') return;
    c.state = 'CONTAINER_EXITED';
    c.exit_code = code;
    c.reason = code === 0 ? 'Completed' : 'Error';
    c.finished_at = nanos();
    tell('exited', id);
  }
  const byUid = (labels: t.Labels, uid: string | undefined) =>
    uid === undefined || labels['io.kubernetes.pod.uid'] === uid;
  const unsupported = () => Promise.reject(new RuntimeError(CODE.unimplemented, 'a hollow container has no streams'));

  return {
    exit,
    version: () => Promise.resolve({ runtime_name: 'hollow', runtime_version: '1', runtime_api_version: 'v1' }),
    status: () =>
      Promise.resolve({
        conditions: [
          { type: 'RuntimeReady', status: true, reason: '', message: '' },
          { type: 'NetworkReady', status: true, reason: '', message: '' },
        ],
        handlers: [],
      }),
    updatePodCidr: () => Promise.resolve(),
    async runSandbox(config) {
      const id = newId();
      const n = addresses++;
      const network = config.linux.security_context.namespace_options.network;
      sandboxes.set(id, {
        id,
        metadata: { ...config.metadata },
        state: 'SANDBOX_READY',
        created_at: nanos() + n,
        labels: { ...config.labels },
        annotations: { ...config.annotations },
        runtime_handler: '',
        network: {
          ip: network === 'NODE' ? '' : `${options.network ?? '10.88'}.${Math.floor(n / 250) % 250}.${(n % 250) + 2}`,
          additional_ips: [],
        },
        linux: { namespaces: { options: config.linux.security_context.namespace_options } },
      });
      configs.set(id, config);
      return id;
    },
    async stopSandbox(id) {
      const s = sandboxes.get(id);
      if (!s) return;
      for (const c of containers.values()) if (c.sandboxId === id) exit(c.id, 137);
      if (s.state === 'SANDBOX_READY') {
        sandboxes.set(id, { ...s, state: 'SANDBOX_NOTREADY' });
        tell('exited', id);
      }
    },
    async removeSandbox(id) {
      for (const c of containers.values()) if (c.sandboxId === id) containers.delete(c.id);
      sandboxes.delete(id);
      configs.delete(id);
    },
    sandboxStatus: async (id) => ({ ...sandboxOf(id) }),
    listSandboxes: async (uid) => [...sandboxes.values()].filter((s) => byUid(s.labels, uid)),
    networks: async () => undefined,
    sandboxNamespace: async () => undefined,
    oldestStart: () => undefined,
    dropStaleLeases: async () => [],
    async createContainer(sandboxId, config, sandbox) {
      if (sandboxOf(sandboxId).state !== 'SANDBOX_READY')
        throw new RuntimeError(CODE.unknown, 'sandbox is not running');
      const id = newId();
      containers.set(id, {
        id,
        metadata: { ...config.metadata },
        state: 'CONTAINER_CREATED',
        created_at: nanos() + containers.size,
        started_at: 0,
        finished_at: 0,
        exit_code: 0,
        image: { image: config.image.user_specified_image ?? config.image.image },
        image_ref: config.image.image,
        reason: '',
        message: '',
        labels: { ...config.labels },
        annotations: { ...config.annotations },
        log_path: `${sandbox.log_directory}/${config.log_path}`,
        sandboxId,
        behaviour: options.behaviour?.(config, sandbox) ?? {},
      });
      return id;
    },
    async startContainer(id) {
      const c = containerOf(id);
      c.state = 'CONTAINER_RUNNING';
      c.started_at = nanos();
      const end = c.behaviour.exit;
      if (end) clock.after(end.afterMs ?? 0, () => exit(id, end.code), { background: true });
    },
    containerPid: () => Promise.resolve(undefined),
    async stopContainer(id, timeoutSeconds) {
      const c = containers.get(id);
      if (!c || c.state !== 'CONTAINER_RUNNING') return;
      if (c.behaviour.ignoresSignal) {
        await clock.sleep(timeoutSeconds * 1000);
        exit(id, 137);
      } else exit(id, 0);
    },
    async removeContainer(id) {
      containers.delete(id);
    },
    listContainers: async (uid) =>
      [...containers.values()]
        .filter((c) => byUid(c.labels, uid))
        .map((c) => ({
          id: c.id,
          pod_sandbox_id: c.sandboxId,
          metadata: c.metadata,
          image: c.image,
          image_ref: c.image_ref,
          state: c.state,
          created_at: c.created_at,
          labels: c.labels,
          annotations: c.annotations,
        })),
    containerStatus: async (id) => plain(containerOf(id)),
    async updateContainerResources(id, resources) {
      containerOf(id).resources = { linux: resources };
    },
    checkpoint: () => Promise.reject(new RuntimeError(CODE.unimplemented, 'nothing to checkpoint')),
    reopenLog: () => Promise.resolve(),
    async execSync(id, command) {
      const c = containerOf(id);
      if (c.state !== 'CONTAINER_RUNNING') throw new RuntimeError(CODE.unknown, `container ${id} is not running`);
      const r = c.behaviour.exec?.(command) ?? { exit_code: 0 };
      return { exit_code: r.exit_code, stdout: Buffer.from(r.stdout ?? ''), stderr: Buffer.alloc(0) };
    },
    exec: unsupported,
    attach: unsupported,
    portForward: unsupported,
    containerStats: async () => [],
    listImages: async () => [...images.values()],
    imageStatus: async (name) =>
      images.get(name) ?? [...images.values()].find((i) => i.id === name || i.repo_tags.includes(name)),
    async pullImage(name) {
      if (options.missingImage?.(name))
        throw new RuntimeError(CODE.notFound, `failed to resolve reference ${JSON.stringify(name)}: not found`);
      const id = `sha256:${createHash('sha256').update(name).digest('hex')}`;
      images.set(name, {
        id,
        repo_tags: [name],
        repo_digests: [`${name.replace(/:[^:/]*$/, '')}@${id}`],
        size: 1000,
        username: '',
        pinned: false,
      });
      return id;
    },
    async removeImage(name) {
      for (const [k, i] of images) if (k === name || i.id === name) images.delete(k);
    },
    imageFsInfo: async () => [],
    viewImage: unsupported,
    releaseImage: () => Promise.resolve(),
    watchEvents(handlers, signal) {
      listeners.add(handlers.event);
      signal.addEventListener('abort', () => listeners.delete(handlers.event), { once: true });
    },
    close() {},
  };
}
