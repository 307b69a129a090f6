/** When the node is short of something: thresholds of the configuration against what is measured. Pure. */
import { parseDuration, type KubeletConfiguration } from '../config.ts';
import { threshold } from '../node/status.ts';

export type Signal =
  | 'memory.available'
  | 'nodefs.available'
  | 'nodefs.inodesFree'
  | 'imagefs.available'
  | 'imagefs.inodesFree'
  | 'pid.available';

/** What is measured per signal; absent where it can't be. */
export type Observations = Partial<Record<Signal, { available: number; capacity: number }>>;

export interface Met {
  signal: Signal;
  /** What must be left, and what is. */
  limit: number;
  available: number;
  /** Seconds that pods get to end; undefined: they are killed at once. */
  graceSeconds: number | undefined;
}

export type Condition = 'memory' | 'disk' | 'pid';
export const CONDITION: Record<Signal, Condition> = {
  'memory.available': 'memory',
  'nodefs.available': 'disk',
  'nodefs.inodesFree': 'disk',
  'imagefs.available': 'disk',
  'imagefs.inodesFree': 'disk',
  'pid.available': 'pid',
};

/** The order in which what is short is seen to: memory is what kills a node. */
const ORDER: Signal[] = Object.keys(CONDITION) as Signal[];

/** Remembers since when soft thresholds are crossed. */
export interface ThresholdTracker {
  /** All thresholds that are crossed now, and those that call for an eviction (soft ones after their grace period). `at` in milliseconds. */
  observe(now: Observations, at: number): { crossed: Met[]; due: Met[] };
}

export function trackThresholds(
  config: Pick<
    KubeletConfiguration,
    'evictionHard' | 'evictionSoft' | 'evictionSoftGracePeriod' | 'evictionMaxPodGracePeriod' | 'evictionMinimumReclaim'
  >,
): ThresholdTracker {
  const since = new Map<Signal, number>();
  /** Signals whose eviction has begun: it goes on until the minimum is reclaimed, too. */
  const begun = new Set<string>();
  return {
    observe(now, at) {
      const crossed: Met[] = [];
      const due: Met[] = [];
      for (const signal of ORDER) {
        const seen = now[signal];
        if (!seen) continue;
        for (const soft of [false, true]) {
          const value = (soft ? config.evictionSoft : config.evictionHard)[signal];
          if (!value) continue;
          const key = `${signal}/${soft}`;
          const reclaim = begun.has(key)
            ? threshold((config.evictionMinimumReclaim as Record<string, string> | undefined)?.[signal], seen.capacity)
            : 0;
          const limit = threshold(value, seen.capacity);
          if (seen.available >= limit + reclaim) {
            begun.delete(key);
            if (soft) since.delete(signal);
            continue;
          }
          const met: Met = {
            signal,
            limit,
            available: seen.available,
            graceSeconds: soft ? config.evictionMaxPodGracePeriod : undefined,
          };
          crossed.push(met);
          if (soft) {
            const began = since.get(signal) ?? at;
            since.set(signal, began);
            const grace = config.evictionSoftGracePeriod[signal];
            if (at - began < (grace ? parseDuration(grace) : 0)) continue;
          }
          begun.add(key);
          due.push(met);
        }
      }
      return { crossed, due };
    },
  };
}
