/**
 * CSI volumes of pods: attach is waited for, then stage once a node and publish once a pod; the way back in reverse.
 * What was begun is recorded on disk before the driver is called, so that a kubelet that was killed can undo it.
 */
import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { DeepReadonly, PersistentVolume, PersistentVolumeClaim } from '../../api/types.ts';
import { errorText } from '../cri/client.ts';
import { VolumeError, type MountedVolume, type NodeResize } from '../volumes/types.ts';
import { mountsBelow } from '../volumes/mounts.ts';
import { setGroup } from '../volumes/ownership.ts';
import type { CsiDriver } from './drivers.ts';
import {
  allRecords,
  attachmentName,
  csiPaths,
  ephemeralHandle,
  podRecords,
  uniqueVolumeName,
  writeRecord,
  type VolumeRecord,
} from './records.ts';
import {
  capability,
  kubeletSetsGroup,
  persistentSpec,
  podInfo,
  type CsiDriverObject,
  type VolumeSpec,
} from './request.ts';
import type { CsiVolumeOptions, CsiVolumes, ReadPod } from './types.ts';
import { volumeUsage } from './usage.ts';

type SecretReference = DeepReadonly<{ name?: string; namespace?: string }>;

/** gRPC's codes of what a driver will never do: INVALID_ARGUMENT, NOT_FOUND, OUT_OF_RANGE. */
const INFEASIBLE = new Set([3, 5, 11]);

/** The pod is woken when the node's status changes; this is for what was missed. */
const ATTACH_RETRY_MS = 1000;

