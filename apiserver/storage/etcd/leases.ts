/** Leases for keys that vanish by themselves; shared by keys that may vanish at about the same time. */
import type { Clock } from '../../../base/clock.ts';
import type { EtcdConnection } from './connection.ts';
import type { Int64 } from './proto.ts';

/** Keys on one lease at most: a lease's end removes them all in one revision. */
const MAX_KEYS = 1000;
/** A key may live longer than asked for by this part of its time, but no longer than a minute. */
const SLACK = 0.05;
const MAX_SLACK_SECONDS = 60;

interface Lease {
  readonly id: Promise<Int64>;
  /** Until when (ms, monotonic) keys may still join. */
  readonly joinUntil: number;
  keys: number;
}

/** See the top of this file. */
export class Leases {
  readonly #connection: EtcdConnection;
  readonly #clock: Clock;
  readonly #byTtl = new Map<number, Lease>();

  constructor(connection: EtcdConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** A lease that lasts at least `ttlSeconds` from now. */
  async get(ttlSeconds: number): Promise<Int64> {
    const now = this.#clock.monotonic();
    let lease = this.#byTtl.get(ttlSeconds);
    if (!lease || lease.joinUntil < now || lease.keys >= MAX_KEYS) {
      const slack = Math.min(MAX_SLACK_SECONDS, Math.floor(ttlSeconds * SLACK));
      const id = this.#connection.write(this.#connection.methods.leaseGrant, { TTL: Math.ceil(ttlSeconds) + slack });
      lease = { id: id.then((r) => r.ID), joinUntil: now + slack * 1000, keys: 0 };
      this.#byTtl.set(ttlSeconds, lease);
      lease.id.catch(() => this.forget(ttlSeconds));
      for (const [ttl, l] of this.#byTtl) if (l.joinUntil < now) this.#byTtl.delete(ttl);
    }
    lease.keys++;
    return lease.id;
  }

  /** The lease is gone on the server's side. */
  forget(ttlSeconds: number): void {
    this.#byTtl.delete(ttlSeconds);
  }
}
