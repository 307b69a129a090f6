/** When the change happened that made endpoints change: the annotation that latency is measured with. */
import { createTimestamp, meta } from '../lib/meta.ts';
import { podCondition, type PodView } from '../lib/pods.ts';
import { millis } from '../lib/meta.ts';
import type { ServiceView } from './desired.ts';

export const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

interface Seen {
  service: number;
  pods: Map<string, number>;
}

export class TriggerTimes {
  readonly #seen = new Map<string, Seen>();

  /** The earliest change since the last call for that key, in milliseconds; undefined when there was none. */
  next(key: string, service: ServiceView, pods: readonly PodView[]): number | undefined {
    const before = this.#seen.get(key);
    const now: Seen = { service: createTimestamp(service), pods: new Map() };
    let first: number | undefined;
    const take = (t: number) => {
      if (first === undefined || t < first) first = t;
    };
    for (const pod of pods) {
      const t = millis(podCondition(pod, 'Ready')?.lastTransitionTime);
      if (Number.isNaN(t)) continue;
      now.pods.set(meta(pod).uid, t);
      if (before && t > (before.pods.get(meta(pod).uid) ?? 0)) take(t);
    }
    this.#seen.set(key, now);
    if (!before || now.service > before.service) first = now.service;
    return first;
  }

  forget(key: string): void {
    this.#seen.delete(key);
  }
}
