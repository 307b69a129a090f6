/** The arithmetic of rollouts: how large each ReplicaSet shall be. Pure. */
import { scaledValue } from '../lib/numbers.ts';

/** What of a Deployment's spec decides the sizes. */
export interface RolloutSpec {
  replicas: number;
  rolling: boolean;
  maxSurge: number | string | undefined;
  maxUnavailable: number | string | undefined;
}

/** What of a ReplicaSet decides the sizes. */
export interface SetSize {
  readonly name: string;
  /** Wanted pods. */
  readonly replicas: number;
  readonly available: number;
  /** Milliseconds since the epoch. */
  readonly created: number;
  /** The size that the whole Deployment might have had when this set was last scaled (annotation max-replicas). */
  readonly maxReplicas?: number;
}

/** New sizes by the set's name; only those that change. */
export type Sizes = Map<string, number>;

/** maxSurge and maxUnavailable as numbers of pods; never both 0, which would be a standstill. */
export function fenceposts(spec: RolloutSpec): { surge: number; unavailable: number } {
  const surge = scaledValue(spec.maxSurge ?? 0, spec.replicas, true);
  const unavailable = scaledValue(spec.maxUnavailable ?? 0, spec.replicas, false);
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}

/** Pods that may be unavailable; 0 for other strategies than RollingUpdate. */
export function maxUnavailable(spec: RolloutSpec): number {
  return spec.rolling && spec.replicas > 0 ? Math.min(fenceposts(spec).unavailable, spec.replicas) : 0;
}

/** Pods above `replicas` that may exist; 0 for other strategies than RollingUpdate. */
export function maxSurge(spec: RolloutSpec): number {
  return spec.rolling ? fenceposts(spec).surge : 0;
}

const total = (sets: readonly SetSize[]) => sets.reduce((n, s) => n + s.replicas, 0);
/** A set that was made smaller a moment ago still reports the pods that it is about to end. */
const serving = (s: SetSize) => Math.min(s.available, s.replicas);

/** How large the newest set may be now, given `all` sets (the newest among them) and its own size. */
export function newSetSize(spec: RolloutSpec, all: readonly SetSize[], current: number): number {
  if (!spec.rolling || current > spec.replicas) return spec.replicas;
  const room = spec.replicas + scaledValue(spec.maxSurge ?? 0, spec.replicas, true) - total(all);
  return room <= 0 ? current : current + Math.min(room, spec.replicas - current);
}

/**
 * The step that shrinks old sets in a rolling update: first pods that don't serve anyway, then as many healthy
 * ones as maxUnavailable leaves free; oldest sets first.
 */
export function shrinkOldSets(spec: RolloutSpec, newest: SetSize, old: readonly SetSize[]): Sizes {
  const sizes: Sizes = new Map();
  const minAvailable = spec.replicas - maxUnavailable(spec);
  const spare = total(old) + newest.replicas - minAvailable - (newest.replicas - serving(newest));
  if (total(old) === 0 || spare <= 0) return sizes;
  const byAge = old.toSorted((a, b) => a.created - b.created || (a.name < b.name ? -1 : 1));
  const sizeOf = (s: SetSize) => sizes.get(s.name) ?? s.replicas;
  let unhealthy = spare;
  for (const s of byAge) {
    if (unhealthy <= 0) break;
    const n = Math.min(unhealthy, s.replicas - serving(s));
    if (n <= 0) continue;
    sizes.set(s.name, s.replicas - n);
    unhealthy -= n;
  }
  let free = serving(newest) + old.reduce((n, s) => n + serving(s), 0) - minAvailable;
  for (const s of byAge) {
    if (free <= 0) break;
    const n = Math.min(free, sizeOf(s));
    if (n <= 0) continue;
    sizes.set(s.name, sizeOf(s) - n);
    free -= n;
  }
  return sizes;
}

/**
 * The sizes of active sets when the Deployment's own size changed in the middle of a rolling update: each takes
 * its share of the difference, what rounding leaves goes to the largest.
 */
export function proportionalSizes(spec: RolloutSpec, statusReplicas: number, active: readonly SetSize[]): Sizes {
  const allowed = spec.replicas > 0 ? spec.replicas + maxSurge(spec) : 0;
  const toAdd = allowed - total(active);
  const sizes: Sizes = new Map();
  const newerFirst = toAdd > 0;
  const sorted = active.toSorted(
    (a, b) =>
      b.replicas - a.replicas ||
      (newerFirst ? b.created - a.created : a.created - b.created) ||
      (a.name < b.name ? -1 : 1),
  );
  let added = 0;
  for (const s of sorted) {
    const share = toAdd === 0 ? 0 : proportion(spec, statusReplicas, s, toAdd, added);
    sizes.set(s.name, s.replicas + share);
    added += share;
  }
  const largest = sorted[0];
  if (largest && toAdd !== 0) sizes.set(largest.name, Math.max(sizes.get(largest.name)! + toAdd - added, 0));
  return sizes;
}

function proportion(spec: RolloutSpec, statusReplicas: number, s: SetSize, toAdd: number, added: number): number {
  if (s.replicas === 0 || toAdd === added) return 0;
  const left = toAdd - added;
  const share = fraction(spec, statusReplicas, s);
  return toAdd > 0 ? Math.min(share, left) : Math.max(share, left);
}

function fraction(spec: RolloutSpec, statusReplicas: number, s: SetSize): number {
  if (spec.replicas === 0) return -s.replicas;
  const before = s.maxReplicas || statusReplicas;
  if (before === 0) return 0;
  return roundHalfAway((s.replicas * (spec.replicas + maxSurge(spec))) / before) - s.replicas;
}

function roundHalfAway(x: number): number {
  return x < 0 ? -Math.round(-x) : Math.round(x);
}
