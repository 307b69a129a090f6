/**
 * Pods that wait: those ready to be tried, those that failed a moment ago, those that wait for something to change.
 * What changed is told as events; each plugin that turned a pod away says whether the event may help it (KEP-4247).
 */
import type { Clock, Timer } from '../../base/clock.ts';
import { Action, type ClusterEvent, type Failure, type Queued } from '../core/framework.ts';
import type { PodInfo } from '../core/pod-info.ts';
import { Heap } from './heap.ts';
import { Hopes, type QueueProfile, type Verdict } from './hopes.ts';
import { Nominator } from './nominator.ts';

export interface QueuedPod extends Queued {
  info: PodInfo;
  timestamp: number;
  /** When it was first seen, in monotonic milliseconds as all its times. */
  readonly addedAt: number;
  attempts: number;
  /** How often in all it fitted nowhere, and how often in a row something else failed: each makes it wait longer. */
  unschedulableCount: number;
  errorCount: number;
  failedByError: boolean;
  plugins: ReadonlySet<string>;
  pendingPlugins: ReadonlySet<string>;
  /** Set while a PreEnqueue plugin holds it back. */
  gate: Failure | undefined;
}

export interface QueueOptions {
  readonly clock: Clock;
  readonly profiles: ReadonlyMap<string, QueueProfile>;
  less(a: Queued, b: Queued): boolean;
  /** Defaults to 1 s and 10 s. */
  readonly initialBackoffMs?: number;
  readonly maxBackoffMs?: number;
  /** Called when a pod became ready. */
  onReady(): void;
  /** A pod came in, by what event and where to. */
  onIncoming?(queue: 'active' | 'backoff' | 'unschedulable', event: string): void;
}

interface HeldEvent {
  readonly event: ClusterEvent;
  readonly before: unknown;
  readonly after: unknown;
}
/** How long a pod may wait for an event before it is tried anyway. */
const MAX_UNSCHEDULABLE_MS = 5 * 60_000;
const NOBODY: ReadonlySet<string> = new Set();
/** What was kept free for a pod is as free as if it had run there and gone. */
const PROMISE_ENDED: ClusterEvent = { resource: 'Pod', action: Action.Delete, label: 'AssignedPodDelete' };

export class SchedulingQueue {
  private readonly options: QueueOptions;
  private readonly active: Heap<QueuedPod>;
  private readonly backoff: Heap<QueuedPod>;
  private readonly unschedulable = new Map<string, QueuedPod>();
  private readonly byUid = new Map<string, QueuedPod>();
  /** Pods being tried, oldest first, and the number of the first event that each has missed. */
  private readonly inFlight = new Map<string, number>();
  private events: HeldEvent[] = [];
  private firstEvent = 0;
  private readonly hopes: Hopes;
  private timer: { at: number; timer: Timer } | undefined;
  private flusher: Timer | undefined;
  readonly nominator = new Nominator();

  constructor(options: QueueOptions) {
    this.options = options;
    this.active = new Heap((a, b) => options.less(a, b));
    this.backoff = new Heap((a, b) => this.readyAt(a) < this.readyAt(b));
    this.hopes = new Hopes(options.profiles);
  }

  /** Begins to look after pods that no event ever woke. */
  start(): void {
    this.flusher ??= this.options.clock.every(30_000, () => this.flushLeftovers(), { background: true });
    this.arm();
  }
  /** No timer wakes a pod until it is started again. */
  stop(): void {
    this.flusher?.cancel();
    this.flusher = undefined;
    this.timer?.timer.cancel();
    this.timer = undefined;
  }

  get sizes(): { active: number; backoff: number; unschedulable: number; gated: number } {
    let gated = 0;
    for (const q of this.unschedulable.values()) if (q.gate) gated++;
    const { active, backoff, unschedulable } = this;
    return { active: active.size, backoff: backoff.size, unschedulable: unschedulable.size - gated, gated };
  }
  /** Each plugin that turned away a pod which waits now. */
  *blamed(): Iterable<{ plugin: string; profile: string }> {
    for (const q of this.byUid.values())
      if (!this.inFlight.has(q.info.uid))
        for (const plugin of q.plugins) yield { plugin, profile: q.info.schedulerName };
  }
  /** Labels of the events that pods being tried have missed. */
  *heldEvents(): Iterable<string> {
    for (const { event } of this.events) yield event.label;
  }
  get(uid: string): QueuedPod | undefined {
    return this.byUid.get(uid);
  }
  isInFlight(uid: string): boolean {
    return this.inFlight.has(uid);
  }

  /** A new pod. */
  add(info: PodInfo): void {
    if (this.byUid.has(info.uid)) return this.update(info);
    const now = this.now();
    const pod: QueuedPod = {
      info,
      timestamp: now,
      addedAt: now,
      attempts: 0,
      unschedulableCount: 0,
      errorCount: 0,
      failedByError: false,
      plugins: NOBODY,
      pendingPlugins: NOBODY,
      gate: undefined,
    };
    this.byUid.set(info.uid, pod);
    const nominated = info.pod.status?.nominatedNodeName;
    if (nominated) this.nominator.set(info, nominated);
    this.activate(pod, 'PodAdd');
  }

