/** Brings pod statuses to the API server: the newest one per pod, one request per pod at a time. */
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { StatusError } from '../../api/status.ts';
import type { DeepReadonly, Pod, PodStatus } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { pods } from '../../client/resources.ts';
import type { KubeletMetrics } from '../metrics/families.ts';
import { createTerminationCounts, type TerminationCounts } from './terminations.ts';

export interface StatusManager {
  /** What was last said, by us now or by the API when this kubelet began. */
  get(uid: string): DeepReadonly<PodStatus> | undefined;
  /** Takes a new status; sends it when it differs. `target` is the API's pod: the mirror of a static one. */
  set(uid: string, target: DeepReadonly<Pod> | undefined, status: PodStatus): void;
  /** The API's object as it is now: what somebody else made of the status is put right. */
  observe(uid: string, target: DeepReadonly<Pod>): void;
  /** The pod is down and cleaned up: once its last status is sent, the API's object is deleted. */
  finish(uid: string, target: DeepReadonly<Pod>): void;
  forget(uid: string): void;
  /** How containers have ended since this kubelet began. */
  readonly terminations: TerminationCounts;
  /** Resolves when nothing is being sent. */
  flush(): Promise<void>;
}

interface Entry {
  status: PodStatus;
  target: DeepReadonly<Pod> | undefined;
  /** The last one that the API took, as text. */
  sent: string | undefined;
  /** The object's version that our last request made. */
  sentVersion: number;
  /** The API's object as it was last seen, to be judged when nothing is on its way. */
  observed: DeepReadonly<Pod> | undefined;
  /** When what others had written was put right last; monotonic milliseconds. */
  correctedAt: number;
  correction: Timer | undefined;
  sentIps: string;
  sentConditions: NonNullable<PodStatus['conditions']>;
  busy: boolean;
  finished: boolean;
  deleted: boolean;
  failures: number;
  /** Since when the newest status waits to be taken; monotonic milliseconds. */
  since: number;
}

/** Conditions that are taken away when they no longer hold. */
const PASSING_CONDITIONS = new Set(['PodResizePending', 'PodResizeInProgress']);

/** What others may change behind our back: phase and the conditions that are ours. */
function essence(status: DeepReadonly<PodStatus> | undefined): string {
  const own = (status?.conditions ?? [])
    .filter((c) => JUDGED_CONDITIONS.has(c.type))
    .map((c) => `${c.type}=${c.status}`);
  return [status?.phase, ...own.sort()].join();
}
const JUDGED_CONDITIONS = new Set([
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodReadyToStartContainers',
  ...PASSING_CONDITIONS,
]);

/** Who writes over a status may have reasons to do so again (the node is taken for lost): that must not become a race. */
const CORRECT_MS = 10_000;

const comparable = (status: PodStatus): string => JSON.stringify(status);

