/**
 * One priority level: its seats, and fair queues in front of them (KEP-1040). Every queue has a virtual time at which
 * its next request would be served; the one that would be finished first goes first.
 */
import type { Clock } from '../../base/clock.ts';
import { Integrator } from './integrator.ts';
import type { LevelUse, SchemaMetrics } from './metrics.ts';
import { Dealer } from './shuffle.ts';
import type { RequestDigest, WorkEstimate } from './types.ts';

/** How long a request is taken to last before it has been seen to, in milliseconds. */
const GUESS_MS = 3;

export type Refusal = 'queue-full' | 'concurrency-limit' | 'time-out' | 'cancelled';

/** A request that isn't executed, and why. */
export class Refused extends Error {
  readonly reason: Refusal;
  constructor(reason: Refusal) {
    super(reason);
    this.reason = reason;
  }
}

/** How a level treats requests that find no seat. */
export interface QueueSettings {
  /** 0: requests are refused at once. */
  readonly queues: number;
  readonly handSize: number;
  /** Requests that one queue holds at most. */
  readonly lengthLimit: number;
}

/** A request on its way in. */
export interface Arrival {
  readonly digest: RequestDigest;
  readonly schema: { readonly name: string; readonly metrics: SchemaMetrics };
  readonly flow: string;
  readonly estimate: WorkEstimate;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: () => AbortSignal;
  /** Monotonic milliseconds. */
  readonly arrivedAt: number;
}

class Queue {
  readonly index: number;
  readonly waiting: Waiting[] = [];
  /** Work of those that wait, in seat-milliseconds. */
  waitingWork = 0;
  seatsWaiting = 0;
  executing = 0;
  seatsInUse = 0;
  /** Virtual time at which the next request is served. */
  nextDispatchR = 0;
  constructor(index: number) {
    this.index = index;
  }
  get active(): boolean {
    return this.executing > 0 || this.waiting.length > 0;
  }
}

interface Waiting {
  readonly arrival: Arrival;
  readonly queue: Queue;
  readonly work: number;
  start(running: Running): void;
}

const workOf = (e: WorkEstimate) => e.initialSeats * GUESS_MS + e.finalSeats * e.additionalMs;

/** A request that has its seats. */
export class Running {
  readonly arrival: Arrival;
  readonly queue: Queue | undefined;
  readonly startedAt: number;
  seats: number;
  readonly #level: PriorityLevel;
  #over = false;
  constructor(level: PriorityLevel, arrival: Arrival, queue: Queue | undefined, startedAt: number) {
    this.#level = level;
    this.arrival = arrival;
    this.queue = queue;
    this.startedAt = startedAt;
    this.seats = arrival.estimate.initialSeats;
  }
  /** The request is answered (a watch: it has begun); gives its seats back. */
  done(): void {
    if (this.#over) return;
    this.#over = true;
    this.#level.finished(this);
  }
}

/** A level with its state; outlives changes of its configuration. */
export class PriorityLevel {
  readonly name: string;
  readonly #clock: Clock;
  readonly #maxWaitMs: number;
  readonly #use: LevelUse | undefined;
  readonly running = new Set<Running>();
  readonly demand: Integrator;
  exempt = false;
  uid = '';
  /** Seats that it may use now. */
  limit = 0;
  queues: Queue[] = [];
  seatsInUse = 0;
  seatsWaiting = 0;
  waiting = 0;
  counts = { dispatched: 0, rejected: 0, timedOut: 0, cancelled: 0 };
  #settings: QueueSettings = { queues: 0, handSize: 0, lengthLimit: 0 };
  #dealer: Dealer | undefined;
  #virtual = 0;
  #virtualAt: number;
  #activeQueues = 0;
  #robin = 0;

