/** The dumps below /debug/api_priority_and_fairness/: what waits and what is executed, as comma-separated tables. */
import type { ApiRequest, Reply } from '../http/request.ts';
import type { PathRoutes } from '../http/paths.ts';
import type { FlowControl } from './flow-control.ts';
import type { Arrival, PriorityLevel } from './level.ts';

/** No queue, and no place in one. */
const NONE = '-1';
const NEVER = '0001-01-01T00:00:00Z';

/** Cells with a comma between them, padded to the widest of their column; the last is left as it is. */
function table(rows: readonly (readonly string[])[]): string {
  const last = rows[0]!.length - 1;
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((r) => r[i]!.length)) + 2);
  const line = (r: readonly string[]) => r.map((c, i) => (i === last ? c : `${c},`.padEnd(widths[i]!))).join('');
  return rows.map((r) => `${line(r)}\n`).join('');
}

const seconds = (milliseconds: number) => `${(milliseconds / 1000).toFixed(8)}ss`;

/** Registers the three dumps. */
export function flowDebugRoutes(
  paths: PathRoutes,
  control: FlowControl,
  wallClock: () => number,
  steady: () => number,
) {
  const levelsOf = () =>
    [
      ...[...control.config.levels.values()].map((s) => ({ level: s.level, quiescing: false })),
      ...[...control.quiescing].map((level) => ({ level, quiescing: true })),
    ].sort((a, b) => (a.level.name < b.level.name ? -1 : 1));
  const dump = (name: string, rows: (request: ApiRequest) => string[][]) =>
    paths.exact(`/debug/api_priority_and_fairness/${name}`, (request: ApiRequest, reply: Reply) => {
      reply.header('x-content-type-options', 'nosniff');
      reply.send(200, 'text/plain; charset=utf-8', Buffer.from(table(rows(request))));
    });

  dump('dump_priority_levels', () => [
    'PriorityLevelName,ActiveQueues,IsIdle,IsQuiescing,WaitingRequests,ExecutingRequests,DispatchedRequests,RejectedRequests,TimedoutRequests,CancelledRequests'.split(
      ',',
    ),
    ...levelsOf().map(({ level: l, quiescing }) => [
      l.name,
      String(l.activeQueues),
      String(l.idle),
      String(quiescing),
      String(l.waiting),
      String(l.running.size),
      String(l.counts.dispatched),
      String(l.counts.rejected),
      String(l.counts.timedOut),
      String(l.counts.cancelled),
    ]),
  ]);

  dump('dump_queues', () => [
    'PriorityLevelName,Index,PendingRequests,ExecutingRequests,SeatsInUse,NextDispatchR,InitialSeatsSum,MaxSeatsSum,TotalWorkSum'.split(
      ',',
    ),
    ...levelsOf().flatMap(({ level }) =>
      level.queues.map((q) => [
        level.name,
        String(q.index),
        String(q.waiting.length),
        String(q.executing),
        String(q.seatsInUse),
        seconds(q.nextDispatchR),
        String(q.seatsWaiting),
        String(
          q.waiting.reduce((n, w) => n + Math.max(w.arrival.estimate.initialSeats, w.arrival.estimate.finalSeats), 0),
        ),
        seconds(q.waitingWork),
      ]),
    ),
  ]);

  dump('dump_requests', (request) => {
    const details = request.query.has('includeRequestDetails');
    const time = (at: number) => new Date(wallClock() - (steady() - at)).toISOString();
    const row = (level: PriorityLevel, arrival: Arrival, queue: string, at: string, started: string) => {
      const { info, user } = arrival.digest;
      const { initialSeats, finalSeats, additionalMs } = arrival.estimate;
      const base = [level.name, arrival.schema.name, queue, at, arrival.flow, time(arrival.arrivedAt)];
      base.push(String(initialSeats), String(finalSeats), `${additionalMs / 1000}s`, started);
      if (details)
        base.push(
          user.name,
          info.verb,
          info.path,
          info.namespace,
          info.name,
          info.apiVersion,
          info.resource,
          info.subresource,
        );
      return base;
    };
    const head =
      'PriorityLevelName,FlowSchemaName,QueueIndex,RequestIndexInQueue,FlowDistingsher,ArriveTime,InitialSeats,FinalSeats,AdditionalLatency,StartTime';
    const more = 'UserName,Verb,APIPath,Namespace,Name,APIVersion,Resource,SubResource';
    return [
      (details ? `${head},${more}` : head).split(','),
      ...levelsOf().flatMap(({ level }) => [
        ...level.queues.flatMap((q) =>
          q.waiting.map((w, i) => row(level, w.arrival, String(q.index), String(i), NEVER)),
        ),
        ...[...level.running].map((r) =>
          row(level, r.arrival, r.queue ? String(r.queue.index) : NONE, NONE, time(r.startedAt)),
        ),
      ]),
    ];
  });
}
