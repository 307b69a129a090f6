/** Puts together what pod workers need: probes, volumes, images, cgroups, status. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Ids, Rand } from '../../base/clock.ts';
import type { Exec } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, Node, Pod, Service } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import type { EventRecorder } from '../../client/events.ts';
import type { Informer } from '../../client/informer.ts';
import { runtimeClasses, serviceAccounts } from '../../client/resources.ts';
import { createCgroupManager } from '../cgroups/manager.ts';
import { enforceReserved } from '../cgroups/reserved.ts';
import { parseDuration, type KubeletConfiguration } from '../config.ts';
import type { Runtime } from '../cri/types.ts';
import { createImageManager } from '../images/manager.ts';
import { createProviders, type ProviderDeps } from '../images/providers.ts';
import { createPulledImages } from '../images/pulled.ts';
import { createThrottle } from '../images/throttle.ts';
import type { KubeletMetrics } from '../metrics/families.ts';
import type { Health } from '../node/health.ts';
import type { Machine } from '../node/machine.ts';
import { createObjectCache, type ObjectCache } from '../objects.ts';
import { parseQuantity } from '../quantity.ts';
import { createProbeManager } from '../probes/manager.ts';
import { createStatusManager } from '../status/manager.ts';
import type { VolumeManager } from '../volumes/manager.ts';
import { createTokenManager } from '../volumes/tokens.ts';
import { orNone, wireVolumes } from '../volumes/wire.ts';
import { createBackoff } from './backoff.ts';
import type { PodDeps } from './deps.ts';
import { podPaths } from './identity.ts';
import type { PodManager } from './manager.ts';
import { parseResolvConf } from './network.ts';
import { swapCapacity } from './swap.ts';
import { createUserNamespaces } from './user-namespaces.ts';
import type { NodeResources } from './node-resources.ts';

export interface WireInput {
  config: KubeletConfiguration;
  client: Client | undefined;
  clock: Clock;
  ids: Ids;
  rand: Rand;
  logger: Logger;
  exec: Exec;
  runtime: Runtime;
  metrics: KubeletMetrics | undefined;
  health: Health;
  machine: Machine;
  recorder: EventRecorder | undefined;
  nodeName: string;
  nodeIPs: readonly string[];
  rootDir: string;
  containerLogsDir: string;
  hollow: boolean;
  signal: AbortSignal;
  node(): DeepReadonly<Node> | undefined;
  podInformer: Informer<Pod> | undefined;
  serviceInformer: Informer<Service> | undefined;
  resources: NodeResources | undefined;
  /** Plugins that know registries' credentials. */
  credentialProviders: { configFile: string; binDir: string } | undefined;
  /** The node's status is to be sent anew. */
  poke(): void;
  /** Comes into being after what is made here. */
  manager(): PodManager | undefined;
}

