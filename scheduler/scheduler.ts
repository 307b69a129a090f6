/** Puts the parts together and runs them: informers, queue, attempts, leader election. */
import { hostname } from 'node:os';
import { systemClock, systemIds, systemRand, type Clock, type Ids, type Rand } from '../base/clock.ts';
import { silentLogger, type Logger } from '../base/log.ts';
import { MetricsRegistry } from '../base/metrics.ts';
import type { DeepReadonly, Pod } from '../api/types.ts';
import { guardWrites, type Client } from '../client/client.ts';
import { newIdentity } from '../client/identity.ts';
import { createLeaderElector, type LeaseOptions } from '../client/leader-election.ts';
import { createApiCalls } from './api-calls.ts';
import { Attempts } from './attempt.ts';
import type { ProfileConfig, SchedulerConfig } from './config.ts';
import { Cache } from './core/cache.ts';
import { PodInfo } from './core/pod-info.ts';
import { createRecorder } from './events.ts';
import { createExtender } from './extender.ts';
import { Explanations, type Explanation } from './explain.ts';
import { createMetrics } from './metrics.ts';
import { buildProfile, type Profile } from './profile.ts';
import { SchedulingQueue } from './queue/queue.ts';
import type { PluginDeps } from './registry.ts';
import { createWatches } from './watches.ts';

export interface SchedulerOptions {
  /** Reaches the API server; whoever made it closes it. */
  client: Client;
  config?: SchedulerConfig;
  /** Defaults to false; the command line's default is true. */
  leaderElect?: boolean;
  leaderElection?: LeaseOptions;
  /** Unique for this process; defaults to the host's name and a random part. */
  identity?: string;
  clock?: Clock;
  ids?: Ids;
  rand?: Rand;
  logger?: Logger;
  /** What /metrics shows beside the scheduler's families; a fresh one when absent. */
  registry?: MetricsRegistry;
  /** Decisions run ahead of their bindings by this many pods at most; defaults to 128. */
  maxBinding?: number;
  /** The lease was lost: the process had better end. */
  onLost?(): void;
}

export interface Scheduler {
  /** Resolves when the caches are filled. */
  synced(): Promise<void>;
  readonly isReady: boolean;
  readonly isLeader: boolean;
  /** Prometheus text. */
  metrics(): string;
  /** Why a pod isn't placed; undefined when there is no such pod, or it is none of ours. */
  explain(namespace: string, name: string): Explanation | undefined;
  stop(): Promise<void>;
}

const MAX_BINDING = 128;
/** How long an end waits for events that are still to be written, in milliseconds. */
const FLUSH_MS = 2000;
/** A run of decisions yields to I/O after this many milliseconds. */
const SLICE_MS = 5;

/** The profile with resources that extenders look after left out of the resource fit. */
function withIgnored(p: ProfileConfig, names: readonly string[]): ProfileConfig {
  if (names.length === 0) return p;
  const rest = p.pluginConfig?.filter((c) => c.name !== 'NodeResourcesFit') ?? [];
  const args = p.pluginConfig?.find((c) => c.name === 'NodeResourcesFit')?.args ?? {};
  const have = (args['ignoredResources'] as string[] | undefined) ?? [];
  return {
    ...p,
    pluginConfig: [...rest, { name: 'NodeResourcesFit', args: { ...args, ignoredResources: [...have, ...names] } }],
  };
}

