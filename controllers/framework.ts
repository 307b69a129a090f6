/**
 * What a controller is made of: resources it reads (each a shared informer), which keys their events put into
 * its queue, what it writes, and `reconcile(key, deps)`, which looks at the state and never at events.
 * How to add one: docs/add-a-controller.md.
 */
import type { Clock, Ids, Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { DeepReadonly, KubeObject } from '../api/types.ts';
import type { Client } from '../client/client.ts';
import type { EventRecorder } from '../client/events.ts';
import { keyOf, type Informer } from '../client/informer.ts';
import type { ResourceRef } from '../client/resources.ts';
import type { WorkQueueMetrics } from '../client/metrics.ts';
import { createWorkQueue, type WorkQueue } from '../client/workqueue.ts';
import { createExpectations, type Expectations } from './expectations.ts';
import type { InformerFactory } from './factory.ts';
import type { ControllerOptions } from './options.ts';

export interface Result {
  /** Look at the key again after so many milliseconds. */
  requeueAfterMs?: number;
  /** Look at the key again soon, with growing delays. */
  retry?: boolean;
}

// A type of its own so that inference goes from `inputs` to everything else.
export type Inputs = Record<string, ResourceRef<object>>;
type TypeOf<R> = R extends ResourceRef<infer T> ? T : never;

/** What every controller is handed. */
export interface Deps<I extends Inputs = Inputs, S = unknown> {
  readonly informers: { readonly [K in keyof I]: Informer<TypeOf<I[K]>> };
  readonly client: Client;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly rand: Rand;
  readonly logger: Logger;
  readonly recorder: EventRecorder;
  readonly expectations: Expectations;
  readonly options: ControllerOptions;
  readonly factory: InformerFactory;
  /** What `state` made: memory that a reconcile may keep, but that must be rebuilt from the API after a restart. */
  readonly state: S;
  enqueue(key: string): void;
  enqueueAfter(key: string, ms: number): void;
}

/** Keys that an event about `object` concerns. `other` is the older (or newer) form of an updated object. */
export type Keys<T, D> = (object: DeepReadonly<T>, deps: D, other?: DeepReadonly<T>) => Iterable<string>;

export interface Trigger<T, D> {
  /** `self`: the object's own key. Called for the new and the old form of an update. */
  keys: 'self' | Keys<T, D>;
  /** Updates that say no are not looked at. */
  when?(now: DeepReadonly<T>, before: DeepReadonly<T>, deps: D): boolean;
  /** Objects that come are not looked at, only changes and departures. */
  ignoreAdded?: boolean;
  /** Waits so long before the key is worked on, to take several events at once. */
  delayMs?(deps: D): number;
}

export interface Controller<I extends Inputs = Inputs, S = unknown> {
  /** As kube-controller-manager's --controllers names it. */
  name: string;
  /** Service account in kube-system whose rights it has; the role is `system:controller:<account>`. */
  account: string;
  /** Acts as the manager itself, also with --use-service-account-credentials. */
  rootCredentials?: boolean;
  /** `component` of its events; defaults to `account`. */
  component?: string;
  inputs: I;
  /** What it asks of the API server beside its inputs: `verb,verb resource/subresource.group`; a test holds it against the RBAC roles. */
  outputs: readonly string[];
  /** Not run unless named in --controllers. */
  offByDefault?: boolean;
  /** Run only when the options have what it needs. */
  enabled?(options: ControllerOptions): boolean;
  /** The option that says how many keys are worked on at once; defaults to 5. */
  workers?(options: ControllerOptions): number;
  /** The longest pause after failures in milliseconds; defaults to 1,000,000. */
  slowest?(options: ControllerOptions): number;
  state?(base: Omit<Deps<I>, 'state'>): S;
  triggers: { [K in keyof I]?: 'self' | Keys<TypeOf<I[K]>, Deps<I, S>> | Trigger<TypeOf<I[K]>, Deps<I, S>> };
  /** Keys to begin with, for work that no object stands for. */
  seeds?(deps: Deps<I, S>): Iterable<string>;
  /** Called once when the informers are in step; what it returns is called at the end. */
  setup?(deps: Deps<I, S>): void | (() => void | Promise<void>);
  reconcile(key: string, deps: Deps<I, S>): Promise<Result | void>;
}

/** A controller of any type, for lists of them. */
export type AnyController = Controller<Inputs, unknown>;

/** Checks the parts against each other by type. */
export function defineController<I extends Inputs, S = undefined>(controller: Controller<I, S>): AnyController {
  return controller as unknown as AnyController;
}

export interface RunOptions {
  factory: InformerFactory;
  client: Client;
  clock: Clock;
  ids: Ids;
  rand: Rand;
  logger: Logger;
  recorder: EventRecorder;
  options: ControllerOptions;
  metrics?: WorkQueueMetrics;
}

export interface RunningController {
  readonly queue: WorkQueue;
  stop(): Promise<void>;
}

/** A server that does not serve a resource keeps its controller from starting: that is worth a line. */
const LATE_MS = 30_000;
/** What the caches don't show yet is looked at again after this long, should no event have come for it. */
const UNSEEN_MS = 5_000;

/** Starts a controller: its informers, then, when they are in step, its queue. */
export async function runController(
  controller: AnyController,
  run: RunOptions,
  signal: AbortSignal,
): Promise<RunningController> {
  const { factory, clock, options } = run;
  const logger = run.logger.with({ controller: controller.name });
  const informers: Record<string, Informer<object>> = {};
  for (const [name, resource] of Object.entries(controller.inputs)) informers[name] = factory.informer(resource);
  const queue = createWorkQueue({
    clock,
    logger,
    name: controller.name,
    workers: controller.workers?.(options) ?? 5,
    maxDelayMs: controller.slowest?.(options),
    metrics: run.metrics,
    process: (key) => controller.reconcile(key, deps),
  });
  const base: Omit<Deps, 'state'> = {
    informers,
    client: run.client,
    clock,
    ids: run.ids,
    rand: run.rand,
    logger,
    recorder: run.recorder,
    expectations: createExpectations((key) => queue.addAfter(key, UNSEEN_MS)),
    options,
    factory,
    enqueue: (key) => queue.add(key),
    enqueueAfter: (key, ms) => queue.addAfter(key, ms),
  };
  const deps: Deps = { ...base, state: controller.state?.(base) };
  const detach: (() => void)[] = [];
  for (const [name, how] of Object.entries(controller.triggers)) {
    if (how) detach.push(attach(informers[name]!, how, deps));
  }
  const late = clock.after(
    LATE_MS,
    () => {
      const missing = Object.entries(informers).flatMap(([name, i]) => (i.hasSynced ? [] : [name]));
      logger.warn('the controller still waits for its first lists', { missing });
    },
    { background: true },
  );
  await Promise.all(Object.values(informers).map((i) => i.synced(signal))).finally(() => late.cancel());
  const cleanup = controller.setup?.(deps);
  for (const key of controller.seeds?.(deps) ?? []) queue.add(key);
  queue.start();
  return {
    queue,
    async stop() {
      for (const d of detach) d();
      await queue.stop();
      if (cleanup) await cleanup();
    },
  };
}

/** Calls `enqueue` for the keys that events of the informer concern; returns what ends that. */
function attach(
  informer: Informer<object>,
  how: 'self' | Keys<object, Deps> | Trigger<object, Deps>,
  deps: Deps,
): () => void {
  const trigger: Trigger<object, Deps> = typeof how === 'object' ? how : { keys: how };
  const { keys } = trigger;
  const add = (object: DeepReadonly<object>, other?: DeepReadonly<object>) => {
    const delay = trigger.delayMs?.(deps) ?? 0;
    if (keys === 'self') deps.enqueueAfter(keyOf(object as KubeObject), delay);
    else for (const key of keys(object, deps, other)) deps.enqueueAfter(key, delay);
  };
  const handlers = {
    added: (object: DeepReadonly<object>) => (trigger.ignoreAdded ? undefined : add(object)),
    updated(now: DeepReadonly<object>, before: DeepReadonly<object>) {
      if (trigger.when && !trigger.when(now, before, deps)) return;
      add(now, before);
      if (keys !== 'self') add(before, now);
    },
    deleted: (object: DeepReadonly<object>) => add(object),
  };
  informer.on(handlers);
  return () => informer.off(handlers);
}