export async function wirePods(input: WireInput): Promise<PodDeps> {
  const {
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
    podInformer,
    serviceInformer,
  } = input;
  const wake = (uids: Iterable<string>) => input.manager()?.wake(uids);
  const cache = client ? createObjectCache({ client, clock, rand, logger, changed: wake }) : noObjects();
  // a hollow node asks when it must and watches nothing
  const objects: ObjectCache = input.hollow ? { ...cache, track() {} } : cache;
  const hostIPs = () => nodeIPs;
  const network = (pod: DeepReadonly<Pod>) => {
    const w = input
      .manager()
      ?.workers()
      .find((x) => x.uid === pod.metadata!.uid);
    return { podIPs: pod.spec!.hostNetwork ? nodeIPs : (w?.state.ips ?? []), hostIPs: nodeIPs };
  };
  const allocatable = () => input.node()?.status?.allocatable ?? {};
  const event: PodDeps['event'] = (pod, type, reason, message, container) => {
    const target =
      pod.metadata?.annotations?.['kubernetes.io/config.source'] === 'file'
        ? (podInformer?.get(pod.metadata.name!, pod.metadata.namespace) ?? pod)
        : pod;
    recorder?.event(target, type, reason, message, {
      kind: 'Pod',
      apiVersion: 'v1',
      ...(container ? { fieldPath: `spec.${container.field}{${container.name}}` } : {}),
    });
  };
  const paths = (pod: DeepReadonly<Pod>) => podPaths(rootDir, config.podLogsDir, pod);
  const probes = createProbeManager({
    runtime,
    clock,
    rand,
    changed: (uid) => wake([uid]),
    failed: (pod, container, kind, r) => {
      const label = kind[0]!.toUpperCase() + kind.slice(1);
      const field = pod.spec!.containers.some((c) => c.name === container) ? 'containers' : 'initContainers';
      event(
        pod,
        'Warning',
        'Unhealthy',
        r.result === 'failure' ? `${label} probe failed: ${r.output}` : `${label} probe errored: ${r.output}`,
        { name: container, field },
      );
    },
  });
  const status = createStatusManager({ client, clock, logger, metrics, onDeleted: () => {} });
  const images = createImageManager({
    runtime,
    clock,
    mayPull: createThrottle(clock, config.registryPullQPS, config.registryBurst),
    providers:
      input.credentialProviders &&
      createProviders({ ...input.credentialProviders, clock, exec, logger, ...accountAccess(client, clock, rand) }),
    pulled: input.hollow
      ? undefined
      : createPulledImages({
          dir: join(rootDir, 'pulled-images'),
          policy: config.imagePullCredentialsVerificationPolicy,
          allowlist: config.preloadedImagesVerificationAllowlist,
        }),
    serialize: config.serializeImagePulls,
    maxParallel: config.maxParallelImagePulls,
    pulledFor(uid, bytes, began) {
      metrics?.pulled(bytes, began);
      metrics?.starts.pulled(uid, began);
    },
    secret: (ns, name) => objects.secret(ns, name),
    event: (pod, container, type, reason, message) => {
      const named = (list: readonly { readonly name: string }[] | undefined) => list?.some((c) => c.name === container);
      const spec = pod.spec!;
      const field = named(spec.containers)
        ? 'containers'
        : named(spec.initContainers)
          ? 'initContainers'
          : named(spec.ephemeralContainers)
            ? 'ephemeralContainers'
            : undefined;
      event(pod, type, reason, message, field && { name: container, field });
    },
  });
  const storage = input.hollow
    ? { volumes: hollowVolumes, csi: undefined }
    : wireVolumes({
        client,
        clock,
        ids,
        rand,
        logger,
        exec,
        runtime,
        objects,
        metrics,
        nodeName,
        rootDir,
        node: input.node,
        network,
        allocatable,
        ensureImage: async (pod, name, image, imagePullPolicy) =>
          (await images.ensure(pod, { name, image, imagePullPolicy }, undefined)).id,
        event,
        poke: input.poke,
        wakeAll: () => input.manager()?.wakeAll(),
      });
  const quotaPeriodMicros = parseDuration(config.cpuCFSQuotaPeriod) * 1000;
  const cgroups =
    input.hollow || !config.cgroupsPerQOS
      ? undefined
      : createCgroupManager({
          cgroupRoot: config.cgroupRoot,
          driver: config.cgroupDriver,
          quotaPeriodMicros,
          enforceQuota: config.cpuCFSQuota,
          pidsLimit: config.podPidsLimit,
          metrics,
          clock,
          logger,
        });
  await cgroups?.prepare(health.nodeLimits());
  if (cgroups) await enforceReserved(config, cgroups);
  const swap = input.hollow ? 0 : swapCapacity();
  if (swap > 0 && config.failSwapOn)
    throw new Error('running with swap on is not supported: turn it off, or set failSwapOn to false');
  const maxRestart = config.crashLoopBackOff?.maxContainerRestartPeriod;
  const maxBackoff = maxRestart ? parseDuration(maxRestart) : 300_000;

  return {
    clock,
    ids,
    rand,
    logger,
    exec,
    runtime,
    cgroups,
    volumes: storage.volumes,
    csi: storage.csi,
    resources: input.resources,
    images,
    probes,
    status,
    objects,
    metrics,
    nodeName,
    hostIPs,
    allocatable,
    paths,
    event,
    requestedByOthers: (uid, resource) => input.manager()?.requested(uid, resource) ?? 0,
    exclusive: (resource) => input.resources?.exclusive(resource) ?? false,
    roomMade: () => input.manager()?.roomMade(),
    runtimeName: () => health.runtimeName(),
    crashBackoff: createBackoff({ clock, initialMs: Math.min(10_000, maxBackoff), maxMs: maxBackoff }),
    memoryCapacity: machine.memoryBytes,
    services: (ns) => serviceInformer?.list(ns) ?? [],
    servicesSynced: () => serviceInformer?.synced(input.signal) ?? Promise.resolve(),
    handlerFeatures: (name) => health.handlerFeatures(name),
    userNamespaces: input.hollow ? undefined : createUserNamespaces(join(rootDir, 'pods'), config.maxPods),
    runtimeHandler: async (name) => {
      if (!client) throw new Error('there is no API server');
      const found = await orNone(client.get(runtimeClasses, name));
      if (!found) throw new Error(`RuntimeClass ${JSON.stringify(name)} not found`);
      return found.handler;
    },
    networkProblem: () => health.networkProblem(),
    dns: () => ({
      clusterDNS: config.clusterDNS,
      clusterDomain: config.clusterDomain ?? '',
      node: parseResolvConf(readOr(config.resolvConf)),
    }),
    containerLogsDir: input.containerLogsDir,
    hollow: input.hollow,
    seccompDefault: config.seccompDefault,
    seccompRoot: join(rootDir, 'seccomp'),
    swap:
      cgroups?.version === 2 && swap > 0
        ? { behavior: config.memorySwap.swapBehavior || 'NoSwap', memory: machine.memoryBytes, swap }
        : undefined,
    oomGroups: cgroups?.version === 2 && !(config.singleProcessOOMKill ?? false),
    memoryQos:
      cgroups?.version === 2 && config.featureGates?.['MemoryQoS']
        ? { factor: config.memoryThrottlingFactor, allocatable: () => parseQuantity(allocatable()['memory'] ?? '0') }
        : undefined,
    quotaPeriodMicros,
    enforceQuota: config.cpuCFSQuota,
    syncMs: parseDuration(config.syncFrequency),
  };
}

/** Tokens and annotations of service accounts, for plugins that ask in their name. */
function accountAccess(
  client: Client | undefined,
  clock: Clock,
  rand: Rand,
): Pick<ProviderDeps, 'token' | 'serviceAccount'> {
  const none = () => Promise.reject(new Error('there is no API server'));
  if (!client) return { token: none, serviceAccount: none };
  const tokens = createTokenManager({ client, clock, rand });
  return {
    token: (pod, audience) => tokens.get(pod, audience, 3600),
    async serviceAccount(namespace, name) {
      const found = await orNone(client.get(serviceAccounts, name, namespace));
      return found && { uid: found.metadata!.uid!, annotations: found.metadata!.annotations ?? {} };
    },
  };
}

function readOr(file: string): string {
  try {
    return file === '' ? '' : readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** A node without an API server has static pods only; they can't refer to objects. */
function noObjects(): ObjectCache {
  return {
    configMap: () => Promise.resolve(undefined),
    secret: () => Promise.resolve(undefined),
    track() {},
    untrack() {},
    stop() {},
  };
}

/** Volumes of containers that don't exist. */
const hollowVolumes: VolumeManager = { mount: () => Promise.resolve(new Map()), remove: () => Promise.resolve() };
