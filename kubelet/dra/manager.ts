/**
 * Dynamic resource allocation on the node: drivers are asked to prepare the claims of a pod before it starts, and to
 * undo it after its end. https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type * as k8s from '@kubernetes/client-node';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { ContainerStatus, DeepReadonly, Json, Pod } from '../../api/types.ts';
import { errorText } from '../cri/client.ts';
import { connect, loadService, type Caller } from '../grpc.ts';
import { watchHealth, type HealthWatch } from './health.ts';
import type { PluginHandler } from '../plugins/watcher.ts';

type ReadPod = DeepReadonly<Pod>;
export type ResourceClaim = DeepReadonly<Json<k8s.ResourceV1ResourceClaim>>;

/** A device as its driver has prepared it. */
export interface PreparedDevice {
  request_names: string[];
  pool_name: string;
  device_name: string;
  cdi_device_ids: string[];
  share_id?: string;
}
export interface PreparedClaim {
  namespace: string;
  name: string;
  uid: string;
  /** UIDs of the pods here that use it. */
  pods: string[];
  /** Undefined: the driver has not been asked, or has not answered. */
  drivers: Record<string, PreparedDevice[] | null>;
}

export type ResourceStatus = NonNullable<ContainerStatus['allocatedResourcesStatus']>[number];

export interface DraManager extends PluginHandler {
  stop(): void;
  /** Has all claims of the pod prepared; rejects while one is not. */
  prepare(pod: ReadPod): Promise<void>;
  /** CDI names of the devices that a container may use. */
  cdiDevices(pod: ReadPod, container: string): string[];
  unprepare(uid: string): Promise<void>;
  /** How the devices are that a container has by its claims. */
  health(pod: ReadPod, container: string): ResourceStatus[];
  /** The pod's claims that are prepared, for those who ask what runs on which device. */
  claims(uid: string): PreparedClaim[];
}

/** What drivers may speak, the best first; the messages are the same. */
const SERVICES = ['v1.DRAPlugin', 'v1beta1.DRAPlugin'];
const PACKAGE = 'k8s.io.kubelet.pkg.apis.dra.';
const CALL_MS = 45_000;
/** A driver that is updated is away for a moment: its devices stay published so long. */
const WIPE_MS = 30_000;

/** Names of the pod's claims by their name in the pod; undefined for one that is not made yet, null where none is needed. */
export function claimNames(pod: ReadPod): Map<string, string | null | undefined> {
  const out = new Map<string, string | null | undefined>();
  for (const c of pod.spec!.resourceClaims ?? []) {
    if (c.resourceClaimName) out.set(c.name, c.resourceClaimName);
    else {
      const said = pod.status?.resourceClaimStatuses?.find((s) => s.name === c.name);
      out.set(c.name, said ? (said.resourceClaimName ?? null) : undefined);
    }
  }
  return out;
}

/** Whether a device is for a request: one without requests is for all; "request/alternative" belongs to its request. */
const serves = (d: PreparedDevice, request: string | undefined): boolean =>
  request === undefined ||
  d.request_names.length === 0 ||
  d.request_names.some((r) => r === request || r.startsWith(`${request}/`));

interface Instance {
  endpoint: string;
  caller: Caller;
  health: HealthWatch;
}

