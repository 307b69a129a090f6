/** Events as kube-scheduler writes them (events.k8s.io/v1): repeats make a series, nobody waits for them. */
import type * as k8s from '@kubernetes/client-node';
import { formatMicroTime, type Clock, type Ids } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { isNotFound } from '../api/status.ts';
import type { DeepReadonly, Json, Pod } from '../api/types.ts';
import type { Client } from '../client/client.ts';
import type { ResourceRef } from '../client/resources.ts';

type Event = Json<k8s.EventsV1Event>;
const events: ResourceRef<Event> = {
  group: 'events.k8s.io',
  version: 'v1',
  resource: 'events',
  kind: 'Event',
  namespaced: true,
};

export interface EventOptions {
  client: Client;
  clock: Clock;
  ids: Ids;
  logger: Logger;
  /** Where this scheduler runs; a part of the reporting instance. */
  host: string;
}

export interface Recorder {
  event(
    profile: string,
    pod: DeepReadonly<Pod>,
    type: 'Normal' | 'Warning',
    reason: string,
    action: string,
    note: string,
  ): void;
  /** Resolves when all that was recorded is sent or given up. */
  flush(): Promise<void>;
}

const MAX_BACKLOG = 5000;
const SENDERS = 4;
const MAX_NOTE = 1024;
/** A repeat after this belongs to a new series. */
const SERIES_MS = 6 * 60_000;

interface Known {
  name: string;
  count: number;
  at: number;
  sent: boolean;
}

const reference = (pod: DeepReadonly<Pod>): Json<k8s.V1ObjectReference> => ({
  kind: 'Pod',
  apiVersion: 'v1',
  namespace: pod.metadata!.namespace,
  name: pod.metadata!.name,
  uid: pod.metadata!.uid,
  resourceVersion: pod.metadata!.resourceVersion,
});

export function createRecorder(options: EventOptions): Recorder {
  const { client, clock, ids, logger, host } = options;
  const known = new Map<string, Known>();
  const backlog: { key: string; event: Event }[] = [];
  const waiting: (() => void)[] = [];
  let senders = 0;

  async function send(key: string, event: Event): Promise<void> {
    const now = clock.now();
    const have = known.get(key);
    if (have && now - have.at < SERIES_MS) {
      have.at = now;
      have.count++;
      // As client-go does: the first repeat begins the series, later ones are only counted.
      if (have.sent) return;
      have.sent = true;
      const namespace = event.metadata!.namespace;
      const series = { count: have.count, lastObservedTime: formatMicroTime(now) };
      try {
        await client.patch(events, have.name, 'merge', { series }, { namespace, ignoreAnswer: true });
        return;
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    if (event.type === 'Warning') {
      if (known.size > 4096)
        for (const [k, v] of known) if (now - v.at > SERIES_MS || known.size > 4096) known.delete(k);
      known.set(key, { name: event.metadata!.name!, count: 1, at: now, sent: false });
    }
    await client.create(events, event, { ignoreAnswer: true });
  }
  async function drain(): Promise<void> {
    for (let next = backlog.shift(); next; next = backlog.shift()) {
      try {
        await send(next.key, next.event);
      } catch (error) {
        logger.debug('event not recorded', { reason: next.event.reason, error });
      }
    }
    if (--senders === 0) for (const w of waiting.splice(0)) w();
  }

  return {
    event(profile, pod, type, reason, action, note) {
      if (backlog.length >= MAX_BACKLOG) return;
      const m = pod.metadata!;
      const namespace = m.namespace ?? 'default';
      const event: Event = {
        metadata: { name: `${m.name}.${ids.uuid().replaceAll('-', '').slice(0, 16)}`, namespace },
        eventTime: formatMicroTime(clock.now()),
        reportingController: profile,
        reportingInstance: `${profile}-${host}`,
        action,
        reason,
        regarding: reference(pod),
        note: note.length > MAX_NOTE ? `${note.slice(0, MAX_NOTE - 4)} ...` : note,
        type,
      };
      backlog.push({ key: [m.uid, m.resourceVersion, reason, action, profile].join('\0'), event });
      if (senders < SENDERS) {
        senders++;
        void drain();
      }
    },
    flush: () => (senders === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
  };
}