  /** The pod's object has changed; `events` say how, as far as plugins may care. */
  update(info: PodInfo, events: readonly ClusterEvent[] = [], before?: PodInfo): void {
    const pod = this.byUid.get(info.uid);
    if (!pod) return this.add(info);
    const old = before ?? pod.info;
    if (this.inFlight.has(info.uid)) {
      // Its attempt goes on with the old object; what has changed counts when it comes back.
      for (const event of events) this.events.push({ event, before: old, after: info });
      pod.info = info;
      this.nominator.update(info);
      return;
    }
    pod.info = info;
    const promised = this.nominator.nodeOf(info.uid);
    const told = info.pod.status?.nominatedNodeName ?? '';
    // Others change or take back what they had told; what was decided here and isn't told yet stands.
    const wasTold = old.pod.status?.nominatedNodeName;
    if (promised === undefined ? told !== '' : promised === wasTold && promised !== told) this.nominate(info, told);
    else this.nominator.update(info);
    if (this.active.has(pod)) return this.active.fix(pod);
    if (this.backoff.has(pod)) return;
    if (pod.gate) {
      this.activate(pod, 'PodUpdate');
      return;
    }
    for (const event of events) {
      const verdict = this.hopes.judge(pod, event, old, info);
      if (verdict === 'skip') continue;
      this.unschedulable.delete(info.uid);
      this.requeue(pod, verdict, event.label);
      return;
    }
  }

  delete(uid: string): void {
    const pod = this.byUid.get(uid);
    this.nominator.delete(uid);
    if (!pod) return;
    this.byUid.delete(uid);
    this.active.delete(pod);
    this.backoff.delete(pod);
    this.unschedulable.delete(uid);
  }

  /** The next pod to try; the caller must end the attempt with `done` or `addUnschedulable`. */
  pop(): QueuedPod | undefined {
    let pod = this.active.pop();
    if (!pod) {
      // Nobody else wants the time: those that wait out a back-off may as well be tried (KEP-5142). Errors wait.
      const early = this.backoff.peek();
      if (!early || early.failedByError) return undefined;
      this.backoff.delete(early);
      pod = early;
    }
    pod.attempts++;
    this.inFlight.set(pod.info.uid, this.firstEvent + this.events.length);
    return pod;
  }
  get hasReady(): boolean {
    if (this.active.size > 0) return true;
    const early = this.backoff.peek();
    return early !== undefined && !early.failedByError;
  }

  /** The attempt is over and the pod need not come back (it was bound, or is gone). */
  done(uid: string): void {
    this.endFlight(uid);
    const pod = this.byUid.get(uid);
    if (pod && !this.active.has(pod) && !this.backoff.has(pod) && !this.unschedulable.has(uid)) this.byUid.delete(uid);
  }

  /** The attempt failed. `plugins` turned the pod away; none of them means an error. */
  addUnschedulable(
    pod: QueuedPod,
    why: { plugins: ReadonlySet<string>; pendingPlugins: ReadonlySet<string>; error: boolean },
  ): void {
    const { uid } = pod.info;
    const since = this.inFlight.get(uid);
    const missed = since === undefined ? [] : this.events.slice(Math.max(since - this.firstEvent, 0));
    this.endFlight(uid);
    if (this.byUid.get(uid) !== pod) return;
    pod.timestamp = this.now();
    pod.plugins = why.plugins;
    pod.pendingPlugins = why.pendingPlugins;
    pod.failedByError = why.error;
    if (why.error) pod.errorCount++;
    else {
      pod.unschedulableCount++;
      pod.errorCount = 0;
    }
    if (why.error || (why.plugins.size === 0 && why.pendingPlugins.size === 0))
      return this.requeue(pod, 'backoff', 'ScheduleAttemptFailure');
    let verdict: Verdict = 'skip';
    let label = 'ScheduleAttemptFailure';
    for (const { event, before, after } of missed) {
      const v = this.hopes.judge(pod, event, before, after);
      if (v === 'skip') continue;
      verdict = v;
      label = event.label;
      if (v === 'now') break;
    }
    if (verdict === 'skip') {
      this.unschedulable.set(uid, pod);
      this.options.onIncoming?.('unschedulable', label);
    } else this.requeue(pod, verdict, label);
  }

