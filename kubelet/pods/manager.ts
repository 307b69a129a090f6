/** All pods of the node: which there should be, which there are, and a worker for each. */
import { readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { formatTime, type Timer } from '../../base/clock.ts';
import type { DeepReadonly, Node, Pod } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import type { Informer } from '../../client/informer.ts';
import type { RuntimeContainer, RuntimeEvent, Sandbox } from '../cri/types.ts';
import { terminal } from '../status/generate.ts';
import { admit, type Rejection } from './admission.ts';
import type { PodDeps } from './deps.ts';
import * as id from './identity.ts';
import { deleteMirror, ensureMirror } from './mirror.ts';
import { underPressure, victimsFor } from './preemption.ts';
import { byUrgency } from './resize.ts';
import { isCritical, podAmounts } from './resources.ts';
import { settleExit } from './state.ts';
import { createPodWorker, type EndReason, type PodWorker } from './worker.ts';

type ReadPod = DeepReadonly<Pod>;

export interface PodManager {
  start(): void;
  stop(): Promise<void>;
  /** The static pods there should be; replaces those before. `all` is false while a source of them has not answered yet. */
  setStatic(pods: Pod[], all: boolean): void;
  wake(uids: Iterable<string>): void;
  wakeAll(): void;
  workers(): PodWorker[];
  byName(namespace: string, name: string): PodWorker | undefined;
  /** Looks at the runtime now; resolves when pods that nobody knows any more are gone. */
  settled(): Promise<void>;
  /** What all live pods but one ask for. */
  requested(butUid: string, resource: string): number;
  /** A pod takes less than before: resizes that were deferred are tried again. */
  roomMade(): void;
  /** How many mirrors of static pods the API has. */
  mirrors(): number;
  /** Ends a pod that the node can't keep. */
  evict(uid: string, why: EndReason): void;
}

export interface PodManagerOptions {
  deps: PodDeps;
  client: Client | undefined;
  /** Pods of this node; undefined for a node without an API server. */
  informer: Informer<Pod> | undefined;
  node(): DeepReadonly<Node> | undefined;
  /** Resolves when the node is known to the API, or at once without one. */
  nodeReady(): Promise<unknown>;
  rootDir: string;
  allowedUnsafeSysctls: readonly string[];
  relistMs: number;
  /** The machine is about to go down. */
  shuttingDown(): boolean;
  /** What the node is short of. */
  pressure(): { memory: boolean; disk: boolean; pid: boolean };
  hasStatic: boolean;
}

const keyOf = (pod: ReadPod): string => `${pod.metadata!.namespace}/${pod.metadata!.name}`;

export function createPodManager(options: PodManagerOptions): PodManager {
  const { deps, client, informer } = options;
  const { runtime, clock, logger } = deps;
  const workers = new Map<string, PodWorker>();
  const statics = new Map<string, Pod>(); // by uid
  const mirrors = new Map<string, ReadPod>(); // by namespace/name
  const owners = new Map<string, string>(); // container or sandbox id -> pod uid
  const waitingForName = new Map<string, () => void>();
  /** Critical pods that wait for others to make way. */
  const preempting = new Set<string>();
  const stopping = new AbortController();
  let staticsKnown = !options.hasStatic;
  /** What the runtime had at the last look, by the pod's uid; undefined before the first. */
  let lastLook: ReadonlyMap<string, string> | undefined;
  let timers: Timer[] = [];

  const isOver = (w: PodWorker): boolean =>
    w.phase !== 'syncing' || terminal((deps.status.get(w.uid) ?? w.pod.status)?.phase);

  const closing = (): Rejection | undefined =>
    options.shuttingDown()
      ? { reason: 'NodeShutdown', message: 'Pod was rejected as the node is shutting down.' }
      : undefined;

  function begin(pod: ReadPod, target: ReadPod | undefined): void {
    const uid = pod.metadata!.uid!;
    if (preempting.has(uid)) return;
    // another pod of the same name has to be down before
    const runs = (w: PodWorker) => w.phase === 'syncing' || w.phase === 'terminating';
    const other = [...workers.values()].find((w) => w.uid !== uid && runs(w) && keyOf(w.pod) === keyOf(pod));
    if (other) {
      waitingForName.set(other.uid, () => {
        if (statics.has(uid)) return begin(pod, mirrors.get(keyOf(pod)));
        const now = informer?.get(pod.metadata!.name!, pod.metadata!.namespace);
        if (now?.metadata?.uid === uid) begin(now, now);
      });
      return;
    }
    const said = target?.status;
    for (const s of [...(said?.containerStatuses ?? []), ...(said?.initContainerStatuses ?? [])])
      if (s.containerID && s.state?.running)
        deps.probes.assume(s.containerID.replace(/^.*:\/\//, ''), { ready: s.ready, started: s.started ?? false });
    // a pod that was admitted once stays: restarting the kubelet changes nothing
    const admitted = said?.startTime !== undefined || pod.metadata!.deletionTimestamp !== undefined;
    let rejected: EndReason | undefined;
    const node = options.node();
    if (!admitted && node) {
      const others = [...workers.values()].filter((w) => !isOver(w)).map((w) => w.granted);
      const no =
        closing() ??
        underPressure(pod, options.pressure()) ??
        admit(pod, others, node, {
          allowedUnsafeSysctls: options.allowedUnsafeSysctls,
          isStatic: id.isStatic(pod),
        });
      const victims =
        no?.reason.startsWith('OutOf') && isCritical(pod)
          ? victimsFor(pod, others, node.status?.allocatable ?? {})
          : undefined;
      if (no && victims?.length) return preempt(pod, victims, no.reason.slice('OutOf'.length));
      if (no) {
        deps.metrics?.rejected(no.reason);
        deps.event(pod, 'Warning', no.reason, no.message);
        rejected = { phase: 'Failed', reason: no.reason, message: `Pod was rejected: ${no.message}` };
      }
    }
    if (!rejected) deps.objects.track(pod);
    if (!rejected && !admitted) deps.metrics?.starts.seen(pod);
    const fresh = lastLook !== undefined && !lastLook.has(uid);
    const worker = createPodWorker({ pod, target, rejected, fresh, deps, down, finished });
    workers.set(uid, worker);
    worker.wake();
  }

  /** Ends pods that make way for a critical one, which begins when they have ended. */
  function preempt(pod: ReadPod, victims: readonly ReadPod[], missing: string): void {
    const uid = pod.metadata!.uid!;
    if (preempting.has(uid)) return;
    preempting.add(uid);
    const message = 'Preempted in order to admit critical pod';
    const ending = victims.flatMap((v) => workers.get(v.metadata!.uid!) ?? []);
    for (const w of ending) {
      deps.metrics?.preemptions.add([missing]);
      w.end({
        phase: 'Failed',
        reason: 'Preempting',
        message,
        condition: {
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'TerminationByKubelet',
          message: 'Pod was preempted by Kubelet to accommodate a critical pod.',
          lastTransitionTime: formatTime(clock.now()),
        },
      });
    }
    const look = () => {
      if (stopping.signal.aborted) return;
      if (ending.some((w) => w.phase === 'syncing' || w.phase === 'terminating'))
        return void clock.after(100, look, { background: true });
      preempting.delete(uid);
      const { name, namespace } = pod.metadata!;
      if (workers.has(uid)) return;
      if (statics.has(uid)) return begin(pod, mirrors.get(keyOf(pod)));
      const now = informer?.get(name!, namespace);
      if (now?.metadata?.uid === uid) begin(now!, now);
    };
    look();
  }

  function finished(uid: string): void {
    workers.delete(uid);
    deps.metrics?.starts.forget(uid);
    for (const [k, v] of owners) if (v === uid) owners.delete(k);
    down(uid);
    roomMade();
  }

  /** Who waited for the name may begin. */
  function down(uid: string): void {
    const next = waitingForName.get(uid);
    waitingForName.delete(uid);
    next?.();
  }

  /** Resizes that wait for room have it in the order of their urgency. */
  function roomMade(): void {
    const waiting = [...workers.values()].filter((w) => w.waitsForRoom);
    for (const { w } of waiting.map((w) => ({ w, pod: w.pod, since: w.waitsSince })).sort(byUrgency)) w.tryResize();
  }

  function onApiPod(pod: ReadPod): void {
    if (id.isMirror(pod)) {
      mirrors.set(keyOf(pod), pod);
      const own = [...statics.values()].find((s) => keyOf(s) === keyOf(pod));
      if (own) {
        deps.status.observe(own.metadata!.uid!, pod);
        workers.get(own.metadata!.uid!)?.update(own, pod);
      }
      reconcileMirror(keyOf(pod));
      return;
    }
    const w = workers.get(pod.metadata!.uid!);
    if (w) {
      deps.status.observe(w.uid, pod);
      deps.metrics?.starts.observed(pod);
      deps.objects.track(pod);
      w.update(pod, pod);
    } else begin(pod, pod);
  }

  function onApiGone(pod: ReadPod): void {
    if (id.isMirror(pod)) {
      mirrors.delete(keyOf(pod));
      reconcileMirror(keyOf(pod));
      return;
    }
    workers.get(pod.metadata!.uid!)?.gone();
  }

  /** The API's mirror of a static pod, or the lack of one, is put right. */
  function reconcileMirror(key: string): void {
    // the node has to be known: it owns its mirrors; the next look comes back to this
    if (!client || !options.node() || stopping.signal.aborted) return;
    const own = [...statics.values()].find((s) => keyOf(s) === key);
    const mirror = mirrors.get(key);
    if (own) void ensureMirror(client, own, mirror, options.node()?.metadata?.uid, logger);
    else if (mirror && staticsKnown)
      void deleteMirror(client, mirror).catch((error: unknown) => logger.debug('mirror pod stays', { key, error }));
  }

  /** Pods in the runtime or on disk that no source knows: they were deleted while the kubelet was away. */
  async function removeOrphans(sandboxes: Sandbox[], containers: RuntimeContainer[]): Promise<void> {
    if ((informer && !informer.hasSynced) || !staticsKnown) return;
    const dirs = await readdir(join(options.rootDir, 'pods')).catch(() => [] as string[]);
    const inApi = new Set(informer?.list().map((p) => p.metadata?.uid));
    const known = (uid: string) => workers.has(uid) || statics.has(uid) || inApi.has(uid);
    const seen = new Set<string>();
    for (const thing of [...sandboxes, ...containers]) {
      const uid = thing.labels[id.POD_UID];
      if (!uid || seen.has(uid) || known(uid)) continue;
      seen.add(uid);
      deps.metrics?.orphans.add([]);
      logger.info('removing an orphaned pod', { uid, name: thing.labels[id.POD_NAME] });
      const pod = orphan(
        thing,
        containers.filter((c) => c.labels[id.POD_UID] === uid),
      );
      const worker = createPodWorker({ pod, target: undefined, deps, down, finished });
      workers.set(uid, worker);
      worker.gone();
    }
    if (!deps.hollow) await removeOrphanedLogs((uid) => seen.has(uid) || known(uid));
    deps.resources?.keep(new Set([...workers.keys(), ...statics.keys(), ...inApi].filter((u) => u !== undefined)));
    const cgroups = await (deps.cgroups?.listPods() ?? Promise.resolve<string[]>([]));
    for (const uid of new Set([...dirs, ...cgroups])) {
      if (seen.has(uid) || known(uid)) continue;
      const pod = { metadata: { uid, name: 'orphan', namespace: 'orphan' }, spec: { containers: [] } } as Pod;
      await deps.volumes.remove(pod).catch((error: unknown) => logger.debug('orphaned folder stays', { uid, error }));
      await deps.cgroups
        ?.removePod(uid)
        .catch((error: unknown) => logger.debug('orphaned cgroup stays', { uid, error }));
    }
  }

  /** Log folders of pods that are no more, and links that lead nowhere. */
  async function removeOrphanedLogs(known: (uid: string) => boolean): Promise<void> {
    const dir = dirname(deps.paths({ metadata: { uid: 'u', name: 'n', namespace: 'ns' } }).logs);
    for (const name of await readdir(dir).catch(() => [] as string[])) {
      const uid = name.split('_')[2];
      if (uid && !known(uid)) await rm(join(dir, name), { recursive: true, force: true });
    }
    for (const name of await readdir(deps.containerLogsDir).catch(() => [] as string[])) {
      const link = join(deps.containerLogsDir, name);
      if (name.endsWith('.log') && (await stat(link).catch(() => undefined)) === undefined)
        await rm(link, { force: true });
    }
  }

  /** Compares what runs with the last time and wakes the pods that differ: for events that were missed. */
  async function relist(): Promise<void> {
    const began = clock.monotonic();
    deps.metrics?.relisting(began);
    try {
      const [sandboxes, containers] = await Promise.all([runtime.listSandboxes(), runtime.listContainers()]);
      const look = new Map<string, string>();
      for (const x of [...sandboxes, ...containers]) {
        const uid = x.labels[id.POD_UID];
        if (!uid) continue;
        owners.set(x.id, uid);
        look.set(uid, `${look.get(uid) ?? ''}${x.id}${x.state};`);
      }
      const before = lastLook ?? new Map<string, string>();
      for (const uid of new Set([...look.keys(), ...before.keys()]))
        if (look.get(uid) !== before.get(uid)) workers.get(uid)?.wake();
      lastLook = look;
      deps.metrics?.relisted(began);
      await removeOrphans(sandboxes, containers);
      for (const s of statics.values()) reconcileMirror(keyOf(s));
    } catch (error) {
      logger.debug('relist failed', { error });
    }
  }

  async function onEvent(event: RuntimeEvent): Promise<void> {
    let uid = owners.get(event.id);
    if (event.type === 'exited') await settleExit(runtime, clock, event.id);
    if (!uid) {
      // made after the last relist; sandboxes' own events say nothing that their worker doesn't know
      for (const w of workers.values()) {
        if (!w.state.containers.some((c) => c.id === event.id) && !w.state.sandboxes.some((s) => s.id === event.id))
          continue;
        uid = w.uid;
        owners.set(event.id, uid);
        break;
      }
    }
    if (!uid) {
      const found =
        (await runtime.containerStatus(event.id).catch(() => undefined)) ??
        (await runtime.sandboxStatus(event.id).catch(() => undefined));
      uid = found?.labels[id.POD_UID];
      if (uid) owners.set(event.id, uid);
    }
    if (uid) workers.get(uid)?.wake();
  }

  return {
    start() {
      runtime.watchEvents(
        {
          event: (e) => void onEvent(e).catch((error: unknown) => logger.debug('event not handled', { error })),
          lost: () => void relist(),
        },
        stopping.signal,
      );
      timers = [clock.every(options.relistMs, () => void relist(), { background: true })];
      void options
        .nodeReady()
        .then(async () => {
          informer?.on({ added: onApiPod, updated: onApiPod, deleted: onApiGone });
          informer?.start();
          await informer?.synced(stopping.signal);
          await relist();
        })
        .catch((error: unknown) => logger.debug('not started', { error }));
    },
    async stop() {
      stopping.abort(new Error('stopped'));
      for (const t of timers) t.cancel();
      informer?.stop();
      await Promise.all([...workers.values()].map((w) => w.stop()));
    },
    setStatic(pods, all) {
      const now = new Map(pods.map((p) => [p.metadata!.uid!, p]));
      for (const [uid, old] of statics)
        if (!now.has(uid)) {
          statics.delete(uid);
          workers.get(uid)?.gone();
          clock.after(0, () => reconcileMirror(keyOf(old)));
        }
      for (const [uid, pod] of now) {
        if (statics.has(uid)) continue;
        statics.set(uid, pod);
        begin(pod, mirrors.get(keyOf(pod)));
        reconcileMirror(keyOf(pod));
      }
      if (all) staticsKnown = true;
    },
    wake(uids) {
      for (const uid of uids) workers.get(uid)?.wake();
    },
    wakeAll() {
      for (const w of workers.values()) w.wake();
    },
    workers: () => [...workers.values()],
    // the newest of that name
    byName: (namespace, name) =>
      [...workers.values()].findLast((w) => w.pod.metadata!.namespace === namespace && w.pod.metadata!.name === name),
    async settled() {
      await relist();
      await Promise.all([...workers.values()].map((w) => w.idle()));
    },
    requested: (but, resource) =>
      [...workers.values()]
        .filter((w) => w.uid !== but && !isOver(w))
        .reduce((n, w) => n + (podAmounts(w.granted, 'requests')[resource] ?? 0), 0),
    roomMade,
    mirrors: () => mirrors.size,
    evict: (uid, why) => workers.get(uid)?.end(why),
  };
}

/** As much of a pod as its containers' labels tell: enough to end it. */
function orphan(thing: Sandbox | RuntimeContainer, containers: RuntimeContainer[]): Pod {
  const grace = containers.map((c) => c.annotations[id.POD_GRACE]).find((g) => g !== undefined);
  return {
    metadata: {
      uid: thing.labels[id.POD_UID]!,
      name: thing.labels[id.POD_NAME] ?? '',
      namespace: thing.labels[id.POD_NAMESPACE] ?? '',
    },
    spec: { containers: [], terminationGracePeriodSeconds: grace === undefined ? 1 : Number(grace) },
  } as Pod;
}
