/** What the runtime is told about a container: command, environment, mounts, limits, rights. */
import { mkdir, writeFile, chmod, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import type {
  ContainerConfig,
  IdMapping,
  Image,
  LinuxContainerResources,
  Mount,
  MountPropagation,
} from '../cri/types.ts';
import { bindSubPath } from '../volumes/mounts.ts';
import type { MountedVolume } from '../volumes/types.ts';
import type { PodDeps } from './deps.ts';
import { ConfigError, containerEnv } from './env.ts';
import { expand, expandStrict } from './expansion.ts';
import * as id from './identity.ts';
import { hostsFile } from './network.ts';
import { withPodLimits } from './resize.ts';
import { memoryHigh } from './memory-qos.ts';
import { amountsOf, cpuQuota, cpuShares, oomScoreAdjust } from './resources.ts';
import { containerSecurity } from './security.ts';
import { swapLimit } from './swap.ts';

type ReadPod = DeepReadonly<Pod>;
type ReadContainer = DeepReadonly<Container>;

const PROPAGATION: Record<string, MountPropagation> = {
  None: 'PROPAGATION_PRIVATE',
  HostToContainer: 'PROPAGATION_HOST_TO_CONTAINER',
  Bidirectional: 'PROPAGATION_BIDIRECTIONAL',
};

/** cgroup numbers of one container. */
export function containerResources(
  pod: ReadPod,
  c: ReadContainer,
  deps: Pick<PodDeps, 'memoryCapacity' | 'quotaPeriodMicros' | 'enforceQuota' | 'swap' | 'oomGroups' | 'memoryQos'>,
): LinuxContainerResources {
  const requests = amountsOf(c.resources?.requests);
  // a container without limits is bounded by the pod's (KEP-2837)
  const limits = amountsOf(withPodLimits(c.resources, pod.spec!.resources)?.limits);
  const out: LinuxContainerResources = {
    cpu_shares: cpuShares(requests['cpu'] ?? limits['cpu'] ?? 0),
    oom_score_adj: oomScoreAdjust(pod, c, deps.memoryCapacity),
  };
  if (limits['memory']) out.memory_limit_in_bytes = limits['memory'];
  if (deps.enforceQuota && limits['cpu']) {
    out.cpu_quota = cpuQuota(limits['cpu'], deps.quotaPeriodMicros);
    out.cpu_period = deps.quotaPeriodMicros;
  }
  const unified = {
    ...(deps.oomGroups ? { 'memory.oom.group': '1' } : {}),
    ...(deps.memoryQos
      ? { 'memory.high': memoryHigh(requests['memory'] ?? 0, limits['memory'] ?? 0, deps.memoryQos) }
      : {}),
    ...(deps.swap ? { 'memory.swap.max': String(swapLimit(pod, c, deps.swap)) } : {}),
  };
  if (Object.keys(unified).length > 0) out.unified = unified;
  const pages = Object.entries(limits).filter(([k]) => k.startsWith('hugepages-'));
  if (pages.length)
    out.hugepage_limits = pages.map(([k, limit]) => ({
      page_size: k.slice('hugepages-'.length).replace('i', 'B'),
      limit,
    }));
  return out;
}

export interface ContainerInput {
  pod: ReadPod;
  container: ReadContainer;
  attempt: number;
  image: Image;
  volumes: ReadonlyMap<string, MountedVolume>;
  podIPs: readonly string[];
  /** The container whose processes an ephemeral container sees. */
  targetId?: string;
}

/** Writes the files a container needs on the node and returns its configuration. Rejects with ConfigError. */
export async function containerConfig(input: ContainerInput, deps: PodDeps): Promise<ContainerConfig> {
  const { pod, container: c, attempt, image } = input;
  const paths = deps.paths(pod);
  const env = await containerEnv(pod, c, {
    services: deps.services,
    configMap: deps.objects.configMap,
    secret: deps.objects.secret,
    podIPs: input.podIPs,
    hostIPs: deps.hostIPs(),
    allocatable: deps.allocatable(),
    volumeFile: async (volume, path) => {
      const v = input.volumes.get(volume);
      if (!v || path.split('/').includes('..')) return undefined;
      return readFile(join(v.path, path), 'utf8').catch(() => undefined);
    },
  });
  const utf8 = (name: string) => env.get(name)?.toString('utf8');

  const ids = await deps.userNamespaces?.of(pod);
  const mounts = deps.hollow ? [] : await makeMounts(input, deps, utf8, ids);
  const annotations: Record<string, string> = {
    [id.CONTAINER_HASH]: id.containerHash(c),
    [id.RESTART_COUNT]: String(attempt),
    [id.TERMINATION_PATH]: c.terminationMessagePath || '/dev/termination-log',
    [id.TERMINATION_POLICY]: c.terminationMessagePolicy ?? 'File',
  };
  const grace = pod.spec!.terminationGracePeriodSeconds;
  if (grace !== undefined) annotations[id.POD_GRACE] = String(grace);
  if (c.lifecycle?.preStop) annotations[id.PRE_STOP] = JSON.stringify(c.lifecycle.preStop);

  if (!deps.hollow) {
    const terminationPath = c.terminationMessagePath || '/dev/termination-log';
    const file = join(paths.container(c.name), deps.ids.uuid().slice(0, 8));
    await mkdir(dirname(file), { recursive: true, mode: 0o750 });
    await writeFile(file, '');
    await chmod(file, 0o666);
    annotations[id.TERMINATION_FILE] = file;
    if (!mounts.some((m) => m.container_path === terminationPath))
      mounts.push({
        container_path: terminationPath,
        host_path: file,
        readonly: false,
        propagation: 'PROPAGATION_PRIVATE',
      });
    await mkdir(join(paths.logs, c.name), { recursive: true, mode: 0o755 });
  }
  const groups = [...input.volumes.values()].map((v) => v.gid).filter((g) => g !== undefined);
  const signal = c.lifecycle?.stopSignal;
  const config: ContainerConfig = {
    metadata: { name: c.name, attempt },
    image: { image: image.id, user_specified_image: c.image },
    command: (c.command ?? []).map((a) => expand(a, utf8)),
    args: (c.args ?? []).map((a) => expand(a, utf8)),
    working_dir: c.workingDir ?? '',
    envs: [...env].map(([key, value]) => ({ key, value })),
    mounts,
    devices: (c.volumeDevices ?? []).flatMap((d) => {
      const v = input.volumes.get(d.name);
      return v ? [{ container_path: d.devicePath, host_path: v.path, permissions: v.readOnly ? 'r' : 'mrw' }] : [];
    }),
    labels: {
      [id.CONTAINER_NAME]: c.name,
      [id.POD_NAME]: pod.metadata!.name!,
      [id.POD_NAMESPACE]: pod.metadata!.namespace!,
      [id.POD_UID]: pod.metadata!.uid!,
    },
    annotations,
    log_path: join(c.name, `${attempt}.log`),
    stdin: c.stdin ?? false,
    stdin_once: c.stdinOnce ?? false,
    tty: c.tty ?? false,
    ...(signal ? { stop_signal: signal } : {}),
    linux: {
      resources: containerResources(pod, c, deps),
      security_context: containerSecurity(pod, c, image, {
        seccompDefault: deps.seccompDefault,
        seccompRoot: deps.seccompRoot,
        fsGroups: groups,
        targetId: input.targetId,
        ids,
      }),
    },
  };
  await deps.resources?.inject(pod, c.name, config);
  return config;
}

async function makeMounts(
  input: ContainerInput,
  deps: PodDeps,
  lookup: (name: string) => string | undefined,
  ids: IdMapping[] | undefined,
): Promise<Mount[]> {
  const { pod, container: c } = input;
  const paths = deps.paths(pod);
  const out: Mount[] = [];
  for (const [i, m] of (c.volumeMounts ?? []).entries()) {
    const v = input.volumes.get(m.name);
    if (!v)
      throw new ConfigError(
        `cannot find volume ${JSON.stringify(m.name)} to mount into container ${JSON.stringify(c.name)}`,
      );
    let sub = m.subPath ?? '';
    if (m.subPathExpr) {
      try {
        sub = expandStrict(m.subPathExpr, lookup);
      } catch (error) {
        throw new ConfigError((error as Error).message);
      }
    }
    let path = v.path;
    if (sub !== '') {
      try {
        path = await bindSubPath(deps.exec, v.path, sub, join(paths.subPaths, m.name, c.name, String(i)));
      } catch (error) {
        throw new ConfigError(
          `failed to prepare subPath for volumeMount ${JSON.stringify(m.name)} of container ${JSON.stringify(c.name)}: ${(error as Error).message}`,
        );
      }
    }
    const readonly = (m.readOnly ?? false) || v.readOnly;
    out.push({
      ...(await readOnlyBelow(m, readonly, pod, deps)),
      ...(ids ? { uidMappings: ids, gidMappings: ids } : {}),
      container_path: m.mountPath.startsWith('/') ? m.mountPath : `/${m.mountPath}`,
      host_path: path,
      readonly,
      propagation: PROPAGATION[m.mountPropagation ?? 'None'] ?? 'PROPAGATION_PRIVATE',
    });
  }
  const hosts = await writeHosts(input, deps);
  if (hosts && !out.some((m) => m.container_path === '/etc/hosts'))
    out.push({
      container_path: '/etc/hosts',
      host_path: hosts,
      readonly: c.securityContext?.readOnlyRootFilesystem ?? false,
      propagation: 'PROPAGATION_PRIVATE',
    });
  return out;
}

type VolumeMount = NonNullable<ReadContainer['volumeMounts']>[number];

/** Mounts below a read-only one are read-only, too, when the pod says so and the runtime can (KEP-3857). */
async function readOnlyBelow(
  m: VolumeMount,
  readonly: boolean,
  pod: ReadPod,
  deps: PodDeps,
): Promise<Pick<Mount, 'recursive_read_only'>> {
  const asked = m.recursiveReadOnly ?? 'Disabled';
  if (asked === 'Disabled' || !readonly) return {};
  const handler = pod.spec!.runtimeClassName ? await deps.runtimeHandler(pod.spec!.runtimeClassName) : '';
  if (deps.handlerFeatures(handler).recursive_read_only_mounts) return { recursive_read_only: true };
  if (asked === 'IfPossible') return {};
  throw new ConfigError(
    `volume ${JSON.stringify(m.name)} requested recursive read-only mode, but it is not supported by the runtime`,
  );
}

/** The pod's hosts file, written anew before each container: the sandbox may have another address by now. */
async function writeHosts(input: ContainerInput, deps: PodDeps): Promise<string> {
  const { pod } = input;
  const path = deps.paths(pod).hosts;
  const own = pod.spec!.hostNetwork ? await readFile('/etc/hosts', 'utf8').catch(() => '') : undefined;
  const text = hostsFile(pod, input.podIPs, deps.dns().clusterDomain, own);
  await mkdir(dirname(path), { recursive: true, mode: 0o750 });
  if ((await readFile(path, 'utf8').catch(() => undefined)) !== text) {
    await writeFile(path, text, { mode: 0o644 });
    await chmod(path, 0o644);
  }
  return path;
}