  /** `maxWaitMs`: requests that have waited this long are refused. */
  constructor(name: string, clock: Clock, maxWaitMs: number, use?: LevelUse) {
    this.#use = use;
    this.name = name;
    this.#clock = clock;
    this.#maxWaitMs = maxWaitMs;
    this.#virtualAt = clock.monotonic();
    this.demand = new Integrator(this.#virtualAt);
  }

  get activeQueues(): number {
    return this.#activeQueues;
  }
  /** Nobody is here. */
  get idle(): boolean {
    return this.running.size === 0 && this.waiting === 0;
  }

  configure(settings: QueueSettings): void {
    const old = this.#settings;
    this.#settings = settings;
    if (settings.queues === old.queues && settings.handSize === old.handSize) return;
    this.#dealer = settings.queues > 0 ? new Dealer(settings.queues, settings.handSize) : undefined;
    // Queues that are no longer dealt stay until they are empty.
    while (this.queues.length < settings.queues) this.queues.push(new Queue(this.queues.length));
    this.#dropSpareQueues();
  }

  #dropSpareQueues(): void {
    while (this.queues.length > this.#settings.queues && !this.queues.at(-1)!.active) this.queues.pop();
  }

  setLimit(seats: number): void {
    this.limit = seats;
    this.#dispatch(this.#clock.monotonic());
  }

  /** Gives seats at once, or when the request's turn has come. Throws or rejects with Refused. */
  enter(arrival: Arrival): Running | Promise<Running> {
    const now = arrival.arrivedAt;
    const { estimate } = arrival;
    if (this.exempt || !this.#dealer) {
      if (!this.exempt && !this.#fits(estimate.initialSeats)) return this.#refuse(arrival, 'concurrency-limit');
      return this.#start(arrival, undefined, now);
    }
    this.#advance(now);
    const queue = this.#choose(arrival);
    const work = workOf(estimate);
    if (this.waiting === 0 && this.#fits(estimate.initialSeats)) {
      this.#activate(queue);
      queue.nextDispatchR += work;
      return this.#start(arrival, queue, now);
    }
    if (queue.waiting.length >= this.#settings.lengthLimit) return this.#refuse(arrival, 'queue-full');
    return this.#wait(arrival, queue, work, now);
  }

  #refuse(arrival: Arrival, reason: Refusal): never {
    this.#count(arrival, reason);
    throw new Refused(reason);
  }
  #count(arrival: Arrival, reason: Refusal): void {
    arrival.schema.metrics.rejected(reason);
    if (reason === 'time-out') this.counts.timedOut++;
    else if (reason === 'cancelled') this.counts.cancelled++;
    else this.counts.rejected++;
  }

  /** The queue of the flow's hand that has the least to do. */
  #choose(arrival: Arrival): Queue {
    const hand = this.#dealer!.hand(arrival.schema.name, arrival.flow);
    let best = this.queues[hand[0]!]!;
    let least = best.waitingWork + best.seatsInUse * GUESS_MS;
    for (let i = 1; i < hand.length && least > 0; i++) {
      const q = this.queues[hand[i]!]!;
      const load = q.waitingWork + q.seatsInUse * GUESS_MS;
      if (load < least) {
        best = q;
        least = load;
      }
    }
    return best;
  }

  #fits(seats: number): boolean {
    // What is wider than the level gets it for itself.
    return seats > this.limit ? this.limit > 0 && this.seatsInUse === 0 : this.seatsInUse + seats <= this.limit;
  }

  /** Virtual time passes as fast as each of the active queues is served. */
  #advance(now: number): void {
    const dt = now - this.#virtualAt;
    if (dt <= 0) return;
    this.#virtualAt = now;
    if (this.#activeQueues > 0)
      this.#virtual += (dt * Math.min(this.limit, this.seatsInUse + this.seatsWaiting)) / this.#activeQueues;
  }

