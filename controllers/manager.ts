/** The controller manager: shared informers, leader election, and the controllers that --controllers selects. */
import { readFileSync } from 'node:fs';
import type { Clock, Ids, Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { MetricsRegistry } from '../base/metrics.ts';
import { guardWrites, type Client } from '../client/client.ts';
import { createEventRecorder, type EventRecorder } from '../client/events.ts';
import { newIdentity } from '../client/identity.ts';
import { createLeaderElector, type LeaseOptions } from '../client/leader-election.ts';
import { createWorkQueueMetrics, type WorkQueueMetrics } from '../client/metrics.ts';
import { createAccountClients, type AccountClients } from './accounts.ts';
import { createInformerFactory } from './factory.ts';
import { runController, type AnyController, type RunningController } from './framework.ts';
import { defaultControllerOptions, type ControllerOptions } from './options.ts';
import { ALIASES, controllers as allControllers } from './registry.ts';

export interface ManagerOptions extends Partial<ControllerOptions> {
  /** Reaches the API server; whoever made it closes it. */
  client: Client;
  /** Unique for this process; defaults to the host's name and a random part. */
  identity?: string;
  clock: Clock;
  ids: Ids;
  rand: Rand;
  logger: Logger;
  /** Defaults to true. */
  leaderElect?: boolean;
  leaderElection?: LeaseOptions;
  /** Each controller acts as its own service account; defaults to false. */
  useServiceAccountCredentials?: boolean;
  /** Deep-freezes cached objects; for tests. */
  freeze?: boolean;
  /** What /metrics shows beside its own families; a fresh one when absent. */
  registry?: MetricsRegistry;
  /** Called when leadership was lost: the process should end. */
  onLost?(): void;
}

export interface ControllerManager {
  readonly isLeader: boolean;
  /** Names of the controllers that run. */
  readonly running: readonly string[];
  /** Prometheus text. */
  metrics(): string;
  /** Resolves when every controller's informers are in step for the first time. */
  ready(): Promise<void>;
  stop(): Promise<void>;
}

const NAME = 'kube-controller-manager';

/** Whether the patterns (`*`, `name`, `-name`) select a controller. */
export function isSelected(name: string, patterns: readonly string[], offByDefault: boolean): boolean {
  if (patterns.includes(name)) return true;
  if (patterns.includes(`-${name}`)) return false;
  return !offByDefault && patterns.includes('*');
}

/** Starts the controller manager; resolves when it takes part in the election (or runs, without one). */
export async function start(options: ManagerOptions): Promise<ControllerManager> {
  const { client, clock, ids, rand, logger } = options;
  const settings: ControllerOptions = { ...defaultControllerOptions, ...withoutUndefined(options) };
  const patterns = settings.controllers.map((p) =>
    p.startsWith('-') ? `-${ALIASES[p.slice(1)] ?? p.slice(1)}` : (ALIASES[p] ?? p),
  );
  const selected = allControllers.filter(
    (c) => isSelected(c.name, patterns, c.offByDefault === true) && (c.enabled?.(settings) ?? true),
  );
  const identity = options.identity ?? newIdentity(ids);
  const registry = options.registry ?? new MetricsRegistry();
  const metrics = createWorkQueueMetrics(registry);
  const running = selected.map((c) => c.name);
  const show = (isLeader: () => boolean) => {
    const master = registry.gauge('leader_election_master_status', 'Whether this process leads.', ['name']);
    const managed = registry.gauge('running_managed_controllers', 'Controllers that run.', ['manager', 'name']);
    registry.onCollect(() => {
      const value = isLeader() ? 1 : 0;
      master.set([NAME], value);
      for (const name of running) managed.set([NAME, name], value);
    });
    return () => registry.text();
  };
  let term: { stop(): Promise<void>; ready: Promise<void> } | undefined;
  let nextReady: (() => void)[] = [];

  function begin(acting: Client): void {
    const run = lead({ client: acting, options, settings, selected, metrics });
    term = run;
    void run.ready.then(() => {
      for (const f of nextReady.splice(0)) f();
    });
  }

  if (options.leaderElect === false) {
    begin(client);
    return {
      isLeader: true,
      running,
      metrics: show(() => true),
      ready: () => term!.ready,
      async stop() {
        await term?.stop();
      },
    };
  }

  const recorder = createEventRecorder({ client, clock, ids, logger, component: NAME });
  const elector = createLeaderElector({
    ...options.leaderElection,
    client,
    clock,
    rand,
    logger,
    name: options.leaderElection?.name ?? NAME,
    identity,
    onStartedLeading() {
      const lease = {
        kind: 'Lease',
        apiVersion: 'coordination.k8s.io/v1',
        metadata: { name: NAME, namespace: 'kube-system' },
      };
      recorder.event(lease, 'Normal', 'LeaderElection', `${identity} became leader`);
      begin(guardWrites(client, () => elector.holds()));
    },
    onStoppedLeading() {
      const ending = term?.stop();
      term = undefined;
      options.onLost?.();
      return ending;
    },
  });
  elector.start();
  return {
    get isLeader() {
      return elector.isLeader;
    },
    running,
    metrics: show(() => elector.isLeader),
    ready: () => (term ? term.ready : new Promise((resolve) => nextReady.push(resolve))),
    async stop() {
      await elector.stop();
      await term?.stop();
    },
  };
}

interface Term {
  client: Client;
  options: ManagerOptions;
  settings: ControllerOptions;
  selected: readonly AnyController[];
  metrics: WorkQueueMetrics;
}

/** Runs the controllers until stopped. */
function lead({ client, options, settings, selected, metrics }: Term): { stop(): Promise<void>; ready: Promise<void> } {
  const { clock, ids, rand, logger } = options;
  const abort = new AbortController();
  const factory = createInformerFactory({ client, clock, rand, logger, freeze: options.freeze });
  const accounts: AccountClients | undefined = options.useServiceAccountCredentials
    ? createAccountClients({ client, clock, logger, signal: abort.signal })
    : undefined;
  const recorders: EventRecorder[] = [];
  const running: RunningController[] = [];
  // All of them first, so that the garbage collector finds and shares them.
  for (const c of selected) for (const resource of Object.values(c.inputs)) factory.informer(resource);
  factory.start();

  async function launch(controller: AnyController): Promise<void> {
    const own = accounts && !controller.rootCredentials ? await accounts.clientFor(controller.account) : client;
    const recorder = createEventRecorder({
      client: own,
      clock,
      ids,
      logger,
      component: controller.component ?? controller.account,
    });
    recorders.push(recorder);
    const run = await runController(
      controller,
      { factory, client: own, clock, ids, rand, logger, recorder, options: settings, metrics },
      abort.signal,
    );
    if (abort.signal.aborted) await run.stop();
    else running.push(run);
    logger.debug('controller started', { controller: controller.name });
  }
  const ready = Promise.all(
    selected.map((c) =>
      launch(c).catch((error: unknown) => {
        if (!abort.signal.aborted) logger.error('controller could not start', { controller: c.name, error });
      }),
    ),
  ).then(() => {
    if (!abort.signal.aborted) logger.info('controllers started', { controllers: selected.length });
  });

  return {
    ready,
    async stop() {
      abort.abort(new Error('controller manager stopped'));
      await ready;
      factory.stop();
      await Promise.all(running.map((r) => r.stop()));
      await Promise.all(recorders.map((r) => r.flush()));
      accounts?.close();
    },
  };
}

function withoutUndefined(options: Partial<ControllerOptions>): Partial<ControllerOptions> {
  return Object.fromEntries(Object.entries(options).filter(([, v]) => v !== undefined)) as Partial<ControllerOptions>;
}

/** Reads a PEM file named by a flag; the error names the flag. */
export function readPem(flag: string, file: string | undefined): string | undefined {
  if (!file) return undefined;
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`--${flag}: can't read ${file}: ${(error as Error).message}`, { cause: error });
  }
}