  /** Something changed: wakes the pods that it may help. */
  move(event: ClusterEvent, before?: unknown, after?: unknown): void {
    if (!this.hopes.concern(event)) return;
    if (this.inFlight.size > 0) this.events.push({ event, before, after });
    if (this.unschedulable.size === 0) return;
    const woken: { pod: QueuedPod; verdict: Verdict }[] = [];
    for (const pod of this.unschedulable.values()) {
      const verdict = this.hopes.judge(pod, event, before, after);
      if (verdict !== 'skip') woken.push({ pod, verdict });
    }
    for (const { pod, verdict } of woken) {
      // What held it back may be gone: it is asked again.
      if (pod.gate) this.activate(pod, event.label, false);
      else {
        this.unschedulable.delete(pod.info.uid);
        this.requeue(pod, verdict, event.label, false);
      }
    }
    if (woken.length > 0 && this.hasReady) this.options.onReady();
  }

  /**
   * Promises a node to a pod, or takes its promise back (with an empty name, or because it has one: `placed`). Pods that
   * were kept off the node by the promise are tried again, unless it is the node where the pod is now.
   */
  nominate(info: PodInfo, nodeName: string, placed = ''): void {
    const before = this.nominator.nodeOf(info.uid);
    if (before === undefined && nodeName === '') return;
    this.nominator.set(info, nodeName);
    if (before !== undefined && before !== nodeName && before !== placed) this.move(PROMISE_ENDED, info, undefined);
  }

  /** Tries these pods at once, whatever they wait for. */
  activateNow(uids: Iterable<string>): void {
    for (const uid of uids) {
      const pod = this.unschedulable.get(uid);
      if (!pod || pod.gate) continue;
      this.unschedulable.delete(uid);
      this.activate(pod, 'ForceActivate');
    }
  }

  private endFlight(uid: string): void {
    if (!this.inFlight.delete(uid)) return;
    // Pods fly in the order in which they left, so the first one has missed the most.
    const oldest: number | undefined = this.inFlight.values().next().value;
    const end = this.firstEvent + this.events.length;
    const keep = oldest ?? end;
    if (keep === end) {
      this.events = [];
      this.firstEvent = end;
    } else if (keep - this.firstEvent > 1024) {
      this.events = this.events.slice(keep - this.firstEvent);
      this.firstEvent = keep;
    }
  }

  /** Not wall time: pods must not wait longer because somebody sets the clock. */
  private now(): number {
    return this.options.clock.monotonic();
  }

  private readyAt(pod: QueuedPod): number {
    const count = pod.failedByError ? pod.errorCount : pod.unschedulableCount;
    if (count === 0) return pod.timestamp;
    const first = this.options.initialBackoffMs ?? 1000;
    const most = this.options.maxBackoffMs ?? 10_000;
    return pod.timestamp + Math.min(first * 2 ** Math.min(count - 1, 30), most);
  }

  private requeue(pod: QueuedPod, verdict: Verdict, label: string, notify = true): void {
    if (verdict === 'now' || this.readyAt(pod) <= this.now()) return this.activate(pod, label, notify);
    this.backoff.push(pod);
    this.options.onIncoming?.('backoff', label);
    this.arm();
    if (notify && this.hasReady) this.options.onReady();
  }

  private activate(pod: QueuedPod, label: string, notify = true): void {
    for (const p of this.options.profiles.get(pod.info.schedulerName)?.preEnqueue ?? []) {
      const f = p.preEnqueue!(pod.info);
      if (!f) continue;
      pod.gate = f;
      pod.plugins = new Set([f.plugin]);
      if (!this.unschedulable.has(pod.info.uid)) this.options.onIncoming?.('unschedulable', label);
      this.unschedulable.set(pod.info.uid, pod);
      return;
    }
    if (pod.gate) {
      pod.gate = undefined;
      pod.timestamp = this.now();
    }
    this.unschedulable.delete(pod.info.uid);
    this.active.push(pod);
    this.options.onIncoming?.('active', label);
    if (notify) this.options.onReady();
  }

  /** Sets the alarm for the first pod whose back-off ends. */
  private arm(): void {
    const first = this.backoff.peek();
    if (!first) return;
    const at = this.readyAt(first);
    if (this.timer && this.timer.at <= at) return;
    this.timer?.timer.cancel();
    const { clock } = this.options;
    const timer = clock.after(Math.max(at - this.now(), 1), () => this.endBackoffs(), { background: true });
    this.timer = { at, timer };
  }
  private endBackoffs(): void {
    this.timer = undefined;
    const now = this.now();
    for (let p = this.backoff.peek(); p && this.readyAt(p) <= now; p = this.backoff.peek()) {
      this.backoff.delete(p);
      this.activate(p, 'BackoffComplete', false);
    }
    this.arm();
    if (this.hasReady) this.options.onReady();
  }
  private flushLeftovers(): void {
    const limit = this.now() - MAX_UNSCHEDULABLE_MS;
    for (const pod of this.unschedulable.values())
      if (!pod.gate && pod.timestamp < limit) {
        this.unschedulable.delete(pod.info.uid);
        this.requeue(pod, 'backoff', 'UnschedulableTimeout');
      }
  }
}