export function createDraManager(options: {
  /** Where what is prepared is written down. */
  file: string;
  clock: Clock;
  logger: Logger;
  claim(namespace: string, name: string): Promise<ResourceClaim | undefined>;
  /** Devices that these pods use have another health. */
  healthChanged(uids: readonly string[]): void;
  /** Removes the ResourceSlices of a driver on this node. */
  wipe(driver: string): Promise<void>;
}): DraManager {
  const { clock, logger, file } = options;
  /** By driver, the newest last: while a driver is updated its old instance and the new one are both there. */
  const drivers = new Map<string, Instance[]>();
  const wipes = new Map<string, Timer>();
  let claims = new Map<string, PreparedClaim>();
  let last: Promise<unknown> = Promise.resolve();
  try {
    claims = new Map(Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, PreparedClaim>));
  } catch {
    // the first time
  }
  const save = () => {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(`${file}.new`, JSON.stringify(Object.fromEntries(claims)), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  };
  const need = (name: string): Caller => {
    const d = drivers.get(name)?.at(-1);
    if (!d) throw new Error(`DRA driver ${name} is not registered`);
    return d.caller;
  };
  const extended = (pod: ReadPod) => pod.status?.extendedResourceClaimStatus;

  /** The claim as the API has it now, if the pod may use it. */
  async function look(pod: ReadPod, name: string): Promise<ResourceClaim> {
    const claim = await options.claim(pod.metadata!.namespace!, name);
    if (!claim) throw new Error(`resourceclaim ${JSON.stringify(name)} not found`);
    if (!claim.status?.reservedFor?.some((r) => r.uid === pod.metadata!.uid))
      throw new Error(`pod ${pod.metadata!.name}(${pod.metadata!.uid}) is not allowed to use ResourceClaim ${name}`);
    if (!claim.status.allocation) throw new Error(`ResourceClaim ${name} is not allocated`);
    return claim;
  }

  async function prepare(pod: ReadPod): Promise<void> {
    const uid = pod.metadata!.uid!;
    const names: string[] = [];
    for (const [podName, name] of claimNames(pod)) {
      if (name === undefined) throw new Error(`ResourceClaim ${podName} of the pod is not created yet`);
      if (name !== null) names.push(name);
    }
    const more = extended(pod)?.resourceClaimName;
    if (more) names.push(more);
    const open = new Map<string, PreparedClaim[]>();
    const found: ResourceClaim[] = [];
    for (const name of names) {
      const known = [...claims.values()].find((c) => c.namespace === pod.metadata!.namespace && c.name === name);
      if (known?.pods.includes(uid) && Object.values(known.drivers).every((d) => d !== null)) continue;
      const claim = await look(pod, name);
      // drivers know claims by name too: what an earlier one of this name has must be undone first
      if (known && known.uid !== claim.metadata!.uid)
        throw new Error(
          `old ResourceClaim with same name ${name} and different UID ${known.uid} still exists (previous pod force-deleted?!)`,
        );
      found.push(claim);
    }
    // without their drivers nothing is begun: a pod that got nowhere has nothing to undo when it goes
    for (const claim of found)
      for (const r of claim.status!.allocation!.devices?.results ?? [])
        if (!claims.get(claim.metadata!.uid!)?.drivers[r.driver]) need(r.driver);
    for (const claim of found) {
      const entry: PreparedClaim = claims.get(claim.metadata!.uid!) ?? {
        namespace: pod.metadata!.namespace!,
        name: claim.metadata!.name!,
        uid: claim.metadata!.uid!,
        pods: [],
        drivers: {},
      };
      for (const r of claim.status!.allocation!.devices?.results ?? []) entry.drivers[r.driver] ??= null;
      if (!entry.pods.includes(uid)) entry.pods.push(uid);
      claims.set(entry.uid, entry);
      for (const [driver, devices] of Object.entries(entry.drivers))
        if (devices === null) open.set(driver, [...(open.get(driver) ?? []), entry]);
    }
    if (open.size === 0) return;
    // written down before: what is half done has to be undone
    save();
    for (const [driver, list] of open) {
      const answer = await need(driver).call<{ claims: Record<string, { devices: PreparedDevice[]; error: string }> }>(
        'NodePrepareResources',
        { claims: list.map(({ namespace, uid: u, name }) => ({ namespace, uid: u, name })) },
        CALL_MS,
      );
      for (const entry of list) {
        const said = answer.claims[entry.uid];
        if (!said) throw new Error(`NodePrepareResources of ${driver} says nothing of claim ${entry.name}`);
        if (said.error) throw new Error(`NodePrepareResources failed for ResourceClaim ${entry.name}: ${said.error}`);
        entry.drivers[driver] = said.devices;
      }
      save();
    }
  }

  async function unprepare(uid: string): Promise<void> {
    for (const entry of claims.values()) {
      if (!entry.pods.includes(uid)) continue;
      if (entry.pods.length > 1) {
        entry.pods = entry.pods.filter((p) => p !== uid);
        save();
        continue;
      }
      for (const driver of Object.keys(entry.drivers)) {
        const { namespace, name } = entry;
        const answer = await need(driver).call<{ claims: Record<string, { error: string }> }>(
          'NodeUnprepareResources',
          { claims: [{ namespace, uid: entry.uid, name }] },
          CALL_MS,
        );
        const error = answer.claims[entry.uid]?.error;
        if (error) throw new Error(`NodeUnprepareResources failed for ResourceClaim ${name}: ${error}`);
      }
      claims.delete(entry.uid);
      save();
    }
  }
  /** Forgets one instance of a driver; how many of it are left. */
  const forget = (driver: string, endpoint: string): number => {
    const [gone, left] = [[] as Instance[], [] as Instance[]];
    for (const d of drivers.get(driver) ?? []) (d.endpoint === endpoint ? gone : left).push(d);
    gone.forEach(close);
    if (left.length) drivers.set(driver, left);
    else drivers.delete(driver);
    return left.length;
  };
  const close = (d: Instance) => {
    d.health.stop();
    d.caller.close();
  };
  const usersOf = (driver: string): string[] => [
    ...new Set([...claims.values()].flatMap((c) => (c.drivers[driver] ? c.pods : []))),
  ];
  /** One after the other: claims may be shared among pods. */
  const serial = (work: () => Promise<void>): Promise<void> => {
    const next = last.then(work);
    last = next.catch(() => {});
    return next;
  };

  return {
    stop() {
      for (const t of wipes.values()) t.cancel();
      for (const d of [...drivers.values()].flat()) close(d);
    },
    register(info) {
      const version = SERVICES.find((s) => info.supported_versions.includes(s));
      if (!version)
        return Promise.reject(
          new Error(`DRA driver ${info.name} supports none of the services [${SERVICES.join(' ')}]`),
        );
      const service = loadService('kubelet-dra-v1', PACKAGE + SERVICES[0]!, PACKAGE + version);
      wipes.get(info.name)?.cancel();
      wipes.delete(info.name);
      forget(info.name, info.endpoint);
      const instance = {
        endpoint: info.endpoint,
        caller: connect(service, info.endpoint, clock),
        health: watchHealth(info.endpoint, clock, () => options.healthChanged(usersOf(info.name))),
      };
      drivers.set(info.name, [...(drivers.get(info.name) ?? []), instance]);
      return Promise.resolve();
    },
    deregister(info) {
      if (!drivers.has(info.name) || forget(info.name, info.endpoint) > 0) return;
      const wipe = () =>
        void options
          .wipe(info.name)
          .catch((error: unknown) =>
            logger.warn('ResourceSlices stay', { driver: info.name, error: errorText(error) }),
          );
      wipes.set(info.name, clock.after(WIPE_MS, wipe, { background: true }));
    },
    prepare: (pod) =>
      pod.spec!.resourceClaims?.length || extended(pod) ? serial(() => prepare(pod)) : Promise.resolve(),
    unprepare: (uid) =>
      [...claims.values()].some((c) => c.pods.includes(uid)) ? serial(() => unprepare(uid)) : Promise.resolve(),
    cdiDevices(pod, container) {
      const spec = [...(pod.spec!.initContainers ?? []), ...pod.spec!.containers].find((c) => c.name === container);
      const names = claimNames(pod);
      const ids: string[] = [];
      const take = (claimName: string | null | undefined, request: string | undefined) => {
        const entry = [...claims.values()].find((c) => c.namespace === pod.metadata!.namespace && c.name === claimName);
        for (const devices of Object.values(entry?.drivers ?? {}))
          for (const d of devices ?? []) if (serves(d, request)) ids.push(...d.cdi_device_ids);
      };
      for (const c of spec?.resources?.claims ?? []) take(names.get(c.name), c.request);
      for (const m of extended(pod)?.requestMappings ?? [])
        if (m.containerName === container) take(extended(pod)!.resourceClaimName, m.requestName);
      return [...new Set(ids)];
    },
    health(pod, container) {
      const spec = pod.spec!.containers.find((c) => c.name === container);
      const names = claimNames(pod);
      return (spec?.resources?.claims ?? []).flatMap(({ name, request }) => {
        const entry = [...claims.values()].find(
          (c) => c.namespace === pod.metadata!.namespace && c.name === names.get(name),
        );
        const resources = new Map<string, NonNullable<ResourceStatus['resources']>[number]>();
        for (const [driver, devices] of Object.entries(entry?.drivers ?? {}))
          for (const d of devices ?? []) {
            const resourceID = d.cdi_device_ids[0] ?? `${driver}/${d.pool_name}/${d.device_name}`;
            if (!serves(d, request) || resources.has(resourceID)) continue;
            const { health, message } = drivers.get(driver)?.at(-1)?.health.of(d.pool_name, d.device_name) ?? {
              health: 'Unknown',
              message: undefined,
            };
            resources.set(resourceID, { resourceID, health, ...(message ? { message } : {}) });
          }
        if (resources.size === 0) return [];
        return [{ name: `claim:${name}${request ? `/${request}` : ''}`, resources: [...resources.values()] }];
      });
    },
    claims: (uid) => [...claims.values()].filter((c) => c.pods.includes(uid)),
  };
}
