/** How levels that need seats borrow from those that don't (KEP-1040, "dispatching" with borrowing). */
import type { Observed } from './integrator.ts';

/** How much of the smoothed demand of the last period stays. */
const SMOOTHING = 0.977;

/** What a level is configured to have, in seats. */
export interface SeatLimits {
  readonly nominal: number;
  /** What is left when all that may be lent is lent. */
  readonly min: number;
  /** With all that may be borrowed. */
  readonly max: number;
}

/** The demand of one level, smoothed so that it rises at once and falls slowly. */
export class SeatDemand {
  average = 0;
  deviation = 0;
  highWatermark = 0;
  smoothed = 0;
  update(seen: Observed): void {
    this.highWatermark = seen.max;
    this.average = seen.average;
    this.deviation = seen.deviation;
    const envelope = seen.average + seen.deviation;
    this.smoothed = Math.max(envelope, SMOOTHING * this.smoothed + (1 - SMOOTHING) * envelope);
  }
}

/** Splits `total` shares by weight: each level's seats, its lendable part and what it may borrow. */
export function seatLimits(
  total: number,
  levels: readonly { shares: number; lendablePercent: number; borrowingLimitPercent: number | undefined }[],
): SeatLimits[] {
  const sum = levels.reduce((n, l) => n + l.shares, 0);
  return levels.map((l) => {
    const nominal = sum > 0 ? Math.ceil((total * l.shares) / sum) : 0;
    const lendable = Math.round((nominal * l.lendablePercent) / 100);
    const borrowing =
      l.borrowingLimitPercent === undefined ? total : Math.round((nominal * l.borrowingLimitPercent) / 100);
    return { nominal, min: nominal - lendable, max: nominal + borrowing };
  });
}

export interface AllocationItem {
  readonly lower: number;
  readonly upper: number;
  readonly target: number;
}

/**
 * Gives out `total` seats: each gets the same fraction of its target, but at least `lower` and at most `upper`.
 * Returns what each gets and the fraction.
 */
export function allocate(total: number, items: readonly AllocationItem[]): { seats: number[]; fraction: number } {
  const at = (fraction: number) => items.map((i) => Math.min(i.upper, Math.max(i.lower, fraction * i.target)));
  const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
  const lowest = sum(items.map((i) => i.lower));
  const highest = sum(items.map((i) => (i.target > 0 ? i.upper : i.lower)));
  if (lowest >= total) return { seats: items.map((i) => i.lower), fraction: 0 };
  if (highest <= total) {
    const fraction = Math.max(0, ...items.filter((i) => i.target > 0).map((i) => i.upper / i.target));
    return { seats: items.map((i) => (i.target > 0 ? i.upper : i.lower)), fraction };
  }
  // The sum grows with the fraction and is linear between the points where a level meets one of its bounds.
  const points = items
    .filter((i) => i.target > 0)
    .flatMap((i) => [i.lower / i.target, i.upper / i.target])
    .sort((a, b) => a - b);
  let low = 0;
  for (const p of points) {
    const here = sum(at(p));
    if (here >= total) {
      const before = sum(at(low));
      const fraction = here === before ? p : low + ((p - low) * (total - before)) / (here - before);
      return { seats: at(fraction), fraction };
    }
    low = p;
  }
  return { seats: at(low), fraction: low };
}
