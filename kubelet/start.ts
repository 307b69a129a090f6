/** Puts a kubelet together from its parts and starts it. */
import { mkdirSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { createExec } from '../base/exec.ts';
import { systemClock, systemIds, systemRand, type Clock, type Ids, type Rand, type Timer } from '../base/clock.ts';
import { createLogger, type Logger } from '../base/log.ts';
import type { DeepReadonly, Node, Pod, Service } from '../api/types.ts';
import { MetricsRegistry, processMetrics } from '../base/metrics.ts';
import { createClient } from '../client/client.ts';
import { createEventRecorder, type EventRecorder } from '../client/events.ts';
import { createInformer, type Informer } from '../client/informer.ts';
import { followKubeconfig, loadKubeconfig, type ConnectionOptions } from '../client/kubeconfig.ts';
import { createRequestMetrics } from '../client/metrics.ts';
import { nodes, pods, services } from '../client/resources.ts';
import { bootstrap, CLIENT_PAIR } from './certs/bootstrap.ts';
import { rotate, showExpiry, type Rotation } from './certs/rotation.ts';
import { parseDuration, type KubeletConfiguration } from './config.ts';
import { createCriRuntime } from './cri/client.ts';
import type { Runtime } from './cri/types.ts';
import { limitWrites } from './event-limit.ts';
import { createKubeletMetrics } from './metrics/families.ts';
import { createNodeStartup } from './metrics/node-startup.ts';
import { measureRuntime } from './metrics/runtime.ts';
import { createNodeAgent, type NodeAgent } from './node/agent.ts';
import { createHealth } from './node/health.ts';
import { wrongKernelSettings } from './node/kernel.ts';
import { readMachine } from './node/machine.ts';
import { startMaintenance } from './maintenance.ts';
import { wirePods } from './pods/wire.ts';
import type { PodDeps } from './pods/deps.ts';
import { createPlugins } from './plugins/start.ts';
import { startLocalPath } from './volumes/local-path.ts';
import { createPodManager, type PodManager } from './pods/manager.ts';
import { watchStatics } from './pods/static.ts';
import { createShutdownManager } from './shutdown/manager.ts';
import { startServer, type KubeletServer } from './server/server.ts';

export interface KubeletOptions {
  config: KubeletConfiguration;
  nodeName: string;
  /** Addresses of the node; found out when empty. */
  nodeIPs?: string[];
  kubeconfig?: string;
  /** In place of a kubeconfig. */
  connection?: ConnectionOptions;
  bootstrapKubeconfig?: string;
  /** Defaults to /var/lib/kubelet. */
  rootDir?: string;
  /** Defaults to ROOT/pki. */
  certDir?: string;
  /** Defaults to /var/log/containers. */
  containerLogsDir?: string;
  /** Makes and removes the data of k8ts.io/local-path volumes: its user must be allowed to watch PersistentVolumes. */
  localPathVolumes?: boolean;
  /** --image-credential-provider-config and --image-credential-provider-bin-dir. */
  credentialProviders?: { configFile: string; binDir: string };
  nodeLabels?: Record<string, string>;
  registerSchedulable?: boolean;
  /** Stands in for containerd: a hollow runtime. */
  runtime?: Runtime;
  /** No cgroups, mounts or server: for hollow nodes. */
  hollow?: boolean;
  /** Milliseconds between two looks for pods to evict; defaults to 10,000. */
  evictionMs?: number;
  /** A server all the same. */
  hollowServer?: boolean;
  clock?: Clock;
  ids?: Ids;
  rand?: Rand;
  logger?: Logger;
}

export interface Kubelet {
  stop(): Promise<void>;
  readonly pods: PodManager;
  readonly runtime: Runtime;
  /** Resolves when the node is in the API, with its status and its first Lease. */
  registered(): Promise<void>;
  /** Ends all pods as before a shutdown of the machine (graceful node shutdown). */
  shutdown(): Promise<void>;
  /** The port that the server listens on; 0 without one. */
  readonly port: number;
}

/** The addresses of this machine's interfaces that others may use. */
function findNodeIPs(): string[] {
  const all = Object.values(os.networkInterfaces()).flatMap((l) => l ?? []);
  const found = all.find((a) => !a.internal && a.family === 'IPv4') ?? all.find((a) => a.family === 'IPv4');
  return found ? [found.address] : ['127.0.0.1'];
}

/** Work under way is given this long when the kubelet stops: what is not done then is done after the next start. */
const STOP_MS = 2000;

export async function start(options: KubeletOptions): Promise<Kubelet> {
  const { config, nodeName } = options;
  const clock = options.clock ?? systemClock;
  const ids = options.ids ?? systemIds;
  const rand = options.rand ?? systemRand;
  const logger = options.logger ?? createLogger({ clock, component: 'kubelet' });
  const rootDir = options.rootDir ?? '/var/lib/kubelet';
  const certDir = options.certDir ?? join(rootDir, 'pki');
  const nodeIPs = options.nodeIPs?.length ? options.nodeIPs : findNodeIPs();
  const wrong = config.protectKernelDefaults && !options.hollow ? wrongKernelSettings() : [];
  if (wrong.length > 0) throw new Error(wrong.join('; '));
  const exec = createExec({ clock, logger });
  const stopping = new AbortController();
  const timers: Timer[] = [];
  const rotations: Rotation[] = [];
  if (!options.hollow) mkdirSync(join(rootDir, 'pods'), { recursive: true, mode: 0o750 });

  const registry = new MetricsRegistry();
  const readable = config.enableServer && (!options.hollow || options.hollowServer);
  const metrics = readable ? createKubeletMetrics(registry, clock) : undefined;
  const bare =
    options.runtime ??
    createCriRuntime({
      endpoint: config.containerRuntimeEndpoint,
      imageEndpoint: config.imageServiceEndpoint,
      timeoutMs: parseDuration(config.runtimeRequestTimeout),
      clock,
      logger,
    });

  const runtime = metrics ? measureRuntime(bare, metrics, clock) : bare;

  // the API server
  if (options.kubeconfig && options.bootstrapKubeconfig)
    await bootstrap({
      kubeconfig: options.kubeconfig,
      bootstrapKubeconfig: options.bootstrapKubeconfig,
      certDir,
      nodeName,
      clock,
      logger,
      signal: stopping.signal,
    });
  processMetrics(registry, clock.now());
  const connection = options.connection ?? (options.kubeconfig ? loadKubeconfig(options.kubeconfig) : undefined);
  const client = connection
    ? createClient({ ...connection, userAgent: 'kubelet', metrics: createRequestMetrics(registry, clock) })
    : undefined;
  const followed =
    client && !options.connection && options.kubeconfig
      ? followKubeconfig(options.kubeconfig, { clock, logger, changed: (c) => client.reconnect(c) })
      : undefined;
  if (client && config.rotateCertificates && options.bootstrapKubeconfig) {
    const rotation = rotate({
      client,
      clock,
      rand,
      logger,
      dir: certDir,
      name: CLIENT_PAIR,
      signer: 'kubernetes.io/kube-apiserver-client-kubelet',
      subject: () => ({ commonName: `system:node:${nodeName}`, organization: 'system:nodes' }),
      failures: metrics?.renewErrors.client,
      changed: () => client.reconnect(loadKubeconfig(options.kubeconfig!)),
    });
    rotations.push(rotation);
    showExpiry(registry, clock, 'client', rotation);
  }

  const recorder: EventRecorder | undefined = client
    ? createEventRecorder({
        client: limitWrites(client, clock, config.eventRecordQPS, config.eventBurst),
        clock,
        ids,
        logger,
        component: 'kubelet',
        host: nodeName,
      })
    : undefined;
  const nodeTarget = { kind: 'Node', apiVersion: 'v1', metadata: { name: nodeName, uid: nodeName } };
  const nodeEvent = (type: 'Normal' | 'Warning', reason: string, message: string) =>
    recorder?.event(nodeTarget, type, reason, message);

  let server: KubeletServer | undefined;
  let wired: PodDeps | undefined;
  let manager: PodManager | undefined;
  const csi = () => wired?.csi;
  const machine = readMachine();
  const shutdown = createShutdownManager({
    config,
    clock,
    logger,
    manager: () => manager,
    poke: () => agent?.poke(),
    metrics,
  });
  const health = createHealth({
    runtime,
    clock,
    logger,
    config,
    machine,
    rootDir,
    nodeName,
    hostname: options.hollow ? nodeName : os.hostname(),
    nodeIPs,
    port: () => server?.port ?? config.port,
    poke: () => agent?.poke(),
    shutdown: () => shutdown.problem(),
    devices: () => plugins?.devices.capacity(),
    volumesInUse: () => csi()?.volumes.inUse() ?? [],
  });

  const startup = metrics && createNodeStartup(registry, clock, options.hollow ? undefined : os.uptime() * 1000);
  let node: DeepReadonly<Node> | undefined;
  let seenCidr = '';
  const onNode = (n: DeepReadonly<Node>) => {
    startup?.seen(n);
    const volumes = (x: DeepReadonly<Node> | undefined) =>
      JSON.stringify([x?.status?.volumesAttached ?? [], x?.status?.volumesInUse ?? []]);
    const moved = volumes(node) !== volumes(n);
    node = n;
    // pods may wait for a volume to be attached
    if (moved) manager?.wake(csi()?.volumes.takeWaiting() ?? []);
    const cidr = n.spec?.podCIDR ?? '';
    if (cidr !== '' && cidr !== seenCidr) {
      seenCidr = cidr;
      runtime.updatePodCidr(cidr).catch((error: unknown) => logger.debug('the runtime takes no pod CIDR', { error }));
    }
  };
  const informerBase = client ? { client, clock, rand, logger } : undefined;
  const serviceInformer: Informer<Service> | undefined = informerBase
    ? createInformer(services, informerBase)
    : undefined;
  const nodeInformer: Informer<Node> | undefined = informerBase
    ? createInformer(nodes, { ...informerBase, fieldSelector: `metadata.name=${nodeName}` })
    : undefined;
  nodeInformer?.on({ added: onNode, updated: onNode });
  const podInformer: Informer<Pod> | undefined = informerBase
    ? createInformer(pods, { ...informerBase, fieldSelector: `spec.nodeName=${nodeName}` })
    : undefined;

  const agent: NodeAgent | undefined = client
    ? createNodeAgent({
        client,
        clock,
        rand,
        logger,
        nodeName,
        labels: {
          'beta.kubernetes.io/arch': machine.architecture,
          'beta.kubernetes.io/os': 'linux',
          'kubernetes.io/arch': machine.architecture,
          'kubernetes.io/hostname': nodeName,
          'kubernetes.io/os': 'linux',
          ...options.nodeLabels,
        },
        taints: config.registerWithTaints,
        unschedulable: options.registerSchedulable === false,
        providerID: config.providerID,
        controllerAttaches: config.enableControllerAttachDetach,
        register: config.registerNode,
        updateMs: parseDuration(config.nodeStatusUpdateFrequency),
        reportMs: parseDuration(config.nodeStatusReportFrequency),
        leaseSeconds: config.nodeLeaseDurationSeconds,
        status: (previous) => health.status(previous),
        registering: () => startup?.registering(),
        registered: () => startup?.registered(),
        seen: onNode,
        event: nodeEvent,
      })
    : undefined;

  // what pods need
  const plugins = options.hollow
    ? undefined
    : createPlugins({
        config,
        client,
        clock,
        logger,
        runtime,
        metrics,
        rootDir,
        nodeName,
        memoryBytes: machine.memoryBytes,
        poke: () => agent?.poke(),
        manager: () => manager,
      });
  const deps = await wirePods({
    config,
    client,
    clock,
    ids,
    rand,
    logger,
    exec,
    runtime,
    metrics,
    health,
    machine,
    recorder,
    nodeName,
    nodeIPs,
    rootDir,
    containerLogsDir: options.containerLogsDir ?? '/var/log/containers',
    hollow: options.hollow ?? false,
    signal: stopping.signal,
    node: () => node,
    podInformer,
    serviceInformer,
    poke: () => agent?.poke(),
    resources: plugins?.resources,
    credentialProviders: options.credentialProviders,
    manager: () => manager,
  });
  wired = deps;
  manager = createPodManager({
    deps,
    client,
    rootDir,
    informer: podInformer,
    node: () => node,
    nodeReady: () => (agent && config.registerNode ? agent.known() : Promise.resolve()),
    allowedUnsafeSysctls: config.allowedUnsafeSysctls,
    relistMs: 10_000,
    pressure: () => health.pressure(),
    shuttingDown: () => shutdown.problem() !== undefined,
    hasStatic: Boolean(config.staticPodPath || config.staticPodURL),
  });
  if (readable)
    server = await startServer({
      config,
      client,
      clock,
      ids,
      rand,
      logger,
      runtime,
      manager,
      deps,
      nodeName,
      nodeIPs,
      rootDir,
      certDir,
      registry,
      machine,
      cgroups: deps.cgroups,
      rotations,
      problem: () => health.runtimeProblem(),
    });
  await health.start();
  nodeEvent('Normal', 'Starting', 'Starting kubelet.');
  // the first status must list what is in use: a volume that it leaves out may be detached
  await deps.csi?.volumes.recover();
  agent?.start();
  await plugins?.start(deps.csi, agent?.known());
  const localPath =
    client && options.localPathVolumes ? startLocalPath({ client, clock, rand, logger, nodeName, rootDir }) : undefined;
  nodeInformer?.start();
  serviceInformer?.start();
  manager.start();
  const statics = watchStatics({
    config,
    nodeName,
    clock,
    logger,
    changed: (list, all) => manager.setStatic(list, all),
  });
  const maintenance = options.hollow
    ? undefined
    : startMaintenance({
        evictionMs: options.evictionMs,
        config,
        clock,
        logger,
        runtime,
        manager,
        deps,
        health,
        nodeEvent,
        machine,
      });
  if (!options.hollow) shutdown.start();
  logger.info('kubelet started', { node: nodeName, runtime: health.runtimeName() });

  const atMost = async (ms: number, work: Promise<unknown>) => {
    const timer = new AbortController();
    await Promise.race([work, clock.sleep(ms, timer.signal).catch(() => {})]);
    timer.abort();
  };
  return {
    pods: manager,
    runtime,
    shutdown: () => shutdown.begin(),
    registered: () => agent?.registered() ?? Promise.resolve(),
    get port() {
      return server?.port ?? 0;
    },
    async stop() {
      stopping.abort(new Error('stopped'));
      maintenance?.stop();
      shutdown.stop();
      plugins?.stop();
      localPath?.stop();
      statics.stop();
      for (const t of timers) t.cancel();
      for (const r of rotations) r.stop();
      agent?.stop();
      health.stop();
      nodeInformer?.stop();
      serviceInformer?.stop();
      await atMost(STOP_MS, manager.stop());
      deps.objects.stop();
      await atMost(STOP_MS, Promise.all([deps.status.flush(), recorder?.flush()]));
      await server?.stop();
      followed?.close();
      client?.close();
      if (!options.runtime) runtime.close();
    },
  };
}
