/** What plugins hope for: whether something that happened may help a pod that they turned away (KEP-4247). */
import type { ClusterEvent, Plugin, Registration } from '../core/framework.ts';
import type { PodInfo } from '../core/pod-info.ts';

/** What the queue needs to know of a profile. */
export interface QueueProfile {
  readonly preEnqueue: readonly Plugin[];
  /** All plugins, for what they say about events. */
  readonly plugins: readonly Plugin[];
}

/** A pod that was turned away, and by whom. */
export interface Rejected {
  readonly info: PodInfo;
  readonly plugins: ReadonlySet<string>;
  readonly pendingPlugins: ReadonlySet<string>;
}

/** No help; help, once the pod's back-off is over; what it waited for, so that it is to be tried at once. */
export type Verdict = 'skip' | 'backoff' | 'now';

/** Knows for all profiles which plugins listen to what. */
export class Hopes {
  /** By profile: what each of its plugins wants to hear of. */
  private readonly registrations: ReadonlyMap<string, readonly { plugin: string; on: Registration }[]>;
  /** What any plugin wants to hear of each resource, once worked out. */
  private readonly wanted = new Map<string, number>();

  constructor(profiles: ReadonlyMap<string, QueueProfile>) {
    const all = new Map<string, { plugin: string; on: Registration }[]>();
    for (const [name, profile] of profiles) {
      const list: { plugin: string; on: Registration }[] = [];
      for (const p of profile.plugins) {
        const anything: readonly Registration[] = [{ resource: '*', actions: -1 }];
        const rejects = p.preEnqueue ?? p.preFilter ?? p.reserve ?? p.permit ?? p.preBind;
        if (rejects) for (const on of p.events ?? anything) list.push({ plugin: p.name, on });
      }
      all.set(name, list);
    }
    this.registrations = all;
  }

  /** Whether any plugin cares for such an event. */
  concern(event: ClusterEvent): boolean {
    if (event.resource === '*') return true;
    let actions = this.wanted.get(event.resource);
    if (actions === undefined) {
      actions = 0;
      for (const list of this.registrations.values())
        for (const { on } of list) if (on.resource === '*' || on.resource === event.resource) actions |= on.actions;
      this.wanted.set(event.resource, actions);
    }
    return (actions & event.action) !== 0;
  }

  /** What the event, which made `after` of `before`, does for a pod. */
  judge(pod: Rejected, event: ClusterEvent, before: unknown, after: unknown): Verdict {
    if (event.resource === 'WaitingPod' && (after as PodInfo | undefined)?.uid !== pod.info.uid) return 'skip';
    if (pod.plugins.size === 0 && pod.pendingPlugins.size === 0) return 'backoff';
    if (event.resource === '*') return 'backoff';
    let verdict: Verdict = 'skip';
    for (const { plugin, on } of this.registrations.get(pod.info.schedulerName) ?? []) {
      const pending = pod.pendingPlugins.has(plugin);
      if (!pending && (verdict !== 'skip' || !pod.plugins.has(plugin))) continue;
      if (!matches(on, event)) continue;
      if (on.hint && !on.hint(pod.info, before, after)) continue;
      if (pending) return 'now';
      verdict = 'backoff';
      if (pod.pendingPlugins.size === 0) break;
    }
    // Extenders can't say what would help.
    if (verdict === 'skip' && pod.plugins.has('Extender')) return 'backoff';
    return verdict;
  }
}

const matches = (on: Registration, event: ClusterEvent) =>
  (on.resource === '*' || on.resource === event.resource) && (on.actions & event.action) !== 0;