  #activate(queue: Queue): void {
    if (queue.active) return;
    this.#activeQueues++;
    queue.nextDispatchR = this.#virtual;
  }

  #wait(arrival: Arrival, queue: Queue, work: number, now: number): Promise<Running> {
    const seats = arrival.estimate.initialSeats;
    const { metrics } = arrival.schema;
    this.#activate(queue);
    return new Promise((resolve, reject) => {
      const signal = arrival.signal();
      const leave = (reason: Refusal) => {
        this.#unqueue(waiting);
        settle();
        this.#count(arrival, reason);
        metrics.waited(this.#clock.monotonic() - now, false);
        this.#dispatch(this.#clock.monotonic());
        reject(new Refused(reason));
      };
      const onAbort = () => leave('cancelled');
      const timer = this.#clock.after(this.#maxWaitMs, () => leave('time-out'), { background: true });
      const settle = () => {
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        metrics.queued(-1, -seats);
      };
      const waiting: Waiting = {
        arrival,
        queue,
        work,
        start: (running) => {
          settle();
          resolve(running);
        },
      };
      queue.waiting.push(waiting);
      queue.waitingWork += work;
      queue.seatsWaiting += seats;
      this.waiting++;
      this.seatsWaiting += seats;
      this.#note(now);
      metrics.queued(1, seats);
      metrics.queueLength(queue.waiting.length);
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      this.#dispatch(now);
    });
  }

  /** Takes a request out of its queue. */
  #unqueue(w: Waiting): void {
    const { queue } = w;
    const at = queue.waiting.indexOf(w);
    if (at < 0) return;
    queue.waiting.splice(at, 1);
    queue.waitingWork -= w.work;
    queue.seatsWaiting -= w.arrival.estimate.initialSeats;
    this.waiting--;
    this.seatsWaiting -= w.arrival.estimate.initialSeats;
    if (!queue.active) this.#activeQueues--;
  }

  /** Starts as many waiting requests as there are seats for. */
  #dispatch(now: number): void {
    if (this.waiting === 0) return;
    this.#advance(now);
    while (this.waiting > 0) {
      const queue = this.#next();
      const w = queue.waiting[0]!;
      if (!this.#fits(w.arrival.estimate.initialSeats)) {
        w.arrival.schema.metrics.noAccommodation();
        return;
      }
      // it counts as executing before it has left the queue, so that the queue stays active
      queue.executing++;
      this.#unqueue(w);
      queue.executing--;
      queue.nextDispatchR += w.work;
      w.start(this.#start(w.arrival, queue, now));
    }
  }

  /** The queue whose oldest request would be finished first; among equals they take turns. */
  #next(): Queue {
    const n = this.queues.length;
    let best: Queue | undefined;
    let earliest = Infinity;
    for (let i = 1; i <= n; i++) {
      const q = this.queues[(this.#robin + i) % n]!;
      if (q.waiting.length === 0) continue;
      const finish = q.nextDispatchR + q.waiting[0]!.work;
      if (finish < earliest) {
        earliest = finish;
        best = q;
      }
    }
    this.#robin = best!.index;
    return best!;
  }

  #start(arrival: Arrival, queue: Queue | undefined, now: number): Running {
    const running = new Running(this, arrival, queue, now);
    this.running.add(running);
    this.seatsInUse += running.seats;
    if (queue) {
      queue.executing++;
      queue.seatsInUse += running.seats;
    }
    this.counts.dispatched++;
    this.#note(now);
    arrival.schema.metrics.dispatched(now - arrival.arrivedAt, running.seats);
    return running;
  }

  /** Called by Running. */
  finished(running: Running): void {
    const now = this.#clock.monotonic();
    const { estimate, schema } = running.arrival;
    schema.metrics.executed(now - running.startedAt, running.arrival.digest.info.verb === 'watch');
    if (estimate.finalSeats > 0 && estimate.additionalMs > 0) {
      this.#reseat(running, estimate.finalSeats, now);
      this.#clock.after(estimate.additionalMs, () => this.#leave(running), { background: true });
    } else this.#leave(running, now);
  }

  #reseat(running: Running, seats: number, now: number): void {
    this.#advance(now);
    const more = seats - running.seats;
    running.seats = seats;
    this.seatsInUse += more;
    if (running.queue) running.queue.seatsInUse += more;
    running.arrival.schema.metrics.seats(more);
    this.#note(now);
  }

  #leave(running: Running, now = this.#clock.monotonic()): void {
    this.#advance(now);
    const { queue, arrival } = running;
    this.running.delete(running);
    this.seatsInUse -= running.seats;
    arrival.schema.metrics.left(running.seats);
    if (queue) {
      queue.executing--;
      queue.seatsInUse -= running.seats;
      const { initialSeats, finalSeats, additionalMs } = arrival.estimate;
      const held = now - running.startedAt - (finalSeats > 0 ? additionalMs : 0);
      // What was charged was a guess; now it is known.
      queue.nextDispatchR += (held - GUESS_MS) * initialSeats;
      if (!queue.active) {
        this.#activeQueues--;
        if (this.queues.length > this.#settings.queues) this.#dropSpareQueues();
      }
    }
    this.#note(now);
    this.#dispatch(now);
  }

  #note(now: number): void {
    this.demand.set(this.seatsInUse + this.seatsWaiting, now);
    const use = this.#use;
    if (!use) return;
    const { queues, lengthLimit } = this.#settings;
    const room = Math.max(1, this.limit);
    use.executing.set(this.running.size / room, now);
    use.waiting.set(this.waiting / Math.max(1, queues * lengthLimit), now);
    use.seats.set(this.seatsInUse / room, now);
  }
}