export function createStatusManager(options: {
  client: Client | undefined;
  clock: Clock;
  logger: Logger;
  metrics?: KubeletMetrics;
  onDeleted(uid: string): void;
}): StatusManager {
  const { client, clock, logger } = options;
  const entries = new Map<string, Entry>();
  const terminations = createTerminationCounts();
  let busy = 0;
  const idlers: (() => void)[] = [];

  async function send(uid: string, e: Entry): Promise<void> {
    if (!client || e.busy || !e.target) return;
    const text = comparable(e.status);
    const mustSend = text !== e.sent;
    const mustDelete = e.finished && !e.deleted && e.target.metadata?.deletionTimestamp !== undefined;
    if (!mustSend && !mustDelete) return;
    e.busy = true;
    busy++;
    const { name, namespace } = e.target.metadata!;
    let again = 0;
    try {
      if (mustSend) {
        // a newer status may come while this one is on its way
        const { status: sending, since } = e;
        const ips = JSON.stringify([sending.podIPs, sending.hostIPs]);
        const status: Record<string, unknown> = { ...sending };
        // conditions are merged by type: a reason that no longer holds has to be taken away by name
        const types = new Set(e.status.conditions?.map((c) => c.type));
        status['conditions'] = [
          ...(e.status.conditions ?? []).map((c) => ({ ...c, reason: c.reason ?? null, message: c.message ?? null })),
          ...(e.target.status?.conditions ?? [])
            .concat(e.sentConditions)
            .filter(
              (c, i, all) =>
                PASSING_CONDITIONS.has(c.type) && !types.has(c.type) && all.findIndex((x) => x.type === c.type) === i,
            )
            .map((c) => ({ type: c.type, $patch: 'delete' })),
        ];
        // lists merged by key: what went away must be said
        if (e.sentIps !== '' && ips !== e.sentIps)
          for (const k of ['podIPs', 'hostIPs'] as const)
            if (e.status[k]) status[k] = [...e.status[k], { $patch: 'replace' }];
        const answer = await client.patch(
          pods,
          name!,
          'strategic',
          { metadata: { uid: e.target.metadata!.uid }, status },
          { namespace, subresource: 'status' },
        );
        e.sent = text;
        options.metrics?.statusTaken(since);
        e.sentVersion = Number(answer.metadata?.resourceVersion);
        e.sentIps = ips;
        e.sentConditions = sending.conditions ?? [];
      }
      if (e.finished && e.target.metadata?.deletionTimestamp !== undefined && comparable(e.status) === e.sent) {
        await client.delete(pods, name!, {
          namespace,
          gracePeriodSeconds: 0,
          preconditions: { uid: e.target.metadata.uid },
        });
        e.deleted = true;
        options.onDeleted(uid);
      }
      e.failures = 0;
    } catch (error) {
      if (
        error instanceof StatusError &&
        (error.code === 404 || ((error.code === 409 || error.code === 422) && /uid/i.test(error.message)))
      ) {
        e.sent = text;
        e.deleted = true;
        if (e.finished) options.onDeleted(uid);
      } else {
        e.failures++;
        again = Math.min(200 * 2 ** e.failures, 10_000);
        logger.debug('pod status not taken', { pod: `${namespace}/${name}`, error, retryMs: again });
      }
    } finally {
      e.busy = false;
      busy--;
    }
    if (again) clock.after(again, () => void (entries.get(uid) === e && send(uid, e)), { background: true });
    else if (entries.get(uid) === e) {
      judge(uid, e);
      await send(uid, e);
    }
    if (busy === 0) for (const f of idlers.splice(0)) f();
  }

  /** Whether the API's object, newer than our last request, says something else: then ours is to be sent again. */
  function judge(uid: string, e: Entry): boolean {
    const target = e.observed;
    // while a request is on its way nobody can tell which of the two is the newer one
    if (!target || e.busy || e.deleted || e.sent === undefined) return false;
    e.observed = undefined;
    const version = Number(target.metadata?.resourceVersion);
    // older than our last request: its own effect has not come back yet
    if (!(version > e.sentVersion)) return false;
    e.target = target;
    if (essence(target.status) === essence(e.status)) return false;
    const wait = e.correctedAt + CORRECT_MS - clock.monotonic();
    if (wait > 0) {
      e.observed = target;
      e.correction ??= clock.after(
        wait,
        () => {
          e.correction = undefined;
          if (entries.get(uid) === e && judge(uid, e)) void send(uid, e);
        },
        { background: true },
      );
      return false;
    }
    e.correctedAt = clock.monotonic();
    e.sent = undefined;
    e.sentVersion = version;
    return true;
  }

  return {
    get: (uid) => entries.get(uid)?.status,
    terminations,
    set(uid, target, status) {
      let e = entries.get(uid);
      terminations.changed(e?.status ?? (target?.status as DeepReadonly<PodStatus> | undefined), status);
      if (!e) {
        entries.set(
          uid,
          (e = {
            status,
            target,
            sent: target?.status ? comparable(target.status as PodStatus) : undefined,
            sentVersion: 0,
            observed: undefined,
            correctedAt: -Infinity,
            correction: undefined,
            sentIps: JSON.stringify([target?.status?.podIPs, target?.status?.hostIPs]),
            sentConditions: [],
            busy: false,
            finished: false,
            deleted: false,
            failures: 0,
            since: 0,
          }),
        );
        if (!target?.status?.podIPs) e.sentIps = '';
      }
      e.status = status;
      e.since = clock.monotonic();
      if (target) {
        // a mirror pod made again knows nothing of what was sent to its predecessor
        if (e.target && e.target.metadata?.uid !== target.metadata?.uid) e.sent = undefined;
        e.target = target;
      }
      void send(uid, e);
    },
    observe(uid, target) {
      const e = entries.get(uid);
      if (!e) return;
      e.observed = target;
      if (judge(uid, e)) void send(uid, e);
    },
    finish(uid, target) {
      const e = entries.get(uid);
      if (!e) {
        const status = (target.status ?? {}) as PodStatus;
        const made: Entry = {
          status,
          target,
          sent: comparable(status),
          sentVersion: 0,
          observed: undefined,
          correctedAt: -Infinity,
          correction: undefined,
          sentIps: '',
          sentConditions: [],
          busy: false,
          finished: true,
          deleted: false,
          failures: 0,
          since: clock.monotonic(),
        };
        entries.set(uid, made);
        void send(uid, made);
        return;
      }
      e.target = target;
      e.finished = true;
      void send(uid, e);
    },
    forget: (uid) => void entries.delete(uid),
    flush() {
      if (busy === 0) return Promise.resolve();
      return new Promise((resolve) => idlers.push(resolve));
    },
  };
}
