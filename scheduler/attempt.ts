/** One pod's way from the queue to its node: decide, assume, reserve, permit, and bind without holding up the others. */
import type { Clock, Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { hasCode } from '../api/status.ts';
import type { DeepReadonly, Pod } from '../api/types.ts';
import type { ApiCalls } from './api-calls.ts';
import type { Cache } from './core/cache.ts';
import { choose, findFeasible, newCycle, type Candidates, type PointTimes, type SearchPosition } from './core/cycle.ts';
import { blame, describe, newDiagnosis, type Diagnosis } from './core/diagnosis.ts';
import { Action, type Cycle, type Failure } from './core/framework.ts';
import type { NodeInfo } from './core/node-info.ts';
import type { PodInfo } from './core/pod-info.ts';
import { EXTENDER, filterByExtenders, scoreByExtenders, type Extender } from './extender.ts';
import type { Recorder } from './events.ts';
import type { Explanations } from './explain.ts';
import { measureProfile } from './measure.ts';
import type { Metrics } from './metrics.ts';
import type { Profile } from './profile.ts';
import type { QueuedPod, SchedulingQueue } from './queue/queue.ts';

export interface AttemptDeps {
  clock: Clock;
  rand: Rand;
  logger: Logger;
  cache: Cache;
  queue: SchedulingQueue;
  profiles: ReadonlyMap<string, Profile>;
  api: ApiCalls;
  recorder: Recorder;
  metrics: Metrics;
  explanations: Explanations;
  /** The pod as the API last showed it. */
  current(info: PodInfo): DeepReadonly<Pod> | undefined;
  /** Programs outside that are asked as well. */
  extenders: readonly Extender[];
  /** Defaults to 0: adapts to the number of nodes. */
  percentageOfNodesToScore?: number;
}

interface WaitingPod {
  answer(f: Failure | undefined): void;
}

/** One attempt of so many has its plugins timed. */
const SAMPLE = 10;
const SKIPPED: Diagnosis = newDiagnosis(0);

/** An attempt ended without a node: what the pod, its event and the queue are told. */
interface Outcome {
  diagnosis: Diagnosis;
  message: string;
  error: boolean;
  nominatedNodeName?: string;
}

export class Attempts {
  private readonly d: AttemptDeps;
  private readonly position: SearchPosition = { index: 0 };
  private readonly waiting = new Map<string, WaitingPod>();
  /** Pods between their decision and the end of their binding, but for those that wait for something else. */
  binding = 0;
  /** Called when a binding has ended. */
  onBindingEnd: () => void = () => {};

  /** The profiles as attempts take them, by scheduler name: one of `SAMPLE` is timed plugin by plugin. */
  private readonly shapes = new Map<string, { plain: Profile; timed: Profile; times: PointTimes }>();
  private count = 0;

  constructor(deps: AttemptDeps) {
    this.d = deps;
    const { clock, metrics } = deps;
    for (const [name, plain] of deps.profiles)
      this.shapes.set(name, {
        plain,
        timed: measureProfile(plain, metrics, clock),
        times: {
          begin: () => clock.monotonic(),
          end: (point, began, status) => metrics.point(name, point, status, (clock.monotonic() - began) / 1000),
        },
      });
  }

  private times(profile: Profile): PointTimes {
    return this.shapes.get(profile.schedulerName)!.times;
  }

  /** Undefined when the decision fell at once; otherwise the next attempt must wait for it. */
  run(queued: QueuedPod): Promise<void> | undefined {
    const { cache, queue, clock } = this.d;
    const { info } = queued;
    const { plain, timed, times } = this.shapes.get(info.schedulerName)!;
    const profile = this.count++ % SAMPLE === 0 ? timed : plain;
    if (info.isTerminating || cache.has(info.uid)) {
      queue.done(info.uid);
      return undefined;
    }
    const began = clock.monotonic();
    const cycle = newCycle(info, cache);
    try {
      if (cache.nodes.length === 0) {
        void this.fail(queued, profile, began, {
          diagnosis: SKIPPED,
          message: 'no nodes available to schedule pods',
          error: false,
        });
        return undefined;
      }
      const candidates = findFeasible(cycle, profile, this.position, {
        rand: this.d.rand,
        percentageOfNodesToScore: profile.percentageOfNodesToScore ?? this.d.percentageOfNodesToScore,
        nominations: queue.nominator,
        times,
      });
      if (candidates.feasible.length === 0) return this.makeRoom(queued, profile, candidates, began);
      if (this.d.extenders.some((e) => e.isInterested(info)))
        return this.extend(queued, profile, candidates, began).catch((error: unknown) =>
          this.broken(queued, profile, began, error),
        );
      this.settle(queued, profile, candidates, began);
    } catch (error) {
      this.broken(queued, profile, began, error);
    }
    return undefined;
  }

  private settle(
    queued: QueuedPod,
    profile: Profile,
    candidates: Candidates,
    began: number,
    extra?: ReadonlyMap<string, number>,
  ): void {
    const node = choose(candidates, profile, this.d.rand, extra, this.times(profile));
    this.d.metrics.algorithm((this.d.clock.monotonic() - began) / 1000);
    this.place(queued, profile, candidates.cycle, node, began);
  }

  private broken(queued: QueuedPod, profile: Profile, began: number, error: unknown): void {
    this.d.logger.error('scheduling failed', { pod: queued.info.key, error });
    void this.fail(queued, profile, began, {
      diagnosis: SKIPPED,
      message: (error as Error).message,
      error: true,
    });
  }

  /** What extenders leave of the feasible nodes, and what they think of them. Nodes may go while they are asked. */
  private async extend(queued: QueuedPod, profile: Profile, candidates: Candidates, began: number): Promise<void> {
    const { cache, extenders } = this.d;
    const { info } = queued;
    const { nodes, failures } = await filterByExtenders(extenders, info, candidates.feasible);
    const { diagnosis } = candidates;
    for (const [name, f] of failures) diagnosis.failures.set(name, f);
    if (nodes.length < candidates.feasible.length) diagnosis.plugins.add(EXTENDER);
    const extra = nodes.length > 1 ? await scoreByExtenders(extenders, info, nodes) : undefined;
    const left = nodes.filter((n) => cache.get(n.name) === n);
    const rest: Candidates = { ...candidates, feasible: left };
    if (left.length === 0) return this.makeRoom(queued, profile, rest, began);
    this.settle(queued, profile, rest, began, extra);
  }

  /** PostFilter: nothing fits; perhaps something can be done about it. */
  private makeRoom(
    queued: QueuedPod,
    profile: Profile,
    candidates: Candidates,
    began: number,
  ): Promise<void> | undefined {
    const { diagnosis, cycle, filters } = candidates;
    let later: Promise<void> | undefined;
    let nominatedNodeName: string | undefined;
    const finish = () =>
      void this.fail(queued, profile, began, {
        diagnosis,
        message: describe(diagnosis),
        error: false,
        nominatedNodeName,
      });
    const times = this.times(profile);
    const steps = async (): Promise<void> => {
      const messages: string[] = [];
      const at = times.begin();
      for (const p of profile.postFilter) {
        const result = await p.postFilter!(cycle, {
          failures: diagnosis.failures,
          absent: diagnosis.absent,
          filters: () => filters?.clone(),
        });
        if (result?.message) messages.push(result.message);
        if (result?.nominatedNodeName !== undefined) {
          nominatedNodeName = result.nominatedNodeName;
          if (nominatedNodeName !== '') break;
        }
        if (result?.final) break;
      }
      times.end('PostFilter', at, nominatedNodeName ? 'Success' : 'Unschedulable');
      // Having found a way, nobody speaks of the ways that were none.
      diagnosis.postFilterMessage = nominatedNodeName ? '' : messages.join(', ');
    };
    if (profile.postFilter.length > 0)
      later = steps().then(finish, (error: unknown) => {
        this.d.logger.error('PostFilter failed', { pod: queued.info.key, error });
        finish();
      });
    else finish();
    return later;
  }

  private place(queued: QueuedPod, profile: Profile, cycle: Cycle, node: NodeInfo, began: number): void {
    const { info } = queued;
    this.d.cache.assume(info, node.name);
    // From now on it counts as being there; counting the promise as well would keep others away.
    this.d.queue.nominate(info, '', node.name);
    const undo = () => {
      for (const p of profile.reserve) p.unreserve?.(cycle, node.name);
      this.d.cache.forget(info);
    };
    const refuse = (f: Failure) => {
      undo();
      const diagnosis = newDiagnosis(this.d.cache.nodes.length);
      diagnosis.failures.set(node.name, f);
      blame(diagnosis, f);
      void this.fail(queued, profile, began, {
        diagnosis,
        message: f.code === 'Error' ? f.reasons.join(', ') : describe(diagnosis),
        error: f.code === 'Error',
        nominatedNodeName: '',
      });
    };
    const times = this.times(profile);
    let at = times.begin();
    for (const p of profile.reserve) {
      const f = p.reserve!(cycle, node);
      if (!f) continue;
      times.end('Reserve', at, f.code);
      return refuse(f);
    }
    times.end('Reserve', at, 'Success');
    at = times.begin();
    const waits: { plugin: string; ms: number }[] = [];
    for (const p of profile.permit) {
      const answer = p.permit!(cycle, node.name);
      if (typeof answer === 'number') waits.push({ plugin: p.name, ms: answer });
      else if (answer) {
        times.end('Permit', at, answer.code);
        return refuse(answer);
      }
    }
    times.end('Permit', at, waits.length > 0 ? 'Wait' : 'Success');
    this.binding++;
    const rest = this.bind(queued, profile, cycle, node.name, waits, began);
    void rest
      .then((f) => {
        if (f) {
          undo();
          // What was counted for it is free again.
          this.d.queue.move({ resource: 'Pod', action: Action.Delete, label: 'AssignedPodDelete' }, info, undefined);
          const diagnosis = newDiagnosis(this.d.cache.nodes.length);
          diagnosis.failures.set(node.name, f);
          blame(diagnosis, f);
          return this.fail(queued, profile, began, {
            diagnosis,
            message: f.code === 'Error' ? f.reasons.join(', ') : describe(diagnosis),
            error: f.code === 'Error',
            nominatedNodeName: '',
          });
        }
        return undefined;
      })
      .catch((error: unknown) => this.d.logger.error('could not finish a binding', { pod: info.key, error }))
      .finally(() => {
        this.binding--;
        this.onBindingEnd();
      });
  }

  /** The asynchronous half; resolves with a failure when the pod must come back. */
  private async bind(
    queued: QueuedPod,
    profile: Profile,
    cycle: Cycle,
    nodeName: string,
    waits: readonly { plugin: string; ms: number }[],
    began: number,
  ): Promise<Failure | undefined> {
    const { clock, queue, metrics, recorder, logger } = this.d;
    const { info } = queued;
    if (waits.length > 0) {
      await this.announce(info, nodeName);
      const asked = clock.monotonic();
      const f = await this.aside(this.permission(info, waits));
      metrics.permitted(f?.code ?? 'Success', (clock.monotonic() - asked) / 1000);
      if (f) return f;
    }
    const times = this.times(profile);
    let point = 'PreBind';
    let at = times.begin();
    let plugin = '';
    try {
      for (const p of profile.preBind) {
        plugin = p.name;
        const work = p.preBind!(cycle, nodeName);
        if (!work) continue;
        // The work has begun; whatever becomes of the announcement must not leave it unheard.
        const [f] = await this.aside(Promise.all([work, this.announce(info, nodeName)]));
        if (!f) continue;
        times.end(point, at, f.code);
        return f;
      }
      times.end(point, at, 'Success');
      point = 'Bind';
      at = times.begin();
      const binder = this.d.extenders.find((e) => e.config.bindVerb && e.isInterested(info));
      if (binder) await binder.bind(info, nodeName);
      for (const p of binder ? [] : profile.bind) {
        plugin = p.name;
        if (await p.bind!(cycle, nodeName)) break;
      }
      times.end(point, at, 'Success');
    } catch (error) {
      times.end(point, at, 'Error');
      // Gone or bound by somebody else: not worth a line in the log.
      const expected = hasCode(error, 404, 409);
      logger[expected ? 'debug' : 'error']('binding failed', { pod: info.key, node: nodeName, error });
      return { code: 'Error', plugin, reasons: [`binding rejected: ${(error as Error).message}`] };
    }
    queue.done(info.uid);
    this.d.explanations.forget(info.uid);
    const now = clock.monotonic();
    metrics.attempt('scheduled', profile.schedulerName, (now - began) / 1000);
    metrics.bound((now - queued.addedAt) / 1000, queued.attempts);
    recorder.event(
      profile.schedulerName,
      info.pod,
      'Normal',
      'Scheduled',
      'Binding',
      `Successfully assigned ${info.key} to ${nodeName}`,
    );
    at = times.begin();
    for (const p of profile.postBind) p.postBind!(cycle, nodeName);
    times.end('PostBind', at, 'Success');
    return undefined;
  }

  /** What takes a while until it is bound tells others already where it will go (KEP-5278). */
  private async announce(info: PodInfo, nodeName: string): Promise<void> {
    const pod = this.d.current(info);
    if (!pod || pod.metadata!.uid !== info.uid || pod.status?.nominatedNodeName === nodeName) return;
    try {
      await this.d.api.patchStatus(pod, { nominatedNodeName: nodeName });
    } catch (error) {
      this.d.logger.debug('could not announce a node', { pod: info.key, node: nodeName, error });
    }
  }

  /** A long wait (for consent, for volumes) must not count against the bindings that may be under way. */
  private async aside<T>(wait: Promise<T>): Promise<T> {
    this.binding--;
    this.onBindingEnd();
    try {
      return await wait;
    } finally {
      this.binding++;
    }
  }

  private permission(info: PodInfo, waits: readonly { plugin: string; ms: number }[]): Promise<Failure | undefined> {
    return new Promise((resolve) => {
      const first = waits.reduce((a, b) => (b.ms < a.ms ? b : a));
      const timer = this.d.clock.after(first.ms, () =>
        answer({
          code: 'Unschedulable',
          plugin: first.plugin,
          reasons: [`rejected due to timeout after waiting ${first.ms / 1000}s at plugin ${first.plugin}`],
        }),
      );
      const answer = (f: Failure | undefined) => {
        timer.cancel();
        this.waiting.delete(info.uid);
        resolve(f);
      };
      this.waiting.set(info.uid, { answer });
    });
  }
  /** Ends a pod's wait for permission: consent, or a refusal. */
  allow(uid: string, refusal?: Failure): void {
    this.waiting.get(uid)?.answer(refusal);
  }

  /** Puts the pod back, remembers why, and says so in an event and in its condition. */
  private async fail(queued: QueuedPod, profile: Profile, began: number, outcome: Outcome): Promise<void> {
    const { clock, queue, metrics, recorder, api, logger, explanations } = this.d;
    const { info } = queued;
    const { diagnosis, message, error } = outcome;
    const reason = error ? 'SchedulerError' : 'Unschedulable';
    metrics.attempt(error ? 'error' : 'unschedulable', profile.schedulerName, (clock.monotonic() - began) / 1000);
    explanations.remember(info, message, diagnosis, clock.now());
    const pod = this.d.current(info);
    if (!pod || pod.metadata!.uid !== info.uid || pod.spec!.nodeName) {
      // Gone, or placed after all: nothing to come back for.
      queue.done(info.uid);
      return;
    }
    // No nodes at all: any event is worth a try.
    queue.addUnschedulable(queued, {
      plugins: diagnosis === SKIPPED && !error ? NO_NODES : diagnosis.plugins,
      pendingPlugins: diagnosis.pendingPlugins,
      error,
    });
    if (outcome.nominatedNodeName !== undefined) queue.nominate(queued.info, outcome.nominatedNodeName);
    recorder.event(profile.schedulerName, pod, 'Warning', 'FailedScheduling', 'Scheduling', message);
    try {
      await api.patchStatus(pod, {
        condition: { type: 'PodScheduled', status: 'False', reason, message },
        nominatedNodeName: outcome.nominatedNodeName,
      });
    } catch (e) {
      logger.warn("could not write a pod's condition", { pod: info.key, error: e });
    }
  }
}

/** A pod that saw no node waits for one. */
const NO_NODES: ReadonlySet<string> = new Set(['NodeName']);
