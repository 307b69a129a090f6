/** What /metrics tells of fair queuing, under upstream's names. */
import type { Clock } from '../../base/clock.ts';
import { TimedValue, type Handle, type HistogramHandle, type MetricsRegistry } from '../../base/metrics.ts';
import type { SeatDemand, SeatLimits } from './borrowing.ts';
import type { Refusal } from './level.ts';

const P = 'apiserver_flowcontrol_';
const SCHEMA = ['priority_level', 'flow_schema'];
const SECONDS = [0.002, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];
const LENGTHS = [0, 10, 25, 50, 100, 250, 500, 1000];
const SEATS = [1, 2, 4, 10];
const REQUESTS_USED = [0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1];
const SEATS_USED = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1];

/** What is counted of one schema and the level it leads to. */
export interface SchemaMetrics {
  rejected(reason: Refusal): void;
  /** A request got its seats after waiting for some milliseconds. */
  dispatched(waitedMs: number, seats: number): void;
  /** One waited in vain. */
  waited(ms: number, executed: boolean): void;
  executed(ms: number, watch: boolean): void;
  seats(more: number): void;
  left(seats: number): void;
  queued(requests: number, seats: number): void;
  queueLength(length: number): void;
  noAccommodation(): void;
  watches(count: number): void;
}

/** How much of a level is in use, as fractions of what there is. */
export interface LevelUse {
  readonly executing: TimedValue;
  readonly waiting: TimedValue;
  readonly seats: TimedValue;
}

export interface FlowMetrics {
  use(level: string, clock: Clock): LevelUse;
  schema(level: string, schema: string): SchemaMetrics;
  limits(level: string, limits: SeatLimits): void;
  /** After seats were shared out anew. */
  shared(level: string, demand: SeatDemand, target: number, current: number): void;
  fairFraction(value: number): void;
}

/** Registers the families and gives what counts into them. */
export function flowMetrics(registry: MetricsRegistry): FlowMetrics {
  const counter = (name: string, help: string, more: string[] = []) =>
    registry.counter(P + name, help, [...SCHEMA, ...more]);
  const gauge = (name: string, help: string) => registry.gauge(P + name, help, SCHEMA);
  const level = (name: string, help: string) => registry.gauge(P + name, help, ['priority_level']);
  const histogram = (name: string, help: string, bounds: readonly number[], more: string[] = []) =>
    registry.histogram(P + name, help, [...SCHEMA, ...more], bounds);

  const rejected = counter('rejected_requests_total', 'Requests that were refused.', ['reason']);
  const dispatched = counter('dispatched_requests_total', 'Requests that were executed.');
  const noAccommodation = counter('request_dispatch_no_accommodation_total', 'Times that too few seats were free.');
  const inQueue = gauge('current_inqueue_requests', 'Requests that wait.');
  const inQueueSeats = gauge('current_inqueue_seats', 'Seats that waiting requests want.');
  const executing = gauge('current_executing_requests', 'Requests that are executed.');
  const executingSeats = gauge('current_executing_seats', 'Seats in use.');
  const concurrency = gauge('request_concurrency_in_use', 'Seats in use.');
  const lengths = histogram('request_queue_length_after_enqueue', 'Length of the queue with the new request.', LENGTHS);
  const waits = histogram('request_wait_duration_seconds', 'Time spent waiting.', SECONDS, ['execute']);
  const times = histogram('request_execution_seconds', 'Time of execution.', SECONDS, ['type']);
  const watchers = histogram('watch_count_samples', 'Watchers that a write concerns.', LENGTHS);
  const estimated = histogram('work_estimated_seats', 'Seats that requests were taken to need.', SEATS);

  const nominal = level('nominal_limit_seats', 'Seats by configuration.');
  const lower = level('lower_limit_seats', 'Seats that are never lent.');
  const upper = level('upper_limit_seats', 'Seats with all that may be borrowed.');
  const current = level('current_limit_seats', 'Seats at present.');
  const legacy = level('request_concurrency_limit', 'Seats by configuration.');
  const watermark = level('demand_seats_high_watermark', 'Highest demand of the last period.');
  const average = level('demand_seats_average', 'Average demand of the last period.');
  const deviation = level('demand_seats_stdev', 'Standard deviation of the demand of the last period.');
  const smoothed = level('demand_seats_smoothed', 'Smoothed demand.');
  const targets = level('target_seats', 'Seats that a level should have.');
  const fraction = registry.gauge(P + 'seat_fair_frac', 'Fraction of its target that a level gets.', []);

  const phases = ['phase', 'priority_level'];
  const use = (what: string, help: string, bounds: readonly number[]) =>
    registry.histogram(`${P}priority_level_${what}_utilization`, help, phases, bounds);
  const requestUse = use('request', 'Nanoseconds by the fraction of requests there is room for.', REQUESTS_USED);
  const seatUse = use('seat', 'Nanoseconds by the fraction of seats in use.', SEATS_USED);

  const uses = new Map<string, LevelUse & { readonly clock: Clock }>();
  registry.onCollect(() => {
    for (const { clock, executing, waiting, seats } of uses.values())
      for (const v of [executing, waiting, seats]) v.advance(clock.monotonic());
  });

  return {
    use(name, clock) {
      const known = uses.get(name);
      if (known) return known;
      const timed = (h: typeof requestUse, phase: string) => new TimedValue(h.handle([phase, name]), clock.monotonic());
      const made = {
        clock,
        executing: timed(requestUse, 'executing'),
        waiting: timed(requestUse, 'waiting'),
        seats: timed(seatUse, 'executing'),
      };
      uses.set(name, made);
      return made;
    },
    schema(levelName, name) {
      const labels = [levelName, name];
      const h = {
        dispatched: dispatched.handle(labels),
        executing: executing.handle(labels),
        seats: executingSeats.handle(labels),
        concurrency: concurrency.handle(labels),
        waited: waits.handle([...labels, 'true']),
        regular: times.handle([...labels, 'regular']),
        watch: times.handle([...labels, 'watch']),
        estimated: estimated.handle(labels),
      } satisfies Record<string, Handle | HistogramHandle>;
      return {
        rejected: (reason) => rejected.add([...labels, reason]),
        dispatched(ms, seats) {
          h.dispatched.value++;
          h.executing.value++;
          h.seats.value += seats;
          h.concurrency.value += seats;
          h.waited.observe(ms / 1000);
          h.estimated.observe(seats);
        },
        waited: (ms, executed) => waits.observe([...labels, String(executed)], ms / 1000),
        executed: (ms, watch) => (watch ? h.watch : h.regular).observe(ms / 1000),
        seats(more) {
          h.seats.value += more;
          h.concurrency.value += more;
        },
        left(seats) {
          h.executing.value--;
          h.seats.value -= seats;
          h.concurrency.value -= seats;
        },
        queued(requests, seats) {
          inQueue.add(labels, requests);
          inQueueSeats.add(labels, seats);
        },
        queueLength: (length) => lengths.observe(labels, length),
        noAccommodation: () => noAccommodation.add(labels),
        watches: (count) => watchers.observe(labels, count),
      };
    },
    limits(name, l) {
      nominal.set([name], l.nominal);
      legacy.set([name], l.nominal);
      lower.set([name], l.min);
      upper.set([name], l.max);
    },
    shared(name, demand, target, seats) {
      watermark.set([name], demand.highWatermark);
      average.set([name], demand.average);
      deviation.set([name], demand.deviation);
      smoothed.set([name], demand.smoothed);
      targets.set([name], target);
      current.set([name], seats);
    },
    fairFraction: (value) => fraction.set([], value),
  };
}
