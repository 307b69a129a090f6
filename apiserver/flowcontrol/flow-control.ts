/**
 * Priority and fairness (KEP-1040): classifies every request by FlowSchemas, gives it seats of a priority level, or
 * lets it wait in a fair queue until there are some. Follows the two kinds in the caches and keeps their status.
 */
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { MetricsRegistry } from '../../base/metrics.ts';
import { tooManyRequests } from '../../api/status.ts';
import { follow, type CacheLookup } from '../authorization/follow.ts';
import type { BootstrapFacts } from '../bootstrap/facts.ts';
import type { ApiRequest, Reply } from '../http/request.ts';
import { isLongRunning } from '../http/request-info.ts';
import { allocate, SeatDemand } from './borrowing.ts';
import { buildConfig, type FlowConfig } from './config.ts';
import { Refused, type PriorityLevel, type Running } from './level.ts';
import { DroppedRequests } from './dropped.ts';
import { flowOf } from './matcher.ts';
import { flowMetrics } from './metrics.ts';
import type { FlowSchema, PriorityLevelConfiguration } from './types.ts';
import { estimateWork, WatchCounts } from './width.ts';

/** Seats are shared out anew this often. */
const ADJUST_MS = 10_000;
const GROUP = 'flowcontrol.apiserver.k8s.io';
const SCHEMAS = `${GROUP}/flowschemas`;
const LEVELS = `${GROUP}/prioritylevelconfigurations`;
const SCHEMA_UID = 'x-kubernetes-pf-flowschema-uid';
const LEVEL_UID = 'x-kubernetes-pf-prioritylevel-uid';

export interface FlowControlOptions {
  clock: Clock;
  logger: Logger;
  /** The caches must exist when this is called. */
  caches: CacheLookup;
  metrics: MetricsRegistry;
  facts: BootstrapFacts;
  /** What the server executes at one time: --max-requests-inflight and --max-mutating-requests-inflight together. */
  totalSeats: number;
  /** Requests wait for a quarter of it at most, in milliseconds. */
  requestTimeoutMs: number;
  /** Called with a schema whose status doesn't say whether its level exists. */
  onDangling?(schema: FlowSchema, dangling: boolean): void;
}

export interface FlowControl {
  /**
   * Gives the request its seats, at once or when its turn has come; undefined for requests that need none. Sets the
   * response headers. Throws or rejects with 429.
   */
  enter(request: ApiRequest, reply: Reply): Running | Promise<Running> | undefined;
  readonly config: FlowConfig;
  /** Levels that are configured no more and still have requests. */
  readonly quiescing: ReadonlySet<PriorityLevel>;
  /** Shares the seats out by what was asked for lately; done every ten seconds. */
  adjust(): void;
  close(): void;
}

export function createFlowControl(options: FlowControlOptions): FlowControl {
  const { clock } = options;
  const metrics = flowMetrics(options.metrics);
  const mandatory = mandatoryOf(options.facts);
  const schemas = new Map<string, FlowSchema>();
  const levels = new Map<string, PriorityLevelConfiguration>();
  const watches = new WatchCounts();
  const width = { caches: options.caches, watches };
  const quiescing = new Set<PriorityLevel>();
  const dropped = new DroppedRequests();
  let config: FlowConfig | undefined;
  let pending: Timer | undefined;

  function rebuild(): void {
    pending = undefined;
    const before = config;
    const next = (config = buildConfig(
      {
        clock,
        metrics,
        totalSeats: options.totalSeats,
        maxWaitMs: options.requestTimeoutMs / 4,
        schemas: [...schemas.values()],
        levels: [...levels.values()],
        mandatory,
        newDemand: () => new SeatDemand(),
      },
      before,
    ));
    for (const [name, { level }] of before?.levels ?? []) if (!next.levels.has(name)) quiescing.add(level);
    for (const level of quiescing)
      if (level.idle || next.levels.get(level.name)?.level === level) quiescing.delete(level);
    dropped.keepOnly(next.levels);
    share(next, false);
    for (const s of schemas.values()) {
      const dangling = !next.levels.has(s.spec?.priorityLevelConfiguration?.name ?? '');
      const said = s.status?.conditions?.find((c) => c.type === 'Dangling');
      if (said?.status !== (dangling ? 'True' : 'False')) options.onDangling?.(s, dangling);
    }
  }
  /** Many objects change together; they make one generation. */
  const changed = () => (pending ??= clock.after(0, rebuild, { background: true }));

  function share(of: FlowConfig, observe: boolean): void {
    const now = clock.monotonic();
    const states = [...of.levels.values()];
    const items = states.map(({ level, demand, limits }) => {
      if (observe) demand.update(level.demand.reset(now));
      const lower = Math.max(limits.min, Math.min(limits.nominal, demand.highWatermark));
      return { lower, upper: Math.max(lower, limits.max), target: Math.max(lower, demand.smoothed) };
    });
    const total = states.reduce((n, s) => n + s.limits.nominal, 0);
    const { seats, fraction } = allocate(total, items);
    metrics.fairFraction(fraction);
    for (const [i, { level, demand }] of states.entries()) {
      const mine = Math.round(seats[i]!);
      metrics.shared(level.name, demand, items[i]!.target, mine);
      level.setLimit(mine);
    }
  }

  const followers = (
    [
      [SCHEMAS, schemas],
      [LEVELS, levels],
    ] as [string, Map<string, unknown>][]
  ).flatMap(([resource, into]) => {
    const cache = options.caches(resource);
    if (!cache) return [];
    return follow(cache, {
      put(entry) {
        into.set(entry.key, entry.object());
        changed();
      },
      delete(key) {
        into.delete(key);
        changed();
      },
    });
  });
  rebuild();
  const adjust = () => share(config!, true);
  const ticker = clock.every(ADJUST_MS, adjust, { background: true });

  return {
    get config() {
      return config!;
    },
    quiescing,
    enter(request, reply) {
      const { info } = request;
      const isWatch = info.verb === 'watch';
      if (!isWatch && isLongRunning(info)) return undefined;
      const flow = config!.matcher.match(request) ?? config!.catchAll;
      const { level, limits } = flow.state;
      reply.header(SCHEMA_UID, flow.uid);
      reply.header(LEVEL_UID, level.uid);
      if (isWatch) reply.onClose(watches.add(info));
      const refused = (error: unknown): never => {
        if (error instanceof Refused)
          throw tooManyRequests('Too many requests, please try again later.', dropped.note(level.name, clock.now()));
        throw error;
      };
      try {
        const entered = level.enter({
          digest: request,
          schema: flow,
          flow: flowOf(flow.schema, request),
          estimate: estimateWork(width, request, limits.nominal, flow.metrics.watches),
          signal: () => request.signal,
          arrivedAt: clock.monotonic(),
        });
        return entered instanceof Promise ? entered.catch(refused) : entered;
      } catch (error) {
        return refused(error);
      }
    },
    adjust,
    close() {
      pending?.cancel();
      ticker.cancel();
      for (const f of followers) f.close();
    },
  };
}

/** The objects without which there is no classification. */
function mandatoryOf(facts: BootstrapFacts) {
  const isMandatory = (o: { metadata?: { name?: string } }) => ['exempt', 'catch-all'].includes(o.metadata?.name ?? '');
  return {
    schemas: facts.flowschemas.filter(isMandatory),
    levels: facts.prioritylevelconfigurations.filter(isMandatory),
  };
}
