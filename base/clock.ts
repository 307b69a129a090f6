/**
 * Time, identity and randomness are handed in, so that a whole cluster can run under a virtual clock.
 * This file is the only place that may touch the real ones; lint forbids them elsewhere.
 */
import { randomBytes, randomUUID } from 'node:crypto';

/** A pending timer; `cancel` is idempotent. */
export interface Timer {
  cancel(): void;
}

/** A source of time. Milliseconds everywhere. */
export interface Clock {
  /** Wall time in milliseconds since the epoch. */
  now(): number;
  /** Monotonic time in milliseconds (fractional), for durations. */
  monotonic(): number;
  /** Calls `fn` once after `ms`; a timer does not keep the process alive when `background` is set. */
  after(ms: number, fn: () => void, options?: { background?: boolean }): Timer;
  /** Calls `fn` each `ms` until cancelled. */
  every(ms: number, fn: () => void, options?: { background?: boolean }): Timer;
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Object UIDs and the random part of generated names. */
export interface Ids {
  /** A random (version 4) UUID. */
  uuid(): string;
  /** `length` characters of the alphabet Kubernetes uses for generated names (no vowels, no look-alikes). */
  suffix(length?: number): string;
}

/** Uniform numbers in [0, 1), for jitter and tie-breaks. */
export interface Rand {
  next(): number;
}

const SUFFIX_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, fn, options) {
    const t = setTimeout(fn, ms);
    if (options?.background) t.unref();
    return { cancel: () => clearTimeout(t) };
  },
  every(ms, fn, options) {
    const t = setInterval(fn, ms);
    if (options?.background) t.unref();
    return { cancel: () => clearInterval(t) };
  },
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const onAbort = () => {
        clearTimeout(t);
        reject(signal!.reason as Error);
      };
      const t = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  },
};

/** Ids from the operating system's random source. */
export const systemIds: Ids = {
  uuid: () => randomUUID(),
  suffix(length = 5) {
    let out = '';
    for (let i = 0; i < length; i++) out += SUFFIX_ALPHABET[randomByte() % SUFFIX_ALPHABET.length];
    return out;
  },
};

/** Asking the operating system costs ten microseconds however few bytes are wanted, so a page is kept. */
const PAGE = 4096;
let page: Buffer | undefined;
let used = PAGE;
function randomByte(): number {
  if (!page || used === PAGE) {
    page = randomBytes(PAGE);
    used = 0;
  }
  return page[used++]!;
}

/** Randomness from the runtime. */
export const systemRand: Rand = { next: () => Math.random() };

/** RFC 3339 with whole seconds: the form of metav1.Time. */
export function formatTime(ms: number): string {
  return new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}

/** RFC 3339 with microseconds: the form of metav1.MicroTime. */
export function formatMicroTime(ms: number): string {
  const micros = Math.floor((ms % 1) * 1000);
  return new Date(Math.floor(ms)).toISOString().replace('Z', String(micros).padStart(3, '0') + 'Z');
}
