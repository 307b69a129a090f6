/** Puts the volume manager together with CSI and what both ask the API. */
import { formatTime, type Clock, type Ids, type Rand } from '../../base/clock.ts';
import type { Exec } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import { hasCode, isNotFound } from '../../api/status.ts';
import type { DeepReadonly, Node, Pod } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { csiDrivers, persistentVolumeClaims, persistentVolumes, volumeAttachments } from '../../client/resources.ts';
import type { Runtime } from '../cri/types.ts';
import { createCsiDrivers, type CsiDrivers } from '../csi/drivers.ts';
import { createCsiNodeWriter, type CsiNodeWriter } from '../csi/node.ts';
import type { CsiVolumes } from '../csi/types.ts';
import { createCsiVolumes } from '../csi/volumes.ts';
import type { KubeletMetrics } from '../metrics/families.ts';
import type { ObjectCache } from '../objects.ts';
import { parseQuantity } from '../quantity.ts';
import type { EnsureImage } from './image.ts';
import { createVolumeManager, type VolumeManager } from './manager.ts';
import { createTokenManager } from './tokens.ts';
import type { ClaimGrowth } from './types.ts';

export interface VolumeInput {
  client: Client | undefined;
  clock: Clock;
  ids: Ids;
  rand: Rand;
  logger: Logger;
  exec: Exec;
  runtime: Runtime;
  objects: ObjectCache;
  metrics: KubeletMetrics | undefined;
  nodeName: string;
  rootDir: string;
  node(): DeepReadonly<Node> | undefined;
  network(pod: DeepReadonly<Pod>): { podIPs: readonly string[]; hostIPs: readonly string[] };
  allocatable(): DeepReadonly<Record<string, string>>;
  ensureImage: EnsureImage;
  event(pod: DeepReadonly<Pod>, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** The node's status is to be sent anew. */
  poke(): void;
  /** A driver that pods may wait for has come. */
  wakeAll(): void;
}

/** The CSI side of a node; only with an API server. */
export interface Csi {
  drivers: CsiDrivers;
  node: CsiNodeWriter;
  volumes: CsiVolumes;
}

const HOUR_SECONDS = 3600;

export const orNone = async <T>(p: Promise<T>): Promise<T | undefined> =>
  p.catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });

export function wireVolumes(input: VolumeInput): { volumes: VolumeManager; csi: Csi | undefined } {
  const { client, clock, ids, rand, logger, exec, runtime, objects, rootDir } = input;
  const noCall = () => Promise.reject(new Error('there is no API server'));
  const tokens = client
    ? createTokenManager({ client, clock, rand })
    : { get: noCall, expiry: () => undefined, forget() {} };
  const csi = client ? wireCsi(input, client, tokens) : undefined;
  const volumes = createVolumeManager({
    rootDir,
    clock,
    ids,
    exec,
    logger,
    sources: {
      objects,
      tokens,
      network: input.network,
      allocatable: input.allocatable,
      trustBundle: async (name, signer) => {
        if (!client) return undefined;
        const path = '/apis/certificates.k8s.io/v1beta1/clustertrustbundles';
        if (name)
          return (await orNone(client.request<{ spec: { trustBundle: string } }>({ path: `${path}/${name}` })))?.spec
            .trustBundle;
        const list = await orNone(
          client.request<{ items: { spec: { trustBundle: string; signerName?: string } }[] }>({
            path,
            query: { fieldSelector: `spec.signerName=${signer ?? ''}` },
          }),
        );
        const found = list?.items.map((i) => i.spec.trustBundle) ?? [];
        return found.length ? found.join('') : undefined;
      },
    },
    runtime,
    metrics: input.metrics,
    ensureImage: input.ensureImage,
    claim: (ns, name) => (client ? orNone(client.get(persistentVolumeClaims, name, ns)) : noCall()),
    persistentVolume: (name) => (client ? orNone(client.get(persistentVolumes, name)) : noCall()),
    csi: csi?.volumes,
    growth: client && claimGrowth(client),
  });
  return { volumes, csi };
}

function claimGrowth(client: Client): ClaimGrowth {
  return {
    grew(claim, pv) {
      const size = parseQuantity(pv.spec?.capacity?.['storage']);
      return size > parseQuantity(claim.status?.capacity?.['storage']) ? size : undefined;
    },
    async resizing(claim, storage) {
      const m = claim.metadata!;
      const fresh = await client.get(persistentVolumeClaims, m.name!, m.namespace);
      const allocatedResourceStatuses = { ...fresh.status?.allocatedResourceStatuses, storage };
      await client.updateStatus(persistentVolumeClaims, {
        ...fresh,
        status: { ...fresh.status, allocatedResourceStatuses },
      });
    },
    async expanded(claim, capacity) {
      const m = claim.metadata!;
      const fresh = await client.get(persistentVolumeClaims, m.name!, m.namespace);
      const { allocatedResourceStatuses: _done, ...status } = fresh.status ?? {};
      await client.updateStatus(persistentVolumeClaims, {
        ...fresh,
        status: {
          ...status,
          capacity: { ...status.capacity, storage: capacity },
          conditions: (status.conditions ?? []).filter(
            (c) => c.type !== 'FileSystemResizePending' && c.type !== 'Resizing',
          ),
        },
      });
    },
  };
}

function wireCsi(input: VolumeInput, client: Client, tokens: ReturnType<typeof createTokenManager>): Csi {
  const { clock, logger, nodeName, objects } = input;
  const node = createCsiNodeWriter({ client, nodeName, logger, node: input.node });
  const drivers = createCsiDrivers({ clock, logger, node, changed: input.wakeAll });
  const volumes = createCsiVolumes({
    rootDir: input.rootDir,
    nodeName,
    logger,
    drivers,
    driverObject: (name) => orNone(client.get(csiDrivers, name)),
    async attachment(name) {
      const a = await client.get(volumeAttachments, name).catch((error: unknown) => {
        // one that does not exist has nothing to do with this node: the authorizer says no
        if (hasCode(error, 404, 403)) return undefined;
        throw error;
      });
      return (
        a && {
          attached: a.status?.attached ?? false,
          deleting: a.metadata?.deletionTimestamp !== undefined,
          metadata: a.status?.attachmentMetadata ?? {},
          error: a.status?.attached ? undefined : a.status?.attachError?.message,
        }
      );
    },
    secret: (namespace, name) => objects.secret(namespace, name),
    async token(pod, audience, seconds = HOUR_SECONDS) {
      const token = await tokens.get(pod, audience, seconds);
      return { token, expires: formatTime(tokens.expiry(pod, audience, seconds) ?? clock.now()) };
    },
    nodeSays(volume) {
      const status = input.node()?.status;
      return {
        inUse: status?.volumesInUse?.includes(volume) ?? false,
        attached: status?.volumesAttached?.some((v) => v.name === volume) ?? false,
      };
    },
    useChanged: input.poke,
    ...claimGrowth(client),
    event: input.event,
  });
  return { drivers, node, volumes };
}