/** Starts a scheduler; resolves when its informers have begun. */
export async function start(options: SchedulerOptions): Promise<Scheduler> {
  const clock = options.clock ?? systemClock;
  const ids = options.ids ?? systemIds;
  const rand = options.rand ?? systemRand;
  const logger = options.logger ?? silentLogger;
  const config = options.config ?? {};
  const { client } = options;

  const cache = new Cache();
  // What is decided is written only while we lead.
  const acting = options.leaderElect ? guardWrites(client, () => elector?.holds() === true) : client;
  const api = createApiCalls(acting, clock);
  const recorder = createRecorder({ client: acting, clock, ids, logger, host: hostname() });
  const explanations = new Explanations();
  const watches = createWatches({ client, clock, rand, logger, wholePods: (config.extenders?.length ?? 0) > 0 });

  const extenders = (config.extenders ?? []).map(createExtender);
  const ignored = extenders.flatMap((e) => e.config.managedResources ?? []).filter((m) => m.ignoredByScheduler);
  const profiles = new Map<string, Profile>();
  const queueProfiles = new Map<string, Profile>();
  // The queue needs the profiles and some plugins need the queue's nominations: they reach them through this.
  const deps: PluginDeps = {
    clock,
    rand,
    ids,
    logger,
    snapshot: cache,
    listers: watches.listers,
    api,
    recorder,
    nominations: { on: (nodeName) => queue.nominator.on(nodeName) },
    nominatedNode: (uid) => queue.nominator.nodeOf(uid),
    async clearNominations(list) {
      for (const p of list) queue.nominator.delete(p.uid);
      await Promise.all(list.map((p) => api.patchStatus(p.pod, { nominatedNodeName: '' })));
      queue.activateNow(list.map((p) => p.uid));
    },
    activate: (uids) => queue.activateNow(uids),
    preempted: (n) => metrics.preempted(n),
    async extendPreemption(pod, candidates) {
      let left = candidates;
      for (const e of extenders) {
        if (left.length === 0 || !e.config.preemptVerb || !e.isInterested(pod)) continue;
        try {
          left = await e.preempt(pod, left);
        } catch (error) {
          if (!e.config.ignorable) throw error;
        }
      }
      return left;
    },
  };
  for (const p of config.profiles?.length ? config.profiles : [{}]) {
    const profile = buildProfile(
      withIgnored(
        p,
        ignored.map((m) => m.name),
      ),
      deps,
    );
    profiles.set(profile.schedulerName, profile);
    queueProfiles.set(profile.schedulerName, profile);
  }
  const sort = [...profiles.values()][0]!.queueSort;
  for (const p of profiles.values())
    if (p.queueSort.name !== sort.name) throw new Error('all profiles must have the same queue sort plugin');

  const maxBinding = options.maxBinding ?? MAX_BINDING;
  let running = false;
  let stopped = false;
  let pumping: { cancel(): void } | undefined;
  let busy = false;
  const metrics = createMetrics(options.registry ?? new MetricsRegistry(), () => ({
    pending: queue.sizes,
    nodes: cache.nodes.length,
    pods: cache.podCount,
    assumedPods: attempts.binding,
    blamed: queue.blamed(),
    events: queue.heldEvents(),
  }));
  const queue = new SchedulingQueue({
    clock,
    profiles: queueProfiles,
    less: (a, b) => sort.less!(a, b),
    initialBackoffMs:
      config.podInitialBackoffSeconds === undefined ? undefined : config.podInitialBackoffSeconds * 1000,
    maxBackoffMs: config.podMaxBackoffSeconds === undefined ? undefined : config.podMaxBackoffSeconds * 1000,
    onReady: () => wake(),
    onIncoming: (to, event) => metrics.incoming(to, event),
  });
  const attempts = new Attempts({
    clock,
    rand,
    logger,
    cache,
    queue,
    profiles,
    api,
    recorder,
    metrics,
    explanations,
    extenders,
    current: (info) => watches.pods.get(info.name, info.namespace),
    percentageOfNodesToScore: config.percentageOfNodesToScore,
  });
  attempts.onBindingEnd = () => {
    if (queue.hasReady) wake();
  };

  function wake(): void {
    if (!running || busy || pumping) return;
    pumping = clock.after(0, pump);
  }
  function pump(): void {
    pumping = undefined;
    const began = clock.monotonic();
    while (running && attempts.binding < maxBinding) {
      const next = queue.pop();
      if (!next) return;
      const later = attempts.run(next);
      if (later) {
        busy = true;
        void later.finally(() => {
          busy = false;
          wake();
        });
        return;
      }
      if (clock.monotonic() - began > SLICE_MS) return wake();
    }
  }

  const mine = (pod: DeepReadonly<Pod>) => profiles.has(pod.spec!.schedulerName ?? 'default-scheduler');
  watches.connect(cache, queue, mine, (uid) => {
    explanations.forget(uid);
    attempts.allow(uid, { code: 'Error', plugin: '', reasons: ['pod deleted'] });
  });
  watches.start();
  const synced = watches.synced();

  function lead(): void {
    void synced.then(() => {
      if (stopped) return;
      running = true;
      queue.start();
      wake();
    });
  }
  function follow(): void {
    running = false;
    pumping?.cancel();
    pumping = undefined;
    queue.stop();
  }
  /** Waits a while for events that are still to be written. */
  async function flush(): Promise<void> {
    const flushed = new AbortController();
    const limit = clock.sleep(FLUSH_MS, flushed.signal).catch(() => undefined);
    await Promise.race([recorder.flush(), limit]);
    flushed.abort(new Error('flushed'));
  }
  const elector = options.leaderElect
    ? createLeaderElector({
        client,
        clock,
        rand,
        logger,
        ...options.leaderElection,
        name: options.leaderElection?.name ?? 'kube-scheduler',
        identity: options.identity ?? newIdentity(ids),
        onStartedLeading: lead,
        onStoppedLeading() {
          follow();
          options.onLost?.();
          return flush();
        },
      })
    : undefined;
  if (elector) elector.start();
  else lead();
  let ready = false;
  void synced.then(() => (ready = true));

  return {
    synced: () => synced,
    get isReady() {
      return ready;
    },
    get isLeader() {
      return elector ? elector.isLeader : true;
    },
    metrics: () => metrics.text(),
    explain(namespace, name) {
      const pod = watches.pods.get(name, namespace);
      if (!pod || !mine(pod)) return undefined;
      const info = queue.get(pod.metadata!.uid!)?.info ?? new PodInfo(pod);
      return explanations.explain(info, profiles.get(info.schedulerName), cache);
    },
    async stop() {
      stopped = true;
      follow();
      await elector?.stop();
      watches.stop();
      await flush();
      for (const e of extenders) e.close();
    },
  };
}