export function createCsiVolumes(options: CsiVolumeOptions): CsiVolumes {
  const { rootDir, drivers, logger } = options;
  const paths = csiPaths(rootDir);
  const staged = new Set<string>();
  const published = new Set<string>();
  const inUse = new Map<string, Set<string>>(); // unique name -> pods
  const waiting = new Set<string>();
  const locks = new Map<string, Promise<unknown>>();

  /** One call at a time for one volume, as the specification asks for. */
  function exclusive<T>(record: VolumeRecord, work: () => Promise<T>): Promise<T> {
    const key = uniqueVolumeName(record.driverName, record.volumeHandle);
    const next = (locks.get(key) ?? Promise.resolve()).then(work, work);
    const settled = next.catch(() => {});
    locks.set(key, settled);
    void settled.then(() => {
      if (locks.get(key) === settled) locks.delete(key);
    });
    return next;
  }

  function use(record: VolumeRecord, uid: string): void {
    if (record.attachmentID === '') return;
    const name = uniqueVolumeName(record.driverName, record.volumeHandle);
    const users = inUse.get(name);
    if (users) return void users.add(uid);
    inUse.set(name, new Set([uid]));
    options.useChanged();
  }

  function need(name: string): CsiDriver {
    const driver = drivers.get(name);
    if (!driver) throw new VolumeError(`driver name ${name} not found in the list of registered CSI drivers`);
    return driver;
  }

  async function secrets(ref: SecretReference | undefined): Promise<Record<string, string>> {
    if (!ref?.name) return {};
    const secret = await options.secret(ref.namespace ?? '', ref.name);
    if (!secret) throw new VolumeError(`secret ${ref.namespace}/${ref.name} not found`);
    return Object.fromEntries(
      Object.entries(secret.data ?? {}).map(([k, v]) => [k, Buffer.from(v, 'base64').toString('utf8')]),
    );
  }

  /** Resolves with the publish context once the volume is attached. */
  async function attached(uid: string, record: VolumeRecord): Promise<Record<string, string>> {
    if (record.attachmentID === '') return {};
    const said = options.nodeSays(uniqueVolumeName(record.driverName, record.volumeHandle));
    // while the node's status says "in use" nobody detaches it under our hands
    const state = said.inUse ? await options.attachment(record.attachmentID) : undefined;
    if (state?.error)
      throw new VolumeError(`AttachVolume.Attach failed for volume "${record.specVolID}" : ${state.error}`);
    if (!said.attached || !state?.attached || state.deleting) {
      waiting.add(uid);
      throw new VolumeError(
        `unable to attach or mount volumes: volume "${record.specVolID}" is not attached yet`,
        'FailedMount',
        ATTACH_RETRY_MS,
      );
    }
    return state.metadata;
  }

  /** The pod's tokens that the driver asks for, as the one entry that holds them all; none when it asks for none. */
  async function tokensFor(pod: ReadPod, object: CsiDriverObject | undefined): Promise<Record<string, string>> {
    const tokens: Record<string, { token: string; expirationTimestamp: string }> = {};
    for (const t of object?.spec.tokenRequests ?? []) {
      const { token, expires } = await options.token(pod, t.audience, t.expirationSeconds);
      tokens[t.audience] = { token, expirationTimestamp: expires };
    }
    return Object.keys(tokens).length ? { 'csi.storage.k8s.io/serviceAccount.tokens': JSON.stringify(tokens) } : {};
  }

  interface Mounting {
    pod: ReadPod;
    spec: VolumeSpec;
    record: VolumeRecord;
    stageSecret?: SecretReference;
    publishSecret?: SecretReference;
  }

  async function stage(
    m: Mounting,
    driver: CsiDriver,
    publishContext: object,
    group: number | undefined,
  ): Promise<string> {
    const capabilities = await driver.capabilities();
    if (m.record.volumeLifecycleMode === 'Ephemeral' || !capabilities.has('STAGE_UNSTAGE_VOLUME')) return '';
    const path = paths.staging(m.record);
    const key = uniqueVolumeName(m.record.driverName, m.record.volumeHandle);
    if (staged.has(key)) return path;
    await mkdir(path, { recursive: true, mode: 0o750 });
    await driver.call('NodeStageVolume', {
      volume_id: m.spec.handle,
      publish_context: publishContext,
      staging_target_path: path,
      volume_capability: capability(m.spec, capabilities, group),
      secrets: await secrets(m.stageSecret),
      volume_context: m.spec.attributes,
    });
    staged.add(key);
    return path;
  }

  async function mount(m: Mounting): Promise<MountedVolume> {
    const { pod, spec, record } = m;
    const uid = pod.metadata!.uid!;
    const driver = need(spec.driver);
    const key = `${uid}/${record.specVolID}`;
    const target = paths.target(uid, record);
    const result: MountedVolume = { path: target, readOnly: spec.readOnly };
    if (published.has(key) && !republished.has(spec.driver)) return result;
    const object = await options.driverObject(spec.driver);
    if (object?.spec.requiresRepublish) republished.add(spec.driver);
    else republished.delete(spec.driver);
    if (published.has(key) && !object?.spec.requiresRepublish) return result;
    const ephemeral = record.volumeLifecycleMode === 'Ephemeral';
    const modes = object?.spec.volumeLifecycleModes ?? ['Persistent'];
    if (ephemeral && !modes.includes('Ephemeral'))
      throw new VolumeError(
        `volume mode "Ephemeral" not supported by driver ${spec.driver} (only supports ${JSON.stringify(modes)})`,
      );
    record.attachmentID =
      ephemeral || object?.spec.attachRequired === false
        ? ''
        : attachmentName(spec.handle, spec.driver, options.nodeName);
    use(record, uid);
    await writeRecord(paths.record(uid, record), record);
    const publishContext = await attached(uid, record);
    await exclusive(record, async () => {
      const capabilities = await driver.capabilities();
      const fsGroup = spec.block ? undefined : pod.spec!.securityContext?.fsGroup;
      const delegated = capabilities.has('VOLUME_MOUNT_GROUP') ? fsGroup : undefined;
      const staging = await stage(m, driver, publishContext, delegated);
      // a kubelet that was restarted finds it mounted
      const there = !published.has(key) && (await mountsBelow(target)).includes(target);
      if (!there || object?.spec.requiresRepublish) {
        await mkdir(dirname(target), { recursive: true, mode: 0o750 });
        const tokens = await tokensFor(pod, object);
        // out of what drivers log, for those that want it so (KEP-5538)
        const secret = object?.spec.serviceAccountTokenInSecrets === true;
        await driver.call('NodePublishVolume', {
          volume_id: spec.handle,
          publish_context: publishContext,
          staging_target_path: staging,
          target_path: target,
          volume_capability: capability(spec, capabilities, delegated),
          readonly: spec.readOnly,
          secrets: { ...(await secrets(m.publishSecret)), ...(secret ? tokens : {}) },
          volume_context: {
            ...spec.attributes,
            ...(object?.spec.podInfoOnMount ? podInfo(pod, ephemeral) : {}),
            ...(secret ? {} : tokens),
          },
        });
      }
      if (fsGroup !== undefined && delegated === undefined && !spec.readOnly && kubeletSetsGroup(spec, object))
        await setGroup(target, fsGroup, {
          readOnly: false,
          onlyIfNeeded: pod.spec!.securityContext?.fsGroupChangePolicy === 'OnRootMismatch',
        });
    }).catch((error: unknown) => {
      if (error instanceof VolumeError) throw error;
      throw new VolumeError(
        `MountVolume.SetUp failed for volume ${JSON.stringify(record.specVolID)} : ${errorText(error)}`,
      );
    });
    published.add(key);
    return result;
  }
  const republished = new Set<string>();

  /** Lets the driver make a file system as large as its volume has become. */
  async function expand(
    pod: ReadPod,
    pv: DeepReadonly<PersistentVolume>,
    claim: DeepReadonly<PersistentVolumeClaim>,
    m: Mounting,
  ): Promise<void> {
    const bytes = options.grew(claim, pv);
    const said = claim.status?.allocatedResourceStatuses?.['storage'];
    // the claim must ask for something else first
    if (bytes === undefined || m.spec.readOnly || said === 'NodeResizeInfeasible') return;
    const driver = need(m.spec.driver);
    const capabilities = await driver.capabilities();
    if (!capabilities.has('EXPAND_VOLUME')) return;
    const name = pv.metadata!.name!;
    const tell = (status: NodeResize) =>
      options
        .resizing(claim, status)
        .catch((error: unknown) => options.logger.debug('the claim does not say how it grows', { name, error }));
    if (said !== 'NodeResizeInProgress') await tell('NodeResizeInProgress');
    try {
      await exclusive(m.record, async () =>
        driver.call('NodeExpandVolume', {
          volume_id: m.spec.handle,
          volume_path: paths.target(pod.metadata!.uid!, m.record),
          staging_target_path: capabilities.has('STAGE_UNSTAGE_VOLUME') ? paths.staging(m.record) : '',
          capacity_range: { required_bytes: bytes },
          volume_capability: capability(m.spec, capabilities, undefined),
          secrets: await secrets(pv.spec!.csi!.nodeExpandSecretRef),
        }),
      );
      await options.expanded(claim, pv.spec!.capacity!['storage']!);
      options.event(
        pod,
        'Normal',
        'FileSystemResizeSuccessful',
        `MountVolume.NodeExpandVolume succeeded for volume ${JSON.stringify(name)} ${options.nodeName}`,
      );
    } catch (error) {
      if (INFEASIBLE.has((error as { code?: number }).code ?? 0)) await tell('NodeResizeInfeasible');
      // the volume is usable as it is
      options.event(
        pod,
        'Warning',
        'VolumeResizeFailed',
        `NodeExpandVolume failed for volume ${JSON.stringify(name)} : ${errorText(error)}`,
      );
    }
  }

  async function undo(uid: string, record: VolumeRecord): Promise<void> {
    const driver = need(record.driverName);
    const target = paths.target(uid, record);
    await driver.call('NodeUnpublishVolume', { volume_id: record.volumeHandle, target_path: target });
    published.delete(`${uid}/${record.specVolID}`);
    if ((await mountsBelow(target)).length === 0) await rm(target, { recursive: true, force: true });
    const others = [...(await allRecords(rootDir))].some(([other, list]) =>
      list.some(
        (r) =>
          r.driverName === record.driverName &&
          r.volumeHandle === record.volumeHandle &&
          (other !== uid || r.specVolID !== record.specVolID),
      ),
    );
    const unique = uniqueVolumeName(record.driverName, record.volumeHandle);
    if (!others) {
      const staging = paths.staging(record);
      if (record.volumeLifecycleMode !== 'Ephemeral' && (await driver.capabilities()).has('STAGE_UNSTAGE_VOLUME')) {
        await driver.call('NodeUnstageVolume', { volume_id: record.volumeHandle, staging_target_path: staging });
        if ((await mountsBelow(staging)).length > 0) throw new Error(`still mounted: ${staging}`);
      }
      staged.delete(unique);
      await rm(record.volumeMode === 'Block' ? staging : dirname(staging), { recursive: true, force: true });
    }
    // last: as long as it is there, the volume counts as used by this pod
    await rm(paths.record(uid, record), { recursive: true, force: true });
    const users = inUse.get(unique);
    users?.delete(uid);
    if (users?.size === 0 && inUse.delete(unique)) options.useChanged();
  }

  return {
    async mountClaim(pod, pv, claim, readOnly) {
      const csi = pv.spec!.csi!;
      const spec = persistentSpec(pv, readOnly);
      const m: Mounting = {
        pod,
        spec,
        record: {
          specVolID: pv.metadata!.name!,
          volumeHandle: spec.handle,
          driverName: spec.driver,
          nodeName: options.nodeName,
          attachmentID: '',
          volumeLifecycleMode: 'Persistent',
          volumeMode: spec.block ? 'Block' : 'Filesystem',
        },
        stageSecret: csi.nodeStageSecretRef,
        publishSecret: csi.nodePublishSecretRef,
      };
      const out = await mount(m);
      await expand(pod, pv, claim, m);
      return out;
    },
    mountInline(pod, name, source) {
      const namespace = pod.metadata!.namespace!;
      const handle = ephemeralHandle(pod.metadata!.uid!, name);
      return mount({
        pod,
        spec: {
          driver: source.driver,
          handle,
          fsType: source.fsType ?? '',
          readOnly: source.readOnly ?? false,
          block: false,
          accessModes: ['ReadWriteOnce'],
          mountOptions: [],
          attributes: source.volumeAttributes ?? {},
        },
        record: {
          specVolID: name,
          volumeHandle: handle,
          driverName: source.driver,
          nodeName: options.nodeName,
          attachmentID: '',
          volumeLifecycleMode: 'Ephemeral',
          volumeMode: 'Filesystem',
        },
        publishSecret: source.nodePublishSecretRef && { name: source.nodePublishSecretRef.name, namespace },
      });
    },
    async unmount(uid) {
      const failures: string[] = [];
      for (const record of await podRecords(rootDir, uid))
        await exclusive(record, () => undo(uid, record)).catch((error: unknown) => {
          failures.push(
            `UnmountVolume.TearDown failed for volume ${JSON.stringify(record.specVolID)} : ${errorText(error)}`,
          );
        });
      if (failures.length) throw new Error(failures.join('; '));
    },
    inUse: () => [...inUse.keys()],
    takeWaiting() {
      const out = [...waiting];
      waiting.clear();
      return out;
    },
    async recover() {
      for (const [uid, records] of await allRecords(rootDir)) for (const r of records) use(r, uid);
      if (inUse.size) logger.debug('volumes in use', { volumes: [...inUse.keys()] });
    },
    async stats(uid, volume) {
      const record = (await podRecords(rootDir, uid)).find((r) => r.specVolID === volume);
      const driver = record && drivers.get(record.driverName);
      if (!record || !driver || !(await driver.capabilities()).has('GET_VOLUME_STATS')) return undefined;
      return volumeUsage(driver, record.volumeHandle, paths.target(uid, record));
    },
  };
}
