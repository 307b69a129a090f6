/** From the objects in the store to priority levels with seats, and schemas that lead to them. */
import type { Clock } from '../../base/clock.ts';
import { seatLimits, type SeatDemand, type SeatLimits } from './borrowing.ts';
import { PriorityLevel, type QueueSettings } from './level.ts';
import { Matcher } from './matcher.ts';
import type { FlowMetrics, SchemaMetrics } from './metrics.ts';
import type { FlowSchema, PriorityLevelConfiguration } from './types.ts';

/** A level as configured, with its state. */
export interface LevelState {
  readonly level: PriorityLevel;
  readonly demand: SeatDemand;
  readonly limits: SeatLimits;
}

/** A schema whose level exists. */
export interface Flow {
  readonly name: string;
  readonly uid: string;
  readonly schema: FlowSchema;
  readonly state: LevelState;
  readonly metrics: SchemaMetrics;
}

/** One generation of the configuration. */
export interface FlowConfig {
  readonly levels: ReadonlyMap<string, LevelState>;
  readonly matcher: Matcher<Flow>;
  /** Where requests go that match nothing. */
  readonly catchAll: Flow;
}

export interface ConfigInput {
  readonly clock: Clock;
  readonly metrics: FlowMetrics;
  /** Seats that the server has in all. */
  readonly totalSeats: number;
  readonly maxWaitMs: number;
  readonly schemas: readonly FlowSchema[];
  readonly levels: readonly PriorityLevelConfiguration[];
  /** The objects that are there whatever happens. */
  readonly mandatory: { schemas: readonly FlowSchema[]; levels: readonly PriorityLevelConfiguration[] };
  readonly newDemand: () => SeatDemand;
}

const nameOf = (o: { readonly metadata?: { readonly name?: string } }) => o.metadata?.name ?? '';

function withMandatory<T extends FlowSchema | PriorityLevelConfiguration>(
  objects: readonly T[],
  mandatory: readonly T[],
): T[] {
  const present = new Set(objects.map(nameOf));
  return [...objects, ...mandatory.filter((m) => !present.has(nameOf(m)))];
}

const REJECT: QueueSettings = { queues: 0, handSize: 0, lengthLimit: 0 };

function settingsOf(level: PriorityLevelConfiguration): QueueSettings {
  const response = level.spec?.limited?.limitResponse;
  const q = response?.queuing;
  if (response?.type !== 'Queue' || !q) return REJECT;
  return { queues: q.queues ?? 64, handSize: q.handSize ?? 8, lengthLimit: q.queueLengthLimit ?? 50 };
}

function sharesOf({ spec }: PriorityLevelConfiguration) {
  const part = spec?.type === 'Exempt' ? spec.exempt : spec?.limited;
  return {
    shares: part?.nominalConcurrencyShares ?? (spec?.type === 'Exempt' ? 0 : 30),
    lendablePercent: part?.lendablePercent ?? 0,
    borrowingLimitPercent: spec?.type === 'Exempt' ? undefined : spec?.limited?.borrowingLimitPercent,
  };
}

/** Makes the next generation; levels that go on keep their state, those that are gone only finish what they have. */
export function buildConfig(input: ConfigInput, previous: FlowConfig | undefined): FlowConfig {
  const configs = withMandatory(input.levels, input.mandatory.levels);
  const limits = seatLimits(input.totalSeats, configs.map(sharesOf));
  const levels = new Map<string, LevelState>();
  for (const [i, c] of configs.entries()) {
    const name = nameOf(c);
    const old = previous?.levels.get(name);
    const level =
      old?.level ?? new PriorityLevel(name, input.clock, input.maxWaitMs, input.metrics.use(name, input.clock));
    level.uid = c.metadata?.uid ?? '';
    level.exempt = c.spec?.type === 'Exempt';
    level.configure(level.exempt ? REJECT : settingsOf(c));
    const limit = limits[i]!;
    levels.set(name, { level, demand: old?.demand ?? input.newDemand(), limits: limit });
    input.metrics.limits(name, limit);
    // A level that is new starts with what is its own; borrowing moves it from there.
    if (!old) level.setLimit(limit.nominal);
  }
  const flowsBefore = new Map(previous ? previous.matcher.targets().map((f) => [f.name, f]) : []);
  const flows = withMandatory(input.schemas, input.mandatory.schemas).flatMap((schema): Flow[] => {
    const state = levels.get(schema.spec?.priorityLevelConfiguration?.name ?? '');
    if (!state) return [];
    const name = nameOf(schema);
    const old = flowsBefore.get(name);
    const metrics =
      old && old.state.level.name === state.level.name ? old.metrics : input.metrics.schema(state.level.name, name);
    return [{ name, uid: schema.metadata?.uid ?? '', schema, state, metrics }];
  });
  return {
    levels,
    matcher: new Matcher(flows.map((flow) => ({ schema: flow.schema, target: flow }))),
    catchAll: flows.find((f) => f.name === 'catch-all')!,
  };
}
