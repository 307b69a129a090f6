/** Leader election over a Lease: at most one holder acts at a time. Same timing rules as client-go. */
import { formatMicroTime, type Clock, type Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { hasCode, isNotFound } from '../api/status.ts';
import type { Lease } from '../api/types.ts';
import type { Client } from './client.ts';
import { leases } from './resources.ts';

/** The Lease and its timing, where they differ from the defaults. */
export interface LeaseOptions {
  /** The Lease's name; its namespace defaults to kube-system. */
  name?: string;
  namespace?: string;
  /** Default to 15 s, 10 s and 2 s, in milliseconds. */
  leaseDurationMs?: number;
  renewDeadlineMs?: number;
  retryPeriodMs?: number;
}

export interface LeaderElectionOptions extends LeaseOptions {
  client: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
  name: string;
  /** Unique for this process. */
  identity: string;
  /** Called when the lease is ours; the signal is aborted when it is lost, before another may hold it. */
  onStartedLeading(signal: AbortSignal): void;
  /** Ends the work; the lease is given back only when this has resolved. */
  onStoppedLeading(): void | Promise<void>;
}

export interface LeaderElector {
  start(): void;
  /** Gives the lease back when we hold it. */
  stop(): Promise<void>;
  readonly isLeader: boolean;
  /** Whether the lease is surely ours at this moment: a process that slept for long knows before its timers do. */
  holds(): boolean;
}

/** An elector that does nothing until it is started. */
export function createLeaderElector(options: LeaderElectionOptions): LeaderElector {
  const { client, clock, rand, logger, identity } = options;
  const namespace = options.namespace ?? 'kube-system';
  const duration = options.leaseDurationMs ?? 15_000;
  const deadline = options.renewDeadlineMs ?? 10_000;
  const period = options.retryPeriodMs ?? 2_000;
  const stopping = new AbortController();
  let leading: AbortController | undefined;
  /** When the last request that renewed the lease was sent: the lease may have been written at its very start. */
  let renewed = -Infinity;
  let observed: { renewTime?: string; holder?: string; at: number } | undefined;
  /** The lease as we wrote it last: as long as nobody else writes it, renewing it takes no read. */
  let written: Lease | undefined;
  let done: Promise<void> | undefined;

  /** One attempt to take or renew; false when somebody else holds it. */
  async function tryAcquire(): Promise<boolean> {
    const mine = written;
    written = undefined;
    if (mine)
      try {
        const spec = { ...mine.spec, renewTime: formatMicroTime(clock.now()) };
        written = await client.update(leases, { ...mine, spec });
        return true;
      } catch (error) {
        // Another wrote or removed it: whose it is now, a read tells.
        if (!hasCode(error, 409, 404)) throw error;
      }
    const now = formatMicroTime(clock.now());
    let lease: Lease;
    try {
      lease = await client.get(leases, options.name, namespace);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      written = await client.create(leases, {
        metadata: { name: options.name, namespace },
        spec: {
          holderIdentity: identity,
          leaseDurationSeconds: Math.ceil(duration / 1000),
          acquireTime: now,
          renewTime: now,
          leaseTransitions: 0,
        },
      });
      return true;
    }
    const spec = lease.spec ?? {};
    if (!observed || observed.renewTime !== spec.renewTime || observed.holder !== spec.holderIdentity)
      observed = { renewTime: spec.renewTime, holder: spec.holderIdentity, at: clock.monotonic() };
    const ours = spec.holderIdentity === identity;
    const valid = observed.at + (spec.leaseDurationSeconds ?? 0) * 1000 > clock.monotonic();
    if (!ours && spec.holderIdentity && valid) return false;
    written = await client.update(leases, {
      ...lease,
      spec: {
        ...spec,
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(duration / 1000),
        acquireTime: ours ? spec.acquireTime : now,
        renewTime: now,
        leaseTransitions: (spec.leaseTransitions ?? 0) + (ours ? 0 : 1),
      },
    });
    return true;
  }

  /** An attempt that takes longer than `limit` is a failed one: a hung request must not outlive the lease. */
  async function attempt(limit: number): Promise<boolean> {
    const late = new AbortController();
    try {
      const timeUp = clock.sleep(limit, late.signal).then(
        () => Promise.reject(new Error(`no answer within ${limit} ms`)),
        () => false,
      );
      return await Promise.race([tryAcquire(), timeUp]);
    } catch (error) {
      logger.debug('leader election attempt failed', { name: options.name, error });
      return false;
    } finally {
      late.abort(new Error('answered'));
    }
  }

  async function run(): Promise<void> {
    const signal = stopping.signal;
    while (!signal.aborted) {
      const began = clock.monotonic();
      if (await attempt(deadline)) {
        leading = new AbortController();
        renewed = began;
        logger.info('became leader', { name: options.name, identity });
        options.onStartedLeading(leading.signal);
        while (!signal.aborted && clock.monotonic() - renewed < deadline) {
          await clock.sleep(period, signal).catch(() => {});
          const at = clock.monotonic();
          if (!signal.aborted && (await attempt(Math.max(deadline - (at - renewed), 1)))) renewed = at;
        }
        leading.abort(new Error('leadership lost'));
        logger.info('stopped leading', { name: options.name, identity });
        await options.onStoppedLeading();
        leading = undefined;
      }
      if (!signal.aborted) await clock.sleep(period * (1 + 0.2 * rand.next()), signal).catch(() => {});
    }
  }

  async function release(): Promise<void> {
    const lease = await client.get(leases, options.name, namespace);
    if (lease.spec?.holderIdentity !== identity) return;
    const now = formatMicroTime(clock.now());
    await client.update(leases, {
      ...lease,
      spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: now, acquireTime: now },
    });
  }

  return {
    start() {
      done ??= run();
    },
    async stop() {
      const held = leading !== undefined;
      stopping.abort(new Error('stopped'));
      await done;
      if (held) await release().catch((error: unknown) => logger.debug('could not release the lease', { error }));
    },
    get isLeader() {
      return leading !== undefined;
    },
    holds: () => leading !== undefined && clock.monotonic() - renewed < deadline,
  };
}
